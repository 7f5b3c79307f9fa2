"""Schedules: which level trains when, as generators of three events.

    for event in cascade(Config(width=(1, 2)), Plan(costs=(1.0, 0.3), budget=1000)):
        ...                                # Restrict(0, fresh=True), Smooth(1, 1333), Prolong(1), Smooth(0, 600)

Level 0 is the network that was asked for, each next one coarser. A schedule spends a budget of work, counted in steps
of the finest level, and ends on the finest level; one and the same loop carries out its events
(`multilevel.training`). After each `Smooth` it is told what that one showed, which only `auto` heeds. Files that are
resumed run the generator again with what it was told before, so a schedule may depend on nothing else.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Annotated, Literal

from netwright.core.recipe import Range
from netwright.train.multilevel.spaces import Kind


@dataclass(frozen=True, kw_only=True)
class Config:
    """The [train.multilevel] section: levels, schedule, and how levels hand over to each other."""

    schedule: str = "single"
    """single, cascade, coalesce, v, w, f or auto."""
    width: Annotated[tuple[int, ...], Range(1, 1024)] = (1, 2)
    """What each level's widths are divided by, finest first: powers of two that do not fall."""
    depth: Annotated[tuple[int, ...], Range(1, 1024)] = (1,)
    """What each level's number of alike residual blocks is divided by; further levels have as many as the last."""
    resolution: Annotated[tuple[float, ...], Range(0.01, 1)] = (1.0,)
    """Share of an image's height and width that each level sees; further levels see what the last one does."""
    length: Annotated[tuple[float, ...], Range(0.01, 1)] = (1.0,)
    """Share of the longest text that each level sees; further levels see what the last one does."""
    merge: Annotated[tuple[int, ...], Range(1, 64)] = (1,)
    """How many of the finest level's tokens each level's network takes as one, for networks that have `merge`
    (transformer); further levels as many as the last."""
    kinds: tuple[Kind, ...] = ()
    """Which units are merged: unit, channel, head, stream; all of them where none is named."""
    matching: Literal["heavy_edge", "fixed"] = "heavy_edge"
    """Heavy-edge matching merges the most similar units, `fixed` the i-th with the (i + n/2)-th."""
    similarity: Literal["weight", "activation"] = "weight"
    """Of two units: the cosine of their weights, or the correlation of their activations on a batch."""
    rematch: Annotated[int, Range(1, 1_000_000)] = 10
    """Restrictions of a level between one matching of its units and the next; 1 matches at each. V, W and F cycles."""
    shares: Annotated[tuple[float, ...], Range(0, 1)] = ()
    """Share of all work that each level gets, finest first; derived where none is given. Cascade, coalesce, auto."""
    first: Annotated[float, Range(0, 1)] = 0.1
    """Share of all work that the finest level does before coarser ones. Coalesce."""
    pre: Annotated[int, Range(0, 1_000_000)] = 4
    """Steps before going to a coarser level. V, W and F cycles."""
    post: Annotated[int, Range(0, 1_000_000)] = 4
    """Steps after coming back from a coarser level. V, W and F cycles."""
    coarse: Annotated[int, Range(1, 1_000_000)] = 40
    """Steps on the coarsest level. V, W and F cycles."""
    tau: Literal["none", "constant", "batch", "decayed"] = "none"
    """The correction of coarse gradients: none, fixed for a visit, computed anew for each batch, or fading."""
    decay: Annotated[float, Range(0, 1)] = 0.8
    """What a decayed tau is multiplied by after each coarse step."""
    tau_batches: Annotated[int, Range(1, 10_000)] = 4
    """Batches that a constant or decayed tau is computed on."""
    alpha: Annotated[float, Range(0, 1)] = 1.0
    """How far the finer weights follow the coarser ones: 1 all the way."""
    detail: Annotated[float, Range(0, 1)] = 1.0
    """How much is kept of what the coarser level cannot represent; 0 leaves copies that stay equal for ever."""
    growth: Literal["copy", "expand"] = "copy"
    """How a level that was not trained yet is filled: with copies of the coarser one's units, or with those units and
    new ones, which are read with `detail` times their first weights."""
    state: Literal["transfer", "reset"] = "transfer"
    """Whether the optimizer's state goes along between levels."""
    lr_scale: Annotated[float, Range(0.01, 100)] = 1.0
    """Learning rate of each level as a multiple of the next finer one's."""
    rewarm: Annotated[int, Range(0, 1_000_000)] = 0
    """Steps over which the learning rate rises after a change of level."""
    safeguard: bool = True
    """Whether a correction of trained weights that raises the loss on a batch is halved, and at last dropped."""
    tolerance: Annotated[float, Range(0, 10)] = 0.02
    """By what share a correction may raise that loss."""
    trust: Annotated[float, Range(0, 1000)] = 0.0
    """Largest change by a correction, relative to the weights' norm, at first; 0 for any."""
    window: Annotated[int, Range(2, 1_000_000)] = 50
    """Steps over which progress is measured. Auto."""

    def __post_init__(self) -> None:
        for name in ("width", "depth"):
            values = list(getattr(self, name))
            if not values or values[0] != 1 or values != sorted(v for v in values if v & (v - 1) == 0):
                raise ValueError(f"{name} = {values} is no list like [1, 2, 4]: powers of two, finest first")
            if any(coarse > 2 * fine for fine, coarse in itertools.pairwise(values)):
                raise ValueError(f"{name} = {values} leaves out a level; set {name}=[1, 2, 4]")
        if not self.merge or self.merge[0] != 1 or list(self.merge) != sorted(self.merge):
            raise ValueError(f"merge = {list(self.merge)} is no list like [1, 4]: it begins with 1 and does not fall")
        for name in ("resolution", "length"):
            values = getattr(self, name)
            if not values or values[0] != 1 or list(values) != sorted(values, reverse=True):
                raise ValueError(
                    f"{name} = {list(values)} is no list like [1, 0.5]: it begins with 1 and does not rise"
                )
        if self.shares and (len(self.shares) != self.levels or not math.isclose(sum(self.shares), 1, abs_tol=1e-6)):
            raise ValueError(f"shares = {list(self.shares)} are not {self.levels} numbers, one a level, that sum to 1")
        if self.schedule != "single" and self.levels < 2:
            raise ValueError('one level has no schedule but "single"; set width=[1, 2]')

    @property
    def levels(self) -> int:
        """How many levels the longest of the lists describes."""
        return max(map(len, (self.width, self.depth, self.resolution, self.length, self.merge)))

    def shape(self, level: int) -> tuple[int, int]:
        """Divisors of width and depth of a level."""
        return self.width[min(level, len(self.width) - 1)], self.depth[min(level, len(self.depth) - 1)]

    def view(self, level: int) -> tuple[float, float, int]:
        """Shares of resolution and length that a level sees, and how many tokens it takes as one."""
        resolution, length = (of[min(level, len(of) - 1)] for of in (self.resolution, self.length))
        return resolution, length, self.merge[min(level, len(self.merge) - 1)]


