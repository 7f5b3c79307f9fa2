"""Hierarchy: a network and its coarser copies, each an ordinary module, and what moves between them.

    hierarchy = Hierarchy.build(model, example_inputs, levels=3, matching="heavy_edge")
    hierarchy.restrict(0)            # weights of levels[0].model -> levels[1].model
    hierarchy.prolong(1)             # and back: the fine network then computes what the coarse one does
    print(hierarchy.check())

Level 0 is the network that was given; it is never copied nor changed but by `prolong`. Does not know training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from netwright.core.error import UserError
from netwright.train.multilevel.coarsen import Factory, coarsen
from netwright.train.multilevel.exact import Example, Probe
from netwright.train.multilevel.matching import Aggregation, By, fixed_pairs, heavy_edge_matching, similarity
from netwright.train.multilevel.spaces import Coupling, Kind, Space, Spec, written
from netwright.train.multilevel.transfer import Transfer, coarser

Matching = Literal["heavy_edge", "fixed"]


@dataclass
class Level:
    """One network of a hierarchy, its spaces, and the transfer to the next coarser one (None at the coarsest)."""

    model: nn.Module
    coupling: Coupling
    transfer: Transfer | None = None

    def tensors(self) -> dict[str, Tensor]:
        """Parameters and buffers by their first name."""
        return dict([*self.model.named_parameters(), *self.model.named_buffers()])


@dataclass(frozen=True)
class Report:
    """`errors[k]`: the largest relative error of level k with weights prolonged from level k + 1.

    `frozen` says of each space of the finest level that is not coarsened why.
    """

    errors: tuple[float, ...]
    frozen: Mapping[str, str]
    notes: tuple[str, ...]

    @property
    def worst(self) -> float:
        """The largest error of any level."""
        return max(self.errors, default=0.0)

    def __str__(self) -> str:
        lines = [f"level {k} from {k + 1}: largest relative error {error:.1e}" for k, error in enumerate(self.errors)]
        lines += [f"frozen {name}: {why}" for name, why in self.frozen.items()]
        return "\n".join([*lines, *self.notes])


class Hierarchy:
    """Levels from the finest, 0, to the coarsest."""

    def __init__(self, levels: list[Level], matching: Matching, by: By, example: Example) -> None:
        self.levels, self.matching, self.by, self.example = levels, matching, by, example

    @classmethod
    def build(
        cls,
        model: nn.Module,
        example_inputs: Example,
        levels: int = 2,
        matching: Matching = "heavy_edge",
        similarity: By = "weight",
        spaces: Spec | Coupling | None = None,
        only: Sequence[Kind] = (),
        min_size: int = 1,
        factory: Factory | None = None,
    ) -> Hierarchy:
        """A hierarchy over a model.

        `spaces` is a spec or a coupling to take the place of the traced one; `only` the kinds of space to coarsen, all
        if empty; no space is made smaller than `min_size`; `factory` builds a network from space -> size where the
        smaller copy of a model cannot be found by itself.
        """
        if spaces is None:
            from netwright.train.multilevel.coupling import trace

            coupling = trace(model, example_inputs)
        else:
            coupling = spaces if isinstance(spaces, Coupling) else written(model, spaces)
        found = cls([Level(model, coupling)], matching, similarity, example_inputs)
        for _ in range(levels - 1):
            found._add(only, min_size, factory)
        return found

    def _add(self, only: Sequence[Kind], min_size: int, factory: Factory | None) -> None:
        fine = self.levels[-1]
        fine.coupling = replace(
            fine.coupling, spaces=tuple(_limited(space, only, min_size) for space in fine.coupling.spaces)
        )
        if not fine.coupling.free:
            raise UserError(
                "levels", len(self.levels) + 1, f"at most {len(self.levels)}: no space left", "ask for fewer levels"
            )
        fine.transfer = self._transfer(fine)
        coarse = coarsen(fine.model, fine.transfer, self.example, factory)
        self.levels.append(Level(coarse, coarser(fine.coupling, fine.transfer.aggregations)))

    def _transfer(self, level: Level, matching: Mapping[str, Tensor] | None = None) -> Transfer:
        tensors = level.tensors()
        first = {id(value): name for name, value in tensors.items()}
        every = [
            *level.model.named_parameters(remove_duplicate=False),
            *level.model.named_buffers(remove_duplicate=False),
        ]
        aliases = {name: first[id(value)] for name, value in every if first[id(value)] != name}
        parameters = {name: value for name, value in every if isinstance(value, nn.Parameter)}
        aggregations = {
            space.name: Aggregation(matching[space.name].long().cpu(), int(matching[space.name].max()) + 1)
            if matching and space.name in matching
            else self._match(space, parameters)
            for space in level.coupling.free
        }
        return Transfer(level.coupling, aggregations, {name: value.shape for name, value in tensors.items()}, aliases)

    def _match(self, space: Space, parameters: Mapping[str, Tensor]) -> Aggregation:
        if self.matching == "fixed":
            return fixed_pairs(space.size, space.groups)
        return heavy_edge_matching(similarity(space, parameters), groups=space.groups)

    def restrict(self, level: int) -> None:
        """Parameters and buffers of a level -> those of the next coarser one."""
        fine, coarse = self.levels[level], self.levels[level + 1].tensors()
        assert fine.transfer is not None
        with torch.no_grad():
            for name, value in fine.tensors().items():
                coarse[name].copy_(fine.transfer.restrict(name, value))

    def prolong(self, level: int) -> None:
        """Parameters and buffers of a level -> those of the next finer one."""
        fine, coarse = self.levels[level - 1], self.levels[level].tensors()
        assert fine.transfer is not None
        with torch.no_grad():
            for name, value in fine.tensors().items():
                value.copy_(fine.transfer.prolong(name, coarse[name]))

    def rematch(self) -> None:
        """Match again by the weights that the levels have now; shapes stay."""
        for level in self.levels[:-1]:
            level.transfer = self._transfer(level)

    def get_matching(self) -> list[dict[str, Tensor]]:
        """Of each level but the coarsest: space -> aggregate of each of its units."""
        levels = (level.transfer for level in self.levels)
        return [{name: a.assign for name, a in by.aggregations.items()} for by in levels if by is not None]

    def set_matching(self, matching: Sequence[Mapping[str, Tensor]]) -> None:
        """Merge units as another hierarchy over the same network does (`get_matching`)."""
        for level, assigned in zip(self.levels, matching, strict=False):
            if level.transfer is not None:
                level.transfer = self._transfer(level, assigned)

    def check(self) -> Report:
        """How exactly each level computes with prolonged weights what the next coarser one computes with its own."""
        errors = []
        for fine, coarse in zip(self.levels, self.levels[1:], strict=False):
            assert fine.transfer is not None
            probe = Probe(fine.model, fine.transfer, self.example)
            errors.append(probe.error(probe.ready(coarse.model)))
        frozen = {space.name: space.frozen for space in self.levels[0].coupling.spaces if space.frozen}
        return Report(tuple(errors), frozen, self.levels[0].coupling.notes)


def _limited(space: Space, only: Sequence[Kind], min_size: int) -> Space:
    """The space, frozen where it cannot be halved any more."""
    group = space.size // space.groups
    even = space.uniform or bool(space.scaled)
    half = -(-group // 2) * space.groups
    why = ""
    if only and space.kind not in only:
        why = f"only {', '.join(only)} are coarsened"
    elif half < min_size or half == space.size:
        why = f"{space.size} units cannot be halved (at least {max(1, min_size)} stay)"
    elif even and group % 2:
        why = f"normalized over {group} units, an odd number, which have no equal pairs"
    elif even and group == 2 and space.kind == "stream":
        why = "normalized over 2 units: over one it would be constant"
    return replace(space, frozen=space.frozen or why)
