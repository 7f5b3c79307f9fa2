"""A multi-layer perceptron over a flattened input: the smallest network that learns something.

Shape legend: B batch, F features, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from torch import Tensor, nn

from netwright.core.recipe import Range
from netwright.data.tasks import Input
from netwright.models.fit import only_input


@dataclass(frozen=True, kw_only=True)
class Config:
    """Hidden layers of equal width with ReLU between them."""

    name: Literal["mlp"] = "mlp"
    width: Annotated[int, Range(1, 65536)] = 256
    depth: Annotated[int, Range(1, 100)] = 2
    """Number of hidden layers."""
    dropout: Annotated[float, Range(0, 0.9)] = 0.0


class MLP(nn.Module):
    """image (B, ...) -> logits_BK."""

    def __init__(self, config: Config, features: int, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for at in range(config.depth):
            layers += [nn.Linear(features if at == 0 else config.width, config.width), nn.ReLU()]
            layers += [nn.Dropout(config.dropout)] if config.dropout else []
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(config.width, classes)

    def forward(self, image: Tensor) -> Tensor:
        logits_BK: Tensor = self.head(self.layers(image.flatten(1)))
        return logits_BK


def build(config: Config, inputs: Mapping[str, Input], classes: int) -> MLP:
    """An MLP for a task whose one input is an image."""
    shape = only_input("mlp", inputs, "image")
    return MLP(config, math.prod(shape), classes)
