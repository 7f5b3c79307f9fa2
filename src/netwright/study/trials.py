"""Trials: what a study has made of a network so far, how well it answers, and what was decided about it, and why.

    trials = Trials(recipe, trained, task, runs, run)
    one = trials.made("prune keep=0.5 > int8", "openvino")
    trials.change(one)                  # of validation accuracy, paired with the network as trained
    trials.decide("keep it", "it loses 0.1 points at most")

Decisions are taken on the validation split, so that the test split stays fresh for the report. Everything made is a run
of its own and is found again. Knows no strategy, and no ranking.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netwright.compress import METHODS, chain
from netwright.core import artifact, workload
from netwright.core import recipe as recipes
from netwright.core.artifact import Artifact
from netwright.core.map import map
from netwright.core.measurement import Measurement
from netwright.core.recipe import Recipe, plain
from netwright.core.run import Run, console
from netwright.hardware import detect
from netwright.measure import bench, quality
from netwright.study import beginning, stages

if TYPE_CHECKING:
    from netwright.data.tasks import Evaluation, Task
    from netwright.train.training import Trained

NAMES = {"onnx": "ONNX Runtime", "openvino": "OpenVINO", "program": "ExportedProgram"}
REFERENCE = "PyTorch FP32"
COST = {"prune": 0.9, "distill": 1.2, "qat": 3.3}
"""Time of an epoch over that of the first training. Seen on CIFAR-10's ResNet-9 of width 32 in CPU time of one core,
where an epoch took 52 s: pruned to half of the work 44 s, on the grid with a teacher 169 s. A teacher's forward pass is
taken for a third of an epoch."""
SPENT = "spent.json"
QUICK: Mapping[str, Any] = {"seconds": 0.3, "rounds": 6, "memory": False}
"""Of a first look at speed; what the report says is measured longer."""


@dataclass(frozen=True)
class Chosen:
    """A candidate that is measured for the report."""

    label: str
    artifact: Artifact
    threads: int
    chain: str = ""


@dataclass(frozen=True)
class Training:
    """How long a step of a chain trains: epochs, and about how many seconds."""

    epochs: int
    seconds: float


@dataclass(frozen=True)
class Decision:
    """What was decided, the reason in figures, and the seconds of the study up to then."""

    what: str
    why: str
    seconds: float


class Trials:
    """Candidates by chain and format, the clock, and the decisions."""

    def __init__(self, recipe: Recipe, trained: Trained, task: Task, runs: Path, run: Run) -> None:
        self.recipe, self.trained, self.task, self.runs = recipe, trained, task, runs
        self.config: Any = recipe["study"]
        self.decisions: list[Decision] = []
        self.threads = recipe["bench"].threads or detect.usable_threads()
        self._spent = run.folder / SPENT
        self._before = float(artifact.read_json(self._spent)["seconds"]) if self._spent.is_file() else 0.0
        self._begin = time.monotonic()
        self._reference: Evaluation | None = None

    @property
    def seconds(self) -> float:
        """Spent on this study, over all its resumptions."""
        return self._before + time.monotonic() - self._begin

    @property
    def left(self) -> float:
        """Seconds of the budget; infinite without one."""
        return 60 * self.config.minutes - self.seconds if self.config.minutes else math.inf

    def decide(self, what: str, why: str) -> None:
        """Keep a decision, and tell it."""
        self.decisions.append(Decision(what, why, self.seconds))
        artifact.write_json(self._spent, {"seconds": self.seconds})
        console.print(f"  [bold]{what}[/bold]: {why}")

    @functools.cached_property
    def pace(self) -> tuple[int, float]:
        """Epochs of the network's training, and its seconds."""
        return beginning.pace(self.trained, self.runs)

    def settings(self) -> Mapping[str, Any]:
        """What the recipe says of methods, by their names."""
        return {name: plain(self.recipe[name]) for name in METHODS if name in self.recipe}

    def steps(self, text: str) -> tuple[Any, ...]:
        """The settings of a chain's steps; none of an empty one."""
        return chain.parse(text, self.settings(), "study.chains") if text else ()

    def trainings(self, text: str) -> dict[int, Training]:
        """What the steps of a chain that train will take, by their places: each trains what the one before left."""
        steps = self.steps(text)
        whole, took = self.pace if any(step.name in COST for step in steps) else (1, 0.0)
        last, found = whole, {}
        for at, step in enumerate(steps):
            if step.name in COST:
                last = step.epochs or max(1, round(last / 3))
                found[at] = Training(last, last * took / whole * COST[step.name])
        return found

    def made_all(self, wanted: Sequence[tuple[str, str]]) -> list[Artifact]:
        """The artifacts of (chain, format), in order; format "" is the network itself."""
        jobs = [
            stages.Job(
                str(self.runs.absolute()),
                str(self.trained.artifact.folder.absolute()),
                format,
                tuple(plain(step) for step in self.steps(text)),
            )
            for text, format in wanted
        ]
        found: dict[str, str] = {}
        for wave in stages.waves(jobs):
            folders = map(
                stages.made, wave, where=self.config.where, workers=self.config.workers, title="Compress and export"
            )
            found |= zip([recipes.digest(job) for job in wave], folders, strict=True)
        return [artifact.open(found[recipes.digest(job)]) for job in jobs]

    def made(self, text: str, format: str) -> Artifact:
        """One of them."""
        return self.made_all([(text, format)])[0]

    def change(self, made: Artifact) -> Measurement:
        """Of validation accuracy against the network as trained, paired by example."""
        if self._reference is None:
            self._reference = stages.evaluated(
                self.runs, self.trained.artifact, self.task, self.threads, "validation"
            )[0]  # fmt: skip
        seen, _ = stages.evaluated(self.runs, made, self.task, self.threads, "validation")
        return quality.accuracy_change(seen, self._reference, artifact=made.digest)

    def quick(self, made: Sequence[Artifact], threads: Sequence[int] = ()) -> list[Measurement]:
        """A first look at the latency of each, at the smallest batch of the recipe, in one session."""
        config: bench.Config = self.recipe["bench"]
        short = bench.Config(batch=(min(config.batch),), threads=config.threads, level=config.level, **QUICK)
        _, found = stages.benched(self.runs, made, short, threads=threads)
        return [one for one in found if one.quantity == "latency"]

    def memory(self, made: Artifact) -> Measurement:
        """Peak memory at the largest batch of the recipe."""
        config: bench.Config = self.recipe["bench"]
        _, found = stages.benched(self.runs, [made], replace(config, **{**QUICK, "memory": True}))
        return max((one for one in found if one.quantity == "peak_memory"), key=lambda one: one.value)

    def work(self, made: Artifact) -> float:
        """FLOPs over those of the network as trained."""
        return workload.read(made.folder).flops / workload.read(self.trained.artifact.folder).flops


def label(text: str, format: str) -> str:
    """What a candidate is called: `OpenVINO INT8`, `OpenVINO prune keep=0.5 > int8`."""
    kind = "FP32" if not text else text.upper() if text in chain.SHORT else text
    return f"{NAMES[format]} {kind}"
