"""Which units of a network are divided among processes: columns of one layer, rows of the next (Shoeybi et al. 2019).

    found = cuts(model, {"image": images}, processes=2)
    found.spaces[0].name, found.columns, found.rows, found.dims["head.weight"]

A group of units that dense layers write and dense layers read, with nothing but elementwise work, batch normalization,
convolution by channel or attention by head between them, can be divided: each process writes and reads its own, and the
sum over the processes is what the readers answer. Which groups there are is told by the graph of coupled units
(`train.multilevel.coupling`), not by names of layers; heads of a fused projection are such a group, too. Each tensor is
divided along one axis, and the groups with the largest tensors are taken first. Does not know processes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Size, Tensor, nn

from netwright.train.multilevel.coupling import trace
from netwright.train.multilevel.spaces import Axis, Coupling, Role, Space

DENSE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""Layers whose rows make units and whose columns read them; exactly these classes, for a subclass may do otherwise."""


ROLES: tuple[Role, Role] = ("producer", "consumer")


@dataclass(frozen=True)
class Cuts:
    """Groups of units that are divided, none of whose tensors another one has.

    `columns` are the layers that write them from an input that all processes have, `rows` those that read them; `axes`
    is how each divided tensor lies along its group; `inputs` the shapes that layers were seen with, by name.
    """

    coupling: Coupling
    spaces: tuple[Space, ...]
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    axes: dict[str, Axis]
    inputs: dict[str, Size]


def cuts(model: nn.Module, example: Mapping[str, Tensor], processes: int) -> Cuts:
    """What of a network can be divided among so many processes; no spaces where nothing can."""
    coupling = trace(model, example)
    inputs = seen(model, example)
    tensors = _named_once(model)
    able: list[tuple[Space, dict[str, Axis]]] = []
    for space in coupling.free:
        lies = _lies(space, tensors)
        # what a normalization or mean runs over is needed whole
        if (
            lies
            and not (space.uniform or space.scaled or space.size % processes)
            and _computed(lies, tensors, model, inputs)
        ):
            able.append((space, lies))
    able.sort(key=lambda found: -sum(tensors[name].numel() for name in found[1]))
    axes: dict[str, Axis] = {}
    spaces: list[Space] = []
    for space, lies in able:
        if not lies.keys() & axes.keys():
            spaces.append(space)
            axes |= lies
    layers = {name.rpartition(".")[0]: axis.role for name, axis in axes.items() if _dense(model, name)}
    columns, rows = (tuple(name for name, found in layers.items() if found == role) for role in ROLES)
    return Cuts(coupling, tuple(spaces), columns, rows, axes, inputs)


def seen(model: nn.Module, example: Mapping[str, Tensor]) -> dict[str, Size]:
    """The shape of the first input of each layer that the network calls, in evaluation mode."""
    found: dict[str, Size] = {}
    handles = []
    for name, module in model.named_modules():

        def hook(module: nn.Module, args: tuple[object, ...], name: str = name) -> None:
            if args and isinstance(args[0], Tensor):
                found[name] = args[0].shape

        handles.append(module.register_forward_pre_hook(hook, prepend=True))
    modes = {module: module.training for module in model.modules()}
    try:
        with torch.no_grad():
            model.eval()(**example)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes.items():
            module.training = mode
    return found


def _lies(space: Space, tensors: Mapping[str, Tensor]) -> dict[str, Axis]:
    """How each tensor of a group lies along it, as one (outer, units, inner) block; nothing where one does not.

    Queries, keys and values of a fused projection are three blocks of the same heads, one after the other.
    """
    found: dict[str, list[Axis]] = {}
    for axis in space.axes:
        found.setdefault(axis.tensor, []).append(axis)
    whole = {}
    for name, blocks in found.items():
        first = min(blocks, key=lambda axis: axis.start)
        size = first.outer * space.size * first.inner
        alike = {replace(axis, start=axis.start % size) for axis in blocks} == {replace(first, start=0)}
        if name not in tensors or not alike or len(blocks) * size != tensors[name].shape[first.dim]:
            return {}
        whole[name] = replace(first, start=0, outer=len(blocks) * first.outer)
    return whole


def _computed(
    lies: Mapping[str, Axis], tensors: Mapping[str, Tensor], model: nn.Module, inputs: Mapping[str, Size]
) -> bool:
    """Whether the layers that hold these tensors compute with a part of them."""
    for name, axis in lies.items():
        owner = model.get_submodule(name.rpartition(".")[0])
        dense = _dense(model, name) and name.rpartition(".")[0] in inputs
        if axis.role == "consumer" and not (dense and axis.dim == 1):
            return False
        by_channel = isinstance(owner, DENSE[1:]) and getattr(owner, "groups", 1) > 1 and axis.dim == 0
        able = by_channel or type(owner) is nn.Embedding or (dense and axis.dim == 0)
        if axis.role == "producer" and tensors[name].dim() > 1 and not able:
            return False
    return True


def _dense(model: nn.Module, tensor: str) -> bool:
    """Whether a tensor is the weight of a dense layer."""
    name, _, leaf = tensor.rpartition(".")
    owner = model.get_submodule(name)
    return leaf == "weight" and type(owner) in DENSE and getattr(owner, "groups", 1) == 1


def _named_once(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers that have one name."""
    every = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    count = Counter(id(x) for _, x in every)
    return {name: x for name, x in every if count[id(x)] == 1}
