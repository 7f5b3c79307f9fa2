"""Hierarchy: a network and its coarser copies, each an ordinary module, and what moves between them.

    hierarchy = Hierarchy.build(model, example_inputs, levels=3, matching="heavy_edge")
    hierarchy.restrict(0)            # weights of levels[0].model -> levels[1].model
    hierarchy.prolong(1)             # and back: the fine network then computes what the coarse one does
    print(hierarchy.check())

Level 0 is the network that was given; it is never copied nor changed but by `prolong`. Does not know training.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from netwright.core.error import UserError
from netwright.train.multilevel.activations import recorded
from netwright.train.multilevel.coarsen import Factory, ScaledLinear, UnbuiltError, coarsen
from netwright.train.multilevel.exact import Example, Probe
from netwright.train.multilevel.matching import (
    Aggregation,
    By,
    correlation,
    fixed_pairs,
    heavy_edge_matching,
    similarity,
)
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

    @property
    def parameters(self) -> int:
        """Numbers in the model's parameters."""
        return sum(value.numel() for value in self.model.parameters())


@dataclass(frozen=True)
class Row:
    """One space over the levels: its sizes, and of each transfer the mean similarity of units that were merged.

    `frozen` says why it is not merged from some level on. None in `similarity`: not merged there, or not looked at.
    """

    name: str
    kind: Kind
    sizes: tuple[int, ...]
    similarity: tuple[float | None, ...]
    frozen: str

    @property
    def merged(self) -> bool:
        """Whether any level has fewer of the units than the first."""
        return self.sizes[-1] < self.sizes[0]


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
        for why in dict.fromkeys(self.frozen.values()):
            names = [name for name, reason in self.frozen.items() if reason == why]
            more = f" and {len(names) - 4} more" if len(names) > 4 else ""
            lines.append(f"not coarsened: {', '.join(names[:4])}{more}: {why}")
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
        for setting, value, table in (("matching", matching, Matching), ("similarity", similarity, By)):
            if value not in get_args(table):
                raise UserError(setting, value, f"one of {', '.join(get_args(table))}", f"set {setting}=")
        if levels < 1:
            raise UserError("levels", levels, "1 or more; 1 is the network alone", "levels=2")
        if spaces is None:
            from netwright.train.multilevel.coupling import trace

            coupling = trace(model, example_inputs)
        else:
            coupling = spaces if isinstance(spaces, Coupling) else written(model, spaces)
        found = cls([Level(model, coupling)], matching, similarity, example_inputs)
        for _ in range(levels - 1):
            found._add(only, min_size, factory, stated=spaces is not None)
        return found

    def _add(self, only: Sequence[Kind], min_size: int, factory: Factory | None, stated: bool) -> None:
        fine = self.levels[-1]
        limited = (_limited(fine.model, space, only, min_size) for space in fine.coupling.spaces)
        fine.coupling = replace(fine.coupling, spaces=tuple(limited))
        self._allowed(fine.coupling)
        aggregations = self._match(fine)

        def attempt(spaces: Sequence[Space]) -> nn.Module:
            fine.transfer = self._transfer(fine, {space.name: aggregations[space.name] for space in spaces})
            return coarsen(fine.model, fine.transfer, self.example, factory)

        try:
            coarse = attempt(fine.coupling.free)
        except UnbuiltError as trouble:
            if factory or stated:
                raise
            coarse = _salvaged(fine, attempt, trouble)
        assert fine.transfer is not None
        self.levels.append(Level(coarse, coarser(fine.coupling, fine.transfer.aggregations)))

    def _allowed(self, coupling: Coupling) -> None:
        if coupling.free:
            return
        reasons = [f"{space.name}: {space.frozen}" for space in coupling.spaces] + list(coupling.notes)
        why = "; ".join(reasons[:12]) or "the network has no units between two of its parameters"
        raise UserError(
            "levels", len(self.levels) + 1, f"at most {len(self.levels)}, nothing is left to coarsen ({why})",
            "ask for fewer levels, or state the spaces with spaces=",
        )  # fmt: skip

    def _match(self, level: Level) -> dict[str, Aggregation]:
        """The units of each free space of a level that are merged, by its weights or activations now."""
        spaces = level.coupling.free
        if self.matching == "fixed":
            return {space.name: fixed_pairs(space.size, space.groups) for space in spaces}
        samples = recorded(level.model, spaces, self.example) if self.by == "activation" else {}
        parameters = dict(level.model.named_parameters(remove_duplicate=False))
        found = {}
        for space in spaces:
            here = samples.get(space.name)
            S_NN = correlation(here) if here else similarity(space, parameters)
            found[space.name] = heavy_edge_matching(S_NN, groups=space.groups)
        return found

    def _transfer(self, level: Level, aggregations: Mapping[str, Aggregation]) -> Transfer:
        tensors = level.tensors()
        first = {id(value): name for name, value in tensors.items()}
        parameters = level.model.named_parameters(remove_duplicate=False)
        every = [*parameters, *level.model.named_buffers(remove_duplicate=False)]
        aliases = {name: first[id(value)] for name, value in every if first[id(value)] != name}
        return Transfer(level.coupling, aggregations, {name: value.shape for name, value in tensors.items()}, aliases)

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
            level.transfer = self._transfer(level, self._match(level))

    def get_matching(self) -> list[dict[str, Tensor]]:
        """Of each level but the coarsest: space -> aggregate of each of its units."""
        levels = (level.transfer for level in self.levels)
        return [{name: a.assign for name, a in by.aggregations.items()} for by in levels if by is not None]

    def set_matching(self, matching: Sequence[Mapping[str, Tensor]]) -> None:
        """Merge units as another hierarchy over the same network does (`get_matching`)."""
        for level, assigned in zip(self.levels, matching, strict=False):
            if level.transfer is not None:
                found = dict(level.transfer.aggregations)
                for name, old in found.items():
                    if not torch.equal(assigned[name].to(old.assign), old.assign):
                        found[name] = Aggregation(assigned[name].to(old.assign), old.size)
                level.transfer = level.transfer.with_aggregations(found)

    def check(self) -> Report:
        """How exactly each level computes with prolonged weights what the next coarser one computes with its own.

        Takes random coarse weights, in copies; nothing of the levels changes.
        """
        errors = []
        for fine, coarse in itertools.pairwise(self.levels):
            assert fine.transfer is not None
            probe = Probe(fine.model, fine.transfer, self.example)
            errors.append(probe.error(probe.ready(coarse.model)))
        return Report(tuple(errors), {row.name: row.frozen for row in self.rows() if not row.merged}, self.notes)

    @property
    def notes(self) -> tuple[str, ...]:
        """What tracing did not understand."""
        return self.levels[0].coupling.notes

    def rows(self) -> list[Row]:
        """The spaces, as a table and a picture of the hierarchy show them."""
        rows = []
        for space in self.levels[0].coupling.spaces:
            there = [next(s for s in level.coupling.spaces if s.name == space.name) for level in self.levels]
            merges = [level.transfer.aggregations.get(space.name) for level in self.levels if level.transfer]
            similar = tuple(_mean(merge.similarity) if merge else None for merge in merges)
            frozen = next((s.frozen for s in there if s.frozen), "")
            rows.append(Row(space.name, space.kind, tuple(s.size for s in there), similar, frozen))
        return rows


