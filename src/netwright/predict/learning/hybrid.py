"""Physics first, then what was learned: log(value) = physics + boosted trees + pooled effects + this device.

    fitted = fit(suite, columns, devices)
    answer = fitted.predict(suite, columns, devices)                       # a device that was never measured
    known = fitted.calibrate(suite, measured, devices)                     # ten rows measured on it
    answer = fitted.predict(suite, columns, devices, calibrations=known)

Everything that describes how far a prediction may be off comes from devices that were left out of the
fit: whole architectures where there are three or more, else single devices. This file knows no suite.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netwright.core.error import UserError
from netwright.core.run import progress
from netwright.hardware.device import Device
from netwright.predict.learning import effects, interval, residual
from netwright.predict.learning.calibration import Calibration, Prior, calibrate, fit_prior
from netwright.predict.learning.effects import Effects
from netwright.predict.learning.residual import Trees
from netwright.predict.learning.table import Columns, Described, Floats, Specs, Suite, Texts, rows, take

LEVELS = ("mode", "work")
"""Pooled over rows; architecture and manufacturer are pooled over devices, see `_device_effects`."""
LABELS = ("mode", "family")
"""What a device's deviation may depend on, beside the regimes."""
SHOTS = (0, 3, 10, 30)
"""Numbers of calibration rows at which the scores of left-out devices are kept."""
MOST_ROWS = 6_000
"""Rows of one device that are learned from; of more, a sample."""
PSEUDO = 12.0
"""So many rows the scores of left-out devices count for, beside a device's own: with 25, attention on the RTX PRO
6000 was held in 84 % of cases after 30 rows and 81 % after three; with 6, intervals after three rows were 13 wide."""
LEAST_SPREAD, MOST_SPREAD = 0.01, 1.0
SPREAD_PARAMS = {"objective": "l2", "num_iterations": 60, "num_leaves": 12, "max_depth": 5, "learning_rate": 0.08}
SPREAD_PARAMS["min_data_in_leaf"] = 80
HARDLY = 5
"""Of fewer rows, a manufacturer is as good as unknown: one row of a TPU made intervals for the next one too narrow."""
STRANGE = (0.25, 1.0)
"""Least and most of the standard deviation between manufacturers, in logs; the least is an assumption."""
WIDER = 1.5
"""And so many times that between one manufacturer's devices at least, an assumption too."""
FOLDS = 5
TRUST = (0.0, 0.25, 0.5, 0.75, 1.0)
ALONE = 0.25
"""Standard deviation between devices, in logs, where only one was measured: an assumption of the usual size."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Of n rows: the median and the interval in the quantity's unit, NaN where refused; in_range is False where the
    row is unlike those learned from, and `why` says what is refused or out of range."""

    value: Floats
    low: Floats
    high: Floats
    level: float
    in_range: NDArray[np.bool_]
    refused: NDArray[np.bool_]
    why: Texts


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What was learned for one suite."""

    suite: str
    names: tuple[str, ...]
    regimes: tuple[str, ...]
    trees: Trees
    trust: float
    """The share of what the trees say that is added: what was best for devices that were left out."""
    spread: Trees
    effects: Effects
    prior: Prior
    between: float
    """What the prior's variance between devices is multiplied by: few devices tell it badly (Student's t)."""
    strange: float
    """What the variance of the bias is multiplied by for a device of a manufacturer of whom there was hardly a row, so
    that it is the variance between manufacturers that were left out whole."""
    scores: Floats
    """(len(SHOTS), len(interval.GRID)): distribution of scores of left-out devices after k rows."""
    centre: Floats
    scale: Floats
    """Of the regimes, so that they are of the order of 1."""
    ranges: Floats
    """(2, features): what was learned from."""
    devices: tuple[str, ...]
    manufacturers: tuple[str, ...]
    rows: int
    constants: Mapping[str, Any] = field(default_factory=dict)
    """Of the suite's physics, as `fit_constants` gave them; empty where it has none to fit."""

    def predict(
        self,
        suite: Suite,
        columns: Columns,
        devices: Mapping[str, Device],
        *,
        calibrations: Mapping[str, Calibration] | None = None,
        level: float = 0.9,
    ) -> Answer:
        """Of each row of `columns`. `calibrations` are by the name in column "device"."""
        specs = Specs.of(columns["device"], devices)
        told = describe(suite, columns, specs, self.constants)
        base, regimes, spread = self.reckon(told, columns, specs)
        shift, half = np.zeros(len(base)), np.zeros(len(base))
        labels, strangers = _labels(columns), self._strangers(specs)
        for name in np.unique(columns["device"].astype(str)):
            of = columns["device"].astype(str) == name
            known = (calibrations or {}).get(name) or self._uncalibrated(regimes)
            more = (self.strange - 1) * self.between * self.prior.bias**2 if strangers[of][0] else 0.0
            shift[of], half[of] = self._device(known, regimes[of], _take(labels, of), spread[of], more, level)
        middle = base + shift
        outside = self._outside(told, specs)
        refused = told.refused | ~np.isfinite(middle)
        why = np.where(refused, np.where(told.why == "", "no physical estimate", told.why), outside)
        with np.errstate(over="ignore", invalid="ignore"):
            value, low, high = (np.where(refused, np.nan, np.exp(middle + sign * half)) for sign in (0, -1, 1))
        return Answer(
            value=value, low=low, high=high, level=level, in_range=(outside == "") & ~refused, refused=refused, why=why
        )

    def calibrate(self, suite: Suite, columns: Columns, devices: Mapping[str, Device]) -> dict[str, Calibration]:
        """From measured rows (with "value"), a calibration for each device in them."""
        specs = Specs.of(columns["device"], devices)
        told = describe(suite, columns, specs, self.constants)
        base, regimes, spread = self.reckon(told, columns, specs)
        off = _logs(columns) - base
        usable = np.isfinite(off) & ~told.refused
        labels = _labels(columns)
        found = {}
        for name in np.unique(columns["device"].astype(str)):
            of = (columns["device"].astype(str) == name) & usable
            found[name] = calibrate(self.prior, regimes[of], _take(labels, of), off[of], spread[of])
        return found

    def reckon(self, told: Described, columns: Columns, specs: Specs) -> tuple[Floats, Floats, Floats]:
        """Median in logs for an unknown device, regimes (rows, z), and spread in logs (rows,)."""
        if told.names != self.names:
            why = f"{self.suite} was fitted for other features than this version describes"
            raise UserError("predictor", self.suite, why, "netwright predict fit FOLDER, then promote it")
        middle = told.base + self.trust * self.trees.predict(told.features) + self.effects.of(_levels(columns, specs))
        places = [told.names.index(name) for name in self.regimes]
        regimes = np.nan_to_num((told.features[:, places] - self.centre) / self.scale)
        spread = np.clip(np.exp(self.spread.predict(told.features)), LEAST_SPREAD, MOST_SPREAD)
        return middle, np.clip(regimes, -3, 3), spread

    def _device(
        self, known: Calibration, regimes: Floats, labels: Mapping[str, Texts], spread: Floats, more: float,
        level: float,
    ) -> tuple[Floats, Floats]:  # fmt: skip
        """Shift and half width in logs; `more` variance that no calibration took away."""
        shift, variance = known.at(regimes, labels)
        left = variance / np.maximum(known.prior.variance(regimes), 1e-12)  # the share that calibration did not tell
        variance = variance * (1 + (self.between - 1) * left) + more * left + (self.prior.noise * spread) ** 2
        at, part = divmod(float(np.interp(known.k, SHOTS, range(len(SHOTS)))), 1)
        earlier = (1 - part) * self.scores[int(at)] + part * self.scores[min(int(at) + 1, len(SHOTS) - 1)]
        factor = interval.quantile(np.abs(known.scores), level, prior=earlier, pseudo=PSEUDO)
        return shift, factor * np.sqrt(variance)

    def _uncalibrated(self, regimes: Floats) -> Calibration:
        none: Mapping[str, Texts] = {name: np.zeros(0, dtype=object) for name in self.prior.labels}
        return calibrate(self.prior, regimes[:0], none, np.zeros(0), np.zeros(0))

    def _strangers(self, specs: Specs) -> NDArray[np.bool_]:
        """Rows of devices that were not learned from, and hardly a device of their manufacturer was."""
        maker, device = specs.manufacturer.astype(str), specs.names.astype(str)
        found: NDArray[np.bool_] = ~np.isin(maker, self.manufacturers) & ~np.isin(device, self.devices)
        return found

    def _outside(self, told: Described, specs: Specs) -> Texts:
        """For each row, what makes it unlike those learned from; empty where nothing does."""
        low, high = self.ranges
        room = 0.15 * (high - low) + 1e-9
        far = (told.features < low - room) | (told.features > high + room)
        names = np.array([*self.names, ""], dtype=object)
        first = np.where(far.any(axis=1), far.argmax(axis=1), len(self.names))
        said = np.array([f"{name} is outside of what was learned from" if name else "" for name in names], dtype=object)
        found: Texts = said[first]
        found[self._strangers(specs)] = "hardly a row of this manufacturer was learned from"
        return found


