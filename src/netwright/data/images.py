"""Image classification: MNIST, Fashion-MNIST, CIFAR-10, in memory as bytes, served as standardized floats.

    task = open(Config(name="mnist"))
    batch = task.batch("train", torch.tensor([3, 1, 4]))     # inputs {"image": (3, 1, 28, 28) float32}

The official test split is kept; validation examples are taken out of the official training split. The
mean and standard deviation of each channel are those of the training split. This file does not know
models; where the bytes come from is `sources`' business.

Shape legend: B batch, N examples, C channels, H rows, W columns.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netwright.core import recipe
from netwright.core.error import UserError
from netwright.core.recipe import Range
from netwright.core.run import progress
from netwright.data import sources
from netwright.data.augment import Augmentation, cut_out, rotate, shift_and_flip
from netwright.data.holdout import hold_out
from netwright.data.prepared import prepared
from netwright.data.tasks import Batch, Classification, Input, Split

VERSION = 1
"""Raised whenever the same source and settings begin to give other batches."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """The [task] section of an image task. An augmentation left out is what suits the data."""

    name: Literal["mnist", "fashion-mnist", "cifar10"]
    validation: Annotated[float, Range(0)] = 5000
    """How many training examples are held out, or which share of them when below 1."""
    seed: int = 0
    """Chooses which ones."""
    limit: Annotated[int, Range(0)] = 0
    """Train on so many examples only; 0: on all."""
    augment: bool = True
    flip: bool | None = None
    crop: Annotated[int | None, Range(0, 14)] = None
    """Largest shift in pixels."""
    rotation: Annotated[float | None, Range(0, 180)] = None
    """Largest turn in degrees."""
    cutout: Annotated[int | None, Range(0, 32)] = None
    """Side of the blanked square in pixels."""

    def augmentation(self) -> Augmentation:
        """What is done to training images, the defaults of the data filled in."""
        if not self.augment:
            return Augmentation()
        given = {key: getattr(self, key) for key in ("flip", "crop", "rotation", "cutout")}
        return Augmentation(**{**_DATA[self.name].augmentation, **{k: v for k, v in given.items() if v is not None}})


@dataclass(frozen=True)
class _Data:
    classes: tuple[str, ...]
    augmentation: Mapping[str, Any]


_DATA = {
    # a mirrored digit is another sign, or none
    "mnist": _Data(tuple("0123456789"), {"crop": 2}),
    "fashion-mnist": _Data(
        ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"),
        {"flip": True, "crop": 2},
    ),
    "cifar10": _Data(
        ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        {"flip": True, "crop": 4},
    ),
}


class ImageTask(Classification):
    """A `tasks.Task`. `images_NCHW` and `labels_N` hold all examples, `rows` says which belong to a split."""

    def __init__(self, config: Config, source: str, images_NCHW: Tensor, labels_N: Tensor, tests: int) -> None:
        self.name: str = config.name
        self.classes = _DATA[config.name].classes
        self.images_NCHW, self.labels_N = images_NCHW, labels_N
        count = len(images_NCHW) - tests
        train, validation = hold_out(
            map(bytes, images_NCHW[:count].numpy()), config.validation, config.seed, config.limit
        )
        self.rows: Mapping[Split, Tensor] = {
            "train": train,
            "validation": validation,
            "test": torch.arange(count, len(images_NCHW)),
        }
        self.augmentation = config.augmentation()
        mean_C, std_C = _moments(images_NCHW, self.rows["train"])
        self._mean_C11, self._scale_C11 = mean_C.float().view(-1, 1, 1), (1 / std_C).float().view(-1, 1, 1)
        shape = tuple(images_NCHW.shape[1:])
        self.inputs: Mapping[str, Input] = {"image": Input(shape, "float32")}
        self.processor: Mapping[str, Any] = {
            "kind": "image",
            "shape": list(shape),
            "mean": [value / 255 for value in mean_C.tolist()],
            "std": [value / 255 for value in std_C.tolist()],
            "classes": list(self.classes),
        }
        settings = {"validation": config.validation, "seed": config.seed, "limit": config.limit}
        self.digest = recipe.digest(
            {"source": source, "version": VERSION, "augmentation": recipe.plain(self.augmentation), **settings}
        )

    def size(self, split: Split) -> int:
        return len(self.rows[split])

    def batch(self, split: Split, indices_B: Tensor, generator: torch.Generator | None = None) -> Batch:
        rows_B = self.rows[split][indices_B]
        x_BCHW = self.images_NCHW[rows_B]
        if generator is not None:
            x_BCHW = shift_and_flip(x_BCHW, self.augmentation, generator)
        x_BCHW = x_BCHW.float().sub_(self._mean_C11).mul_(self._scale_C11)
        if generator is not None:
            x_BCHW = rotate(x_BCHW, self.augmentation, generator)
            x_BCHW = cut_out(x_BCHW, self.augmentation, generator)
        return Batch({"image": x_BCHW}, self.labels_N[rows_B])

    def write_processor(self, folder: Path) -> None:
        """`processor` says it all; no file is needed."""


def open(config: Config) -> ImageTask:
    """Fetch, check and decode. Raises UserError when the data cannot be had or a split would be empty."""
    source = sources.find(config.name)
    if config.name == "cifar10":
        tensors = prepared(source.name, {"source": source.sha256, "version": 1}, lambda: _cifar(sources.fetch(source)))
    else:
        tensors = _idx_files(sources.fetch(source))
    images_NCHW = torch.cat([tensors["train_images"], tensors["test_images"]])
    labels_N = torch.cat([tensors["train_labels"], tensors["test_labels"]])
    return ImageTask(config, source.sha256, images_NCHW, labels_N, len(tensors["test_labels"]))


def _moments(images_NCHW: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel, in 0..255, from exact counts of the 256 values."""
    channels = images_NCHW.shape[1]
    counts = torch.stack([torch.bincount(images_NCHW[rows, c].flatten(), minlength=256) for c in range(channels)])
    share, value = counts.double() / counts.sum(1, keepdim=True), torch.arange(256, dtype=torch.float64)
    mean_C = share @ value
    return mean_C, ((share @ value**2) - mean_C**2).clamp_min(1.0).sqrt()


