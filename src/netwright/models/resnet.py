"""A small, fast network for CIFAR-10: a whitened first layer and three groups of two convolutions.

The class of network that grew out of D. Page's ResNet-9 ("How to train your ResNet", 2018); this cut follows
Jordan 2024 (arXiv:2404.00498): a frozen first convolution whitens 2x2 patches of the training images,
every later one begins as the identity, so that no shortcuts are needed, and pooling comes early, where
most of the work would be. 0.12 GMACs an image at width 64.

Shape legend: B batch, C channels, H height, W width, K classes, N patches, F values of a patch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from netwright.core.recipe import Range
from netwright.data.tasks import Input
from netwright.models.fit import only_input

PATCH = 2


@dataclass(frozen=True, kw_only=True)
class Config:
    """Channels of the first group; the later two have four times as many."""

    name: Literal["resnet9"] = "resnet9"
    width: Annotated[int, Range(1, 1024)] = 64
    scale: Annotated[float, Range(0.001, 100)] = 0.111
    """Factor on the logits; it takes the place of a temperature while the head's norm grows."""
    mirror: bool = False
    """Answer with the mean over the image and its mirror image, at twice the work; training sees one of them."""


class ResNet9(nn.Module):
    """image_BCHW -> logits_BK."""

    def __init__(self, config: Config, channels: int, classes: int) -> None:
        super().__init__()
        w, filters = config.width, 2 * channels * PATCH * PATCH
        self.whiten = nn.Conv2d(channels, filters, PATCH, bias=False)
        self.whiten.weight.requires_grad_(False)
        self.groups = nn.Sequential(group(filters, w), group(w, 4 * w), group(4 * w, 4 * w))
        self.pool = nn.AdaptiveMaxPool2d(1)
        self.head = nn.Linear(4 * w, classes, bias=False)
        self.scale, self.mirror = config.scale, config.mirror

    def initialize(self, inputs: Mapping[str, Tensor]) -> None:
        """Let the first layer decorrelate patches of these training images and give them unit variance.

        Its filters are the eigenvectors of the patches' covariance, each divided by the root of its
        eigenvalue, and their negatives, since what follows is one-sided.
        """
        image_BCHW = inputs["image"]
        channels = image_BCHW.shape[1]
        patches_NF = nn.functional.unfold(image_BCHW, PATCH).transpose(1, 2).reshape(-1, channels * PATCH * PATCH)
        values_F, vectors_FF = torch.linalg.eigh(torch.cov(patches_NF.double().T))
        filters_FF = (vectors_FF / (values_F + 5e-4).sqrt()).T.float()
        weight = filters_FF.reshape(-1, channels, PATCH, PATCH)
        with torch.no_grad():
            self.whiten.weight.copy_(torch.cat([weight, -weight]))

    def forward(self, image: Tensor) -> Tensor:
        logits_BK = self.answer(image)
        if self.mirror and not self.training:
            logits_BK = (logits_BK + self.answer(image.flip(3))) / 2
        return logits_BK

    def answer(self, image_BCHW: Tensor) -> Tensor:
        """Logits of the images as they are."""
        x_BCHW = self.groups(nn.functional.gelu(self.whiten(image_BCHW)))
        logits_BK: Tensor = self.head(self.pool(x_BCHW).flatten(1)) * self.scale
        return logits_BK


def group(inside: int, outside: int) -> nn.Sequential:
    """Two 3x3 convolutions, the first one pooled, each normalized and followed by GELU.

    Pooling goes before normalization: a quarter of the elements are then normalized, and on the CPU
    batch normalization costs as much as a convolution.
    """
    return nn.Sequential(
        identity(inside, outside), nn.MaxPool2d(2), norm(outside), nn.GELU(),
        identity(outside, outside), norm(outside), nn.GELU(),
    )  # fmt: skip


def identity(inside: int, outside: int) -> nn.Conv2d:
    """A 3x3 convolution whose first channels begin by passing their input on."""
    convolution = nn.Conv2d(inside, outside, 3, padding=1, bias=False)
    nn.init.dirac_(convolution.weight.data[: min(inside, outside)])
    return convolution


def norm(channels: int) -> nn.BatchNorm2d:
    """Batch normalization that learns its bias only; its statistics follow a short training quickly."""
    layer = nn.BatchNorm2d(channels, momentum=0.4)
    layer.weight.requires_grad_(False)
    return layer


def build(config: Config, inputs: Mapping[str, Input], classes: int) -> ResNet9:
    """A ResNet-9 for a task whose one input is an image of at least 17 x 17 pixels."""
    channels, *_ = only_input("resnet9", inputs, "image")
    return ResNet9(config, channels, classes)
