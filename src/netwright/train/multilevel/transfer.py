"""Transfer: tensors between a fine network and the coarse one whose units are aggregates of its units.

    transfer = Transfer(coupling, aggregations, {name: value.shape for name, value in model.state_dict().items()})
    coarse = transfer.restrict("up.weight", fine)

Along the axis of a producer (rows of a weight, biases, normalization) restriction R is the mean over an aggregate and
prolongation P a copy; along that of a consumer (columns) R is the sum and P a split into equal parts. R P is the
identity, and a network with prolonged weights computes what the coarse one does. Gradients live in the dual space:
they go down by the transpose of P and up by that of R. Does not know networks, only names and shapes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from netwright.train.multilevel.matching import Aggregation
from netwright.train.multilevel.spaces import Axis, Coupling, Space


@dataclass(frozen=True, eq=False)
class Line:
    """One dimension of a tensor: element -> coarse element, and the factors of R and P at each element.

    `members` (size, k) lists an aggregate's elements; one with fewer repeats its first, with a factor of 0 (`pads`).
    """

    dim: int
    index: Tensor
    members: Tensor
    pads: Tensor | None
    mean: Tensor | float
    split: Tensor | float

    def to(self, device: torch.device) -> Line:
        moved: dict[str, Any] = {name: part.to(device) for name, part in vars(self).items() if isinstance(part, Tensor)}
        return replace(self, **moved)

    def gather(self, x: Tensor, factor: Tensor | float) -> Tensor:
        """Sum over each aggregate of factor * x."""
        shape = [1] * x.dim()
        shape[self.dim] = -1
        total: Tensor | None = None
        for k in range(self.members.shape[1]):
            column = self.members[:, k]
            part = x.index_select(self.dim, column)
            weight = factor[column] if isinstance(factor, Tensor) else None
            if self.pads is not None and k:
                weight = self.pads[:, k] if weight is None else weight * self.pads[:, k]
            if weight is not None:
                part *= weight.to(x.dtype).view(shape)
            total = part if total is None else total.add_(part)
        assert total is not None
        return total if isinstance(factor, Tensor) or factor == 1 else total.mul_(factor)

    def spread(self, x: Tensor, factor: Tensor | float) -> Tensor:
        """factor * x of its aggregate, at each element."""
        out = x.index_select(self.dim, self.index)
        if isinstance(factor, Tensor):
            shape = [1] * x.dim()
            shape[self.dim] = -1
            return out.mul_(factor.to(x.dtype).view(shape))
        return out if factor == 1 else out.mul_(factor)


class Transfer:
    """R and P between one level and the next coarser one, by tensor name.

    Tensors without a merged space come back as they are, the same object. `aliases` leads further names of a tied
    tensor to the name that the coupling uses.
    """

    def __init__(
        self,
        coupling: Coupling,
        aggregations: Mapping[str, Aggregation],
        shapes: Mapping[str, torch.Size],
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        self.coupling, self.aggregations = coupling, dict(aggregations)
        self.shapes, self.aliases = dict(shapes), dict(aliases or {})
        spaces = {space.name: space for space in coupling.spaces}
        axes: dict[tuple[str, int], list[tuple[Axis, Space]]] = {}
        for name in self.aggregations:
            for axis in spaces[name].axes:
                found = axes.setdefault((self.name(axis.tensor), axis.dim), [])
                if (axis, spaces[name]) not in found:
                    found.append((axis, spaces[name]))
        self._lines: dict[str, list[Line]] = {}
        for (tensor, dim), found in sorted(axes.items(), key=lambda item: item[0]):
            self._lines.setdefault(tensor, []).append(_line(dim, shapes[tensor][dim], found, self.aggregations))
        self._moved: dict[tuple[str, torch.device], list[Line]] = {}

    def with_aggregations(self, aggregations: Mapping[str, Aggregation]) -> Transfer:
        """The same tensors with other units merged."""
        return Transfer(self.coupling, aggregations, self.shapes, self.aliases)

    def name(self, name: str) -> str:
        """The one name of a tensor that has several."""
        return self.aliases.get(name, name)

    @property
    def normalized(self) -> set[tuple[str, int]]:
        """Tensor and dimension of the merged spaces that a normalization runs over, or that an embedding shares."""
        spaces = (s for s in self.coupling.spaces if (s.uniform or s.scaled) and s.name in self.aggregations)
        return {(self.name(axis.tensor), axis.dim) for space in spaces for axis in space.axes}

    @property
    def changed(self) -> tuple[str, ...]:
        """Names of the tensors that have other shapes on the coarse level."""
        return tuple(self._lines)

    def shape(self, name: str, fine: torch.Size) -> torch.Size:
        """The coarse shape of a tensor."""
        shape = list(fine)
        for line in self._lines.get(self.name(name), ()):
            shape[line.dim] = len(line.members)
        return torch.Size(shape)

    def lines(self, name: str, device: torch.device) -> list[Line]:
        """The merged dimensions of a tensor, on a device."""
        name = self.name(name)
        if name not in self._lines or device.type == "cpu":
            return self._lines.get(name, [])
        if (name, device) not in self._moved:
            self._moved[name, device] = [line.to(device) for line in self._lines[name]]
        return self._moved[name, device]

    def restrict(self, name: str, tensor: Tensor) -> Tensor:
        """R: the mean over producers, the sum over consumers."""
        for line in self.lines(name, tensor.device):
            tensor = line.gather(tensor, line.mean)
        return tensor

    def prolong(self, name: str, tensor: Tensor) -> Tensor:
        """P: a copy to producers, equal parts to consumers."""
        for line in reversed(self.lines(name, tensor.device)):
            tensor = line.spread(tensor, line.split)
        return tensor

    def adjoint(self, name: str, tensor: Tensor) -> Tensor:
        """The transpose of P: fine gradients -> coarse ones."""
        for line in self.lines(name, tensor.device):
            tensor = line.gather(tensor, line.split)
        return tensor

    def lift(self, name: str, tensor: Tensor) -> Tensor:
        """The transpose of R: coarse gradients -> fine ones."""
        for line in reversed(self.lines(name, tensor.device)):
            tensor = line.spread(tensor, line.mean)
        return tensor

    def adjoint_squared(self, name: str, tensor: Tensor) -> Tensor:
        """`adjoint` with squared factors: second moments of uncorrelated fine gradients -> coarse ones."""
        for line in self.lines(name, tensor.device):
            tensor = line.gather(tensor, line.split**2)
        return tensor

    def lift_squared(self, name: str, tensor: Tensor) -> Tensor:
        """`lift` with squared factors: second moments of coarse gradients -> fine ones."""
        for line in reversed(self.lines(name, tensor.device)):
            tensor = line.spread(tensor, line.mean**2)
        return tensor


def _line(dim: int, length: int, axes: list[tuple[Axis, Space]], aggregations: Mapping[str, Aggregation]) -> Line:
    """All spaces that lie in one dimension, merged one after the other."""
    index = torch.arange(length)
    mean, split = torch.ones(length, dtype=torch.float64), torch.ones(length, dtype=torch.float64)
    parts = [(axis, space.size) for axis, space in axes]
    for k, (_, space) in enumerate(axes):
        axis, n = parts[k]
        aggregation = aggregations[space.name]
        step = _merged(axis, n, aggregation, length)
        factor = torch.ones(length, dtype=torch.float64)
        inside = slice(axis.start, axis.start + axis.outer * n * axis.inner)
        share = 1 / aggregation.counts.double()[aggregation.assign]
        factor[inside] = share.repeat_interleave(axis.inner).repeat(axis.outer)
        (mean if axis.role == "producer" else split).mul_(factor[index])
        index = step[index]
        length += axis.outer * (aggregation.size - n) * axis.inner
        parts = [
            (after_merge(other, size, axis, n, aggregation.size) if j > k else other, size)
            for j, (other, size) in enumerate(parts)
        ]
    counts = torch.bincount(index, minlength=length)
    order = index.argsort(stable=True)
    offset = counts.cumsum(0) - counts
    place = torch.arange(int(counts.max()))
    real = place < counts[:, None]
    members = order[offset[:, None] + torch.where(real, place, 0)]
    pads = None if bool(real.all()) else real.double()
    return Line(dim, index, members, pads, _constant(mean), _constant(split))


def _merged(axis: Axis, n: int, aggregation: Aggregation, length: int) -> Tensor:
    """Element of a dimension -> its place after one axis in it has been merged."""
    m, end = aggregation.size, axis.start + axis.outer * n * axis.inner
    if end > length or len(aggregation.assign) != n:
        raise ValueError(f"{axis} of {n} units does not fit {length} elements")
    outer, inner = torch.arange(axis.outer), torch.arange(axis.inner)
    block = outer[:, None, None] * (m * axis.inner) + aggregation.assign[:, None] * axis.inner + inner
    after = torch.arange(end, length) + axis.outer * (m - n) * axis.inner
    return torch.cat((torch.arange(axis.start), axis.start + block.flatten(), after))


def after_merge(other: Axis, size: int, axis: Axis, n: int, m: int) -> Axis:
    """How `other` lies in the same dimension once `axis` has m units in place of n."""
    end, other_end = axis.start + axis.outer * n * axis.inner, other.start + other.outer * size * other.inner
    if other.start >= end:
        return replace(other, start=other.start + axis.outer * (m - n) * axis.inner)
    if other_end <= axis.start:
        return other
    if (other.start, other_end) == (axis.start, end):
        if other.outer % (axis.outer * n) == 0:
            return replace(other, outer=other.outer // n * m)
        if other.inner % (axis.inner * n) == 0:
            return replace(other, inner=other.inner // n * m)
    raise ValueError(f"{other} and {axis} overlap in one dimension")


def _constant(factor: Tensor) -> Tensor | float:
    return float(factor[0]) if bool((factor == factor[0]).all()) else factor


def carried(coupling: Coupling, aggregations: Mapping[str, Aggregation]) -> list[tuple[Space, Axis, Axis | None]]:
    """Every axis with its space and how it lies on the coarse level; None for a frozen one that has no place there."""
    placed = [(space, axis) for space in coupling.spaces for axis in space.axes]
    axes: list[Axis | None] = [axis for _, axis in placed]
    sizes = [space.size for space, _ in placed]
    for k, (space, _) in enumerate(placed):
        here = axes[k]
        if space.name not in aggregations or here is None:
            continue
        m = aggregations[space.name].size
        for j, other in enumerate(axes):
            if j != k and other is not None and (other.tensor, other.dim) == (here.tensor, here.dim):
                try:
                    axes[j] = after_merge(other, sizes[j], here, sizes[k], m)
                except ValueError:
                    if placed[j][0].name in aggregations:
                        raise
                    axes[j] = None
        sizes[k] = m
    return [(space, axis, after) for (space, axis), after in zip(placed, axes, strict=True)]


def coarser(coupling: Coupling, aggregations: Mapping[str, Aggregation]) -> Coupling:
    """The coupling of the coarse network."""
    axes: dict[str, list[Axis]] = {}
    for space, _, after in carried(coupling, aggregations):
        axes.setdefault(space.name, []).extend([] if after is None else [after])
    sizes = {name: aggregation.size for name, aggregation in aggregations.items()}
    spaces = tuple(
        replace(space, axes=tuple(axes.get(space.name, ())), size=sizes.get(space.name, space.size))
        for space in coupling.spaces
    )
    return Coupling(spaces, coupling.notes)
