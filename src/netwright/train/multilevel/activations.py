"""What the units of each space computed on a batch, as the layers that read them saw it.

Read at the inputs of linear layers and convolutions that consume a space: after the activation function and the
normalization, and for attention the output blocks of the heads. Does not know how units are compared.

Shape legend: S samples (rows of a batch, positions, pixels), N units, V values of a unit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from netwright.train.multilevel.exact import Example, call, quiet
from netwright.train.multilevel.spaces import Axis, Space

SAMPLES = 2048
"""Rows kept of each input, at equal distances: a correlation is then known to about 1/sqrt(2048) = 0.02."""


def recorded(model: nn.Module, spaces: Sequence[Space], example: Example) -> dict[str, list[Tensor]]:
    """Space -> its units' values where they were read, each (S, N, V); nothing for spaces no such layer reads."""
    found: dict[str, list[Tensor]] = {}
    hooks = []
    for space in spaces:
        for axis in space.axes:
            owner, _, leaf = axis.tensor.rpartition(".")
            module = model.get_submodule(owner)
            if axis.role == "consumer" and leaf == "weight" and getattr(module, "groups", 1) == 1:
                hooks.append(module.register_forward_pre_hook(_recorder(space, axis, found)))
    training = [module for module in model.modules() if module.training]
    try:
        model.eval()
        with quiet(model):
            call(model, example)
    finally:
        for hook in hooks:
            hook.remove()
        for module in training:
            module.training = True
    return found


def _recorder(space: Space, axis: Axis, found: dict[str, list[Tensor]]) -> Callable[[nn.Module, Any], None]:
    def record(module: nn.Module, inputs: Any) -> None:
        weight = module.weight
        if not inputs or not isinstance(inputs[0], Tensor) or not isinstance(weight, Tensor):
            return
        x = inputs[0].detach()
        dim = -1 if weight.dim() == 2 else 1
        if x.dim() < 2 or x.shape[dim] != weight.shape[axis.dim]:
            return
        x_SC = x.movedim(dim, -1).reshape(-1, x.shape[dim])
        x_SC = x_SC[:: -(-len(x_SC) // SAMPLES), axis.start : axis.start + axis.outer * space.size * axis.inner]
        x_SNV = x_SC.reshape(len(x_SC), axis.outer, space.size, axis.inner).transpose(1, 2).flatten(2)
        found.setdefault(space.name, []).append(x_SNV.to(torch.float32))

    return record
