"""Measured rates of this machine: memory bandwidth and matrix products, as Measurements with intervals.

    probe(seconds=10)          # measures, shows progress, keeps the result
    cached()                   # what an earlier probe found on this machine, or None

The result lies in the user's cache under the machine's fingerprint. This file does not know what the
machine is otherwise; `detect` does.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import platformdirs

from netwright.core import artifact
from netwright.core.error import UserError
from netwright.core.measurement import Measurement
from netwright.core.run import progress
from netwright.hardware.detect import Machine, detect, fingerprint
from netwright.hardware.device import Device, Source

SECONDS = (1.0, 60.0)
"""What a probe may take, beside the start of its process."""


def probe(seconds: float = 10.0, here: Machine | None = None) -> list[Measurement]:
    """Measure this machine for about `seconds`, with all the threads that this process may use.

    Each value is the median over rounds, with a bootstrap interval; rounds of one sitting do not show
    what other load or another day would change. Raises UserError for a time outside SECONDS.
    """
    if not SECONDS[0] <= seconds <= SECONDS[1]:
        allowed = f"{SECONDS[0]:g} to {SECONDS[1]:g} seconds"
        raise UserError("seconds", seconds, allowed, "netwright hardware probe --seconds 10")
    here = here or detect()
    threads = str(here.threads)
    limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), threads)
    command = [sys.executable, "-m", "netwright.hardware.rates", str(seconds), threads]
    found = []
    with (
        progress("measuring this machine", 5) as advance,
        subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, **limits}, text=True) as child,
    ):
        assert child.stdout is not None
        for line in child.stdout:
            found.append(measurement(json.loads(line), here))
            advance(note=f"{found[-1].conditions['dtype']} {found[-1]}".strip())
    if child.returncode != 0 or not found:
        raise RuntimeError(f"the probe ended with code {child.returncode}")
    path = _path(here)
    path.parent.mkdir(parents=True, exist_ok=True)
    artifact.write_json(path, {"fingerprint": fingerprint(here), "measurements": found})
    return found


def measurement(row: dict[str, Any], here: Machine) -> Measurement:
    """A line of `rates` as a Measurement."""
    import numpy as np

    from netwright.core import stats

    middle = stats.bootstrap(row["rates"], np.median, resamples=500)
    return Measurement(
        quantity=row["quantity"],
        value=middle.value,
        low=middle.low,
        high=middle.high,
        n=middle.n,
        device=here.cpu,
        conditions={"dtype": row["dtype"], "library": row["library"], "threads": here.threads},
    )


def cached(here: Machine | None = None) -> list[Measurement] | None:
    """The last probe of this machine; None when there was none or its file is not readable as one."""
    path = _path(here or detect())
    with contextlib.suppress(UserError, TypeError, ValueError, KeyError):
        if path.is_file():
            return [Measurement(**row) for row in artifact.read_json(path)["measurements"]]
    return None


def device(here: Machine, seconds: float = 10.0) -> Device:
    """The machine's CPU as a Device with measured rates, probing for `seconds` where none are kept."""
    found = cached(here) or probe(seconds, here)
    best: dict[str, Measurement] = {}
    for one in found:
        name = "bandwidth" if one.quantity == "bandwidth" else f"rates.{one.conditions['dtype']}"
        if name not in best or one.value > best[name].value:
            best[name] = one
    return Device(
        name=f"this machine: {here.cpu}, {here.threads} threads",
        manufacturer=here.manufacturer,
        kind="cpu",
        rates={name.removeprefix("rates."): one.value for name, one in best.items() if name != "bandwidth"},
        bandwidth=best["bandwidth"].value,
        memory=float(here.memory),
        sources=(
            Source(values=tuple(best), where="measured here", date=found[0].when[:10], licence="your own"),
            Source(values=("memory",), where="operating system", date=found[0].when[:10], licence="your own"),
        ),
        this_machine=True,
        fingerprint=fingerprint(here),
        measured={name: (one.low, one.high) for name, one in best.items()},
    )


def cache_folder() -> Path:
    """Where probes are kept: NETWRIGHT_CACHE, or the platform's cache folder."""
    return Path(os.environ.get("NETWRIGHT_CACHE") or platformdirs.user_cache_dir("netwright")) / "hardware"


def _path(here: Machine) -> Path:
    return cache_folder() / f"probe-{fingerprint(here)}.json"
