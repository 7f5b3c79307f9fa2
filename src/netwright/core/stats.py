"""Intervals and comparisons, in numpy. Knows arrays of observations; does not know what they mean."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
_AT_ONCE = 1_000_000
"""Observations drawn at once: 8 MB; all resamples of 25,000 examples together would take 800 MB."""


@dataclass(frozen=True)
class Interval:
    """A value with its confidence bounds and the number of observations behind it."""

    value: float
    low: float
    high: float
    n: int

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0


def bootstrap(
    values: ArrayLike,
    statistic: Callable[..., Floats] = np.mean,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap of a statistic (Efron and Tibshirani 1993, chapter 13).

    `values` is shaped (n,); `statistic` takes `axis`. With one observation the interval is that point.
    """
    x = _observations(values)
    point = float(statistic(x))
    random = np.random.default_rng(seed)
    rows = max(1, _AT_ONCE // len(x))
    parts = [
        statistic(x[random.integers(0, len(x), size=(min(rows, resamples - done), len(x)))], axis=1)
        for done in range(0, resamples, rows)
    ]
    tail = (1 - level) / 2
    low, high = np.quantile(np.concatenate(parts), [tail, 1 - tail])
    return Interval(point, min(float(low), point), max(float(high), point), len(x))


def clustered(values: ArrayLike, groups: ArrayLike, level: float = 0.95) -> Interval:
    """Mean of observations that come in groups of like ones, its interval that of a ratio over the groups.

    The mean is the sum over groups by their sizes (Cochran 1977, section 2.11); `n` counts the groups.
    """
    x, (_, group_N) = _observations(values), np.unique(np.asarray(groups), return_inverse=True)
    return ratio_of_sums(np.bincount(group_N, x), np.bincount(group_N), level)


def ratio_of_sums(totals_G: ArrayLike, sizes_G: ArrayLike, level: float = 0.95) -> Interval:
    """Sum of totals over sum of sizes, a pair each group: nats of texts by their bytes (Cochran 1977, section 2.11)."""
    totals_G, sizes_G = np.asarray(totals_G, np.float64), np.asarray(sizes_G, np.float64)
    mean, n = float(totals_G.sum() / sizes_G.sum()), len(sizes_G)
    if n < 2:
        return Interval(mean, mean, mean, n)
    spread = math.sqrt(float(((totals_G - mean * sizes_G) ** 2).sum()) * n / (n - 1)) / float(sizes_G.sum())
    half = z_value(level) * spread
    return Interval(mean, mean - half, mean + half, n)


def correlation(a: ArrayLike, b: ArrayLike, groups: ArrayLike | None = None, level: float = 0.95) -> Interval:
    """Pearson's correlation of two rows of observations, its interval by drawing whole groups of them again.

    Without groups each observation is one of its own. 0 where one of the rows does not vary. `n` counts the groups.
    """
    drawn, point, n = _correlations([_observations(a)], _observations(b), groups)
    return _percentiles(float(point[0]), drawn[0], level, n)


def correlation_change(
    a: ArrayLike, reference: ArrayLike, b: ArrayLike, groups: ArrayLike | None = None, level: float = 0.95
) -> Interval:
    """How much better `a` correlates with `b` than `reference` does: both over the same groups, drawn again."""
    drawn, point, n = _correlations([_observations(a), _observations(reference)], _observations(b), groups)
    return _percentiles(float(point[0] - point[1]), drawn[0] - drawn[1], level, n)


def _correlations(several: list[Floats], b: Floats, groups: ArrayLike | None) -> tuple[list[Floats], Floats, int]:
    """Of each row with `b`: the correlation of RESAMPLES draws of groups, and of all; and the number of groups."""
    if any(a.shape != b.shape for a in several):
        raise ValueError(f"{[len(a) for a in several]} observations cannot be paired with {len(b)}")
    group_N = np.arange(len(b)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    n = int(group_N.max()) + 1
    random = np.random.default_rng(0)
    drawn: list[list[Floats]] = [[] for _ in several]
    sums = [_sums(a - a.mean(), b - b.mean(), group_N) for a in several]  # centred, so that squares do not cancel
    for _ in range(0, RESAMPLES, 100):
        counts_RG = np.stack([np.bincount(random.integers(0, n, n), minlength=n) for _ in range(100)])
        for found, sums_GS in zip(drawn, sums, strict=True):
            found.append(_pearson(counts_RG @ sums_GS))
    whole = np.array([_pearson(sums_GS.sum(0)[None])[0] for sums_GS in sums])
    return [np.concatenate(found) for found in drawn], whole, n


RESAMPLES = 1000
"""Of a correlation; the 2.5 % ends are then of 25 draws."""


def _sums(a: Floats, b: Floats, group_N: NDArray[np.int64]) -> Floats:
    """Of each group: how many, and the sums of a, b, a^2, b^2, ab; (G, 6)."""
    return np.stack([np.bincount(group_N, x) for x in (np.ones_like(a), a, b, a * a, b * b, a * b)], 1)


def _pearson(sums_RS: Floats) -> Floats:
    n, a, b, aa, bb, ab = sums_RS.T
    spread = (aa - a * a / n) * (bb - b * b / n)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = np.where(spread > 1e-24 * np.maximum(aa * bb, 1e-300), (ab - a * b / n) / np.sqrt(spread), 0.0)
    return np.clip(np.nan_to_num(found), -1.0, 1.0)


def _percentiles(point: float, drawn: Floats, level: float, n: int) -> Interval:
    tail = (1 - level) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Interval(point, min(float(low), point), max(float(high), point), n)


def rank_correlations(a: ArrayLike, b: ArrayLike, groups: ArrayLike) -> Floats:
    """Spearman's correlation within each group of three or more in which both rows vary; ties take their mean rank."""
    x, y, group_N = _observations(a), _observations(b), np.asarray(groups)
    order = np.argsort(group_N, kind="stable")
    found = []
    for rows in np.split(order, np.flatnonzero(np.diff(group_N[order])) + 1):
        if len(rows) > 2 and np.ptp(x[rows]) > 0 and np.ptp(y[rows]) > 0:
            found.append(float(np.corrcoef(_ranks(x[rows]), _ranks(y[rows]))[0, 1]))
    return np.array(found, dtype=np.float64)


def _ranks(values: Floats) -> Floats:
    _, at, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Floats = (np.cumsum(counts) - (counts - 1) / 2)[at]
    return ranks


def quantile(values: ArrayLike, q: float, level: float = 0.95) -> Interval:
    """A quantile with its distribution-free interval from order statistics (David and Nagaraja 2003, 7.1).

    The ranks are those of the binomial's normal approximation; at the ends of a short sample the
    interval is cut to the extremes, which makes it narrower than asked: take n >= 30 for a p90.
    """
    x = np.sort(_observations(values))
    point = float(np.quantile(x, q))
    spread = z_value(level) * math.sqrt(len(x) * q * (1 - q))
    low = x[max(0, math.floor(len(x) * q - spread) - 1)]
    high = x[min(len(x) - 1, math.ceil(len(x) * q + spread))]
    return Interval(point, min(float(low), point), max(float(high), point), len(x))


def proportion(successes: int, n: int, level: float = 0.95) -> Interval:
    """Wilson's score interval of a share (Wilson 1927); correct near 0 and 1, where accuracy lives."""
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"{successes} of {n} is no share")
    z, share = z_value(level), successes / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Interval(share, min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half)), n)


