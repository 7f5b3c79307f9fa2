"""Llama and its relatives (SmolLM2, Mistral, Qwen2, Qwen3, stories15M): decoders that predict the next token.

    model = build(Config(width=288, depth=6, heads=6, hidden=768), {"ids": Input((None,), "int64", 32000)}, 0)
    logits_BTV = model(ids_BT)

Parameters are named as Hugging Face names them, so that its weights and PEFT's adapters fit by name (Touvron
et al. 2023, arXiv:2302.13971). Rows that hold several texts say so by positions that begin again at 0.

Shape legend: B batch, T new tokens, S all tokens that are seen, D width, H heads, K heads of keys and values, E width
of a head, V vocabulary.
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
    """The [model] section of a Llama."""

    name: Literal["llama"] = "llama"
    width: Annotated[int, Range(8, 65_536)] = 288
    depth: Annotated[int, Range(1, 1000)] = 6
    heads: Annotated[int, Range(1, 1024)] = 6
    kv_heads: Annotated[int, Range(0, 1024)] = 0
    """Heads of keys and values, each shared by several of queries; 0: as many as `heads`."""
    head_width: Annotated[int, Range(0, 4096)] = 0
    """0: `width` over `heads`."""
    hidden: Annotated[int, Range(8, 1_000_000)] = 768
    """Width of the feed-forward layer."""
    positions: Annotated[int, Range(8, 10_000_000)] = 1024
    """The longest text."""
    vocabulary: Annotated[int, Range(0, 10_000_000)] = 0
    """Ids that it knows; 0: as many as the tokenizer has."""
    theta: Annotated[float, Range(1, 1e12)] = 10_000.0
    """Base of the rotary angles (Su et al. 2021, arXiv:2104.09864)."""
    scaling: tuple[float, ...] = ()
    """Of the angles, as Llama 3 lengthens them: factor, low and high frequency factor, the first length."""
    eps: Annotated[float, Range(0, 1)] = 1e-5
    bias: bool = False
    """Of queries, keys and values (Qwen2)."""
    head_norm: bool = False
    """Normalize queries and keys in each head (Qwen3)."""
    tied: bool = True
    """The embedding is the head, too."""
    dropout: Annotated[float, Range(0, 0.9)] = 0.0

    def __post_init__(self) -> None:
        if self.width % self.heads and not self.head_width:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        if self.kv_heads and self.heads % self.kv_heads:
            raise ValueError(f"heads {self.heads} is not a multiple of kv_heads {self.kv_heads}")
        if self.scaling and len(self.scaling) != 4:
            raise ValueError("scaling is four numbers: factor, low, high, first length")
        if (self.head_width or self.width // self.heads) % 2:
            raise ValueError("the width of a head is odd; rotary angles need it even")


class Norm(nn.Module):
    """Root mean square normalization (Zhang and Sennrich 2019, arXiv:1910.07467), in fp32."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x: Tensor) -> Tensor:
        return functional.rms_norm(x.float(), x.shape[-1:], eps=self.eps).to(x.dtype) * self.weight


