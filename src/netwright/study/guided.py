"""Which candidates are worth measuring: those that a prediction cannot rule out.

    latency = explore(candidates, measure)

Accuracy and size of every candidate are known; latency is predicted, by a roofline of this machine, and the error of
the prediction is learned from what was measured: its logarithm is a Gaussian process in which candidates share more
the more alike they are (Rasmussen and Williams 2006, equations 2.22 to 2.24). A candidate is ruled out when one that
was measured is at least as accurate and as small, and faster than it can be, by `SURE` standard deviations. Next is
measured what is expected to add most to the hypervolume of the front (Emmerich et al. 2006, doi
10.1109/TEVC.2005.859463), until that is too little to look for. Knows no runtime.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netwright.study.pareto import hypervolume

SURE = 2.0
ENOUGH = 0.002
"""Share of the front's hypervolume below which an expected gain is not worth measuring."""
EDGE = 0.1
"""Share of a coordinate's range by which hypervolumes end past its worst."""
NODES_Z, WEIGHTS_Z = np.polynomial.hermite_e.hermegauss(5)
"""Places and weights by which a mean over a normal distribution is taken."""
SHARED = {"all": 1.0, "runtime": 0.35, "work": 0.1, "threads": 0.15}
"""Variance of the logarithmic error of predictions that all candidates share, and those alike in one of these."""
NOISE = 0.01
"""Variance that is a candidate's own: some 10 %."""
Floats = NDArray[np.float64]
Point = tuple[float, float, float]


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
    """Latency of those that were measured, in the order of measuring."""
    most = len(candidates) if most is None else most
    found: dict[int, float] = {}
    while len(found) < most:
        mean_N, sd_N = beliefs(candidates, found)
        best_N = np.exp(mean_N - SURE * sd_N)
        left = [at for at in range(len(candidates)) if at not in found and not ruled_out(at, best_N, candidates, found)]
        if not left:
            break
        worst = beyond([point(*one) for one in zip(candidates, np.exp(mean_N + SURE * sd_N), strict=True)])
        front = [point(candidates[at], latency) for at, latency in found.items()]
        gains = [expected(candidates[at], mean_N[at], sd_N[at], front, worst) for at in left]
        if max(gains) < ENOUGH * hypervolume(front, worst):
            break
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


def expected(one: Known, mean: float, sd: float, front: Sequence[Point], worst: Point) -> float:
    """What a front should win in hypervolume by a candidate whose logarithmic latency is believed to be normal."""
    volumes_Z = [hypervolume([*front, point(one, math.exp(mean + z * sd))], worst) for z in NODES_Z]
    return float(np.dot(WEIGHTS_Z, volumes_Z) / WEIGHTS_Z.sum()) - hypervolume(front, worst)


def beyond(points: Sequence[Point]) -> Point:
    """Where hypervolumes end: past the worst of each coordinate by a share of its range, so that ends count too."""
    low, high = np.min(points, axis=0), np.max(points, axis=0)
    return tuple(float(x) for x in high + EDGE * (high - low) + 1e-9)  # type: ignore[return-value]


def point(one: Known, latency: float) -> Point:
    """Of a front that goes down in each: error, and the logarithms of latency and size."""
    return (1 - one.accuracy, math.log(latency), math.log(one.size))
