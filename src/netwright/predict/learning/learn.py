"""Fit, judge and promote a predictor, as a command that can be repeated.

    made = fit(Path("rows"), Path("runs"))        # a run: each suite fitted, judged on its frozen splits
    promote(made.file, Path("runs"))             # only if it beats the one in place on the same splits

A run is found again by the digest of the measured rows and of the code that turns them into a predictor, so
that a killed fit goes on with the suites that are missing. This file knows neither physics nor trees.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from netwright.core import artifact, recipe
from netwright.core.error import UserError
from netwright.core.run import Run, progress
from netwright.core.table import extra
from netwright.hardware.device import Device
from netwright.predict.learning import backtest, hybrid, registry, store
from netwright.predict.learning.table import Columns, Specs, Suite, rows, take
from netwright.predict.learning.validate import resolve
from netwright.predict.suites import SUITES

SAMPLE = Path(__file__).parents[1] / "sample"
"""Measured rows that ship, in the layout that `validate` reads."""
ROWS = 4_000
"""Rows of one device that a frozen split is judged on; of more, the same sample each time."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """A fitted predictor: its file, its version, and its scores on the frozen splits (`backtest.table`)."""

    file: Path
    version: str
    frame: pd.DataFrame
    refused: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What became of a candidate: promoted or not, and in words why. `frame` compares suite by suite."""

    promoted: bool
    why: str
    frame: pd.DataFrame


def fit(folder: Path, runs: Path, *, suites: Sequence[str] = (), quick: bool = False, fresh: bool = False) -> Made:
    """Fit every suite that the folder has rows of, and judge each on its frozen splits. Needs the extra `fit`."""
    extra("lightgbm", "fitting the predictor")
    found = {name: _read(name, folder) for name in (suites or SUITES)}
    found = {name: (columns, devices, refused) for name, (columns, devices, refused) in found.items() if rows(columns)}
    if not found:
        raise UserError("folder", str(folder), "no measured row to learn from", "netwright predict fit --help")
    key = {"rows": {name: _digest(columns) for name, (columns, _, _) in found.items()}, "code": code(), "quick": quick}
    key["devices"] = {
        n: recipe.digest([recipe.plain(d) for d in devices.values()]) for n, (_, devices, _) in found.items()
    }
    with Run.start(runs, "fit", key, fresh) as run:
        parts, frames = {}, []
        with progress("fitting", len(found)) as advance:
            for name, (columns, devices, _) in found.items():
                part, scores = run.folder / f"{name}.npz", run.folder / f"{name}.csv"
                if not (part.is_file() and scores.is_file()):
                    one = store.suite(name)
                    store.save({name: hybrid.fit(one, columns, devices, quick=quick)}, part)
                    judged = backtest.table(_frozen(one, columns, devices, quick))
                    artifact.replace_file(scores, partial(judged.to_csv, index=False))
                parts[name] = store.load(part)[0][name]
                frames.append(pd.read_csv(scores, keep_default_na=False, na_values=[""]))
                advance(note=name)
        frame = pd.concat(frames, ignore_index=True)
        path = run.folder / "predictor.npz"
        told = {"rows": key["rows"], "scores": _plain(_headline(frame)), "quick": quick}
        version = store.save(parts, path, told)
        run.finish({"version": version, "file": path.name, "scores": told["scores"]})
        registry.record(runs, path)
    return Made(file=path, version=version, frame=frame, refused={n: refused for n, (_, _, refused) in found.items()})


def judge(folder: Path, *, suites: Sequence[str] = (), by: Sequence[str] = (), quick: bool = False) -> pd.DataFrame:
    """The table that documentation quotes: every split of every suite, with baselines. Minutes to an hour."""
    frames = []
    for name in suites or SUITES:
        columns, devices, _ = _read(name, folder)
        if rows(columns):
            one = store.suite(name)
            wanted = by or ("architecture", "device", "time", "family", *getattr(one, "SPLITS", {}))
            frames += [
                backtest.table(backtest.leave_out(one, _cap(columns), devices, by=split, quick=quick))
                for split in wanted
            ]
    if not frames:
        raise UserError("folder", str(folder), "no measured row to judge on", "netwright predict backtest --help")
    return pd.concat(frames, ignore_index=True)


