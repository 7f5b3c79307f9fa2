"""Peak memory of a fresh process that opens one artifact and runs it.

    python -m netwright.measure.memory ARTIFACT INPUTS.npz THREADS     # one line of JSON

A process that has trained or measured something else says nothing about a deployment, so each reading
is a new process which imports only what the format needs. This file does not know the task: inputs come
as arrays, by batch size.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netwright import export
from netwright.core import artifact as artifacts
from netwright.core import table
from netwright.core.artifact import Artifact
from netwright.core.error import UserError

Inputs = Mapping[str, NDArray[Any]]
CALLS = 3
"""Calls of each batch size: the second may still allocate."""
PATIENCE = 600
"""Seconds after which a process that does not answer is given up."""


def peak(artifact: Artifact, batches: Mapping[int, Inputs], threads: int) -> dict[str, int]:
    """Bytes: "import" after importing the runtime, "1" the peak after batches of 1, and so on upwards.

    Raises UserError when the process dies, as it does where memory does not suffice.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "inputs.npz"
        arrays = {f"{batch:09d}/{name}": x for batch, inputs in batches.items() for name, x in inputs.items()}
        np.savez(path, **arrays)  # type: ignore[arg-type]
        command = [sys.executable, "-m", __name__, str(artifact.folder), str(path), str(threads)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=PATIENCE, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"it ended with code {done.returncode}"]
        raise UserError(
            "bench", artifact.name, f"a fresh process could not run it: {lines[-1]}", "set a smaller --batch"
        )
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


def high_water() -> int:
    """Peak resident bytes of this process.

    Linux starts VmHWM anew for a new program; ru_maxrss keeps that of the process it was forked from.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        lines = status.read_text(encoding="ascii", errors="replace").splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM:")).split()[1])
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _measure(folder: Path, path: Path, threads: int) -> dict[str, int]:
    artifact = artifacts.open(folder)
    for package in export.PACKAGES.get(artifact.format, ()):
        table.extra(package, f"the format {artifact.format}")
    found = {"import": high_water()}
    runner = export.open(artifact, threads)
    with np.load(path) as file:
        for batch in sorted({name.split("/")[0] for name in file.files}):
            inputs = {name.split("/")[1]: file[name] for name in file.files if name.startswith(batch)}
            for _ in range(CALLS):
                runner(inputs)
            found[str(int(batch))] = high_water()
    return found


if __name__ == "__main__":
    print(json.dumps(_measure(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))))
