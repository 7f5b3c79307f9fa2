"""Part of a network: a copy with some of the units of its spaces, and with everything that belongs to them.

    keep = {"blocks.0.up": torch.arange(256) < 128}                  # space -> the units that stay, (N,)
    small = part(model, coupling, keep, example)

Pruning keeps the units that matter, tensor parallelism those of one process. Does not know which, nor why.

Shape legend: N units of a space.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from netwright.train.multilevel.coarsen import coarsen
from netwright.train.multilevel.matching import Aggregation
from netwright.train.multilevel.spaces import Coupling
from netwright.train.multilevel.transfer import Transfer


def part(model: nn.Module, coupling: Coupling, keep: Mapping[str, Tensor], example: Any) -> nn.Module:
    """A copy of the network with the units of each space that are to stay, space -> (N,). Raises UnbuiltError."""
    # A coarse network of these sizes has the structure that is wanted, proven by what it computes; its weights are not.
    merged = {
        name: Aggregation(torch.arange(len(keep_N)) * int(keep_N.sum()) // len(keep_N), int(keep_N.sum()))
        for name, keep_N in keep.items()
        if not bool(keep_N.all())
    }
    every = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    first: dict[int, str] = {}
    aliases = {name: first[id(x)] for name, x in every if first.setdefault(id(x), name) != name}
    transfer = Transfer(coupling, merged, {name: x.shape for name, x in every if name not in aliases}, aliases)
    small = coarsen(model, transfer, example)
    with torch.no_grad():
        for name, value in [*small.named_parameters(), *small.named_buffers()]:
            value.copy_(selected(name, dict(every)[name], coupling, keep, aliases))
    return small


def selected(
    name: str, tensor: Tensor, coupling: Coupling, keep: Mapping[str, Tensor], aliases: Mapping[str, str]
) -> Tensor:
    """The part of a tensor that belongs to units that stay."""
    stays = [torch.ones(size, dtype=torch.bool) for size in tensor.shape]
    for space in coupling.spaces:
        for axis in space.axes if space.name in keep else ():
            if aliases.get(axis.tensor, axis.tensor) == name:
                inside = slice(axis.start, axis.start + axis.outer * space.size * axis.inner)
                stays[axis.dim][inside] &= keep[space.name].repeat_interleave(axis.inner).repeat(axis.outer)
    for dim, mask in enumerate(stays):
        tensor = tensor.index_select(dim, mask.nonzero().flatten())
    return tensor.detach()
