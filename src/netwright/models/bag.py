"""A bag of embeddings that classifies texts (Joulin et al. 2016, arXiv:1607.01759): their mean, and one linear layer.

Order counts only as far as ids do, which may stand for pairs of words (`data.hashing`). A text of 64 ids takes one
look-up of 64 rows: microseconds on any machine.
Shape legend: B batch, T tokens, D width, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from netwright.core.recipe import Range
from netwright.data.tasks import Input
from netwright.models.fit import ids_vocabulary


@dataclass(frozen=True, kw_only=True)
class Config:
    """Width of the embeddings; with `hidden` a layer of so many units stands before the last one."""

    name: Literal["bag"] = "bag"
    width: Annotated[int, Range(1, 8192)] = 32
    hidden: Annotated[int, Range(0, 65536)] = 0
    dropout: Annotated[float, Range(0, 0.9)] = 0.1


class Bag(nn.Module):
    """ids_BT and mask_BT (True: a token, False: padding) -> logits_BK."""

    def __init__(self, config: Config, vocabulary: int, classes: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, config.width, padding_idx=0)
        nn.init.normal_(self.tokens.weight, std=0.1)
        self.dropout = nn.Dropout(config.dropout)
        inner: list[nn.Module] = [nn.Linear(config.width, config.hidden), nn.ReLU()] if config.hidden else []
        self.inner = nn.Sequential(*inner)
        self.head = nn.Linear(config.hidden or config.width, classes)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        x_BTD = self.tokens(ids)
        weight_BT1 = mask.unsqueeze(2).to(x_BTD.dtype)
        # by the root of their number, not by it: a long text says more than a short one
        sum_BD = (x_BTD * weight_BT1).sum(1) / weight_BT1.sum(1).clamp(min=1).sqrt()
        logits_BK: Tensor = self.head(self.inner(self.dropout(sum_BD)))
        return logits_BK


def build(config: Config, inputs: Mapping[str, Input], classes: int) -> Bag:
    """A bag of embeddings for a task of text."""
    return Bag(config, ids_vocabulary("bag", inputs, torch.iinfo(torch.int64).max), classes)
