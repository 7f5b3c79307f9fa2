"""A number from 0 to 1 of an image and of settings: ResNet-50's features, then layers that narrow.

    model = build(Config(), {"features": Input((2056,), "float32")}, 1)     # features are given
    model = build(Config(), {"image": ..., "parameters": ...}, 1)           # and here ResNet-50 is in the network

Each hidden layer is linear, then batch normalization (Ioffe and Szegedy 2015, arXiv:1502.03167), ReLU and dropout; the
answer passes a sigmoid. With 2048 features and 8 parameters before 1024, 512 and 256 units it has 2,766,337 weights to
train. The ResNet-50 stays as it was trained on ImageNet. Knows neither the features nor what is estimated.

Shape legend: B batch, F features, P parameters, C channels, H height, W width.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from netwright.core.error import UserError
from netwright.core.recipe import Range
from netwright.data import sources
from netwright.data.tasks import Input
from netwright.models import resnet50
from netwright.models.fit import only_input

BACKBONE = "resnet50-imagenet"
FEATURES = 2048


@dataclass(frozen=True, kw_only=True)
class Config:
    """Units of the hidden layers, first to last, and the share that is dropped of each while it trains."""

    name: Literal["regressor"] = "regressor"
    widths: Annotated[tuple[int, ...], Range(1, 65536)] = (1024, 512, 256)
    dropout: Annotated[float, Range(0, 0.9)] = 0.3


class Regressor(nn.Module):
    """features_BF -> estimates_B1, from 0 to 1."""

    def __init__(self, config: Config, features: int, answers: int = 1) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inside, outside in itertools.pairwise((features, *config.widths)):
            layers += [nn.Linear(inside, outside), nn.BatchNorm1d(outside), nn.ReLU()]
            layers += [nn.Dropout(config.dropout)] if config.dropout else []
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(config.widths[-1] if config.widths else features, answers)

    def forward(self, features: Tensor) -> Tensor:
        # in half precision steps near 1, where good answers lie, would be of 0.004
        estimates_B1: Tensor = torch.sigmoid(self.head(self.layers(features)).float())
        return estimates_B1


class Whole(nn.Module):
    """image_BCHW, parameters_BP -> estimates_B1: ResNet-50 without its last layer, which no training changes."""

    def __init__(self, config: Config, channels: int, parameters: int) -> None:
        super().__init__()
        self.backbone = resnet50.ResNet50(resnet50.Config(), channels, 1)
        del self.backbone.head
        self.regressor = Regressor(config, FEATURES + parameters)
        self.backbone.requires_grad_(False)

    def initialize(self, inputs: Mapping[str, Tensor]) -> None:
        """Take ImageNet's weights; the training examples do not matter."""
        self.backbone.load_state_dict(backbone().state_dict())

    def train(self, mode: bool = True) -> Whole:
        super().train(mode)
        self.backbone.eval()  # its normalization keeps ImageNet's means
        return self

    def forward(self, image: Tensor, parameters: Tensor) -> Tensor:
        estimates_B1: Tensor = self.regressor(torch.cat([self.backbone.features(image), parameters], 1))
        return estimates_B1


def backbone() -> resnet50.ResNet50:
    """ResNet-50 as it was trained on ImageNet, without its last layer, to answer `features`; fetched if missing."""
    network = resnet50.ResNet50(resnet50.Config(), 3, 1000)
    resnet50.imported(network, sources.fetch(sources.find(BACKBONE)))
    del network.head
    return network.eval()


def build(config: Config, inputs: Mapping[str, Input], classes: int) -> Regressor | Whole:
    """A network for a task that answers one number. Raises UserError for any other."""
    if classes != 1:
        raise UserError(
            "model.name", "regressor", f"it answers a number; this task has {classes} classes", "model.name=mlp"
        )
    if inputs.keys() == {"image", "parameters"}:
        channels, *_ = only_input("regressor", inputs, "image")
        (parameters,) = only_input("regressor", inputs, "parameters")
        return Whole(config, channels, parameters)
    (features,) = only_input("regressor", inputs, "features")
    return Regressor(config, features)
