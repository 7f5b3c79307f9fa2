"""A nine-layer residual network for CIFAR-10, after the fast entries of DAWNBench.

One convolution, then three stages that pool to half the size; the first and last stage carry a
residual block (He et al. 2016, https://arxiv.org/abs/1512.03385; the layout is D. Page's, "How to train
your ResNet", 2018). A scaled head follows the same series. Widths are a dial: on a CPU the
work grows with its square.
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
    """Width of the first convolution; the stages have 2, 4 and 8 times as many channels."""

    name: Literal["resnet9"] = "resnet9"
    width: Annotated[int, Range(1, 1024)] = 64
    scale: Annotated[float, Range(0.001, 100)] = 0.125
    """Factor on the logits; it takes the place of a temperature while the head's norm grows."""


class Residual(nn.Module):
    """Two convolutions whose result is added to what came in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = convolution(channels, channels), convolution(channels, channels)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        y_BCHW: Tensor = x_BCHW + self.second(self.first(x_BCHW))
        return y_BCHW


class ResNet9(nn.Module):
    """image_BCHW -> logits_BK."""

    def __init__(self, config: Config, channels: int, classes: int) -> None:
        super().__init__()
        w = config.width
        self.prepare = convolution(channels, w)
        self.stage1 = nn.Sequential(convolution(w, 2 * w, pool=True), Residual(2 * w))
        self.stage2 = convolution(2 * w, 4 * w, pool=True)
        self.stage3 = nn.Sequential(convolution(4 * w, 8 * w, pool=True), Residual(8 * w))
        self.pool = nn.AdaptiveMaxPool2d(1)
        self.head = nn.Linear(8 * w, classes, bias=False)
        self.scale = config.scale

    def forward(self, image: Tensor) -> Tensor:
        x_BCHW = self.stage3(self.stage2(self.stage1(self.prepare(image))))
        logits_BK: Tensor = self.head(self.pool(x_BCHW).flatten(1)) * self.scale
        return logits_BK


def convolution(inside: int, outside: int, pool: bool = False) -> nn.Sequential:
    """3x3 convolution, pooling by 2 if asked, batch normalization, ReLU.

    Pooling goes before normalization: a quarter of the elements are then normalized, and on the CPU
    batch normalization costs as much as a convolution.
    """
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, padding=1, bias=False),
        *([nn.MaxPool2d(2)] if pool else []),
        nn.BatchNorm2d(outside),
        nn.ReLU(inplace=True),
    )


def build(config: Config, inputs: Mapping[str, Input], classes: int) -> ResNet9:
    """A ResNet-9 for a task whose one input is an image of at least 8 x 8 pixels."""
    channels, *_ = only_input("resnet9", inputs, "image")
    return ResNet9(config, channels, classes)
