"""How far predictions were off on devices that were left out: the figures that the documentation quotes.

    scores = leave_out(suite, columns, devices, by="architecture")
    frame = table(scores)                     # a row a device: never only pooled

`by` is "device", "architecture", "family" (of work), "random", or a name in the suite's SPLITS. Baselines stand in
the same table: the roofline, the roofline times a constant, boosted trees on specifications, and the same
work's time on another device scaled by the roofline. This file knows no suite by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from netwright.core.run import progress
from netwright.hardware.device import Device
from netwright.predict import hybrid, residual
from netwright.predict.hybrid import Fitted
from netwright.predict.table import Columns, Floats, Specs, Suite, Texts, rows, take

DRAWS = 10
"""Draws of k calibration rows, of which the mean is told."""
LEVEL = 0.9
BASELINES = ("roofline", "roofline x constant", "physics alone", "trees on specifications", "same work elsewhere")
MOST_ROWS = 20_000
"""Rows of one device that are judged; of more, a sample."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """One method on the rows of one device, after k rows of it were measured.

    `error` and `error_90` are the median and 90th percentile of |predicted / measured - 1|, `signed` the
    median of log(predicted / measured), `coverage` the share of rows inside the interval, `width` the median of
    high / low, `flagged` the share that the predictor called out of range, `refused` the rows without a number.
    """

    suite: str
    split: str
    device: str
    architecture: str
    manufacturer: str
    method: str
    k: int
    n: int
    error: float
    error_90: float
    signed: float
    coverage: float
    width: float
    flagged: float
    refused: int


def leave_out(
    suite: Suite, columns: Columns, devices: Mapping[str, Device], *, by: str, shots: Sequence[int] = hybrid.SHOTS,
    quick: bool = False, baselines: bool = True, seed: int = 0,
) -> list[Score]:  # fmt: skip
    """Fit without each fold in turn, and judge on it."""
    found = []
    folds = list(splits(suite, columns, devices, by, seed))
    with progress(f"{suite.NAME}: leaving out by {by}", len(folds)) as advance:
        for name, train, test in folds:
            fitted = hybrid.fit(suite, take(columns, train), devices, quick=quick, seed=seed)
            split = by if by in ("device", "architecture", "family") else name
            found += evaluate(suite, fitted, take(columns, test), devices, split=split, shots=shots, seed=seed)
            if baselines:
                both = take(columns, train), take(columns, test)
                found += rivals(suite, *both, devices, fitted.constants, split=split, seed=seed)
            advance(note=name)
    return found


def splits(
    suite: Suite, columns: Columns, devices: Mapping[str, Device], by: str, seed: int = 0
) -> Iterator[tuple[str, NDArray[np.bool_], NDArray[np.bool_]]]:
    """Name, mask of train, mask of test. Raises KeyError for a split that the suite does not have."""
    specs = Specs.of(columns["device"], devices)
    if by == "device":
        groups: Texts = specs.names
    elif by == "architecture":
        groups = specs.chips
    elif by == "family":
        groups = columns["family"]
    elif by == "random":
        groups = np.random.default_rng(seed).integers(0, 5, rows(columns)).astype(str)
    else:
        train, test = getattr(suite, "SPLITS", {})[by](columns, specs)
        yield by, train, test
        return
    for name, of in hybrid.groups_of(groups):
        if not of.all():
            yield name, ~of, of


def evaluate(
    suite: Suite, fitted: Fitted, columns: Columns, devices: Mapping[str, Device], *, split: str,
    shots: Sequence[int] = hybrid.SHOTS, draws: int = DRAWS, seed: int = 0,
) -> list[Score]:  # fmt: skip
    """The fitted predictor on each device's rows, with k of them measured first (those are not judged)."""
    rng = np.random.default_rng(seed)
    found = []
    for name, of in hybrid.groups_of(columns["device"]):
        places = np.flatnonzero(of)
        kept = places if len(places) <= MOST_ROWS else np.sort(rng.choice(places, MOST_ROWS, replace=False))
        own = take(columns, kept)
        device = devices[name]
        for k in shots:
            parts = []
            for _ in range(draws if k else 1):
                order = rng.permutation(len(kept))
                if k >= len(order):
                    continue
                known = fitted.calibrate(suite, take(own, order[:k]), devices) if k else None
                rest = take(own, order[k:] if not k else order[k : k + 3000])
                answer = fitted.predict(suite, rest, devices, calibrations=known, level=LEVEL)
                parts.append(
                    judge(answer.value, rest["value"], answer.low, answer.high, answer.in_range, answer.refused)
                )
            if parts:
                mean = {key: _mean([part[key] for part in parts]) for key in parts[0]}
                found.append(_score(suite, split, device, "netwright", k, len(kept), mean))
    return found


def rivals(
    suite: Suite, train: Columns, test: Columns, devices: Mapping[str, Device], constants: Mapping[str, Any], *,
    split: str, seed: int = 0,
) -> list[Score]:  # fmt: skip
    """The baselines on the same rows, and the suite's physics alone."""
    known = _usable(suite, train, devices, constants)
    found = []
    for name, of in hybrid.groups_of(test["device"]):
        own = _usable(suite, take(test, of), devices, constants)
        if not rows(own.columns):
            continue
        guesses: dict[str, Floats] = {
            "roofline": own.roofline,
            "roofline x constant": own.roofline + float(np.nanmedian(known.logs - known.roofline)),
            "physics alone": own.base,
            "trees on specifications": _trees_on_specifications(known, own, seed),
            "same work elsewhere": _elsewhere(known, own),
        }
        for method, guess in guesses.items():
            there = np.isfinite(guess)
            if there.any():
                mean = judge(np.exp(guess[there]), np.exp(own.logs[there]))
                mean["refused"] = float((~there).sum())
                found.append(_score(suite, split, devices[name], method, 0, int(there.sum()), mean))
    return found


