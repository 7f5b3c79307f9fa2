"""What is expected of settings on one image: a predictor's guess, corrected by what was traced of that image.

    belief = Belief(predictor, about, settings)
    belief.learn(traced)
    belief.mean(), belief.spread()         # log(1 - ssim), log bytes, log paths, log corners

The predictor is wrong about an image in much the same way for every setting, and more so for settings that are alike:
its errors are taken as Gaussian with a share OF_IMAGE common to all settings, a share OF_PLACE that fades with the
distance between settings, and a rest that is each setting's own; a trace then corrects all the others (Gaussian
process regression: Rasmussen and Williams 2006, eqs. 2.22 to 2.24). This file does not know what is wished for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from netwright.svg.measured import Traced
from netwright.svg.raster import Raster
from netwright.svg.setting import Setting, vectors

Floats = NDArray[np.float64]
SSIM, BYTES, PATHS, CORNERS = 0, 1, 2, 3
"""The columns of a belief."""
CEILING = 1 - 1e-4
"""Likeness above this is not told apart."""
LEVEL_90 = 2 * 1.6449
"""Standard deviations that a 90 % interval is wide."""
OF_IMAGE, OF_PLACE, REACH = 0.22, 0.55, 0.53
"""Shares of a predictor's variance, and the distance in which likeness of errors fades."""
WEIGHTS = np.array([1.5, 1.5, 1.2, 0.7, 0.7, 0.5, 0.15, 0.4, 0.5, 1.2])
"""How far apart the whole range of each of `setting.COLUMNS` lies: as much as it changes what comes out."""
LOGARITHMIC = (3, 9)
"""Columns (layer difference, speckle) of which the logarithm counts."""


class Guess(Protocol):
    """What a predictor says of settings: arrays over them, with 90 % intervals."""

    ssim: Any
    ssim_low: Any
    ssim_high: Any
    bytes: Any
    bytes_low: Any
    bytes_high: Any
    paths: Any
    paths_low: Any
    paths_high: Any
    corners: Any
    corners_low: Any
    corners_high: Any


class Predictor(Protocol):
    """What predicts without tracing: features of an image once, then any number of settings."""

    def features(self, raster: Raster) -> Any:
        """What `predict` needs of an image; `unfamiliar` says that it is unlike those learned from."""
        ...

    def predict(self, about: Any, settings: list[Setting]) -> Guess:
        """What settings do to that image."""
        ...


@dataclass(frozen=True)
class Expected:
    """What is expected of one setting, each with a 90 % interval."""

    ssim: float
    ssim_low: float
    ssim_high: float
    bytes: float
    bytes_low: float
    bytes_high: float
    paths: float
    paths_low: float
    paths_high: float


