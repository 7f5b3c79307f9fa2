"""Conformal intervals: how many standard deviations hold a share of the cases, by the cases themselves.

    quantile(scores, weights, level=0.9, prior=known, pseudo=20)

A score is |deviation| / standard deviation. Split conformal prediction takes the ceil((n + 1) level)-th
smallest of n scores (Vovk et al. 2005; Lei et al. 2018), which holds for exchangeable cases. Cases of one
device are exchangeable with others of that device, not with another's; so scores are weighted such that
each device counts alike, and few calibration rows are joined by the scores of earlier devices, as `pseudo` rows.
"""

from __future__ import annotations

import numpy as np

from netwright.predict.learning.table import Floats

GRID = np.linspace(0.0025, 0.9975, 200)
"""Shares at which a distribution of scores is kept."""


def quantile(
    scores: Floats, level: float, *, weights: Floats | None = None, prior: Floats | None = None, pseudo: float = 0.0
) -> float:
    """The score that a share `level` of cases stays below, of n scores (weights 1) and `pseudo` rows like `prior`."""
    values, weight = np.asarray(scores, float), np.ones(len(scores)) if weights is None else np.asarray(weights, float)
    if prior is not None and pseudo > 0:
        values = np.r_[values, prior]
        weight = np.r_[weight, np.full(len(prior), pseudo / len(prior))]
    if not len(values):
        raise ValueError("no scores")
    order = np.argsort(values)
    reached = np.cumsum(weight[order])
    wanted = level * (reached[-1] + 1.0)  # the case to come is one of them
    at = int(np.searchsorted(reached, wanted))
    return float(values[order][min(at, len(values) - 1)])


def grid(scores: Floats, groups: Floats | None = None) -> Floats:
    """The distribution of scores at GRID, each group counting alike."""
    if groups is None:
        found: Floats = np.quantile(scores, GRID)
        return found
    _, place, counts = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.argsort(scores)
    reached = np.cumsum((1.0 / counts[place])[order])
    at = np.searchsorted(reached / reached[-1], GRID)
    picked: Floats = np.asarray(scores)[order][np.minimum(at, len(scores) - 1)]
    return picked
