"""Whether a coupling is right, seen without coarse networks: the units of a free space may be put in another order.

Done along all the axes that the space names, the network must compute what it did. If only those axes that make the
units are reordered, or only those that read them, it must not.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from architectures import Case, randomized
from torch import Tensor, nn
from torch.utils import _pytree

from netwright.train.multilevel.coupling import trace
from netwright.train.multilevel.hierarchy import Hierarchy
from netwright.train.multilevel.spaces import Axis, Coupling, Space


def outputs(model: nn.Module, example: Any) -> list[Tensor]:
    with torch.no_grad():
        if isinstance(example, dict):
            found = model(**example)
        else:
            found = model(*(example if isinstance(example, tuple) else (example,)))
    return [value for value in _pytree.tree_leaves(found) if isinstance(value, Tensor) and value.is_floating_point()]


def difference(one: list[Tensor], other: list[Tensor]) -> float:
    """The largest, relative to the largest value."""
    return max(float((a - b).abs().max() / a.abs().max()) for a, b in zip(one, other, strict=True))


def reordered(model: nn.Module, space: Space, axes: tuple[Axis, ...]) -> dict[str, Tensor]:
    """The tensors with the units of a space shifted by one within its groups, along these axes."""
    order = torch.arange(space.size).view(space.groups, -1).roll(1, dims=1).reshape(-1)
    tensors = dict([*model.named_parameters(), *model.named_buffers()])
    found: dict[str, Tensor] = {}
    for axis in axes:
        value = found.get(axis.tensor, tensors[axis.tensor].detach().clone())
        index = torch.arange(value.shape[axis.dim])
        block = slice(axis.start, axis.start + axis.outer * space.size * axis.inner)
        index[block] = index[block].view(axis.outer, space.size, axis.inner)[:, order].reshape(-1)
        found[axis.tensor] = value.index_select(axis.dim, index)
    return found


def called(model: nn.Module, example: Any, changed: dict[str, Tensor]) -> list[Tensor]:
    tensors = dict([*model.named_parameters(), *model.named_buffers()])
    before = {name: tensors[name].detach().clone() for name in changed}
    try:
        for name, value in changed.items():
            tensors[name].data.copy_(value)
        return outputs(model, example)
    finally:
        for name, value in before.items():
            tensors[name].data.copy_(value)


def check(case: Case) -> None:
    """All that can be checked of one architecture with random weights."""
    torch.manual_seed(0)
    model, example = case.build()
    randomized(model).eval()
    coupling = trace(model, example)
    check_free(case, coupling)
    if case.free:
        check_order(coupling, model, example)
        check_prolonged(coupling, model, example)


def check_free(case: Case, coupling: Coupling) -> None:
    """Finds what the case says, neither more nor less, under names of their own."""
    assert Counter((space.kind, space.size) for space in coupling.free) == case.free, coupling.spaces
    assert len({space.name for space in coupling.spaces}) == len(coupling.spaces)
    assert len(coupling.notes) == len(case.notes), coupling.notes
    for expected in case.notes:
        assert any(expected in note for note in coupling.notes)


def check_order(coupling: Coupling, model: nn.Module, example: Any) -> None:
    """The order of units does not matter if all axes agree, and does if they do not."""
    before = outputs(model, example)
    for space in coupling.free:
        assert difference(before, called(model, example, reordered(model, space, space.axes))) <= 1e-5, space.name
        for role in ("producer", "consumer"):
            part = tuple(axis for axis in space.axes if axis.role == role)
            if part and part != space.axes and not (space.scaled and role == "producer"):
                changed = difference(before, called(model, example, reordered(model, space, part)))
                assert changed > 1e-4, (space.name, role)


def check_prolonged(coupling: Coupling, model: nn.Module, example: Any) -> None:
    """Half of everything that is free, prolonged, computes what the coarse network does."""
    found = Hierarchy.build(model, example, spaces=coupling)
    assert found.check().worst <= 1e-6
    assert [space.name for space in found.levels[0].coupling.free] == [space.name for space in coupling.free]
