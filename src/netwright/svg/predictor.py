"""Predictor: what settings will do to an image, without tracing it; one ONNX file that holds all it needs.

    predictor = Predictor.load()                       # the one that comes with the package
    about = predictor.features(raster)                 # once an image
    guess = predictor.predict(about, settings)         # Guess(ssim=..., ssim_low=..., bytes=..., ...)
    about.unfamiliar                                   # True: unlike the images that it learned from

The file's graph goes from pixels and settings to the amounts; the part from features on runs by itself, so that
an image is read once for any number of settings. Beside the weights it holds the tracer it speaks for, the digest of
the data it learned from, and how far its errors went on images kept apart: intervals are those quantiles times the
spread that the network expects (split conformal prediction, Lei et al. 2018), apart for images that are unfamiliar.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netwright.core.error import UserError
from netwright.core.table import extra
from netwright.svg import setting, tracer
from netwright.svg.raster import Raster
from netwright.svg.setting import Setting

PACKAGED = "quality.onnx"
LEVEL = 0.9
INPUTS = ("whole", "piece", "facts")
OUTPUTS = ("amounts", "amounts_spread")


@dataclass(frozen=True, eq=False)
class Features:
    """What the predictor keeps of an image: features_1F, and how far it is from what was learned."""

    values_1F: NDArray[np.float32]
    distance: float
    limit: float

    @property
    def unfamiliar(self) -> bool:
        """Whether the image is farther from those learned than 99 of 100 of theirs: intervals are wider then."""
        return self.distance > self.limit


@dataclass(frozen=True, eq=False)
class Guess:
    """Predictions for N settings of one image, each array (N,); `low` and `high` hold 90 % of what is measured."""

    ssim: NDArray[np.float64]
    ssim_low: NDArray[np.float64]
    ssim_high: NDArray[np.float64]
    ssim_active: NDArray[np.float64]
    ssim_active_low: NDArray[np.float64]
    ssim_active_high: NDArray[np.float64]
    bytes: NDArray[np.float64]
    bytes_low: NDArray[np.float64]
    bytes_high: NDArray[np.float64]
    paths: NDArray[np.float64]
    paths_low: NDArray[np.float64]
    paths_high: NDArray[np.float64]
    tracer_bytes: NDArray[np.float64]
    tracer_bytes_low: NDArray[np.float64]
    tracer_bytes_high: NDArray[np.float64]
    corners: NDArray[np.float64]
    corners_low: NDArray[np.float64]
    corners_high: NDArray[np.float64]


class Predictor:
    """An opened predictor. Raises UserError for a file of another tracer, or one that is none."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        onnx = extra("onnx", "predicting tracings")
        runtime = extra("onnxruntime", "predicting tracings")
        try:
            model = onnx.load(str(path))
            about = json.loads({entry.key: entry.value for entry in model.metadata_props}["netwright"])
        except Exception as fault:
            raise UserError(
                "predictor", str(path), f"is no predictor of tracings ({type(fault).__name__})",
                "netwright train recipes/svg-quality.toml",
            ) from None  # fmt: skip
        if about["tracer"] != tracer.version():
            raise UserError(
                "predictor", str(path), f"speaks for {about['tracer']}; {tracer.version()} is installed",
                f"pip install '{about['tracer'].replace(' ', '==')}'",
            )  # fmt: skip
        self.about: dict[str, Any] = about
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        parts = onnx.utils.Extractor(model)
        first = parts.extract_model(list(INPUTS), ["image_features", "image_distance"])
        second = parts.extract_model(["image_features", "settings"], list(OUTPUTS))
        self._read, self._predict = (
            runtime.InferenceSession(part.SerializeToString(), options, providers=["CPUExecutionProvider"])
            for part in (first, second)
        )

    @classmethod
    def load(cls, path: Path | None = None) -> Predictor:
        """The predictor of the package, or of a file."""
        return _packaged() if path is None else cls(path)

    def features(self, raster: Raster) -> Features:
        """What it needs to know of an image."""
        from netwright.svg.views import views

        inputs = dict(zip(INPUTS, (x[None] for x in views(raster)), strict=True))
        values_1F, distance = self._read.run(None, inputs)
        return Features(values_1F, float(distance.ravel()[0]), float(self.about["limit"]))

    def predict(self, about: Features, settings: Sequence[Setting]) -> Guess:
        """Amounts for settings of the image, with intervals."""
        from netwright.svg.amounts import unscaled

        rows_NP = setting.vectors(list(settings))
        mean_NT, spread_NT = self._predict.run(None, {"image_features": about.values_1F, "settings": rows_NP})
        reach_T = np.array(self.about["reach"]["unfamiliar" if about.unfamiliar else "familiar"])
        middle, low, high = (
            unscaled(mean_NT.astype(np.float64) + sign * spread_NT * reach_T) for sign in (0.0, -1.0, 1.0)
        )
        columns: dict[str, NDArray[np.float64]] = {}
        for k, name in enumerate(self.about["targets"]):
            ends = np.sort(np.stack([low[:, k], high[:, k]]), axis=0)  # a similarity falls where its distance grows
            columns |= {name: middle[:, k], f"{name}_low": ends[0], f"{name}_high": ends[1]}
        return Guess(**columns)


@cache
def _packaged() -> Predictor:
    with resources.as_file(resources.files("netwright.svg") / "model" / PACKAGED) as path:
        return Predictor(path)