@dataclass(frozen=True)
class _Usable:
    columns: Columns
    specs: Specs
    base: Floats
    roofline: Floats
    logs: Floats


def _usable(suite: Suite, columns: Columns, devices: Mapping[str, Device], constants: Mapping[str, Any]) -> _Usable:
    specs = Specs.of(columns["device"], devices)
    told = hybrid.describe(suite, columns, specs, constants)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(columns["value"].astype(float))
    good = np.isfinite(told.base) & np.isfinite(logs) & ~told.refused
    plain = getattr(suite, "roofline", None)
    roofline = plain(columns, specs) if plain else told.base
    return _Usable(take(columns, good), specs.take(good), told.base[good], roofline[good], logs[good])


def _trees_on_specifications(known: _Usable, own: _Usable, seed: int) -> Floats:
    """What one tries first: boosted trees from the columns and the device's raw numbers to the time."""

    def raw(of: _Usable) -> Floats:
        numbers = [
            np.log1p(np.abs(values.astype(float)))
            for name, values in of.columns.items()
            if name != "value" and values.dtype.kind in "fiu"
        ]
        specs = [of.specs.bandwidth, of.specs.memory, of.specs.power, of.specs.rate("fp16"), of.specs.rate("fp32")]
        return np.stack([*numbers, *(np.log(values) for values in specs)], axis=1)

    rng = np.random.default_rng(seed)
    some = rng.permutation(len(known.logs))[:40_000]
    trees = residual.fit(raw(known)[some], known.logs[some], seed=seed)
    return trees.predict(raw(own))


def _elsewhere(known: _Usable, own: _Usable) -> Floats:
    """The same work in the same mode on the devices of the training rows, scaled by the roofline; NaN where none."""

    def keys(of: _Usable) -> pd.Series:
        return pd.Series(of.columns["work"].astype(str)) + "|" + pd.Series(of.columns["mode"].astype(str))

    off = pd.Series(known.logs - known.roofline).groupby(keys(known)).median()
    exact = keys(own).map(off)
    alone = pd.Series(known.logs - known.roofline).groupby(pd.Series(known.columns["work"].astype(str))).median()
    found: Floats = own.roofline + exact.fillna(pd.Series(own.columns["work"].astype(str)).map(alone)).to_numpy(float)
    return found


def judge(
    guess: Floats, measured: Any, low: Floats | None = None, high: Floats | None = None,
    in_range: NDArray[np.bool_] | None = None, refused: NDArray[np.bool_] | None = None,
) -> dict[str, float]:  # fmt: skip
    """Errors of n predictions; the refused ones are counted and left out of the rest."""
    value = np.asarray(measured, dtype=float)
    no = np.zeros(len(value), bool) if refused is None else refused
    kept = ~no & np.isfinite(value) & (value > 0)
    nothing = {"error": np.nan, "error_90": np.nan, "signed": np.nan, "coverage": np.nan, "width": np.nan}
    if not kept.any():
        return {**nothing, "flagged": np.nan, "refused": float(no.sum())}
    ratio = guess[kept] / value[kept]
    found = {"error": np.median(np.abs(ratio - 1)), "error_90": np.quantile(np.abs(ratio - 1), 0.9)}
    found |= {"signed": np.median(np.log(ratio)), "coverage": np.nan, "width": np.nan, "flagged": np.nan}
    if low is not None and high is not None:
        found["coverage"] = np.mean((low[kept] <= value[kept]) & (value[kept] <= high[kept]))
        found["width"] = np.median(high[kept] / low[kept])
    if in_range is not None:
        found["flagged"] = np.mean(~in_range[kept])
    return {**{key: float(x) for key, x in found.items()}, "refused": float(no.sum())}


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def _score(suite: Suite, split: str, device: Device, method: str, k: int, n: int, mean: Mapping[str, float]) -> Score:
    about: dict[str, Any] = {
        "device": device.name,
        "architecture": device.architecture,
        "manufacturer": device.manufacturer,
    }
    about |= {key: value for key, value in mean.items() if key != "refused"}
    return Score(suite=suite.NAME, split=split, method=method, k=k, n=n, refused=round(mean["refused"]), **about)


def table(scores: Iterable[Score]) -> pd.DataFrame:
    """Scores as a frame, a row each."""
    return pd.DataFrame([vars(score) for score in scores])


def summary(frame: pd.DataFrame, of: Callable[[pd.Series], float] = np.mean) -> pd.DataFrame:
    """Mean over devices of each suite, split, method and k; the worst device's coverage beside the mean."""
    keys = ["suite", "split", "method", "k"]
    grouped = frame.groupby(keys, sort=False)
    mean = grouped[["error", "error_90", "signed", "coverage", "width"]].agg(of)
    ends = grouped.agg(devices=("device", "nunique"), n=("n", "sum"), worst=("error", "max"), least=("coverage", "min"))
    told = ends.join(mean)
    return told.reset_index()