class Belief:
    """Expectations of a growing list of settings on one image."""

    def __init__(self, predictor: Predictor, about: Any) -> None:
        self._predictor, self._about = predictor, about
        self.settings: list[Setting] = []
        self._place: dict[Setting, int] = {}
        self._prior_NQ, self._own_NQ = np.empty((0, 4)), np.empty((0, 4))
        self._points_NP = np.empty((0, len(WEIGHTS)))
        self._known: dict[int, Floats] = {}
        self._now: tuple[Floats, Floats] | None = None

    def add(self, settings: Iterable[Setting]) -> None:
        """Predict those that are not here yet."""
        new = [one for one in dict.fromkeys(settings) if one not in self._place]
        if not new:
            return
        prior_NQ, own_NQ = latent(self._predictor.predict(self._about, new))
        for one in new:
            self._place[one] = len(self.settings)
            self.settings.append(one)
        self._prior_NQ, self._own_NQ = np.vstack([self._prior_NQ, prior_NQ]), np.vstack([self._own_NQ, own_NQ])
        self._points_NP = np.vstack([self._points_NP, points(new)])
        self._now = None

    def learn(self, traced: Traced) -> None:
        """Take a trace into account."""
        self.add([traced.setting])
        self._known[self._place[traced.setting]] = measured(traced)
        self._now = None

    def untraced(self) -> NDArray[np.bool_]:
        """Which settings were not traced."""
        found = np.ones(len(self.settings), bool)
        found[list(self._known)] = False
        return found

    def mean(self) -> Floats:
        """(N, 4): expected log(1 - ssim), log bytes, log paths and log corners of every setting."""
        return self._corrected()[0]

    def spread(self) -> Floats:
        """(N, 4): their standard deviations."""
        return self._corrected()[1]

    def near(self, settings: Sequence[Setting]) -> Floats:
        """How near all settings are to some, (N, K): 1 where they do the same, 0 far off."""
        apart_NK = ((self._points_NP[:, None] - points(settings)[None]) ** 2).sum(2)
        return np.asarray(np.exp(-apart_NK / (2 * REACH**2)))

    def expected(self, setting: Setting, corrected: bool = True) -> Expected:
        """What is expected of a setting: with what was traced, or by the predictor alone."""
        self.add([setting])
        at = self._place[setting]
        mean_Q, spread_Q = (self.mean()[at], self.spread()[at]) if corrected else (self._prior_NQ[at], self._own_NQ[at])
        wide_Q = spread_Q * LEVEL_90 / 2
        ssim = [1 - math.exp(value) for value in (mean_Q[SSIM], *(mean_Q[SSIM] + wide_Q[SSIM] * np.array([1, -1])))]
        size, paths = ([math.exp(mean_Q[q] + sign * wide_Q[q]) for sign in (0, -1, 1)] for q in (BYTES, PATHS))
        return Expected(*ssim, *size, *paths)

    def _corrected(self) -> tuple[Floats, Floats]:
        if self._now is None:
            self._now = self._posterior()
        return self._now

    def _posterior(self) -> tuple[Floats, Floats]:
        mean_NQ, spread_NQ = self._prior_NQ.copy(), self._own_NQ.copy()
        if not self._known:
            return mean_NQ, spread_NQ
        at = list(self._known)
        true_KQ = np.array([self._known[one] for one in at])
        alike_NK = OF_IMAGE + OF_PLACE * self.near([self.settings[one] for one in at])
        solved_KN = np.linalg.solve(alike_NK[at] + (1 - OF_IMAGE - OF_PLACE) * np.eye(len(at)), alike_NK.T)
        error_KQ = (true_KQ - self._prior_NQ[at]) / self._own_NQ[at]
        mean_NQ += spread_NQ * (solved_KN.T @ error_KQ)
        spread_NQ *= np.sqrt(np.maximum(1 - (alike_NK * solved_KN.T).sum(1), 1e-3))[:, None]
        mean_NQ[at], spread_NQ[at] = true_KQ, 1e-9
        return mean_NQ, spread_NQ


def measured(traced: Traced) -> Floats:
    """A trace in the quantities of a belief."""
    return np.array([math.log(1 - min(traced.ssim, CEILING)), math.log(max(1, traced.bytes)),
                     math.log(max(1, traced.paths)), math.log(max(1, traced.corners))])  # fmt: skip


def latent(guess: Guess) -> tuple[Floats, Floats]:
    """A guess as means and standard deviations in the quantities of a belief, each (N, 4)."""
    lost = [np.log(1 - np.minimum(np.asarray(one, float), CEILING))
            for one in (guess.ssim, guess.ssim_high, guess.ssim_low)]  # fmt: skip
    sizes = [[np.log(np.maximum(np.asarray(one, float), 1.0)) for one in three]
             for three in ((guess.bytes, guess.bytes_low, guess.bytes_high),
                           (guess.paths, guess.paths_low, guess.paths_high),
                           (guess.corners, guess.corners_low, guess.corners_high))]  # fmt: skip
    mean, low, high = (np.stack([lost[k], *(one[k] for one in sizes)], 1) for k in range(3))
    return mean, np.maximum((high - low) / LEVEL_90, 0.01)


def points(settings: Sequence[Setting]) -> Floats:
    """Settings as points whose distances say how alike what they do is, (N, 10)."""
    rows_NP = vectors(list(settings)).astype(np.float64)
    for column in LOGARITHMIC:
        rows_NP[:, column] = np.log1p(16 * rows_NP[:, column]) / math.log(17)
    return np.asarray(rows_NP * WEIGHTS)
