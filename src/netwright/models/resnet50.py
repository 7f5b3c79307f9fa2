"""ResNet-50 (He et al. 2015, arXiv:1512.03385, table 1): bottleneck blocks, the stride in the first 1x1 convolution.

    model = build(Config(), task.inputs, 1000)
    imported(model, sources.fetch(sources.find("resnet50-imagenet")))

As the first version had it, and Keras' weights for ImageNet, which `imported` reads: convolutions with a bias, batch
normalization with an epsilon of 1e-3, input in BGR less the mean of each channel.

Shape legend: B batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from torch import Tensor, nn

from netwright.core.error import UserError
from netwright.core.recipe import Range
from netwright.data.tasks import Input
from netwright.models.fit import only_input

STAGES = (3, 4, 6, 3)
EPSILON = 1e-3
MAX_MANIFEST = 10_000_000


@dataclass(frozen=True, kw_only=True)
class Config:
    """Channels of the first stage; each later one has twice as many."""

    name: Literal["resnet50"] = "resnet50"
    width: Annotated[int, Range(1, 1024)] = 64


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1, added to the input, which passes a 1x1 of its own where its shape must change."""

    def __init__(self, inside: int, width: int, stride: int) -> None:
        super().__init__()
        self.reduce, self.reduce_norm = nn.Conv2d(inside, width, 1, stride), _norm(width)
        self.mix, self.mix_norm = nn.Conv2d(width, width, 3, padding=1), _norm(width)
        self.expand, self.expand_norm = nn.Conv2d(width, 4 * width, 1), _norm(4 * width)
        changes = stride > 1 or inside != 4 * width
        self.shortcut = nn.Sequential(nn.Conv2d(inside, 4 * width, 1, stride), _norm(4 * width)) if changes else None

    def forward(self, x_BCHW: Tensor) -> Tensor:
        y_BCHW = torch.relu(self.reduce_norm(self.reduce(x_BCHW)))
        y_BCHW = torch.relu(self.mix_norm(self.mix(y_BCHW)))
        y_BCHW = self.expand_norm(self.expand(y_BCHW))
        return torch.relu(y_BCHW + (x_BCHW if self.shortcut is None else self.shortcut(x_BCHW)))


class ResNet50(nn.Module):
    """image_BCHW -> logits_BK."""

    def __init__(self, config: Config, channels: int, classes: int) -> None:
        super().__init__()
        w = config.width
        self.stem, self.stem_norm = nn.Conv2d(channels, w, 7, 2, padding=3), _norm(w)
        self.pool = nn.MaxPool2d(3, 2, padding=1)
        inside, stages = w, []
        for at, count in enumerate(STAGES):
            width = w << at
            blocks = [
                Bottleneck(inside if k == 0 else 4 * width, width, 2 if k == 0 and at else 1) for k in range(count)
            ]
            inside = 4 * width
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(inside, classes)

    def features(self, image: Tensor) -> Tensor:
        """What the last layer reads: the mean over places of the last stage, (B, 32 width)."""
        x_BCHW = self.pool(torch.relu(self.stem_norm(self.stem(image))))
        means_BF: Tensor = self.stages(x_BCHW).mean((2, 3))
        return means_BF

    def forward(self, image: Tensor) -> Tensor:
        logits_BK: Tensor = self.head(self.features(image))
        return logits_BK


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=EPSILON)


def build(config: Config, inputs: Mapping[str, Input], classes: int) -> ResNet50:
    """A ResNet-50 for a task whose one input is an image of at least 32 x 32 pixels."""
    channels, *_ = only_input("resnet50", inputs, "image")
    return ResNet50(config, channels, classes)


def imported(model: ResNet50, folder: Path) -> None:
    """Give a network the weights of the Keras model in a folder: model.json and shards of float32.

    Raises UserError where one is missing, or has another shape.
    """
    tensors = dict(_tensors(folder))
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if name.endswith("num_batches_tracked"):
                continue
            theirs = keras_name(name)
            found = tensors.get(theirs)
            if found is not None and found.ndim > 1:  # height, width, in, out -> out, in, height, width
                found = found.transpose(3, 2, 0, 1) if found.ndim == 4 else found.T
            if found is None or found.shape != tuple(value.shape):
                shape = None if found is None else list(found.shape)
                raise UserError("weights", str(folder), f"{theirs} is {shape}, not {list(value.shape)}",
                                "netwright data fetch resnet50-imagenet")  # fmt: skip
            value.copy_(torch.from_numpy(found.copy()))


def keras_name(name: str) -> str:
    """What Keras calls a tensor: `stages.0.1.mix.weight` is `res2b_branch2b/kernel`."""
    layer, _, leaf = name.rpartition(".")
    norm = "norm" in layer or layer.endswith("shortcut.1")
    kinds = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
    kind = kinds[leaf] if norm else {"weight": "kernel", "bias": "bias"}[leaf]
    if layer in ("stem", "stem_norm"):
        return f"{'bn_conv1' if norm else 'conv1'}/{kind}"
    if layer == "head":
        return f"fc1000/{kind}"
    _, stage, block, part, *_ = layer.split(".")
    branch = {"reduce": "2a", "mix": "2b", "expand": "2c", "shortcut": "1"}[part.removesuffix("_norm")]
    return f"{'bn' if norm else 'res'}{int(stage) + 2}{'abcdef'[int(block)]}_branch{branch}/{kind}"


def _tensors(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """(name, array) of a TensorFlow.js model's shards, which lie end to end."""
    path = folder / "model.json"
    if path.stat().st_size > MAX_MANIFEST:
        raise UserError("file", str(path), f"larger than {MAX_MANIFEST:,} bytes", "netwright data fetch NAME")
    for group in json.loads(path.read_text())["weightsManifest"]:
        data = b"".join((folder / Path(part).name).read_bytes() for part in group["paths"])
        at = 0
        for weight in group["weights"]:
            shape = tuple(weight["shape"])
            size = 4 * math.prod(shape)
            if weight["dtype"] != "float32" or at + size > len(data):
                raise UserError("file", str(path), f"{weight['name']} is not all there", "netwright data fetch NAME")
            yield weight["name"], np.frombuffer(data, np.float32, math.prod(shape), at).reshape(shape)
            at += size
