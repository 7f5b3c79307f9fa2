"""Which candidates are worth measuring: those that a prediction cannot rule out.

    latency = explore(candidates, measure)

Accuracy and size of every candidate are known; latency is predicted, by a roofline of this machine, and the error of
the prediction is learned from what was measured: its logarithm is a Gaussian process in which candidates share more
the more alike they are (Rasmussen and Williams 2006, equations 2.22 to 2.24). A candidate is ruled out when one that
was measured is at least as accurate and as small, and faster than it can be, by `SURE` standard deviations. Next is
measured what should add most to the front. Knows no runtime.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netwright.study.pareto import hypervolume

SURE = 2.0
SHARED = {"all": 1.0, "runtime": 0.35, "work": 0.1, "threads": 0.05}
"""Variance of the logarithmic error of predictions that all candidates share, and those alike in one of these."""
NOISE = 0.01
"""Variance that is a candidate's own: some 10 %."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Known:
    """What is known of a candidate before it is measured."""

    accuracy: float
    size: float
    predicted: float
    """Latency in seconds."""
    alike: Mapping[str, str]
    """What candidates share: "runtime", "work", "threads" -> which."""


def explore(candidates: Sequence[Known], measure: Callable[[int], float], most: int | None = None) -> dict[int, float]:
    """Latency of those that were measured, in the order of measuring: of all that could be on the front."""
    most = len(candidates) if most is None else most
    found: dict[int, float] = {}
    while len(found) < most:
        mean_N, sd_N = beliefs(candidates, found)
        best_N = np.exp(mean_N - SURE * sd_N)
        left = [at for at in range(len(candidates)) if at not in found and not ruled_out(at, best_N, candidates, found)]
        if not left:
            break
        gains = [gain(at, math.exp(mean_N[at]), candidates, found) for at in left]
        chosen = left[int(np.argmax(gains))]
        found[chosen] = measure(chosen)
    return found


def beliefs(candidates: Sequence[Known], found: Mapping[int, float]) -> tuple[Floats, Floats]:
    """Mean and standard deviation of the logarithm of each candidate's latency, given what was measured."""
    prior_N = np.log([one.predicted for one in candidates])
    shared_NN = np.full((len(candidates), len(candidates)), SHARED["all"])
    for kind, variance in SHARED.items():
        if kind != "all":
            names = np.array([one.alike.get(kind, "") for one in candidates])
            shared_NN += variance * (names[:, None] == names[None, :])
    own_N = shared_NN.diagonal() + NOISE
    at = list(found)
    if not at:
        return prior_N, np.sqrt(own_N)
    seen = np.log([found[k] for k in at]) - prior_N[at]
    inside = shared_NN[np.ix_(at, at)] + NOISE * np.eye(len(at))
    gain_NM = np.linalg.solve(inside, shared_NN[at]).T
    mean_N = prior_N + gain_NM @ seen
    left_N = own_N - (gain_NM * shared_NN[at].T).sum(1)
    mean_N[at], left_N[at] = np.log([found[k] for k in at]), 0.0
    return mean_N, np.sqrt(left_N.clip(min=0.0))


def ruled_out(at: int, best_N: Floats, candidates: Sequence[Known], found: Mapping[int, float]) -> bool:
    """Whether something measured is as accurate, as small, and faster than this one can be."""
    mine = candidates[at]
    return any(
        candidates[other].accuracy >= mine.accuracy and candidates[other].size <= mine.size and latency <= best_N[at]
        for other, latency in found.items()
    )


def gain(at: int, latency: float, candidates: Sequence[Known], found: Mapping[int, float]) -> float:
    """What the front would win in hypervolume if this candidate had that latency."""
    before = [point(candidates[k], value) for k, value in found.items()]
    new = point(candidates[at], latency)
    all_points = [*before, new, *(point(one, one.predicted) for one in candidates)]
    reference = tuple(max(p[k] for p in all_points) + 1e-9 for k in range(3))
    return hypervolume([*before, new], reference) - hypervolume(before, reference)


def point(one: Known, latency: float) -> tuple[float, float, float]:
    """Of a front that goes down in each: error, and the logarithms of latency and size."""
    return (1 - one.accuracy, math.log(latency), math.log(one.size))
