"""Ladder: the network of every level as it is trained, made from the finest one, and the passages between neighbours.

    ladder = Ladder(first, config, team, example)
    ladder.nets[1].model, ladder.passage(0)

Levels that differ only in what they see of the data share a network. Does not know schedules or steps.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from netwright.core.error import UserError
from netwright.train.multilevel.coupling import trace
from netwright.train.multilevel.depth import find_chains, outputs, passes_on, thin, thinner
from netwright.train.multilevel.hierarchy import Hierarchy
from netwright.train.multilevel.passage import Chain, Passage
from netwright.train.multilevel.spaces import Coupling
from netwright.train.parallel import Team
from netwright.train.step import Config, copy_state, make_optimizer


@dataclass
class Net:
    """A network of the hierarchy as it is trained; levels that differ in what they see only share one."""

    model: nn.Module
    wrapped: nn.Module
    optimizer: torch.optim.Optimizer
    average: dict[str, Tensor]
    age: int = 0
    """Steps since the running average began."""
    trained: bool = False
    needed: bool = True
    tau: dict[str, Tensor] = field(default_factory=dict)
    origin: nn.Module | None = None
    """A copy with the weights that this one began its visit with, where a tau is computed for each batch."""


class Ladder:
    """`nets` from the finest to the coarsest; `which` of them each level trains."""

    def __init__(self, first: Net, config: Config, team: Team, example: Mapping[str, Tensor]) -> None:
        self.config, self.team, self.example = config, team, example
        settings = config.multilevel
        shapes = [settings.shape(level) for level in range(settings.levels)]
        self.shapes = list(dict.fromkeys(shapes))
        self.which = [self.shapes.index(shape) for shape in shapes]
        given = {name: x.to(team.device) for name, x in example.items()}
        widths, deep = len({width for width, _ in shapes}), shapes[-1][1] > 1
        self.hierarchy: Hierarchy | None = None
        coupling = Coupling(())
        if widths > 1:
            self.hierarchy = Hierarchy.build(
                first.model, given, widths, settings.matching, settings.similarity, only=settings.kinds
            )
            coupling = self.hierarchy.levels[0].coupling
            self._agree()
        elif deep:
            coupling = trace(first.model, given)
        self.halved = self._halved(find_chains(first.model, coupling)) if deep else [[] for _ in self.shapes[1:]]
        """Of each pair of neighbours the lists of blocks that are halved between them."""
        self.nets = [first]
        for at in range(1, len(self.shapes)):
            self.nets.append(self._net(first.model, at))
        self.closing = [self._closing(at, coupling, given) for at in range(len(self.halved))]
        """Of each pair the parameters that are zero in blocks that pass their input on."""

    def passage(self, at: int) -> Passage:
        """Between a net and the next coarser one."""
        (fine, _), (coarse, _) = self.shapes[at], self.shapes[at + 1]
        transfer = self.hierarchy.levels[fine.bit_length() - 1].transfer if self.hierarchy and coarse > fine else None
        return Passage(transfer, self.halved[at])

    def rematch(self) -> None:
        """Match units anew by the weights there are now; in a ladder with depth matchings stay."""
        if self.hierarchy and self.shapes[-1][1] == 1:  # thin networks have no place in the hierarchy
            self.hierarchy.rematch()
            self._agree()

    def matching(self) -> list[dict[str, Tensor]]:
        """The matching of each level in width, to be saved."""
        return self.hierarchy.get_matching() if self.hierarchy else []

    def set_matching(self, matching: Sequence[Mapping[str, Tensor]]) -> None:
        """Take over a saved matching."""
        if self.hierarchy:
            self.hierarchy.set_matching(matching[: len(self.hierarchy.levels) - 1])

    def _agree(self) -> None:
        if self.hierarchy and self.team.world > 1:
            self.hierarchy.set_matching(self.team.agree(self.hierarchy.get_matching()))

    def _halved(self, chains: list[Chain]) -> list[list[Chain]]:
        setting, value = "train.multilevel.depth", list(self.config.multilevel.depth)
        if not chains:
            raise UserError(setting, value, "this network has no list of alike residual blocks", f"{setting}=[1]")
        found = []
        for (_, fine), (_, coarse) in itertools.pairwise(self.shapes):
            if coarse > fine and not chains:
                allowed = f"no list of blocks can be halved beyond {fine}"
                raise UserError(setting, value, allowed, f"{setting}=[1, {fine}]")
            found.append(chains if coarse > fine else [])
            chains = thinner(chains) if coarse > fine else chains
        return found

    def _net(self, first: nn.Module, at: int) -> Net:
        width, depth = self.shapes[at]
        source = self.hierarchy.levels[width.bit_length() - 1].model if self.hierarchy else first
        model = copy.deepcopy(source) if depth > 1 else source
        for chains in self.halved[:at]:
            thin(model, chains)
        average = copy_state(model) if self.config.average else {}
        return Net(model, self.team.wrap(model, self.example), make_optimizer(model, self.config), average)

    def _closing(self, at: int, coupling: Coupling, example: Mapping[str, Tensor]) -> list[str]:
        chains = self.halved[at]
        if not chains:
            return []
        model = copy.deepcopy(self.nets[at].model)
        ways = outputs(model, coupling, self.passage(at))
        return next((way for way in ways if passes_on(model, chains, way, example)), [])