@dataclass(frozen=True)
class Smooth:
    """Train so many steps on a level."""

    level: int
    steps: int


@dataclass(frozen=True)
class Restrict:
    """From `level` to the next coarser one. `fresh`: as that one would be initialized, not as the average."""

    level: int
    fresh: bool = False


@dataclass(frozen=True)
class Prolong:
    """From `level` to the next finer one. `last`: the coarser one will not be visited again."""

    level: int
    last: bool = False


@dataclass(frozen=True)
class Seen:
    """What a `Smooth` showed: mean loss of the first and of the second half of its steps, and its seconds."""

    early: float
    late: float
    seconds: float


Event = Smooth | Restrict | Prolong
Events = Generator[Event, Seen | None, None]


@dataclass(frozen=True)
class Plan:
    """What a schedule can spend: `costs` of a step on each level, finest first and 1 there, and the budget of work."""

    costs: tuple[float, ...]
    budget: float

    @property
    def coarsest(self) -> int:
        return len(self.costs) - 1

    def steps(self, level: int, work: float) -> int:
        """Steps of a level that so much work buys, to the nearest one."""
        return round(work / self.costs[level])


Schedule = Callable[[Config, Plan], Events]


def single(config: Config, plan: Plan) -> Events:
    """The finest level alone: the baseline of all others."""
    yield Smooth(0, plan.steps(0, plan.budget))


def cascade(config: Config, plan: Plan) -> Events:
    """From the coarsest level up, once: nested iteration, the first half of full multigrid; also known as growth."""
    shares = config.shares or derived_shares(len(plan.costs))
    for level in range(plan.coarsest):
        yield Restrict(level, fresh=True)
    spent = 0.0
    for level in range(plan.coarsest, 0, -1):
        steps = plan.steps(level, shares[level] * plan.budget)
        spent += steps * plan.costs[level]
        yield Smooth(level, steps)
        yield Prolong(level, last=True)
    yield _finish(plan, spent)


def coalesce(config: Config, plan: Plan) -> Events:
    """One V: the finest level a little, then coarser ones, then up again (Zou, Zhang and Deng, ICLR 2024)."""
    shares = config.shares or derived_shares(len(plan.costs))
    steps = plan.steps(0, config.first * plan.budget)
    yield Smooth(0, steps)
    spent = float(steps)
    for level in range(plan.coarsest):
        yield Restrict(level)
    for level in range(plan.coarsest, 0, -1):
        steps = plan.steps(level, shares[level] * (1 - config.first) * plan.budget)
        spent += steps * plan.costs[level]
        yield Smooth(level, steps)
        yield Prolong(level, last=True)
    yield _finish(plan, spent)


def v(config: Config, plan: Plan) -> Events:
    """V cycles of the full approximation scheme (Brandt 1977), then the finest level alone."""
    yield from _cycles(config, plan, lambda level: _gamma(config, plan, level, 1))


