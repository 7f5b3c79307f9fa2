"""GPT-2: a decoder with learned positions (Radford et al. 2019, "Language models are unsupervised multitask learners").

    model = build(Config(), {"ids": Input((None,), "int64", 50257)}, 0)
    logits_BTV = model(ids_BT)

Parameters are named as Hugging Face names them, and stored as (out, in), where those files hold (in, out).

Shape legend: B batch, T new tokens, S all tokens that are seen, D width, H heads, E width of a head, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from netwright.core.recipe import Range
from netwright.data.tasks import Input
from netwright.models.causal import Past, seen_by
from netwright.models.fit import next_ids


@dataclass(frozen=True, kw_only=True)
class Config:
    """The [model] section of a GPT-2; the defaults are those of the smallest, of 124 million parameters."""

    name: Literal["gpt2"] = "gpt2"
    width: Annotated[int, Range(8, 65_536)] = 768
    depth: Annotated[int, Range(1, 1000)] = 12
    heads: Annotated[int, Range(1, 1024)] = 12
    hidden: Annotated[int, Range(0, 1_000_000)] = 0
    """Width of the feed-forward layer; 0: four times `width`."""
    positions: Annotated[int, Range(8, 1_000_000)] = 1024
    """The longest text."""
    vocabulary: Annotated[int, Range(0, 10_000_000)] = 0
    """Ids that it knows; 0: as many as the tokenizer has."""
    eps: Annotated[float, Range(0, 1)] = 1e-5
    dropout: Annotated[float, Range(0, 0.9)] = 0.0

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")


class Attention(nn.Module):
    """Causal self-attention; queries, keys and values come of one matrix."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.head_width = config.width // config.heads
        self.c_attn = nn.Linear(config.width, 3 * config.width)
        self.c_proj = nn.Linear(config.width, config.width)

    def forward(
        self, x_BTD: Tensor, mask: Tensor | None, past: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
        q_BHTE, k_BHTE, v_BHTE = (
            part.unflatten(2, (-1, self.head_width)).transpose(1, 2) for part in self.c_attn(x_BTD).chunk(3, 2)
        )
        if past is not None:
            k_BHTE, v_BHTE = torch.cat([past[0], k_BHTE], 2), torch.cat([past[1], v_BHTE], 2)
        mixed_BHTE = functional.scaled_dot_product_attention(
            q_BHTE, k_BHTE, v_BHTE, attn_mask=mask, is_causal=mask is None
        )
        kept = (k_BHTE, v_BHTE) if past is not None else None
        return self.c_proj(mixed_BHTE.transpose(1, 2).flatten(2)), kept


class Feed(nn.Module):
    """The feed-forward layer, with GELU as a hyperbolic tangent tells it (Hendrycks and Gimpel, arXiv:1606.08415)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        hidden = config.hidden or 4 * config.width
        self.c_fc, self.c_proj = nn.Linear(config.width, hidden), nn.Linear(hidden, config.width)

    def forward(self, x_BTD: Tensor) -> Tensor:
        y_BTD: Tensor = self.c_proj(functional.gelu(self.c_fc(x_BTD), approximate="tanh"))
        return y_BTD


class Block(nn.Module):
    """Attention and the feed-forward layer, each normalized before and added to its input."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = (nn.LayerNorm(config.width, config.eps) for _ in range(2))
        self.attn, self.mlp = Attention(config), Feed(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, x_BTD: Tensor, mask: Tensor | None, past: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
        mixed_BTD, kept = self.attn(self.ln_1(x_BTD), mask, past)
        x_BTD = x_BTD + self.dropout(mixed_BTD)
        return x_BTD + self.dropout(self.mlp(self.ln_2(x_BTD))), kept


class Layers(nn.Module):
    """Embeddings, blocks and the last normalization."""

    def __init__(self, config: Config, vocabulary: int) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocabulary, config.width), nn.Embedding(config.positions, config.width)
        self.h = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.ln_f = nn.LayerNorm(config.width, config.eps)


class GPT2(nn.Module):
    """ids_BT -> logits_BTV. Where `past` is given, the keys and values of all tokens are answered, too."""

    def __init__(self, config: Config, vocabulary: int) -> None:
        super().__init__()
        self.config = config
        self.transformer = Layers(config, vocabulary)
        self.apply(self._initialize)

    @property
    def head(self) -> Tensor:
        """The matrix that makes logits of features: weight_VD."""
        return self.transformer.wte.weight

    def forward(
        self, ids: Tensor, positions: Tensor | None = None, past: Past | None = None
    ) -> Tensor | tuple[Tensor, Past]:
        x_BTD, kept = self.features(ids, positions, past)
        logits_BTV = functional.linear(x_BTD, self.head)
        return logits_BTV if past is None else (logits_BTV, kept)

    def features(
        self,
        ids_BT: Tensor,
        positions_BT: Tensor | None = None,
        past: Past | None = None,
        mask: Tensor | None = None,
    ) -> tuple[Tensor, Past]:
        """What the head reads, x_BTD, and the keys and values of all tokens, where `past` asks for them.

        `mask` says what each token sees, where it is not all before it.
        """
        positions_BT, mask = seen_by(ids_BT, positions_BT, past, mask)
        x_BTD = self.transformer.wte(ids_BT) + self.transformer.wpe(positions_BT)
        kept: list[Any] = []
        for at, block in enumerate(self.transformer.h):
            x_BTD, pair = block(x_BTD, mask, past[at] if past else None)
            kept.append(pair)
        return self.transformer.ln_f(x_BTD), kept

    def nothing_read(self, rows: int = 1) -> Past:
        """The past of texts of which nothing was read yet."""
        found: list[Any] = []
        for block in self.transformer.h:  # each counts its own heads: some may have been pruned
            attention: Any = block.attn
            E = attention.head_width
            shape = rows, attention.c_attn.out_features // (3 * E), 0, E
            found.append((self.head.new_zeros(shape), self.head.new_zeros(shape)))
        return found

    def _initialize(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            scale = (2 * self.config.depth) ** -0.5 if module.out_features == self.config.width else 1.0
            nn.init.normal_(module.weight, std=0.02 * scale)
            nn.init.zeros_(module.bias)
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)


def build(config: Config, inputs: Mapping[str, Input], classes: int) -> GPT2:
    """A GPT-2 for a task of language: its vocabulary is that of the ids."""
    return GPT2(config, next_ids("gpt2", inputs, config.positions, config.vocabulary))
