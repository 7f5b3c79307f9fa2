"""A transformer encoder that classifies token sequences (Vaswani et al. 2017, arXiv:1706.03762).

Pre-norm blocks, learned positions, masked mean pooling. Written out rather than taken from
torch.nn.TransformerEncoder, whose fast path has its own kernels and does not export.
Shape legend: B batch, T tokens, S merged tokens, D width, H heads, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from netwright.core.recipe import Range
from netwright.data.tasks import Input
from netwright.models.fit import ids_vocabulary


@dataclass(frozen=True, kw_only=True)
class Config:
    """Width, depth and heads of the encoder; the feed-forward layer is `expand` times as wide."""

    name: Literal["transformer"] = "transformer"
    width: Annotated[int, Range(2, 8192)] = 128
    depth: Annotated[int, Range(1, 200)] = 2
    heads: Annotated[int, Range(1, 128)] = 4
    expand: Annotated[int, Range(1, 16)] = 2
    positions: Annotated[int, Range(8, 100_000)] = 512
    """The longest sequence it can read."""
    merge: Annotated[int, Range(1, 64)] = 1
    """How many neighbouring tokens the blocks see as one, their mean: less work, and often as good."""
    dropout: Annotated[float, Range(0, 0.9)] = 0.1

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")


class Block(nn.Module):
    """Self-attention and a feed-forward layer, each normalized before and added to its input."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.heads = config.heads
        self.attention_norm, self.feed_norm = nn.LayerNorm(config.width), nn.LayerNorm(config.width)
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)
        self.up = nn.Linear(config.width, config.expand * config.width)
        self.down = nn.Linear(config.expand * config.width, config.width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x_BTD: Tensor, mask_B11T: Tensor) -> Tensor:
        qkv_BTHE = self.qkv(self.attention_norm(x_BTD)).unflatten(2, (3 * self.heads, -1))
        q_BHTE, k_BHTE, v_BHTE = qkv_BTHE.transpose(1, 2).chunk(3, dim=1)
        mixed_BHTE = functional.scaled_dot_product_attention(q_BHTE, k_BHTE, v_BHTE, attn_mask=mask_B11T)
        x_BTD = x_BTD + self.dropout(self.out(mixed_BHTE.transpose(1, 2).flatten(2)))
        y_BTD: Tensor = x_BTD + self.dropout(self.down(functional.gelu(self.up(self.feed_norm(x_BTD)))))
        return y_BTD


class Transformer(nn.Module):
    """ids_BT and mask_BT (True: a token, False: padding) -> logits_BK."""

    def __init__(self, config: Config, vocabulary: int, classes: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, config.width, padding_idx=0)
        self.positions = nn.Parameter(torch.zeros(config.positions, config.width))
        nn.init.normal_(self.tokens.weight, std=0.1)
        nn.init.normal_(self.positions, std=0.02)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, classes)
        self.merge = config.merge

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        x_BTD = self.tokens(ids) + self.positions[: ids.shape[1]]
        weight_BT1 = mask.unsqueeze(2).to(x_BTD.dtype)
        if self.merge > 1:
            x_BTD, weight_BT1 = merged(x_BTD, weight_BT1, self.merge)
        x_BTD = self.dropout(x_BTD)
        mask_B11T = (weight_BT1 > 0).squeeze(2)[:, None, None, :] if self.merge > 1 else mask[:, None, None, :]
        for block in self.blocks:
            x_BTD = block(x_BTD, mask_B11T)
        mean_BD = (self.norm(x_BTD) * weight_BT1).sum(1) / weight_BT1.sum(1).clamp(min=1)
        logits_BK: Tensor = self.head(self.dropout(mean_BD))
        return logits_BK


def merged(x_BTD: Tensor, weight_BT1: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Means of each `size` neighbouring tokens by their weights, and what these add up to: x_BSD and weight_BS1."""
    padded = (functional.pad(x.transpose(1, 2), (0, size - 1)) for x in (x_BTD * weight_BT1, weight_BT1))
    x_BSD, weight_BS1 = (size * functional.avg_pool1d(x, size).transpose(1, 2).contiguous() for x in padded)
    return x_BSD / weight_BS1.clamp(min=1), weight_BS1


def build(config: Config, inputs: Mapping[str, Input], classes: int) -> Transformer:
    """A transformer encoder for a task of text."""
    return Transformer(config, ids_vocabulary("transformer", inputs, config.positions), classes)