def paired(a: ArrayLike, b: ArrayLike, level: float = 0.95, seed: int = 0) -> Interval:
    """Mean of a - b over the same examples, with a bootstrap interval over the examples."""
    first, second = _observations(a), _observations(b)
    if first.shape != second.shape:
        raise ValueError(f"paired observations need equal lengths, not {len(first)} and {len(second)}")
    return bootstrap(first - second, np.mean, level, seed=seed)


def ratio(a: ArrayLike, b: ArrayLike, level: float = 0.95, seed: int = 0) -> Interval:
    """Median of a / b over interleaved rounds, with a bootstrap interval over the rounds."""
    return bootstrap(_observations(a) / _observations(b), np.median, level, seed=seed)


def weighted_median(values: ArrayLike, weights: ArrayLike) -> float:
    """The least value below or at which half of the weight lies."""
    x = _observations(values)
    order = np.argsort(x, kind="stable")
    reached = np.cumsum(np.asarray(weights, dtype=np.float64)[order])
    return float(x[order][np.searchsorted(reached, reached[-1] / 2)])


def conformal(errors: ArrayLike, level: float, groups: Sequence[object] | None = None) -> float:
    """What a new absolute error stays below with probability `level`, if it is exchangeable with these.

    The split-conformal quantile (Vovk et al. 2005): the ceil((n + 1) level)-th smallest; infinite where n is too few.
    With `groups`, one for each error, what is new is of a group that is new: all groups weigh the same, and
    their number counts (Dunn et al. 2022).
    """
    x = np.asarray(errors, dtype=np.float64)
    order = np.argsort(x, kind="stable")
    if groups is None:
        weights, n = np.ones(len(x)), len(x)
    else:
        members = [groups.index(one) for one in groups]
        sizes = np.bincount(members, minlength=len(x))
        weights, n = 1.0 / sizes[members], int((sizes > 0).sum())
    rank = np.searchsorted(np.cumsum(weights[order]), (n + 1) * level - 1e-9)
    return float(x[order][rank]) if rank < len(x) else math.inf


def false_difference_rate(draw: Callable[[int], tuple[ArrayLike, ArrayLike]], trials: int = 100) -> Interval:
    """A/A test: how often `paired` calls two samples of the same thing different.

    `draw(trial)` returns two samples of one process. An honest 95 % comparison answers about 0.05.
    """
    return proportion(sum(paired(*draw(trial), seed=trial).excludes_zero for trial in range(trials)), trials)


def z_value(level: float) -> float:
    """Two-sided quantile of the normal distribution, by bisection of erf: 1.96 for 0.95."""
    low, high = 0.0, 40.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if math.erf(middle / math.sqrt(2)) < level else (low, middle)
    return (low + high) / 2


def _observations(values: ArrayLike) -> Floats:
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or len(x) == 0 or not np.isfinite(x).all():
        raise ValueError(f"need one or more finite observations in one dimension, not shape {x.shape}")
    return x


def running_mean(values: NDArray[np.float64], half: int) -> NDArray[np.float64]:
    """Mean over `half` values on either side of each and itself, cut at the ends; it does not lag."""
    at = np.arange(len(values))
    start, stop = np.maximum(at - half, 0), np.minimum(at + half + 1, len(values))
    total = np.concatenate([[0.0], np.cumsum(values)])
    means: NDArray[np.float64] = (total[stop] - total[start]) / (stop - start)
    return means
