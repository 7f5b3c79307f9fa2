"""Learning a device from k measurements on it: its deviation is a Gaussian process over regimes of work.

    device = calibrate(prior, regimes_kz, labels_k, residuals_k, spread_k)     # k rows measured on it
    shift, variance = device.at(regimes_nz, labels_n)                        # for n others

The covariance of the logs that two rows of one device deviate by is

    bias^2 + sum_z slope_z^2 x_z x'_z + bend^2 exp(-|x - x'|^2 / 2) + sum_l label_l^2 [same label l]

and the noise of a row is its own spread. How large each term is, was estimated from devices that were left
out of the fit, by maximum likelihood: a device that was never measured gets the prior, and k measurements
move it as far as such devices differ. This is kriging, or a random-effects model (Rasmussen and Williams
2006, chapters 2 and 5). Far-off rows count less (iterated weights). This file knows no trees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netwright.predict.learning.table import Floats, Texts

TAIL = 2.0
"""A row that lies further off than this many standard deviations counts less, in proportion."""
LEAST, MOST = 1e-3, 1.5
DOUBLING, EVIDENCE = 2.5, 3.0


@dataclass(frozen=True)
class Prior:
    """Standard deviations, in logs, of how devices differ; `noise` multiplies the spread of a row."""

    bias: float
    slopes: tuple[float, ...]
    bend: float
    labels: Mapping[str, float]
    noise: float

    def covariance(self, x: Floats, labels_x: Labels, y: Floats, labels_y: Labels) -> Floats:
        """(n, z) and (m, z) regimes -> (n, m)."""
        total = self.bias**2 + (x * np.square(self.slopes)) @ y.T
        squared = np.maximum((x**2).sum(1)[:, None] + (y**2).sum(1)[None] - 2 * x @ y.T, 0)
        total = total + self.bend**2 * np.exp(-0.5 * squared)
        for name, size in self.labels.items():
            total = total + size**2 * (labels_x[name][:, None] == labels_y[name][None])
        found: Floats = total
        return found

    def variance(self, x: Floats) -> Floats:
        """Of a row on a device that was never measured, without noise: (n, z) -> (n,)."""
        fixed = self.bias**2 + self.bend**2 + sum(size**2 for size in self.labels.values())
        found: Floats = fixed + (x**2) @ np.square(self.slopes)
        return found


Labels = Mapping[str, Texts]


@dataclass(frozen=True)
class Calibration:
    """What k measurements said of one device. `scores` are the leave-one-out deviations in standard deviations."""

    prior: Prior
    regimes: Floats
    labels: Labels
    solved: Floats
    inverse: Floats
    scores: Floats

    @property
    def k(self) -> int:
        return len(self.solved)

    def at(self, regimes: Floats, labels: Labels) -> tuple[Floats, Floats]:
        """Shift in logs and variance without noise, for n rows of the same device."""
        if not self.k:
            return np.zeros(len(regimes)), self.prior.variance(regimes)
        cross = self.prior.covariance(regimes, labels, self.regimes, self.labels)
        reduced = np.einsum("ij,jk,ik->i", cross, self.inverse, cross)
        return cross @ self.solved, np.maximum(self.prior.variance(regimes) - reduced, LEAST**2)


def calibrate(prior: Prior, regimes: Floats, labels: Labels, residuals: Floats, spread: Floats) -> Calibration:
    """From residuals in logs of k rows; `spread` (k,) are their standard deviations about a known device."""
    k = len(residuals)
    if not k:
        return Calibration(prior, regimes, labels, np.zeros(0), np.zeros((0, 0)), np.zeros(0))
    noise = np.maximum((prior.noise * spread) ** 2, LEAST**2)
    usual = np.sqrt(noise + prior.variance(regimes) - prior.bias**2)
    off = np.abs(residuals - np.median(residuals)) / usual
    weight = np.clip(off / TAIL, 1.0, 1e3) ** 2
    prior = _widened(prior, residuals, usual)
    base = prior.covariance(regimes, labels, regimes, labels)
    for _ in range(3):
        inverse: Any = np.linalg.inv(base + np.diag(noise * weight))
        solved = inverse @ residuals
        left = solved / np.diag(inverse)  # leave-one-out deviations
        known = np.maximum(1 / np.diag(inverse) - noise * weight, 0) + noise
        scores = left / np.sqrt(known)
        weight = np.clip(np.abs(scores) / TAIL, 1.0, 1e3) ** 2
    return Calibration(prior, regimes, labels, solved, inverse, scores)


def _widened(prior: Prior, residuals: Floats, usual: Floats) -> Prior:
    """The prior with a wider bias between devices, where the rows agree with each other and not with it.

    A device that all earlier ones say nothing of may be off by a factor that they never were. Rows have long tails,
    so that each is evidence of at most `EVIDENCE` in log-likelihood, and each doubling costs `DOUBLING`. Without that
    bound two outliers among three rows made products 14 % off instead of 11.
    """
    middle = float(np.median(residuals))
    gain = 0.5 * (residuals**2 - (residuals - middle) ** 2) / usual**2
    affordable = float(np.clip(gain, -EVIDENCE, EVIDENCE).sum()) / DOUBLING
    needed = np.log2(max(abs(middle), prior.bias) / prior.bias)
    return replace(prior, bias=min(prior.bias * 2.0 ** max(min(needed, affordable), 0.0), max(MOST, prior.bias)))


def fit_prior(samples: Sequence[tuple[Floats, Labels, Floats, Floats]], label_names: Sequence[str]) -> Prior:
    """By maximum likelihood over devices; a sample is (regimes, labels, residuals, spread) of one device's rows."""
    from scipy.optimize import minimize

    z = samples[0][0].shape[1]
    start = np.log(np.r_[0.15, np.full(z, 0.05), 0.08, np.full(len(label_names), 0.05), 1.0])
    bounds = [(np.log(0.03), np.log(MOST))] + [(np.log(LEAST), np.log(MOST))] * (len(start) - 2) + [(-1.0, 1.0)]

    def cost(logs: NDArray[Any]) -> float:
        prior = _prior(logs, z, label_names)
        total = 0.02 * float(((logs - start) ** 2).sum())  # so weakly told sizes stay near where they began
        for regimes, labels, residuals, spread in samples:
            noise = np.maximum((prior.noise * spread) ** 2, LEAST**2)
            matrix = prior.covariance(regimes, labels, regimes, labels) + np.diag(noise)
            lower = np.linalg.cholesky(matrix)
            white = np.linalg.solve(lower, np.clip(residuals, -1.5, 1.5))
            # Student's t with 5 degrees of freedom in place of the square keeps one outlier from deciding
            total += float(np.log(np.diag(lower)).sum() + 3.0 * np.log1p(white**2 / 5.0).sum())
        return total

    found = minimize(cost, start, method="L-BFGS-B", bounds=bounds, options={"maxiter": 25})
    return _prior(found.x, z, label_names)


def _prior(logs: NDArray[Any], z: int, label_names: Sequence[str]) -> Prior:
    size = np.exp(logs)
    labels = {name: float(size[2 + z + i]) for i, name in enumerate(label_names)}
    return Prior(float(size[0]), tuple(map(float, size[1 : 1 + z])), float(size[1 + z]), labels, float(size[-1]))
