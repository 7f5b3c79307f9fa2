"""Passage: all tensors of one level -> those of its neighbour, in width and in depth.

    passage = Passage(transfer, halved=("blocks",))
    coarse = passage.restrict(dict(fine.named_parameters()))

In width a `Transfer` merges units. In depth a list of blocks is halved: blocks 2i and 2i + 1 of the fine network are
block i of the coarse one, which is their mean (Zou, Zhang and Deng, ICLR 2024); prolongation copies it to both.
Does not know modules.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from netwright.train.multilevel.transfer import Line, Transfer

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Chain:
    """A run of alike blocks in a list of modules: `count` of them from block `first` on, in the list at `place`."""

    place: str
    first: int
    count: int

    @property
    def kept(self) -> int:
        return (self.count + 1) // 2

    def coarse(self, at: int) -> int:
        """The place in the coarse list of what is at `at` in the fine one."""
        if at < self.first:
            return at
        if at < self.first + self.count:
            return self.first + (at - self.first) // 2
        return at - self.count + self.kept

    def second(self, at: int) -> bool:
        """Whether this block is the second one of its pair."""
        return self.first <= at < self.first + self.count and (at - self.first) % 2 == 1


class Passage:
    """R and P between two levels, on tensors by name; without a `transfer` widths stay, without chains the depth."""

    def __init__(self, transfer: Transfer | None, chains: Sequence[Chain] = ()) -> None:
        self.transfer = transfer
        self.chains = [(chain, re.compile(rf"({re.escape(chain.place)}\.)(\d+)(\..*)")) for chain in chains]

    def below(self, name: str) -> str:
        """The coarse tensor that a fine one goes into."""
        for chain, pattern in self.chains:
            found = pattern.fullmatch(name)
            if found:
                name = f"{found[1]}{chain.coarse(int(found[2]))}{found[3]}"
        return name

    def second(self, name: str) -> bool:
        """Whether a fine tensor belongs to the second block of a pair."""
        return any((m := pattern.fullmatch(name)) and chain.second(int(m[2])) for chain, pattern in self.chains)

    def lines(self, name: str, device: torch.device) -> list[Line]:
        """The merged dimensions of a fine tensor."""
        return self.transfer.lines(name, device) if self.transfer else []

    @property
    def normalized(self) -> set[tuple[str, int]]:
        """Tensor and dimension of the merged spaces that a normalization runs over, or that an embedding shares."""
        return self.transfer.normalized if self.transfer else set()

    def plain(self, name: str, x: Tensor) -> bool:
        """Whether a fine tensor is the coarse one as it is."""
        return not self.lines(name, x.device) and not self._pairs(name)

    def restrict(self, fine: Mapping[str, Tensor]) -> Tensors:
        """R: means over producers and pairs of blocks, sums over consumers."""
        return self._down(fine, "restrict", mean=True)

    def adjoint(self, fine: Mapping[str, Tensor]) -> Tensors:
        """The transpose of P: fine gradients -> coarse ones."""
        return self._down(fine, "adjoint", mean=False)

    def adjoint_squared(self, fine: Mapping[str, Tensor]) -> Tensors:
        """The transpose of P with squared factors: second moments of uncorrelated gradients."""
        return self._down(fine, "adjoint_squared", mean=False)

    def prolong(self, coarse: Mapping[str, Tensor], names: Sequence[str]) -> Tensors:
        """P: copies to producers and to both blocks of a pair, equal parts to consumers."""
        return self._up(coarse, names, "prolong", 1.0)

    def lift(self, coarse: Mapping[str, Tensor], names: Sequence[str]) -> Tensors:
        """The transpose of R: coarse gradients -> fine ones."""
        return self._up(coarse, names, "lift", 0.5)

    def lift_squared(self, coarse: Mapping[str, Tensor], names: Sequence[str]) -> Tensors:
        """The transpose of R with squared factors."""
        return self._up(coarse, names, "lift_squared", 0.25)

    def _pairs(self, name: str) -> bool:
        return any(pattern.fullmatch(name) for _, pattern in self.chains)

    def _operator(self, which: str) -> Callable[[str, Tensor], Tensor]:
        if self.transfer is None:
            return lambda name, x: x
        operator: Callable[[str, Tensor], Tensor] = getattr(self.transfer, which)
        return operator

    def _down(self, fine: Mapping[str, Tensor], which: str, mean: bool) -> Tensors:
        operator, found = self._operator(which), dict[str, Tensor]()
        counts: dict[str, int] = {}
        for name, x in fine.items():
            low = self.below(name)
            moved = operator(name, x)
            found[low] = found[low] + moved if low in found else moved
            counts[low] = counts.get(low, 0) + 1
        return {name: x / counts[name] if mean and counts[name] > 1 else x for name, x in found.items()}

    def _up(self, coarse: Mapping[str, Tensor], names: Sequence[str], which: str, share: float) -> Tensors:
        operator, found = self._operator(which), {}
        paired = [self.below(name) for name in names if self.second(name)]
        for name in names:
            low = self.below(name)
            if low in coarse:
                moved = operator(name, coarse[low])
                found[name] = moved * share if share != 1 and low in paired else moved
        return found
