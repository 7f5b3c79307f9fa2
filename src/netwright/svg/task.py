"""The task svg-quality: how alike a traced image will be to its original, from the image and the tracer's settings.

    task = open(Config(folder="traced"))
    task.batch("train", torch.tensor([0]))      # inputs {"features": (1, 2056)}, labels in [0, 1]

2056 inputs are 2048 features of ResNet-50 (`svg.backbone`) and eight parameters from 0 to 1, PARAMETERS, as the
reference has them: `filter_speckle` is not among them. A data set is a folder of images.parquet and rows.parquet
(`svg.dataset`); splits are of groups of images, and `split="row"`, which leaks, and `use` are there to show what that
is worth. `see="pixels"` gives images instead of features, to a network that holds its ResNet-50. Knows no network.

Shape legend: B batch, F features, N rows, P parameters, I images.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from netwright.core import artifact, recipe
from netwright.core.error import UserError, did_you_mean
from netwright.core.recipe import Range
from netwright.data.photographs import MEAN, SIDE
from netwright.data.regression import Regression
from netwright.data.tasks import Batch, Input, Split
from netwright.hardware import detect
from netwright.models.regressor import FEATURES
from netwright.svg import backbone
from netwright.svg.dataset import SHARES
from netwright.svg.raster import open_raster
from netwright.svg.setting import RANGES

PARAMETERS = (
    "color_precision", "layer_difference", "corner_threshold", "length_threshold", "max_iterations",
    "splice_threshold", "path_precision", "mode",
)  # fmt: skip
MODES = {"none": 0.0, "polygon": 0.5, "spline": 1.0}


@dataclass(frozen=True, kw_only=True)
class Config:
    """Which data, what of it is seen, and how it is split."""

    name: Literal["svg-quality"] = "svg-quality"
    folder: str = ""
    """A data set that `netwright svg data` built; empty: one of so many images and settings, built where it is not."""
    images: Annotated[int, Range(30, 1_000_000)] = 4000
    settings: Annotated[int, Range(2, 1000)] = 14
    """Settings tried on each image, of a data set that is built."""
    target: Literal["ssim", "ssim_active"] = "ssim"
    """What is estimated: similarity over the whole picture, or where there is something to see."""
    see: Literal["features", "pixels"] = "features"
    use: Literal["both", "image", "parameters"] = "both"
    """What is left at nought to see what it was worth."""
    split: Literal["image", "row"] = "image"
    """row: rows of one image on both sides, which flatters."""
    leave_out: str = ""
    """A family of images that is only tested on."""
    device: str = "auto"
    """Where features are computed."""


class SvgQuality(Regression):
    """A `Task` of (image, setting) rows."""

    name = "svg-quality"

    def __init__(self, config: Config, table: pd.DataFrame, paths: list[Path]) -> None:
        """`table` has a row each (image, setting): `image` is a place in `paths`, and the columns of rows.parquet."""
        self.config, self.table, self.paths = config, table, paths
        self.classes: tuple[str, ...] = (config.target,)
        pixels = config.see == "pixels"
        image = {"image": Input((3, SIDE, SIDE), "float32"), "parameters": Input((len(PARAMETERS),), "float32")}
        wide = {"features": Input((FEATURES + len(PARAMETERS),), "float32")}
        self.inputs: Mapping[str, Input] = image if pixels else wide
        self.processor: Mapping[str, Any] = {
            "kind": "svg-quality", "shape": [3, SIDE, SIDE], "order": "BGR", "mean": [value / 255 for value in MEAN],
            "std": [1 / 255] * 3, "fit": "inside, white around it", "parameters": list(PARAMETERS),
            "ranges": {name: list(RANGES[name]) for name in PARAMETERS[:-1]}, "modes": dict(MODES),
        }  # fmt: skip
        self.image_N = torch.tensor(table["image"].to_numpy(np.int64))
        self.parameters_NP = torch.from_numpy(parameters(table))
        self.labels_N = torch.tensor(table[config.target].to_numpy(np.float32).clip(0.0, 1.0))
        places = np.arange(len(table))
        self.rows = {split: torch.from_numpy(places[table["split"] == split]) for split in get_args(Split)}
        seals = [artifact.describe(path).sha256 for path in paths]
        numbers = np.column_stack([self.image_N, self.parameters_NP, self.labels_N]).astype(np.float64).round(6)
        self.digest = recipe.digest(
            {
                "images": seals, "backbone": backbone.KEY, "rows": hashlib.sha256(numbers.tobytes()).hexdigest(),
                "split": hashlib.sha256("".join(table["split"].str[1]).encode()).hexdigest(),  # r, a, e
                "see": config.see, "use": config.use, "target": config.target,
            }
        )  # fmt: skip

    @cached_property
    def image_features(self) -> Tensor:
        """Features of every image, from the cache or computed now."""
        return torch.from_numpy(backbone.features(self.paths, device=self.config.device))

    def size(self, split: Split) -> int:
        return len(self.rows[split])

    def groups(self, split: Split) -> NDArray[np.int64]:
        """The image of each row."""
        found: NDArray[np.int64] = self.image_N[self.rows[split]].numpy()
        return found

    def batch(self, split: Split, indices_B: Tensor, generator: torch.Generator | None = None) -> Batch:
        rows_B = self.rows[split][indices_B]
        image_B, parameters_BP = self.image_N[rows_B], self.parameters_NP[rows_B]
        if self.config.use == "image":
            parameters_BP = torch.zeros_like(parameters_BP)
        blank = 0.0 if self.config.use == "parameters" else 1.0
        if self.config.see == "pixels":
            inputs = {"image": self._pictures(image_B) * blank, "parameters": parameters_BP}
        else:
            inputs = {"features": torch.cat([self.image_features[image_B] * blank, parameters_BP], 1)}
        return Batch(inputs, self.labels_N[rows_B])

    def _pictures(self, image_B: Tensor) -> Tensor:
        seen = {at: backbone.pixels(open_raster(self.paths[at])) for at in dict.fromkeys(image_B.tolist())}
        return torch.stack([seen[at] for at in image_B.tolist()])

    def write_processor(self, folder: Path) -> None:
        """`processor` says it all; no file is needed."""


def parameters(table: pd.DataFrame) -> NDArray[np.float32]:
    """The eight parameters of every row, each from 0 to 1: (N, 8)."""
    rows_NP = np.empty((len(table), len(PARAMETERS)), np.float32)
    for at, name in enumerate(PARAMETERS[:-1]):
        low, high = RANGES[name]
        rows_NP[:, at] = (table[name].to_numpy(float) - low) / (high - low)
    rows_NP[:, -1] = [MODES[mode] for mode in table["mode"]]
    return rows_NP


def open(config: Config) -> SvgQuality:
    """Read a data set, or build it first where none is named. Raises UserError for a folder that holds none."""
    folder = Path(config.folder) if config.folder else _built(config)
    images, rows = read(folder)
    rows = rows[(rows["failed"] == "") & np.isfinite(rows[config.target].to_numpy(float))]
    images = images[images["image"].isin(rows["image"])].sort_values("image").reset_index(drop=True)
    if config.leave_out and config.leave_out not in set(images["family"]):
        raise UserError(
            "task.leave_out", config.leave_out, did_you_mean(config.leave_out, set(images["family"])),
            "task.leave_out=NAME",
        )  # fmt: skip
    about = images[["image", "family", "group", "kind", "split"]].assign(at=np.arange(len(images)))
    table = rows.merge(about, on="image", validate="many_to_one")
    table = table.sort_values(["image", *PARAMETERS, "filter_speckle"], kind="stable").reset_index(drop=True)
    table = _split(table.rename(columns={"image": "name", "at": "image"}), config)
    empty = [split for split in SHARES if not (table["split"] == split).any()]
    if empty:
        raise UserError("task.folder", str(folder), f"no row of the {empty[0]} split", "take more images")
    return SvgQuality(config, table, [folder / name for name in images["file"]])


def _split(table: pd.DataFrame, config: Config) -> pd.DataFrame:
    if config.split == "row":
        ends = np.cumsum([SHARES[split] for split in SHARES])[:-1]
        drawn_N = np.random.default_rng(0).random(len(table))
        table = table.assign(split=np.array(list(SHARES))[np.searchsorted(ends, drawn_N, side="right")])
    if config.leave_out:
        out = table["family"] == config.leave_out
        known = (table["split"] != "test") & ~table["group"].isin(set(table["group"][out]))
        table = table[out | known].reset_index(drop=True)
        table = table.assign(split=np.where(table["family"] == config.leave_out, "test", table["split"]))
    return table


NEEDED = {
    "images": {"image", "family", "group", "kind", "split", "file"},
    "rows": {"image", "failed", "ssim", "ssim_active", "filter_speckle", *PARAMETERS},
}


def read(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The images and rows of a data set; of one that is still being built what there is. Raises UserError."""
    parts = sorted((folder / "parts").glob("images-*.parquet"))
    if parts and not (folder / "images.parquet").is_file():
        pairs = [(path, path.with_name(path.name.replace("images-", "rows-"))) for path in parts]
        images, rows = (pd.concat([_parquet(path) for path in paths]) for paths in zip(*pairs, strict=True))
        images = images[images["failed"] == ""].drop(columns="failed")
    else:
        images, rows = _parquet(folder / "images.parquet"), _parquet(folder / "rows.parquet")
    for name, table in (("images", images), ("rows", rows)):
        if missing := sorted(NEEDED[name] - set(table.columns)):
            raise UserError(
                "task.folder", str(folder), f"{name} has no column {missing[0]}", "netwright svg data --help"
            )
    return images, rows


def _parquet(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except FileNotFoundError:
        raise UserError("task.folder", str(path.parent), f"has no {path.name}", "netwright svg data --help") from None
    except Exception as fault:  # pyarrow raises what it likes on a damaged file
        raise UserError(
            "task.folder", str(path), f"is no table ({str(fault)[:120]})", "netwright svg data --help"
        ) from None


def _built(config: Config) -> Path:
    """The data set of so many images and settings, from the cache, or built now."""
    from netwright.svg import dataset

    wanted = dataset.Config(images=config.images, settings=config.settings)
    folder: Path = dataset.build(wanted, workers=detect.usable_threads())
    return folder
