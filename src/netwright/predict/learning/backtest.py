"""How far predictions were off on devices that were left out: the figures that the documentation quotes.

    scores = leave_out(suite, columns, devices, by="architecture")
    frame = table(scores)                     # a row a device: never only pooled

`by` is "device", "architecture", "time" (devices newer than the median), "family" (of work), "random", or a name
in the suite's SPLITS. Baselines stand in the same table (`baselines`). This file knows no suite by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from netwright.core.run import progress
from netwright.hardware.device import Device
from netwright.predict.learning import baselines, hybrid
from netwright.predict.learning.effects import Effects
from netwright.predict.learning.hybrid import Fitted
from netwright.predict.learning.table import Columns, Floats, Specs, Suite, Texts, rows, take

DRAWS = 10
"""Draws of k calibration rows, of which the mean is told."""
LEVEL = 0.9
OURS, WITHOUT = "netwright", "netwright without bias terms"
MOST_ROWS = 20_000
"""Rows of one device that are judged; of more, a sample."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """One method on the rows of one device, after k rows of it were measured.

    `error` and `error_90` are the median and 90th percentile of |predicted / measured - 1|, `signed` the
    median of log(predicted / measured), `coverage` the share of rows inside the interval, `width` the median of
    high / low, `flagged` the share that the predictor called out of range, `refused` the rows without a number.
    `stratum` is "all", or a decade of the measured value: what is asked of fast answers and of slow ones differs.
    """

    suite: str
    split: str
    device: str
    architecture: str
    manufacturer: str
    year: int
    method: str
    stratum: str
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
    quick: bool = False, rivals: bool = True, seed: int = 0,
) -> list[Score]:  # fmt: skip
    """Fit without each fold in turn, and judge on it."""
    found = []
    folds = list(splits(suite, columns, devices, by, seed))
    with progress(f"{suite.NAME}: leaving out by {by}", len(folds)) as advance:
        for name, train, test in folds:
            fitted = hybrid.fit(suite, take(columns, train), devices, quick=quick, seed=seed)
            own = take(columns, test)
            found += evaluate(suite, fitted, own, devices, split=by, shots=shots, seed=seed)
            if rivals:
                found += stratified(suite, fitted, own, devices, split=by)
                unbiased = replace(fitted, effects=Effects({}))
                found += evaluate(suite, unbiased, own, devices, split=by, shots=(0,), seed=seed, method=WITHOUT)
                guesses, usable = baselines.rivals(suite, take(columns, train), own, devices, fitted.constants, seed)
                found += _rivals(suite, guesses, take(own, usable), devices, by)
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
        groups = hybrid.folds(columns["family"], seed)
    elif by == "time":
        year = np.array([device.year or np.nan for device in specs.devices], dtype=float)
        newest = year[specs.which] > np.nanmedian(year)
        if newest.any() and not newest.all():
            yield by, ~newest & np.isfinite(year[specs.which]), newest
        return
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
    shots: Sequence[int] = hybrid.SHOTS, draws: int = DRAWS, seed: int = 0, method: str = OURS,
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
                found.append(_score(suite, split, device, method, k, len(kept), mean))
    return found


def stratified(
    suite: Suite, fitted: Fitted, columns: Columns, devices: Mapping[str, Device], *, split: str
) -> list[Score]:
    """The fitted predictor on a device that was never measured, by decades of the measured value."""
    found = []
    with np.errstate(divide="ignore", invalid="ignore"):
        decade = np.floor(np.log10(columns["value"].astype(float)))
    for name, of in hybrid.groups_of(columns["device"]):
        for power in np.unique(decade[of & np.isfinite(decade)]):
            places = np.flatnonzero(of & (decade == power))[:MOST_ROWS]
            own = take(columns, places)
            answer = fitted.predict(suite, own, devices, level=LEVEL)
            mean = judge(answer.value, own["value"], answer.low, answer.high, answer.in_range, answer.refused)
            stratum = f"1e{power:.0f} to 1e{power + 1:.0f}"
            found.append(_score(suite, split, devices[name], OURS, 0, len(places), mean, stratum))
    return found


def _rivals(
    suite: Suite, guesses: Mapping[str, Floats], own: Columns, devices: Mapping[str, Device], split: str
) -> list[Score]:
    found = []
    for name, of in hybrid.groups_of(own["device"]):
        for method, guess in guesses.items():
            there = of & np.isfinite(guess)
            if there.any():
                mean = judge(np.exp(guess[there]), own["value"][there])
                mean["refused"] = float((of & ~there).sum())
                found.append(_score(suite, split, devices[name], method, 0, int(there.sum()), mean))
    return found


def faster_than_peak(suite: Suite, columns: Columns, devices: Mapping[str, Device]) -> pd.DataFrame:
    """A row a device: how many rows were measured faster than the vendor's peaks allow, and by how much at most.

    Nothing can be; a device with many such rows has a specification that is wrong, or a measurement. Empty for a
    suite without a plain roofline.
    """
    plain = getattr(suite, "roofline", None)
    if plain is None:
        return pd.DataFrame()
    specs = Specs.of(columns["device"], devices)
    sign = -1.0 if suite.QUANTITY == "throughput" else 1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        beyond = sign * (plain(columns, specs) - np.log(columns["value"].astype(float)))
    frame = pd.DataFrame({"device": specs.names, "beyond": beyond}).replace([np.inf, -np.inf], np.nan).dropna()
    told = frame.groupby("device")["beyond"].agg(
        rows="size", faster=lambda x: float((x > 0).mean()), most=lambda x: float(np.exp(x.max()))
    )
    return told.reset_index()


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


def _score(
    suite: Suite, split: str, device: Device, method: str, k: int, n: int, mean: Mapping[str, float],
    stratum: str = "all",
) -> Score:  # fmt: skip
    about: dict[str, Any] = {
        "stratum": stratum,
        "year": device.year or 0,
        "device": device.name,
        "architecture": device.architecture,
        "manufacturer": device.manufacturer,
    }
    about |= {key: value for key, value in mean.items() if key != "refused"}
    return Score(suite=suite.NAME, split=split, method=method, k=k, n=n, refused=round(mean["refused"]), **about)


def table(scores: Iterable[Score]) -> pd.DataFrame:
    """Scores as a frame, a row each."""
    return pd.DataFrame([vars(score) for score in scores], columns=list(Score.__dataclass_fields__))


def summary(frame: pd.DataFrame, of: Callable[[pd.Series], float] = np.mean) -> pd.DataFrame:
    """Mean over devices of each suite, split, method and k; the worst device's coverage beside the mean."""
    keys = ["suite", "split", "method", "k"]
    grouped = frame[frame["stratum"] == "all"].groupby(keys, sort=False)
    mean = grouped[["error", "error_90", "signed", "coverage", "width"]].agg(of)
    ends = grouped.agg(devices=("device", "nunique"), n=("n", "sum"), worst=("error", "max"), least=("coverage", "min"))
    told = ends.join(mean)
    return told.reset_index()
