"""Axes of tensors as row-major products and concatenations of atoms, and which atoms are the same.

    factors = Factors()
    qkv = factors.new(3 * 8 * 64)
    three, heads, inner = factors.view((qkv,), (3, 8, 64))      # the atom becomes a product of three
    factors.unite(heads, other)                                 # two names for the same eight units

An axis is a tuple of atoms: element i of the axis is the row-major index over them; an axis of size one is the empty
tuple. An atom starts whole. It is refined when a view cuts it into a product or a slice cuts it into a concatenation,
and it is united with others (union-find) when their units are seen to be the same. What cannot be expressed so is
frozen with a reason. This file knows nothing of operators or parameters.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

Axis = tuple[int, ...]

MISFIT = "its axis is cut in ways that do not fit together"


@dataclass(frozen=True)
class Place:
    """Where a whole atom stands in an axis: elements from `start`, a row-major (outer, size, inner) block."""

    atom: int
    start: int
    outer: int
    inner: int


class Factors:
    """All atoms of one network."""

    def __init__(self) -> None:
        self._parent: list[int] = []
        self._size: list[int] = []
        self._product: dict[int, Axis] = {}
        self._concatenation: dict[int, tuple[Axis, ...]] = {}
        self._frozen: list[tuple[Axis, str]] = []

    def new(self, size: int) -> Axis:
        """An axis of a fresh atom."""
        if size == 1:
            return ()
        self._parent.append(len(self._parent))
        self._size.append(size)
        return (len(self._parent) - 1,)

    def fixed(self, size: int, why: str) -> Axis:
        """An axis of a fresh atom that is frozen."""
        axis = self.new(size)
        self.freeze(axis, why)
        return axis

    def freeze(self, axis: Axis, why: str) -> None:
        """Whatever the axis is, and will be, made of is not merged."""
        if axis:
            self._frozen.append((axis, why))

    def find(self, atom: int) -> int:
        """The atom that stands for all that were united with this one."""
        while self._parent[atom] != atom:
            self._parent[atom] = self._parent[self._parent[atom]]
            atom = self._parent[atom]
        return atom

    def resolve(self, axis: Axis) -> Axis:
        """The axis as it is known now: products written out; concatenations are still one atom."""
        found: list[int] = []
        for atom in axis:
            root = self.find(atom)
            found.extend(self.resolve(self._product[root]) if root in self._product else (root,))
        return tuple(found)

    def size(self, axis: Axis) -> int:
        """The number of elements of the axis."""
        return math.prod(self._size[atom] for atom in axis)

    def segments(self, atom: int) -> tuple[Axis, ...]:
        """The parts of a concatenation; none for another atom."""
        return self._concatenation.get(self.find(atom), ())

    def leaves(self, axis: Axis) -> Iterator[int]:
        """Every whole atom in an axis, also inside concatenations; some more than once."""
        for atom in self.resolve(axis):
            parts = self.segments(atom)
            if not parts:
                yield atom
            for part in parts:
                yield from self.leaves(part)

    def places(self, axis: Axis) -> Iterator[Place]:
        """Where every whole atom stands in an axis."""
        outer, inner = 1, self.size(axis)
        for atom in self.resolve(axis) if inner else ():
            size = self._size[atom]
            inner //= size
            if not self.segments(atom):
                yield Place(atom, 0, outer, inner)
            for block in range(outer if self.segments(atom) else 0):
                start = block * size
                for part in self.segments(atom):
                    for place in self.places(part):
                        yield Place(place.atom, (start + place.start) * inner, place.outer, place.inner * inner)
                    start += self.size(part)
            outer *= size

    def frozen(self) -> dict[int, str]:
        """Every frozen whole atom and the first reason for it."""
        reasons: dict[int, str] = {}
        for axis, why in self._frozen:
            for atom in self.leaves(axis):
                reasons.setdefault(atom, why)
        return reasons

    def concatenate(self, parts: Iterable[Axis]) -> Axis:
        """The axis in which the parts follow each other."""
        flat: list[Axis] = []
        for part in map(self.resolve, parts):
            flat.extend((len(part) == 1 and self.segments(part[0])) or (part,))
        if len(flat) == 1:
            return flat[0]
        axis = self.new(sum(self.size(part) for part in flat))
        if axis:
            self._concatenation[axis[0]] = tuple(flat)
        return axis

    def cut(self, axis: Axis, at: int) -> tuple[Axis, Axis] | None:
        """The first `at` elements and the rest; None where that is not a cut between whole blocks."""
        first, *rest = self.resolve(axis)
        inner = self.size(tuple(rest))
        if at % inner:
            return None
        at, before, after = at // inner, [], []
        for part in self.segments(first) or ((),):
            if not self.segments(first):
                before, after = [self.new(at)], [self.new(self._size[first] - at)]
            elif at >= self.size(part):
                before.append(part)
                at -= self.size(part)
            elif at <= 0:
                after.append(part)
            else:
                halves = self.cut(part, at)
                if halves is None:
                    return None
                before.append(halves[0])
                after.append(halves[1])
                at = 0
        self._concatenation[first] = (*before, *after)
        return (*self.concatenate(before), *rest), (*self.concatenate(after), *rest)

    def view(self, axes: Sequence[Axis], shape: Sequence[int]) -> tuple[Axis, ...] | None:
        """The axes of a row-major view; None, and all frozen, where factors do not fit."""
        left: Axis = tuple(atom for axis in axes for atom in self.resolve(axis))
        found: list[Axis] = []
        for size in shape:
            taken = self._take(left, size)
            if taken is None:
                for axis in axes:
                    self.freeze(axis, MISFIT)
                return None
            found.append(taken[0])
            left = taken[1]
        return tuple(found)

    def _take(self, axis: Axis, size: int) -> tuple[Axis, Axis] | None:
        """The outermost factors with this product, and the rest."""
        taken: Axis = ()
        left = self.resolve(axis)
        while size > 1:
            if not left:
                return None
            first = self._size[left[0]]
            if size % first == 0:
                taken, left, size = (*taken, left[0]), left[1:], size // first
                continue
            if first % size or not self._split(left[0], size):
                return None
            left = self.resolve(left)
        return taken, left

    def _split(self, atom: int, outer: int) -> bool:
        """Refines an atom to a product whose outer factor has this size; False where it cannot be."""
        inner = self._size[atom] // outer
        parts = self.segments(atom)
        if not parts:
            self._product[atom] = (*self.new(outer), *self.new(inner))
            return True
        if any(self.size(part) % inner for part in parts):
            return False
        halves = [self._take(part, self.size(part) // inner) for part in parts]
        if any(half is None for half in halves):
            return False
        pairs = [half for half in halves if half is not None]
        for _, tail in pairs[1:]:
            self.unite(pairs[0][1], tail)
        del self._concatenation[atom]
        self._product[atom] = (*self.concatenate(head for head, _ in pairs), *pairs[0][1])
        return True

    def unite(self, one: Axis, other: Axis) -> None:
        """The two axes run over the same units in the same order."""
        while True:
            one, other = self.resolve(one), self.resolve(other)
            while one and other and one[0] == other[0]:
                one, other = one[1:], other[1:]
            if not one or not other:
                return
            sizes = self._size[one[0]], self._size[other[0]]
            if sizes[0] == sizes[1]:
                self._merge(one[0], other[0])
                one, other = one[1:], other[1:]
                continue
            common = math.gcd(*sizes)
            wider = [axis[0] for axis, size in zip((one, other), sizes, strict=True) if size > common]
            if common == 1 or not all(self._split(atom, common) for atom in wider):
                self.freeze(one, MISFIT)
                self.freeze(other, MISFIT)
                return

    def _merge(self, one: int, other: int) -> None:
        """Unites two atoms of equal size."""
        if self.segments(one) and not self.segments(other):
            one, other = other, one
        parts, others = self.segments(one), self.segments(other)
        self._parent[one] = other
        if not parts:
            return
        del self._concatenation[one]
        self._unite_segments(list(parts), list(others))

    def _unite_segments(self, parts: list[Axis], others: list[Axis]) -> None:
        while parts and others:
            sizes = self.size(parts[0]), self.size(others[0])
            for side, at in ((parts, sizes[1]), (others, sizes[0])):
                if self.size(side[0]) <= at:
                    continue
                halves = self.cut(side[0], at)
                if halves is None:
                    for axis in (*parts, *others):
                        self.freeze(axis, MISFIT)
                    return
                side[:1] = halves
            self.unite(parts.pop(0), others.pop(0))
