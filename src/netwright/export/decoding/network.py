"""A language model as the graph that generates: new tokens and the keys and values of those before them.

    inputs   input_ids_BT, attention_mask_BS, position_ids_BT, keys and values of each layer (BKPE)
    outputs  logits_BTV, keys and values of each layer (BKSE)

These are the names and shapes that runtimes for language models look for. Knows no format, and no network but by what
`models.llama` and `models.gpt2` have in common.

Shape legend: B batch, T new tokens, P tokens before them, S = P + T, K heads of keys and values, E width of a head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from netwright.core.artifact import Artifact
from netwright.models import load, quantized

HIDDEN = -3.0e38
"""What is added where a token is not seen: the least of fp32 would overflow when something is added to it."""
IDS, MASK, POSITIONS = "input_ids", "attention_mask", "position_ids"


@dataclass(frozen=True)
class Shape:
    """What a cache of keys and values looks like, and how long a text may be."""

    heads: tuple[int, ...]
    """Of each layer."""
    width: int
    longest: int
    vocabulary: int

    @property
    def depth(self) -> int:
        """Layers."""
        return len(self.heads)

    def names(self, what: str) -> list[str]:
        """Names of the keys and values of each layer, `past_key_values` or `present`."""
        return [f"{what}.{layer}.{part}" for layer in range(self.depth) for part in ("key", "value")]


class Generating(nn.Module):
    """A network with a past as inputs and outputs; logits of every new token."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor, past: list[tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, ...]:
        S, T = attention_mask.shape[1], input_ids.shape[1]
        places_S = torch.arange(S)
        seen_TS = places_S[None] <= (places_S[-T:])[:, None]
        seen_B1TS = seen_TS[None, None] & attention_mask[:, None, None].bool()
        bias_B1TS = torch.zeros(seen_B1TS.shape).masked_fill(~seen_B1TS, HIDDEN)
        x_BTD, present = self.network.features(input_ids, position_ids, past, bias_B1TS)  # type: ignore[operator]
        head: Any = self.network.head
        return (functional.linear(x_BTD, head), *(x for pair in present for x in pair))


def opened(artifact: Artifact) -> Generating:
    """The network of a torch artifact, ready to be traced."""
    model = load.open_model(artifact).requires_grad_(False)
    for rounding in quantized.roundings(model).values():
        rounding.fix()
    return Generating(model)


def shape(module: Generating) -> Shape:
    """Of a network, by its blocks and its head."""
    network: Any = module.network
    keys = [key for key, _ in network.nothing_read()]
    heads, width = tuple(int(key.shape[1]) for key in keys), int(keys[0].shape[3])
    return Shape(heads, width, network.config.positions, int(network.head.shape[0]))


def example(shape: Shape, batch: int = 2, before: int = 5, new: int = 3) -> dict[str, Any]:
    """Inputs to trace with, which say nothing."""
    sizes = [(batch, heads, before, shape.width) for heads in shape.heads]
    return {
        IDS: torch.zeros(batch, new, dtype=torch.long),
        MASK: torch.ones(batch, before + new, dtype=torch.long),
        POSITIONS: torch.arange(before, before + new)[None].repeat(batch, 1),
        "past": [(torch.zeros(size), torch.zeros(size)) for size in sizes],  # one tensor would be one input
    }


def layers(network: nn.Module) -> list[tuple[str, Any]]:
    """(layer, its weight) of what multiplies by a weight, in about the order of execution; the head last."""
    found = [(name, x.weight.detach().numpy()) for name, x in network.named_modules() if isinstance(x, nn.Linear)]
    named = next((name for name, x in network.named_parameters() if x is network.head), "head.weight")
    head: Any = network.head
    name = named.removesuffix(".weight")
    return [*(one for one in found if one[0] != name), (name, head.detach().numpy())]
