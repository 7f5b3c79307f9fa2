"""Multilevel: the state of a training through levels, carried by the one loop as a plain training is.

    training = Multilevel(model, task, Config(multilevel=schedules.Config(schedule="cascade")), team)
    while not training.done:
        loss = training.one_step()         # of whichever level the schedule is at

It carries out the events of a schedule: a `Smooth` is so many steps on a level, a `Restrict` or `Prolong` what passes
between two. A checkpoint holds all levels that are still needed, and the number of events behind it, so that a run that
was killed in the middle of a cycle goes on to the same bits. Does not know when to evaluate, to save or to stop.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from dataclasses import astuple
from typing import Any, Literal

import torch
from torch import Tensor, nn

from netwright.core import table
from netwright.core.error import UserError
from netwright.data.tasks import Batch, Evaluation, Task, lengths
from netwright.train import checkpoint
from netwright.train.multilevel import SCHEDULES, cost, schedules, views
from netwright.train.multilevel.correction import (
    Guard,
    batch_norms,
    correct,
    correct_state,
    counted_anew,
    displacement,
    grow,
    own_statistics,
    restrict,
    restrict_state,
    sample,
    tau,
)
from netwright.train.multilevel.cost import batch_of
from netwright.train.multilevel.depth import close
from netwright.train.multilevel.ladder import Ladder, Net
from netwright.train.multilevel.schedules import Plan, Prolong, Restrict, Seen, Smooth
from netwright.train.parallel import Team
from netwright.train.step import Config, Training, copy_state, mix, predictor, seed_device, to_device

RECALIBRATED = 4
"""Batches that running statistics are counted on after a transfer."""


class Multilevel(Training):
    """A `Training` whose model, optimizer and running average are those of the level it is at."""

    def __init__(self, model: nn.Module, task: Task, config: Config, team: Team) -> None:
        if team.kind not in ("none", "ddp"):
            raise UserError("train.parallel", team.kind, "levels are copied whole: none or ddp", "train.parallel=ddp")
        settings = self.settings = config.multilevel
        schedule = table.resolve(SCHEDULES, settings.schedule, "train.multilevel.schedule", "netwright.schedules")
        super().__init__(model, task, config, team)
        self.views = [views.view(settings, level, task, self.model) for level in range(settings.levels)]
        self._build(views.longest(task))
        self.schedule = schedule
        self.total_steps = sum(self.tally().values())
        self.guard = Guard(settings.tolerance, settings.trust)
        self._work = 0.0
        self._journal: list[Seen] = []
        self._visits: dict[int, int] = {}
        """How often each level was restricted."""
        self._rows: list[tuple[int, dict[str, float]]] = []
        self._since = 0
        self._start()

    def _build(self, example: Mapping[str, Tensor]) -> None:
        """The networks of all levels, and what a step on each costs."""
        first = Net(self.model, self.wrapped, self.optimizer, self.average)
        self.ladder = Ladder(first, self.config, self.team, example)
        self.nets, self.which = self.ladder.nets, self.ladder.which
        self.plan = Plan(self._costs(example), self.total_work)

    # what the loop asks for

    @property
    def work(self) -> float:
        return self._work

    @property
    def age(self) -> int:
        return self.here.age

    @property
    def here(self) -> Net:
        """The network that is trained now."""
        return self.nets[self.which[self.level]]

    @property
    def done(self) -> bool:
        return self.event is None

    def tally(self) -> dict[int, int]:
        found = dict.fromkeys(range(self.settings.levels), 0)
        for event in self.schedule(self.settings, self.plan):
            if isinstance(event, Smooth):
                found[event.level] += event.steps
        return found

    def place(self) -> dict[str, float]:
        return {"level": self.level, "work": self.work}

    def happened(self) -> list[tuple[int, dict[str, float]]]:
        rows, self._rows = self._rows, []
        return rows

    def rate(self) -> float:
        rate = super().rate() * self.settings.lr_scale**self.level
        return rate * min(1.0, (self._since + 1) / (self.settings.rewarm + 1))

    def batch(self, step: int) -> Batch:
        return self.views[self.level].of(super().batch(step))

    def evaluate(self, split: Literal["validation", "test"]) -> Evaluation:
        view = self.views[self.level]
        with self.kept_weights(), view.within(self.model):
            answer = predictor(self.model, self.team.device, self.autocast)
            return self.task.evaluate(lambda arrays: answer(view.of_arrays(arrays)), split)

    def enter(self, level: int) -> None:
        self.level = level
        here = self.here
        self.model, self.wrapped, self.optimizer, self.average = here.model, here.wrapped, here.optimizer, here.average

    def one_step(self, lr: float | None = None) -> Tensor:
        while not (isinstance(self.event, Smooth) and self.left):
            self._carry_out()
        begin = time.perf_counter()
        with self.views[self.level].within(self.model):
            loss = super().one_step(lr)
        self._seconds += time.perf_counter() - begin
        self._losses.append(loss)
        self._work += self.cost
        self._since += 1
        self.here.age += 1
        self.here.trained = True
        self.left -= 1
        if not self.left:
            self._next(self._seen())
        return loss

    @property
    def cost(self) -> float:
        """Work of a step here."""
        return schedules.work(Smooth(self.level, 1), self.settings, self.plan)

    # events

    def _start(self) -> None:
        self.events = self.schedule(self.settings, self.plan)
        self.passed = 0
        self.event = next(self.events)
        self._begin()

    def _begin(self) -> None:
        self.left = self.event.steps if isinstance(self.event, Smooth) else 0
        self._losses: list[Tensor] = []
        self._seconds = 0.0

    def _next(self, seen: Seen | None = None) -> None:
        """The event is over: go on to the next one, telling the schedule what this one showed."""
        if isinstance(self.event, Smooth):
            self._journal.append(seen or Seen(0.0, 0.0, 0.0))
        self.passed += 1
        try:
            self.event = self.events.send(seen)
        except StopIteration:
            self.event = None
        self._begin()

    def _seen(self) -> Seen:
        losses_S = torch.stack([loss.float() for loss in self._losses])
        half = max(1, len(losses_S) // 2)
        early, late = (float(self.team.mean(part.mean())) for part in (losses_S[:half], losses_S[-half:]))
        seen: Seen = self.team.agree(Seen(early, late, self._seconds))
        return seen

    def _carry_out(self) -> None:
        event = self.event
        if isinstance(event, Smooth):
            self._next(Seen(0.0, 0.0, 0.0))  # no steps
            return
        assert event is not None, "a schedule ends with steps on the finest level"
        if event.level != self.level:
            raise ValueError(f"{self.settings.schedule} leaves level {event.level} while at level {self.level}")
        row = self._restrict(event) if isinstance(event, Restrict) else self._prolong(event)
        self._work += schedules.work(event, self.settings, self.plan)
        self._since = 0
        self._rows.append((self.step, {"work": self.work, **row}))
        self._next()
        if isinstance(self.event, Smooth) and self.event.level != self.level:
            raise ValueError(f"{self.settings.schedule} trains level {self.event.level} while at level {self.level}")

    def _restrict(self, event: Restrict) -> dict[str, float]:
        fine = self.here
        upper = self.level
        self.enter(upper + 1)
        if self.here is fine:
            return {"to_level": self.level}
        at = self.which[upper]
        coarse = self.here
        if event.fresh:
            sample(fine.model, coarse.model, self.ladder.passage(at))
        else:
            if self._visits.get(upper, 0) % self.settings.rematch == 0:
                self.ladder.rematch()
            self._visits[upper] = self._visits.get(upper, 0) + 1
            restrict(fine.model, coarse.model, self.ladder.passage(at))
            restrict_state(fine, coarse, self.ladder.passage(at), self.settings.state)
        coarse.age, coarse.tau, coarse.origin = 0, {}, None
        self._recalibrate()
        if self.settings.tau in ("constant", "decayed") and not event.fresh:
            steps = range(max(0, self.step - self.settings.tau_batches), self.step) or range(1)
            coarse.tau = self._tau(upper, steps, coarse.model, fine.tau)
        return {"to_level": self.level}

    def _prolong(self, event: Prolong) -> dict[str, float]:
        coarse = self.here
        self.enter(self.level - 1)
        if self.here is coarse:
            return {"to_level": self.level}
        at, settings = self.which[self.level], self.settings
        fine, passage = self.here, self.ladder.passage(at)
        row = {"to_level": self.level, "displacement": displacement(fine.model, coarse.model, passage)}
        before = copy_state(fine.model) if fine.trained and settings.safeguard else {}

        def apply(share: float) -> None:
            correct(fine.model, coarse.model, passage, share, settings.detail)

        def undo() -> None:
            with torch.no_grad():
                for name, value in fine.model.state_dict().items():
                    value.copy_(before[name])

        if not fine.trained and self.ladder.halved[at] and not self.ladder.closing[at]:
            correct(fine.model, coarse.model, passage, detail=settings.detail)  # no block passes its input on: copies
        elif not fine.trained:
            grow(fine.model, coarse.model, passage, settings.growth == "expand", settings.detail)
            close(fine.model, self.ladder.closing[at])
        elif settings.safeguard:
            found = self.guard.pass_on(apply, undo, self._probe(), settings.alpha, row["displacement"])
            row |= dict(zip(("accepted", "loss_before", "loss_after"), found, strict=True))
        else:
            apply(settings.alpha)
        has_new = not fine.trained and (settings.growth == "expand" or bool(self.ladder.halved[at]))
        if row.get("accepted", 1.0) >= settings.alpha and not has_new:  # what is new has no past
            correct_state(fine, coarse, passage, settings.state)
        if event.last:
            coarse.needed = False
            coarse.optimizer.state.clear()
            coarse.average.clear()
        self._recalibrate()
        return row

    def _costs(self, example: Mapping[str, Tensor]) -> tuple[float, ...]:
        """Cost of a step on each level, over that on the finest."""
        found, sizes = [], lengths(self.task, "train")
        for view, at in zip(self.views, self.which, strict=True):
            seen, model = view.usual(batch_of(example, self.config.batch), sizes), self.nets[at].model
            with self.autocast(), view.within(model):
                found.append(cost.step(model, seen, self.config.optimizer, self.team.device.type))
        return tuple(each / found[0] for each in found)

    # gradients

    def tau(self) -> Mapping[str, Tensor]:
        settings, here = self.settings, self.here
        if settings.tau == "none" or not self.which[self.level]:
            return {}
        if settings.tau == "batch":
            return self._anew(self.level)
        if settings.tau == "decayed" and here.tau:
            torch._foreach_mul_(list(here.tau.values()), settings.decay)
        return here.tau

    def _anew(self, level: int) -> dict[str, Tensor]:
        """tau of a level on the batch of this step, where the level's weights came from: R of the finer ones."""
        upper = self._finer(level)
        if upper is None:
            return {}
        at = self.which[upper]
        coarse = self.nets[at + 1]
        if coarse.origin is None:
            coarse.origin = copy.deepcopy(coarse.model)
            restrict(self.nets[at].model, coarse.origin, self.ladder.passage(at))
        return self._tau(upper, range(self.step, self.step + 1), coarse.origin, self._anew(upper))

    def _tau(self, upper: int, steps: range, coarse: nn.Module, above: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """tau between level `upper` and `coarse`, which holds its weights restricted, on the batches of these steps."""
        at = self.which[upper]
        below = self._gradient(coarse, self.which.index(at + 1), steps)
        return tau(below, self._gradient(self.nets[at].model, upper, steps), above, self.ladder.passage(at))

    def _finer(self, level: int) -> int | None:
        """The coarsest level of the next greater width, or None at the greatest."""
        wider = [at for at in range(level) if self.which[at] < self.which[level]]
        return wider[-1] if wider else None

    def _gradient(self, model: nn.Module, level: int, steps: range) -> dict[str, Tensor]:
        """Mean gradient of the loss over the batches of these steps, as training sees them."""
        total: dict[str, Tensor] = {}
        named = {name: p for name, p in model.named_parameters() if p.requires_grad}
        for step in steps:
            with own_statistics(model):
                loss = self._loss(model, level, step)
            gradients = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
            for name, gradient in zip(named, gradients, strict=True):
                if gradient is not None:
                    total[name] = total[name] + gradient if name in total else gradient
        return {name: self.team.mean(gradient / len(steps)) for name, gradient in total.items()}

    def _loss(self, model: nn.Module, level: int, step: int) -> Tensor:
        seed_device(self.team.device, mix(self.config.seed, "step", step, self.team.rank))
        batch = to_device(self.views[level].of(super().batch(step)), self.team.device)
        with self.autocast(), self.views[level].within(model):
            return self.task.loss(model, batch, self.config.smoothing)

    def _probe(self) -> Any:
        """The loss of the finer network on the next batch, as a function without arguments."""

        def loss() -> float:
            with torch.no_grad(), own_statistics(self.model):
                return float(self.team.mean(self._loss(self.model, self.level, self.step)))

        return loss

    def _recalibrate(self) -> None:
        """Count the running statistics of batch normalization anew, on the last batches."""
        if not batch_norms(self.model):
            return
        self.model.train()
        with torch.no_grad(), counted_anew(self.model):
            for step in range(max(0, self.step - RECALIBRATED), max(1, self.step)):
                self._loss(self.model, self.level, step)

    # checkpoints

    def tensors(self) -> dict[str, Tensor]:
        level = self.level
        self.enter(0)
        flat = super().tensors()
        self.enter(level)
        for at, width in enumerate(self.nets[1:], 1):
            if width.needed:
                parts = {"model": width.model.state_dict(), "average": width.average, "tau": width.tau}
                flat |= {f"width{at}.{kind}.{name}": x for kind, of in parts.items() for name, x in of.items()}
                flat |= {f"width{at}.{name}": x for name, x in checkpoint.optimizer_tensors(width.optimizer).items()}
        for at, matching in enumerate(self.ladder.matching()):
            flat |= {f"matching{at}.{name}": x for name, x in matching.items()}
        return flat

    def meta(self) -> dict[str, Any]:
        return super().meta() | {
            "level": self.level,
            "work": self._work,
            "passed": self.passed,
            "left": self.left,
            "since": self._since,
            "radius": self.guard.radius,
            "journal": [astuple(seen) for seen in self._journal],
            "visits": list(self._visits.items()),
            "widths": [[width.age, width.trained, width.needed] for width in self.nets],
        }

    def restore(self, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
        self.enter(0)
        super().restore({n: x for n, x in tensors.items() if not n.startswith(("width", "matching"))}, meta)
        for at, width in enumerate(self.nets):
            width.age, width.trained, width.needed = meta["widths"][at]
            own = _under(f"width{at}.", tensors)
            if at and width.needed:
                checkpoint.restore_model(width.model, own, "model.")
                for name, value in _under("average.", own).items():
                    width.average[name].copy_(value)
                width.tau = {name: x.to(self.team.device) for name, x in _under("tau.", own).items()}
                states = {name: x for name, x in own.items() if name.startswith("optimizer.")}
                checkpoint.restore_optimizer(width.optimizer, states)
        self.ladder.set_matching([_under(f"matching{at}.", tensors) for at in range(len(self.nets) - 1)])
        self.guard.radius, self._work, self._since = meta["radius"], meta["work"], meta["since"]
        self._visits = dict(meta["visits"])
        self._journal = []
        self._start()
        journal = iter(meta["journal"])
        for _ in range(meta["passed"]):
            self._next(Seen(*next(journal)) if isinstance(self.event, Smooth) else None)
        self.left = meta["left"]
        self.enter(meta["level"])


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
