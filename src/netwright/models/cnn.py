"""A small convolutional network for small grey or colour images (MNIST, Fashion-MNIST).

Three stages of 3x3 convolution, batch normalization, ReLU and pooling, the width doubling once.
Shape legend: B batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from torch import Tensor, nn

from netwright.core.recipe import Range
from netwright.data.tasks import Input
from netwright.models.fit import only_input


@dataclass(frozen=True, kw_only=True)
class Config:
    """Width of the first stage; the later two have twice as many channels."""

    name: Literal["cnn"] = "cnn"
    width: Annotated[int, Range(1, 2048)] = 32
    dropout: Annotated[float, Range(0, 0.9)] = 0.0


class CNN(nn.Module):
    """image_BCHW -> logits_BK."""

    def __init__(self, config: Config, channels: int, classes: int) -> None:
        super().__init__()
        wide = 2 * config.width
        self.features = nn.Sequential(
            *_stage(channels, config.width), nn.MaxPool2d(2),
            *_stage(config.width, wide), nn.MaxPool2d(2),
            *_stage(wide, wide), nn.AdaptiveMaxPool2d(1), nn.Flatten(),
        )  # fmt: skip
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(wide, classes)

    def forward(self, image: Tensor) -> Tensor:
        logits_BK: Tensor = self.head(self.dropout(self.features(image)))
        return logits_BK


def _stage(inside: int, outside: int) -> list[nn.Module]:
    # the convolution needs no bias: batch normalization subtracts it again
    return [nn.Conv2d(inside, outside, 3, padding=1, bias=False), nn.BatchNorm2d(outside), nn.ReLU(inplace=True)]


def build(config: Config, inputs: Mapping[str, Input], classes: int) -> CNN:
    """A CNN for a task whose one input is an image of at least 4 x 4 pixels."""
    channels, *_ = only_input("cnn", inputs, "image")
    return CNN(config, channels, classes)