def w(config: Config, plan: Plan) -> Events:
    """W cycles: each level leaves the next coarser one two cycles to do."""
    yield from _cycles(config, plan, lambda level: _gamma(config, plan, level, 2))


def f(config: Config, plan: Plan) -> Events:
    """F cycles: each level leaves the next coarser one an F cycle and then a V cycle to do."""
    yield from _cycles(config, plan, lambda level: _full(config, plan, level))


def auto(config: Config, plan: Plan) -> Events:
    """From the coarsest level up, each left when a finer one falls faster per second.

    The loss of a level falls ever more slowly. When a window's fall per second is half of the best one that the level
    has had, the next finer level is tried for two windows: where it falls at least as fast, training stays there;
    where not, it goes back, and waits twice as long before the next trial. A level is left at the latest when the
    finer ones need the rest of the budget (`shares`).
    """
    shares = config.shares or derived_shares(len(plan.costs))
    spent, wait = 0.0, 2
    level = plan.coarsest
    for finer in range(level):
        yield Restrict(finer, fresh=True)
    best, windows = 0.0, 0
    while level:
        left = (1 - sum(shares[:level])) * plan.budget - spent
        steps = min(config.window, plan.steps(level, left))
        if steps < 2:
            yield Prolong(level, last=True)
            level, best, windows, wait = level - 1, 0.0, 0, 2
            continue
        rate, windows = _rate((yield Smooth(level, steps))), windows + 1
        spent += steps * plan.costs[level]
        best = max(best, rate)
        trial = config.window * plan.costs[level - 1]
        if windows < wait or rate > best / 2 or left < 4 * trial:
            continue
        yield Prolong(level)
        yield Smooth(level - 1, config.window)  # the first steps after a change of level recover from it
        above = _rate((yield Smooth(level - 1, config.window)))
        spent += 2 * trial
        if above >= rate:
            level, best, windows, wait = level - 1, above, 0, 2
        else:
            yield Restrict(level - 1)
            windows, wait = 0, 2 * wait
    yield _finish(plan, spent)


def derived_shares(levels: int) -> tuple[float, ...]:
    """Half of the work for the finest level, the rest equally for the others."""
    return (0.5, *(0.5 / (levels - 1) for _ in range(levels - 1))) if levels > 1 else (1.0,)


def _finish(plan: Plan, spent: float) -> Smooth:
    """What is left of the budget, on the finest level: at least one step, for whatever came up to it."""
    return Smooth(0, max(1, plan.steps(0, plan.budget - spent)))


def _rate(seen: Seen | None) -> float:
    """Fall of the loss, relative to it, per second."""
    if seen is None:  # the schedule is only counted
        return 0.0
    return (seen.early - seen.late) / max(abs(seen.late), 1e-12) / max(seen.seconds, 1e-9)


def _gamma(config: Config, plan: Plan, level: int, gamma: int) -> Events:
    below = [_gamma(config, plan, level + 1, gamma) for _ in range(gamma)] if level < plan.coarsest else []
    return _cycle(config, plan, level, below)


def _full(config: Config, plan: Plan, level: int) -> Events:
    below = [_full(config, plan, level + 1), _gamma(config, plan, level + 1, 1)] if level < plan.coarsest else []
    return _cycle(config, plan, level, below)


def _cycle(config: Config, plan: Plan, level: int, below: list[Events]) -> Events:
    """Smooth, go down, do there what `below` says (once, where that is the coarsest level), come back, smooth."""
    if level == plan.coarsest:
        yield Smooth(level, config.coarse)
        return
    if config.pre:
        yield Smooth(level, config.pre)
    yield Restrict(level)
    for visit in below[:1] if level + 1 == plan.coarsest else below:
        yield from visit
    yield Prolong(level + 1)
    if config.post:
        yield Smooth(level, config.post)


def _cycles(config: Config, plan: Plan, cycle: Callable[[int], Events]) -> Events:
    """As many cycles as the budget holds; what is left of it goes to the finest level."""
    each = sum(work(event, config, plan) for event in cycle(0))
    spent = 0.0
    while spent + each <= plan.budget:
        yield from cycle(0)
        spent += each
    yield _finish(plan, spent)


def work(event: Event, config: Config, plan: Plan) -> float:
    """Work of an event in steps of the finest level; a tau costs gradients on both sides.

    One that is computed for each batch adds to every coarse step a gradient on both sides of each pair of levels above.
    """
    if isinstance(event, Smooth):
        pairs = range(event.level) if config.tau == "batch" else ()
        return event.steps * (plan.costs[event.level] + sum(sum(plan.costs[at : at + 2]) for at in pairs))
    if isinstance(event, Restrict) and config.tau in ("constant", "decayed") and not event.fresh:
        return config.tau_batches * sum(plan.costs[event.level : event.level + 2])
    return 0.0