def _mean(similarity: Tensor | None) -> float | None:
    return None if similarity is None else float(similarity.mean())


def _limited(model: nn.Module, space: Space, only: Sequence[Kind], min_size: int) -> Space:
    """The space, frozen where it cannot be halved any more."""
    group = space.size // space.groups
    even = space.uniform or bool(space.scaled)
    half = -(-group // 2) * space.groups
    own = [name for name in space.scaled if type(model.get_submodule(name)) not in (nn.Linear, ScaledLinear)]
    why = ""
    if only and space.kind not in only:
        why = f"only {', '.join(only)} are coarsened"
    elif half < min_size or half == space.size:
        why = f"{space.size} units cannot be halved (at least {max(1, min_size)} stay)"
    elif even and group % 2:
        why = f"{group} units, an odd number, have no equal pairs, which a normalization over them needs"
    elif even and group == 2 and space.kind == "stream" and space.groups == 1:
        why = "normalized over 2 units: over one it would be constant"
    elif own:
        why = f"{own[0]} reads an embedding's weight and is not a plain nn.Linear"
    return replace(space, frozen=space.frozen or why)


Attempt = Callable[[Sequence[Space]], nn.Module]
"""Spaces that are merged -> the coarse network; raises UnbuiltError."""


def _salvaged(level: Level, attempt: Attempt, first: UnbuiltError) -> nn.Module:
    """The network built without those spaces that stand in the way; they are frozen with the reason."""
    trouble, before = first, level.coupling
    while guilty := _guilty(level, trouble):
        _freeze(level, dict.fromkeys(guilty, trouble.why))
        if not level.coupling.free:
            break
        try:
            return attempt(level.coupling.free)
        except UnbuiltError as again:
            trouble = again
    level.coupling = before
    reasons: dict[str, str] = {}
    kept = _buildable(level.coupling.free, attempt, reasons)
    if not kept:
        raise first
    _freeze(level, reasons)
    return attempt(kept)


def _freeze(level: Level, reasons: Mapping[str, str]) -> None:
    frozen = (
        replace(space, frozen=f"not merged, as {reasons[space.name]}") if space.name in reasons else space
        for space in level.coupling.spaces
    )
    level.coupling = replace(level.coupling, spaces=tuple(frozen))


def _buildable(spaces: Sequence[Space], attempt: Attempt, reasons: dict[str, str]) -> Sequence[Space]:
    """Spaces that can be merged together, found by halving the others; why each of the rest was left out."""
    if not spaces:
        return ()
    try:
        attempt(spaces)
        return spaces
    except UnbuiltError as trouble:
        if len(spaces) == 1:
            reasons[spaces[0].name] = trouble.why
            return ()
        half = len(spaces) // 2
        one, two = _buildable(spaces[:half], attempt, reasons), _buildable(spaces[half:], attempt, reasons)
        both = [*one, *two]
        if not one or not two:
            return both
        try:
            attempt(both)
            return both
        except UnbuiltError as apart:
            best, rest = (one, two) if len(one) >= len(two) else (two, one)
            reasons.update({space.name: apart.why for space in rest})
            return best


def _guilty(level: Level, trouble: UnbuiltError) -> set[str]:
    """Free spaces of the module that broke and of others of its class: the heads first, if there are any."""
    name = trouble.module or ""
    while name:
        kind = type(level.model.get_submodule(name))
        prefixes = [other + "." for other, module in level.model.named_modules() if type(module) is kind and other]
        touching = [
            space for space in level.coupling.free
            if any(axis.tensor.startswith(prefix) for axis in space.axes for prefix in prefixes)
        ]  # fmt: skip
        if touching:
            heads = {space.name for space in touching if space.kind == "head"}
            return heads or {space.name for space in touching}
        name = name.rpartition(".")[0]
    return set()