def promote(candidate: Path, runs: Path, *, force: bool = False) -> Decision:
    """Put a fitted predictor in place if it beats the one that is there on the frozen splits of the same rows.

    It beats it if the mean over suites of log(error / error in place) is below zero, and no suite that both
    have is worse by more than a tenth. `force` promotes a candidate that was judged on other rows.
    """
    _, new = store.load(candidate)
    _, old = store.load(store.in_place())
    frame = _compared(new["scores"], old["scores"])
    same = all(new["rows"].get(name) == old["rows"].get(name) for name in frame["suite"])
    gain = float(np.log(frame["error"] / frame["in_place"]).mean()) if len(frame) else 0.0
    worse = [str(name) for name in frame["suite"][frame["error"] > 1.1 * frame["in_place"]]]
    missing = sorted({row["suite"] for row in old["scores"]} - {row["suite"] for row in new["scores"]})
    if not same and not force:
        return Decision(
            promoted=False, why="judged on other rows than the one in place; fit both on the same", frame=frame
        )
    if missing:
        return Decision(promoted=False, why=f"has no {', '.join(missing)}, which the one in place has", frame=frame)
    if worse and not force:
        return Decision(promoted=False, why=f"more than a tenth worse on {', '.join(worse)}", frame=frame)
    if gain >= 0 and not force:
        return Decision(promoted=False, why=f"errors are {100 * np.expm1(gain):+.1f} % of those in place", frame=frame)
    place = store.folder() / "promoted.npz"
    place.parent.mkdir(parents=True, exist_ok=True)
    artifact.replace_file(place, lambda draft: shutil.copyfile(candidate, draft))
    store.current.cache_clear()
    registry.record(runs, candidate, promoted=True)
    return Decision(promoted=True, why=f"errors changed by {100 * np.expm1(gain):+.1f} %", frame=frame)


def code() -> str:
    """Digest of the code that a predictor follows from: other physics makes another predictor."""
    digest = hashlib.sha256()
    for name in ("learning", "suites", "llm", "physics.py", "structure.py"):
        place = Path(__file__).parents[1] / name
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _read(name: str, folder: Path) -> tuple[Columns, dict[str, Device], dict[str, int]]:
    columns, refused = store.suite(name).read(folder)
    columns, devices, unknown = resolve(columns, {})
    return columns, devices, {**refused, **unknown}


def _frozen(suite: Suite, columns: Columns, devices: Mapping[str, Device], quick: bool) -> list[backtest.Score]:
    specs = Specs.of(columns["device"], devices)
    by = "architecture" if len(set(specs.chips)) > 1 else "device" if len(specs.devices) > 1 else "random"
    return backtest.leave_out(suite, _cap(columns), devices, by=by, quick=quick, rivals=False)


def _cap(columns: Columns) -> Columns:
    """At most ROWS rows of a device, always the same."""
    rng = np.random.default_rng(0)
    kept = []
    for _, of in hybrid.groups_of(columns["device"]):
        places = np.flatnonzero(of)
        kept.append(places if len(places) <= ROWS else rng.choice(places, ROWS, replace=False))
    return take(columns, np.sort(np.concatenate(kept)))


def _headline(frame: pd.DataFrame) -> pd.DataFrame:
    """Suite and k -> mean over devices of the median error, and of coverage."""
    return frame.groupby(["suite", "k"], sort=False)[["error", "coverage"]].mean().reset_index()


def _compared(new: Sequence[Mapping[str, Any]], old: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    wanted = ["suite", "error"]
    a, b = (pd.DataFrame([row for row in listed if row["k"] == 0])[wanted] for listed in (new, old))
    return a.merge(b.rename(columns={"error": "in_place"}), on="suite")


def _plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {str(k): (None if isinstance(v, float) and not np.isfinite(v) else v) for k, v in row.items()}
        for row in frame.to_dict("records")
    ]


def _digest(columns: Columns) -> str:
    digest = hashlib.sha256()
    for name in sorted(columns):
        digest.update(name.encode())
        digest.update(pd.util.hash_array(np.asarray(columns[name])).tobytes())
    return digest.hexdigest()