def _idx_files(folder: Path) -> dict[str, Tensor]:
    files = {path.name.removesuffix(".gz"): path for path in folder.iterdir()}
    tensors = {}
    for split, stem in (("train", "train"), ("test", "t10k")):
        tensors[f"{split}_images"] = torch.from_numpy(read_idx(files[f"{stem}-images-idx3-ubyte"])).unsqueeze(1)
        tensors[f"{split}_labels"] = torch.from_numpy(read_idx(files[f"{stem}-labels-idx1-ubyte"])).long()
    return tensors


def read_idx(path: Path, limit: int = 100_000_000) -> NDArray[np.uint8]:
    """An array of bytes in LeCun's idx format, plain or gzipped. Raises UserError when it is none."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            data = file.read(limit + 1)
    except (OSError, EOFError) as fault:
        raise UserError("file", str(path), f"cannot be read: {fault}", "netwright data fetch NAME") from None
    rank = data[3] if len(data) >= 4 and data[:3] == b"\0\0\x08" else 0
    shape = tuple(np.frombuffer(data, ">u4", rank, 4).tolist()) if 0 < rank <= 4 and len(data) >= 4 + 4 * rank else ()
    if not shape or len(data) != 4 + 4 * rank + np.prod(shape, dtype=object):
        raise UserError("file", str(path), "not an idx file of bytes, or cut short", "netwright data fetch NAME")
    return np.frombuffer(bytearray(data), np.uint8, offset=4 + 4 * rank).reshape(shape)


def _cifar(folder: Path) -> dict[str, Tensor]:
    """Each PNG is 10,000 rows of 1024 pixels: a row is one 32x32 image."""
    parts = [*(f"data_batch_{number}.png" for number in range(1, 6)), "test_batch.png"]
    images = []
    with progress("Decoding CIFAR-10", len(parts)) as advance:
        for part in parts:
            images.append(_cifar_part(folder / part))
            advance()
    labels = {
        split: torch.tensor(json.loads((folder / f"{split}_labels.json").read_text())) for split in ("train", "test")
    }
    return {
        "train_images": torch.cat(images[:5]),
        "test_images": images[5],
        "train_labels": labels["train"],
        "test_labels": labels["test"],
    }


def _cifar_part(path: Path) -> Tensor:
    from PIL import Image

    with Image.open(path, formats=["PNG"]) as picture:
        if picture.size != (1024, 10_000):
            raise UserError("file", str(path), "expected a PNG of 1024 x 10000 pixels", "netwright data fetch cifar10")
        pixels = np.asarray(picture.convert("RGB"))
    return torch.from_numpy(pixels.reshape(10_000, 32, 32, 3).transpose(0, 3, 1, 2).copy())