def fit(suite: Suite, columns: Columns, devices: Mapping[str, Device], *, quick: bool = False, seed: int = 0) -> Fitted:
    """Learn from measured rows. `quick` fits fewer trees inside, for trials."""
    rng = np.random.default_rng(seed)
    columns = _sample(columns, rng, MOST_ROWS // 4 if quick else MOST_ROWS)
    specs = Specs.of(columns["device"], devices)
    told = suite.describe(columns, specs)
    logs = _logs(columns)
    usable = np.isfinite(logs) & np.isfinite(told.base) & ~told.refused
    columns, specs, logs = take(columns, usable), specs.take(usable), logs[usable]
    if not len(logs):
        raise ValueError(f"{suite.NAME}: no row to learn from")
    constants = _constants(suite, columns, specs)
    told = describe(suite, columns, specs, constants)
    usable = np.isfinite(told.base)
    columns, specs, told, logs = take(columns, usable), specs.take(usable), told.take(usable), logs[usable]
    count, weights, y = len(logs), _weights(specs), logs - told.base
    params = getattr(suite, "PARAMS", {})
    trees = residual.fit(told.features, y, weights=weights, monotone=told.monotone, params=params, seed=seed)
    left, learned, groups = _left_out(suite, columns, specs, logs, weights, seed)
    known = np.isfinite(left)  # not so where the physics of some work is known from one device alone
    columns, specs, told, weights = take(columns, known), specs.take(known), told.take(known), weights[known]
    left, learned, groups = left[known], learned[known], groups[known]
    device = specs.names.astype(str)
    trust = _trust(left, learned, device)
    off = left - trust * learned
    trees = trees if trust else residual.constant(0.0, len(told.names))
    levels = _levels(columns, specs)
    if getattr(suite, "LEFT_OUT", "") == "device":
        levels.pop("architecture")  # constants fitted with its siblings hold a device's share of it already,
        levels.pop("work", None)  # and constants of each work that work's: 7.0 instead of 7.1 % on MLPerf's rows
    pooled = _pool(off, levels, specs)
    off = off - _held_out_effects(off, levels, specs, groups)
    within = off - _medians(off, device)
    spread = residual.fit(
        told.features, np.log(np.abs(within) + 0.01) + 0.4, weights=weights, params=SPREAD_PARAMS, seed=seed
    )  # of a normal deviation, the mean logarithm is 0.6 below that of its standard deviation; 0.01 takes some back
    regimes = tuple(name for name in getattr(suite, "REGIMES", ()) if name in told.names)
    x = told.features[:, [told.names.index(name) for name in regimes]]
    centre, scale = _centre(x)
    state = {
        "constants": constants,
        "trust": trust,
        "trees": trees,
        "spread": spread,
        "effects": pooled,
        "regimes": regimes,
        "centre": centre,
        "scale": scale,
    }
    draft = _draft(suite, told, specs, state, count)
    _, z, sizes = draft.reckon(told, columns, specs)
    labels = _labels(columns)
    usual = _usual(specs, groups)
    of = (off[usual], z[usual], _take(labels, usual), sizes[usual], device[usual])
    prior = _prior(*of, rng)
    between = _student(len(np.unique(groups[usual]))) if len(np.unique(device)) > 1 else 1.0
    draft = replace(draft, prior=prior, between=between, strange=_strange(off[~usual], device[~usual], prior, between))
    return replace(draft, scores=_scores(draft, *of, rng))


def _left_out(
    suite: Suite, columns: Columns, specs: Specs, logs: Floats, weights: Floats, seed: int
) -> tuple[Floats, Floats, Texts]:
    """Each row's deviation from physics, and what trees said of it, both without having seen its group; the groups."""
    groups = family_of(suite, specs)
    left, learned = np.full(len(logs), np.nan), np.full(len(logs), np.nan)
    names = np.unique(groups)
    if len(names) == 1:  # one device: families of work stand in, and `ALONE` for what they do not tell
        groups = folds(columns.get("family", np.arange(len(logs))), seed)
        names = np.unique(groups)
    params = getattr(suite, "PARAMS", {})
    fewer = {**params, "num_iterations": int(0.7 * params.get("num_iterations", residual.PARAMS["num_iterations"]))}
    with progress("learning what left-out devices would take", len(names)) as advance:
        for name in names:
            test = groups == name
            constants = _constants(suite, take(columns, ~test), specs.take(~test))
            told = describe(suite, columns, specs, constants)
            x, y = told.features, logs - told.base
            rest = ~test & np.isfinite(y)
            found = residual.fit(
                x[rest], y[rest], weights=weights[rest], monotone=told.monotone, params=fewer, seed=seed
            )
            left[test], learned[test] = y[test], found.predict(x[test])
            advance(note=str(name))
    return left, learned, groups


def _trust(left: Floats, learned: Floats, device: Texts) -> float:
    """The share of the trees that left-out devices were off least with: mean over devices of the median error.

    A share is only taken for a gain of a hundredth over the next smaller one: what trees learn of few devices
    is in part those devices.
    """
    best, least = 0.0, np.inf
    for share in TRUST:
        off = np.abs(left - share * learned)
        error = float(np.mean([np.median(off[device == name]) for name in np.unique(device)]))
        if error < 0.99 * least:
            best, least = share, error
    return best


def describe(suite: Suite, columns: Columns, specs: Specs, constants: Mapping[str, Any]) -> Described:
    """The suite's description, with the constants of its physics that these rows told where it has such."""
    return suite.describe(columns, specs, constants) if constants else suite.describe(columns, specs)  # type: ignore[call-arg]


def _constants(suite: Suite, columns: Columns, specs: Specs) -> dict[str, Any]:
    """The physics' constants, fitted to these rows alone, so that a left-out device has no part in them."""
    fit_constants = getattr(suite, "fit_constants", None)
    return dict(fit_constants(columns, specs)) if fit_constants else {}


def _logs(columns: Columns) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = np.log(columns["value"].astype(float))
    return found


def family_of(suite: Suite, specs: Specs) -> Texts:
    """What is left out together: an architecture where there are three or more, else a device."""
    chips = specs.chips
    alone = getattr(suite, "LEFT_OUT", "") == "device" or len(np.unique(chips.astype(str))) < 3
    return specs.names if alone else chips


def _pool(off: Floats, levels: Mapping[str, Texts], specs: Specs) -> Effects:
    """Effects of modes and works about their device, then of architecture and manufacturer over devices."""
    device = specs.names.astype(str)
    level = _medians(off, device)
    rowwise = effects.fit(off - level, {name: levels[name] for name in LEVELS if name in levels}, device)
    first = np.unique(device, return_index=True)[1]
    makers = {name: levels[name][first] for name in ("manufacturer", "architecture") if name in levels}
    devicewise = effects.fit(level[first], makers, device[first])
    return Effects({**rowwise.tables, **devicewise.tables})


def _held_out_effects(off: Floats, levels: Mapping[str, Texts], specs: Specs, groups: Texts) -> Floats:
    """For each row, the effects as the other groups alone would tell them."""
    found = np.zeros(len(off))
    names = np.unique(groups.astype(str))
    for name in names:
        test = groups.astype(str) == name
        if len(names) > 1 and len(np.unique(specs.names[~test].astype(str))) > 0:
            others = _pool(off[~test], {k: v[~test] for k, v in levels.items()}, specs.take(~test))
            found[test] = others.of({k: v[test] for k, v in levels.items()})
    return found


def _prior(off: Floats, z: Floats, labels: Mapping[str, Texts], sizes: Floats, device: Texts, rng: Any) -> Prior:
    samples = []
    names = np.unique(device)
    for name in names:
        places = np.flatnonzero(device == name)
        for _ in range(max(1, 8 // len(names))):
            picked = rng.choice(places, min(len(places), 80), replace=False)
            samples.append((z[picked], _take(labels, picked), off[picked], sizes[picked]))
    found = fit_prior(samples, list(labels))
    return found if len(np.unique(device)) > 1 else replace(found, bias=max(found.bias, ALONE))


def _scores(
    draft: Fitted, off: Floats, z: Floats, labels: Mapping[str, Texts], sizes: Floats, device: Texts,
    rng: Any,
) -> Floats:  # fmt: skip
    """Scores of left-out devices after k of their rows, for each k of SHOTS."""
    found = []
    for k in SHOTS:
        scores, of = [], []
        for name in np.unique(device):
            places = np.flatnonzero(device == name)
            for _ in range(1 if k == 0 else 8):
                picked = rng.permutation(places)[: k + 400]
                shot, rest = picked[:k], picked[k:]
                if not len(rest):
                    continue
                known = calibrate(draft.prior, z[shot], _take(labels, shot), off[shot], sizes[shot])
                shift, variance = known.at(z[rest], _take(labels, rest))
                left = variance / np.maximum(known.prior.variance(z[rest]), 1e-12)
                variance = variance * (1 + (draft.between - 1) * left) + (draft.prior.noise * sizes[rest]) ** 2
                scores.append(np.abs(off[rest] - shift) / np.sqrt(variance))
                of.append(np.full(len(rest), name))
        found.append(interval.grid(np.concatenate(scores), np.concatenate(of)))
    if (
        len(np.unique(device)) == 1
    ):  # its own scores say nothing of another device; those of a normal deviation stand in
        from scipy.stats import halfnorm

        found = [np.maximum(one, halfnorm.ppf(interval.GRID)) for one in found]
    return np.array(found)


def _usual(specs: Specs, groups: Texts) -> NDArray[np.bool_]:
    """Rows of devices of whose manufacturer there is another group; all of them where there is no such device."""
    makers = specs.manufacturer.astype(str)
    several = [maker for maker in np.unique(makers) if len(np.unique(groups[makers == maker])) > 1]
    found: NDArray[np.bool_] = np.isin(makers, several)
    return found if found.any() else np.ones(len(makers), bool)


def _strange(off: Floats, device: Texts, prior: Prior, between: float) -> float:
    """What the variance of the bias is multiplied by for manufacturers that were left out whole."""
    medians = [float(np.median(off[device == name])) for name in np.unique(device)]
    # of a normal deviation, the median is 0.6745 of the standard deviation
    typical = float(np.median(np.abs(medians))) / 0.6745 if len(medians) > 2 else STRANGE[0]
    return max(float(np.clip(typical, *STRANGE)) ** 2 / (between * prior.bias**2), WIDER**2)


def _draft(suite: Suite, told: Described, specs: Specs, state: dict[str, Any], count: int) -> Fitted:
    with np.errstate(all="ignore"):
        known = [c[~np.isnan(c)] for c in told.features.T]
        ranges = np.array([np.quantile(c, [0.002, 0.998]) if len(c) else [-np.inf, np.inf] for c in known]).T
    return Fitted(
        suite=suite.NAME, names=told.names, between=1.0, strange=1.0,
        prior=Prior(ALONE, (0.0,) * len(state["regimes"]), 0.0, {}, 1.0),
        scores=np.ones((len(SHOTS), len(interval.GRID))), ranges=ranges.reshape(2, -1), rows=count,
        devices=tuple(sorted(set(map(str, specs.names)))),
        manufacturers=_makers(specs), **state,
    )  # fmt: skip


def _makers(specs: Specs) -> tuple[str, ...]:
    """Manufacturers with `HARDLY` rows or more; all of them where none has."""
    names, counts = np.unique(specs.manufacturer.astype(str), return_counts=True)
    many = counts >= HARDLY
    return tuple(map(str, names[many] if many.any() else names))


def _student(groups: int) -> float:
    """Square of Student's t over the normal quantile, both at 95 %: what a variance told by few groups is worth."""
    from scipy.stats import norm, t

    return float((t.ppf(0.95, max(groups - 1, 2)) / norm.ppf(0.95)) ** 2)


def _sample(columns: Columns, rng: Any, most: int) -> Columns:
    kept = []
    for name in np.unique(columns["device"].astype(str)):
        places = np.flatnonzero(columns["device"].astype(str) == name)
        kept.append(places if len(places) <= most else np.sort(rng.choice(places, most, replace=False)))
    return take(columns, np.concatenate(kept)) if rows(columns) else columns


def _weights(specs: Specs) -> Floats:
    """Each device counts alike, up to a factor of its rows' square root."""
    _, place, counts = np.unique(specs.names.astype(str), return_inverse=True, return_counts=True)
    weights = (1.0 / np.sqrt(counts))[place]
    relative: Floats = weights / weights.mean()
    return relative


def _centre(x: Floats) -> tuple[Floats, Floats]:
    if not x.shape[1]:
        return np.zeros(0), np.ones(0)
    return np.nanmean(x, axis=0), np.maximum(np.nanstd(x, axis=0), 1e-6)


def _medians(values: Floats, groups: Texts) -> Floats:
    distinct, place = np.unique(groups, return_inverse=True)
    found: Floats = np.array([np.median(values[groups == name]) for name in distinct])[place]
    return found


def _levels(columns: Columns, specs: Specs) -> dict[str, Texts]:
    found = {name: columns[name] for name in LEVELS if name in columns}
    return {**found, "manufacturer": specs.manufacturer, "architecture": specs.chips}


def _labels(columns: Columns) -> dict[str, Texts]:
    return {name: columns[name].astype(str) for name in LABELS if name in columns}


def _take(labels: Mapping[str, Texts], mask: NDArray[Any]) -> dict[str, Texts]:
    return {name: values[mask] for name, values in labels.items()}


def folds(families: Texts, seed: int) -> Texts:
    """Of each row, one of five folds; a family is in one fold. Rows are spread where there is only one family."""
    distinct, place = np.unique(families.astype(str), return_inverse=True)
    if len(distinct) == 1:
        place = np.arange(len(families))
    order = np.random.default_rng(seed).permutation(place.max() + 1)
    found: Texts = np.array([f"fold {fold % FOLDS + 1}" for fold in order], dtype=object)[place]
    return found


def groups_of(values: Texts) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Each distinct value with the mask of its rows."""
    named = values.astype(str)
    for name in np.unique(named):
        yield str(name), named == name
