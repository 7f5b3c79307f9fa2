"""Crops of photographs at the size of ImageNet's networks, to quantize and compare such networks on real pictures.

    task = open(Config())
    batch = task.batch("train", torch.tensor([0, 1]))     # inputs {"image": (2, 3, 224, 224) float32}

Nobody has labelled them: a label is what Keras' ResNet-50 answers in FP32 (`labels/photographs.json`), so that accuracy
here is agreement with it, and says nothing of truth. Training crops are of other photographs than those of validation
and test: half of nature, as these are, half of things, dogs and mountains. Pixels are BGR less ImageNet's mean of each
channel, as that network wants them. Knows no network.

Shape legend: B batch, C channels, H height, W width, N crops, K classes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from netwright.core import artifact, recipe
from netwright.core.run import progress
from netwright.data import sources
from netwright.data.prepared import prepared
from netwright.data.tasks import Batch, Classification, Input, Split

SIDE = 224
MEAN = (103.939, 116.779, 123.68)
"""Of ImageNet's blue, green and red, 0 to 255: what Keras' first networks were trained with."""
COUNTS: Mapping[Split, int] = {"train": 768, "validation": 256, "test": 256}
OTHERS = 384
"""Training crops of the second source."""
SMALLEST = 0.3
"""Side of the smallest crop over the shorter side of its photograph."""
LABELS = Path(__file__).with_name("labels") / "photographs.json"
VERSION = 2


@dataclass(frozen=True, kw_only=True)
class Config:
    """There is nothing to set."""

    name: Literal["photographs"] = "photographs"


class Photographs(Classification):
    """A `Task` of crops; nothing is augmented."""

    name = "photographs"

    def __init__(self, crops: Mapping[str, Tensor], classes: tuple[str, ...], digest: str) -> None:
        self.classes = classes
        self.inputs: Mapping[str, Input] = {"image": Input((3, SIDE, SIDE), "float32")}
        self.processor: Mapping[str, Any] = {
            "kind": "image", "shape": [3, SIDE, SIDE], "order": "BGR", "mean": [value / 255 for value in MEAN],
            "std": [1 / 255] * 3, "classes": list(classes),
        }  # fmt: skip
        labels = artifact.read_json(LABELS) if LABELS.is_file() else {split: [0] * COUNTS[split] for split in COUNTS}
        self._crops = crops
        self._labels = {split: torch.tensor(labels[split]) for split in COUNTS}
        self._mean_C11 = torch.tensor(MEAN)[:, None, None]
        self.digest = recipe.digest({"source": digest, "version": VERSION, "labels": labels})

    def size(self, split: Split) -> int:
        return COUNTS[split]

    def batch(self, split: Split, indices_B: Tensor, generator: torch.Generator | None = None) -> Batch:
        x_BCHW = self._crops[split][indices_B].float().flip(1).sub_(self._mean_C11)
        return Batch({"image": x_BCHW.contiguous()}, self._labels[split][indices_B])

    def write_processor(self, folder: Path) -> None:
        """`processor` says it all; no file is needed."""


def open(config: Config) -> Photographs:
    """Fetch photographs and names of classes, and cut crops out of them."""
    source, others = sources.find("photographs"), sources.find("photographs-lomiri")
    names = sources.find("resnet50-imagenet")
    digest = recipe.digest([source.sha256, others.sha256])
    about = {"source": digest, "version": VERSION}
    crops = prepared("photographs", about, lambda: cut(sources.fetch(source), sources.fetch(others)))
    classes = json.loads((sources.fetch(names) / "labels.json").read_text(encoding="utf-8"))
    return Photographs(crops, tuple(classes[str(k)] for k in range(len(classes))), digest)


def cut(folder: Path, others: Path) -> dict[str, Tensor]:
    """Square crops at random places and sizes, scaled to `SIDE`: split -> (N, 3, H, W) of bytes, RGB.

    Every other photograph of the first folder is for training, and all of the second.
    """
    paths, more = sorted(folder.glob("*.jpg")), sorted(others.glob("*.jpg"))
    generator = np.random.default_rng(0)
    found: dict[str, list[Tensor]] = {split: [] for split in COUNTS}
    first = {**COUNTS, "train": COUNTS["train"] - OTHERS}
    with progress("cutting photographs", len(paths) + len(more)) as advance:
        for at, path in enumerate(paths):
            of_a_kind = len(paths[1::2] if at % 2 else paths[::2])
            for split in ("train",) if at % 2 else ("validation", "test"):
                found[split] += _crops(path, -(-first[split] // of_a_kind), generator)  # type: ignore[index]
            advance()
        found = {split: crops[: first[split]] for split, crops in found.items()}  # type: ignore[index]
        for path in more:
            found["train"] += _crops(path, -(-OTHERS // len(more)), generator)
            advance()
    return {split: torch.stack(crops)[: COUNTS[split]].contiguous() for split, crops in found.items()}  # type: ignore[index]


def _crops(path: Path, count: int, generator: np.random.Generator) -> list[Tensor]:
    from PIL import Image

    with Image.open(path, formats=["JPEG"]) as picture:
        photograph = picture.convert("RGB")
    found = []
    for _ in range(count):
        side = int(min(photograph.size) * generator.uniform(SMALLEST, 1.0))
        left, top = (int(generator.integers(0, size - side + 1)) for size in photograph.size)
        crop = photograph.resize((SIDE, SIDE), Image.Resampling.BILINEAR, (left, top, left + side, top + side))
        found.append(torch.from_numpy(np.array(crop)).permute(2, 0, 1))
    return found