class Attention(nn.Module):
    """Causal self-attention with rotary positions, and heads of keys and values that several of queries share."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.heads, self.kv_heads = config.heads, config.kv_heads or config.heads
        self.head_width = E = config.head_width or config.width // config.heads
        self.q_proj = nn.Linear(config.width, self.heads * E, config.bias)
        self.k_proj = nn.Linear(config.width, self.kv_heads * E, config.bias)
        self.v_proj = nn.Linear(config.width, self.kv_heads * E, config.bias)
        self.o_proj = nn.Linear(self.heads * E, config.width, bias=False)
        self.q_norm = Norm(E, config.eps) if config.head_norm else nn.Identity()
        self.k_norm = Norm(E, config.eps) if config.head_norm else nn.Identity()

    def forward(
        self, x_BTD: Tensor, cos_BTE: Tensor, sin_BTE: Tensor, mask: Tensor | None, past: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
        q_BTHE = self.q_norm(self.q_proj(x_BTD).unflatten(2, (-1, self.head_width)))
        k_BTKE = self.k_norm(self.k_proj(x_BTD).unflatten(2, (-1, self.head_width)))
        v_BKTE = self.v_proj(x_BTD).unflatten(2, (-1, self.head_width)).transpose(1, 2)
        q_BHTE = rotated(q_BTHE.transpose(1, 2), cos_BTE, sin_BTE)
        k_BKTE = rotated(k_BTKE.transpose(1, 2), cos_BTE, sin_BTE)
        if past is not None:
            k_BKTE, v_BKTE = torch.cat([past[0], k_BKTE], 2), torch.cat([past[1], v_BKTE], 2)
        mixed_BHTE = functional.scaled_dot_product_attention(
            q_BHTE, repeated(k_BKTE, self.heads), repeated(v_BKTE, self.heads), attn_mask=mask, is_causal=mask is None
        )
        kept = (k_BKTE, v_BKTE) if past is not None else None
        return self.o_proj(mixed_BHTE.transpose(1, 2).flatten(2)), kept


class Feed(nn.Module):
    """The gated feed-forward layer: SwiGLU (Shazeer 2020, arXiv:2002.05202)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.width, config.hidden, bias=False)
        self.up_proj = nn.Linear(config.width, config.hidden, bias=False)
        self.down_proj = nn.Linear(config.hidden, config.width, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        y_BTD: Tensor = self.down_proj(functional.silu(self.gate_proj(x_BTD)) * self.up_proj(x_BTD))
        return y_BTD


class Block(nn.Module):
    """Attention and the feed-forward layer, each normalized before and added to its input."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.self_attn, self.mlp = Attention(config), Feed(config)
        self.input_layernorm = Norm(config.width, config.eps)
        self.post_attention_layernorm = Norm(config.width, config.eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, x_BTD: Tensor, cos_BTE: Tensor, sin_BTE: Tensor, mask: Tensor | None, past: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
        mixed_BTD, kept = self.self_attn(self.input_layernorm(x_BTD), cos_BTE, sin_BTE, mask, past)
        x_BTD = x_BTD + self.dropout(mixed_BTD)
        return x_BTD + self.dropout(self.mlp(self.post_attention_layernorm(x_BTD))), kept


class Layers(nn.Module):
    """Embedding, blocks and the last normalization: ids to features."""

    def __init__(self, config: Config, vocabulary: int) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(vocabulary, config.width)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = Norm(config.width, config.eps)


class Llama(nn.Module):
    """ids_BT -> logits_BTV. Where `past` is given, the keys and values of all tokens are answered, too."""

    def __init__(self, config: Config, vocabulary: int) -> None:
        super().__init__()
        self.config = config
        self.model = Layers(config, vocabulary)
        if not config.tied:
            self.lm_head = nn.Linear(config.width, vocabulary, bias=False)
        self.register_buffer("frequencies", frequencies(config), persistent=False)
        self.apply(self._initialize)

    frequencies: Tensor

    @property
    def head(self) -> Tensor:
        """The matrix that makes logits of features: weight_VD."""
        return self.model.embed_tokens.weight if self.config.tied else self.lm_head.weight

    def forward(
        self, ids: Tensor, positions: Tensor | None = None, past: Past | None = None
    ) -> Tensor | tuple[Tensor, Past]:
        x_BTD, kept = self.features(ids, positions, past)
        logits_BTV = functional.linear(x_BTD, self.head) if self.config.tied else self.lm_head(x_BTD)
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
        angles_BTE = positions_BT[..., None].float() * self.frequencies
        x_BTD = self.model.embed_tokens(ids_BT)
        cos_BTE, sin_BTE = (torch.cat([f(angles_BTE)] * 2, -1).to(x_BTD.dtype) for f in (torch.cos, torch.sin))
        kept: list[Any] = []
        for at, block in enumerate(self.model.layers):
            x_BTD, pair = block(x_BTD, cos_BTE, sin_BTE, mask, past[at] if past else None)
            kept.append(pair)
        return self.model.norm(x_BTD), kept

    def nothing_read(self, rows: int = 1) -> Past:
        """The past of texts of which nothing was read yet."""
        found: list[Any] = []
        for block in self.model.layers:  # each counts its own heads: some may have been pruned
            attention: Any = block.self_attn
            E = attention.head_width
            shape = rows, attention.k_proj.out_features // E, 0, E
            found.append((self.head.new_zeros(shape), self.head.new_zeros(shape)))
        return found

    def _initialize(self, module: nn.Module) -> None:
        if isinstance(module, (nn.Linear, nn.Embedding)):
            scale = (2 * self.config.depth) ** -0.5 if module.weight.shape[0] == self.config.width else 1.0
            nn.init.normal_(module.weight, std=0.02 * (scale if isinstance(module, nn.Linear) else 1.0))
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


def rotated(x_BHTE: Tensor, cos_BTE: Tensor, sin_BTE: Tensor) -> Tensor:
    """Each pair of a head's first and second half turned by its position's angle."""
    first, second = x_BHTE.chunk(2, -1)
    return x_BHTE * cos_BTE[:, None] + torch.cat([-second, first], -1) * sin_BTE[:, None]


def repeated(x_BKSE: Tensor, heads: int) -> Tensor:
    """Heads of keys or values, each as often as heads of queries share it: x_BHSE."""
    B, K, S, E = x_BKSE.shape
    return x_BKSE if heads == K else x_BKSE[:, :, None].expand(B, K, heads // K, S, E).reshape(B, heads, S, E)


def frequencies(config: Config) -> Tensor:
    """Angles a position of each pair of a head, frequencies_E/2; lengthened as Llama 3 does where `scaling` is set."""
    E = config.head_width or config.width // config.heads
    plain = config.theta ** -(torch.arange(0, E, 2).float() / E)
    if not config.scaling:
        return plain
    factor, low, high, first = config.scaling
    turns = first * plain / (2 * torch.pi)
    smooth = ((turns - low) / (high - low)).clamp(0, 1)
    return plain * (smooth + (1 - smooth) / factor)


BUFFERS = {"frequencies": frequencies}
"""Buffers that no file holds, and what computes them."""


def build(config: Config, inputs: Mapping[str, Input], classes: int) -> Llama:
    """A Llama for a task of language: its vocabulary is that of the ids."""
    return Llama(config, next_ids("llama", inputs, config.positions, config.vocabulary))
