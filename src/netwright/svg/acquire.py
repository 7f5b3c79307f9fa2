"""Which setting to trace next: the one that promises most for a wish, by what is expected of all.

For the fewest bytes: the expected improvement of the logarithm of the bytes, times the probability that the limits
hold (Schonlau, Welch, Jones 1998, "Global versus local search in constrained optimization of computer models"). What is
more alike than needed is thinned until it no longer is (`finish`), so that its bytes count as fewer.
For a budget: the largest likeness among settings that are about as likely as any to fill it, or to exceed it by so
little that they can be thinned to fit; what that costs in likeness is reckoned with.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netwright.svg.belief import BYTES, CEILING, CORNERS, PATHS, SSIM, Belief, Floats
from netwright.svg.measured import Traced
from netwright.svg.wish import Wish

FULL, OVER = 0.95, 2.5
"""A trace between these shares of a budget fills it where it can be thinned to fit; otherwise it must not exceed it."""
THINNED = 0.35
"""By how much log(1 - SSIM) grows where thinning divides the bytes by e; it goes with the square of that logarithm."""
NEARLY = 0.85
"""Settings whose chance to fill a budget is this share of the best chance are told apart by likeness."""


CAREFUL = 2
"""In so many last traces a chance that the limits hold counts twice: there is no trace left to mend a miss."""
SURE = {1: 0.95, 2: 0.8}
"""How likely a setting must be to fit a budget that nothing fits yet, by the traces that are left."""


@dataclass(frozen=True)
class Acquired:
    """Places of settings, the most promising first; what the first should save of the bytes' logarithm; and why."""

    at: NDArray[np.intp]
    worth: float
    why: str


def best_next(
    belief: Belief, open_N: NDArray[np.bool_], measured: Sequence[Traced], wish: Wish, default: Traced | None,
    left: int, thins: bool = False,
) -> Acquired:  # fmt: skip
    """The open settings by what they promise, with `left` traces to come. `thins`: what exceeds a budget can be thinned
    to fit."""
    mean_NQ, spread_NQ = belief.mean(), belief.spread()
    places = np.flatnonzero(open_N)
    if not len(places):
        return Acquired(places, 0.0, "")
    mean_NQ, spread_NQ = mean_NQ[places], spread_NQ[places]
    hold_N = np.ones(len(places))
    floor = wish.floor(default)
    if floor > -1:
        limit = math.log(1 - min(floor, CEILING))
        hold_N *= normal((limit - mean_NQ[:, SSIM]) / spread_NQ[:, SSIM])
        spare_N = above(limit - mean_NQ[:, SSIM], spread_NQ[:, SSIM]) / np.maximum(hold_N, 0.05)
        mean_NQ = mean_NQ.copy()
        mean_NQ[:, BYTES] -= np.minimum(1.0, np.sqrt(spare_N / THINNED))
    if wish.max_paths is not None:
        hold_N *= normal((math.log(wish.max_paths + 0.5) - mean_NQ[:, PATHS]) / spread_NQ[:, PATHS])
    most_corners = wish.corners(default)
    if math.isfinite(most_corners):
        hold_N *= normal((math.log(most_corners) - mean_NQ[:, CORNERS]) / spread_NQ[:, CORNERS])
    good = [one for one in measured if wish.shortfall(one, default) == 0]
    if wish.aim == "ssim" and wish.max_bytes is not None:
        return _budget(places, mean_NQ, spread_NQ, hold_N, wish.max_bytes, bool(good), left, OVER if thins else 1.0)
    if wish.max_bytes is not None:
        hold_N *= normal((math.log(wish.max_bytes) - mean_NQ[:, BYTES]) / spread_NQ[:, BYTES])
    column = BYTES if wish.aim == "bytes" else SSIM
    mean_N, spread_N = mean_NQ[:, column], spread_NQ[:, column]
    if not good:
        likely_N = hold_N >= min(0.6, 0.8 * hold_N.max())
        score_N = np.where(likely_N, 10 - (mean_N - mean_N.min()) / max(1e-9, np.ptp(mean_N)), hold_N)
        return Acquired(places[np.argsort(-score_N, kind="stable")], math.inf, "should fulfil the wish")
    best = min(math.log(one.bytes) if wish.aim == "bytes" else math.log(1 - min(one.ssim, CEILING)) for one in good)
    z_N = (best - mean_N) / spread_N
    gain_N = (best - mean_N) * normal(z_N) + spread_N * np.exp(-(z_N**2) / 2) / math.sqrt(2 * math.pi)
    gain_N *= hold_N ** (1 if left > CAREFUL else 2)
    order = np.argsort(-gain_N, kind="stable")
    return Acquired(places[order], float(gain_N[order[0]]), "should save most")


def _budget(
    places: NDArray[np.intp], mean_NQ: Floats, spread_NQ: Floats, hold_N: Floats, most: int, good: bool, left: int,
    over: float,
) -> Acquired:  # fmt: skip
    centre_N, spread_N = mean_NQ[:, BYTES], spread_NQ[:, BYTES]
    fits_N = normal((math.log(most) - centre_N) / spread_N)
    fills_N = normal((math.log(over * most) - centre_N) / spread_N)
    fills_N = (fills_N - normal((math.log(FULL * most) - centre_N) / spread_N)) * hold_N
    if not good and left <= CAREFUL:  # nothing fits yet: that first
        sure_N = fits_N * hold_N
        likely_N = sure_N >= min(SURE[left], 0.98 * sure_N.max())
        score_N = np.where(likely_N, 100 + fills_N, sure_N)
        return Acquired(places[np.argsort(-score_N, kind="stable")], math.inf, "should fit the budget")
    if fills_N.max() < 1e-6:  # all far off: towards it
        return Acquired(places[np.argsort(np.abs(centre_N - math.log(0.95 * most)))], math.inf, "nearest to the budget")
    likely_N = fills_N >= NEARLY * fills_N.max()
    excess_N = above(centre_N - math.log(most), spread_N)
    score_N = np.where(likely_N, 100 - mean_NQ[:, SSIM] - THINNED * excess_N**2, fills_N)
    return Acquired(places[np.argsort(-score_N, kind="stable")], math.inf, "should fill the budget")


def above(mean: Any, spread: Any) -> Floats:
    """What is expected of a normal variable's positive part."""
    z = mean / spread
    return np.asarray(spread * (z * normal(z) + np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)), float)


def normal(z: Any) -> Floats:
    """The standard normal distribution function."""
    from scipy.special import ndtr

    return np.asarray(ndtr(z), float)
