"""What the operators of a network say of the axes of its tensors, gathered until all have spoken.

A `Value` is a tensor of the traced network: its axes as products of atoms and, where it is made of parameters alone,
which parameter axes each of its axes comes from, so that an operator can tell their role. This file knows neither the
operators (rules.py) nor what follows from the evidence (coupling.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from netwright.train.multilevel.factors import Axis, Factors
from netwright.train.multilevel.spaces import Kind, Role

CONSTANT = "a constant of the network runs over it"
HEAD_DIM = "head_dim: the width of a head is kept"
INPUT = "an input of the network"
TABLE = "a table of integers or complex numbers runs over it"
POSITIONS = "positions, not units"

Source = tuple[str, int]
"""A parameter or buffer, and one of its dimensions."""


@dataclass(frozen=True)
class Value:
    """A tensor: its axes and, if `constant` (made of parameters alone), the parameter axes each of them comes from.

    `linear`: scaling the parameters scales the value, so that a consumer's share of a sum stays a share.
    """

    axes: tuple[Axis, ...]
    constant: bool = False
    sources: tuple[frozenset[Source], ...] = ()
    linear: bool = True

    def source(self, dim: int) -> frozenset[Source]:
        """The parameter axes that this axis comes from."""
        return self.sources[dim] if self.sources else frozenset()

    def arranged(self, axes: Sequence[Axis], dims: Sequence[Sequence[int]]) -> Value:
        """The same elements along other axes, each made of these old dimensions."""
        sources = tuple(frozenset[Source]().union(*(self.source(dim) for dim in old)) for old in dims)
        return Value(tuple(axes), self.constant, sources if self.constant else (), self.linear)


@dataclass
class Evidence:
    """Roles, normalizations, kinds and freezes, in the order in which they were seen."""

    factors: Factors = field(default_factory=Factors)
    tensors: dict[str, tuple[Axis, ...]] = field(default_factory=dict)
    roles: dict[Source, list[tuple[Role, str]]] = field(default_factory=dict)
    """With the module that the role is seen in, if it is an nn.Linear that reads with its own weight."""
    reads: list[tuple[Axis, frozenset[Source]]] = field(default_factory=list)
    """Axes that are summed over with a weight, and the parameter axes that must then run over the same units."""
    norms: list[tuple[Axis, int]] = field(default_factory=list)
    kinds: list[tuple[Axis, Kind]] = field(default_factory=list)
    notes: dict[str, None] = field(default_factory=dict)

    def freeze(self, value: Value, why: str, dims: Sequence[int] | None = None) -> None:
        """Freezes all axes of a value, or these."""
        for dim in range(len(value.axes)) if dims is None else dims:
            self.factors.freeze(value.axes[dim], why)

    def role(self, value: Value, dim: int, role: Role, module: str = "") -> None:
        """The parameters behind this axis make, or read, its units."""
        for source in sorted(value.source(dim)):
            self.roles.setdefault(source, []).append((role, module))
        if role == "consumer":
            self.reads.append((value.axes[dim], value.source(dim)))
            if not value.linear:
                self.factors.freeze(value.axes[dim], "its weight passes a function that is not linear")

    def produce(self, value: Value, skip: Sequence[int] = ()) -> None:
        """A value made of parameters alone takes part unit by unit along all axes but those skipped."""
        for dim, axis in enumerate(value.axes):
            if axis and dim not in skip:
                self.role(value, dim, "producer")

    def kind(self, axis: Axis, kind: Kind) -> None:
        """A hint of what the units of an axis are."""
        self.kinds.append((axis, kind))

    def uniform(self, axis: Axis, groups: int = 1) -> None:
        """A mean or a normalization runs over the axis, or over each of so many equal parts of it."""
        if axis:
            self.norms.append((axis, groups))
