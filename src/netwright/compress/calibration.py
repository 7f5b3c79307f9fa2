"""Which examples activations are observed on, how many, and what memory that takes.

Calibration examples are of the training split, neither augmented nor labelled, in an order drawn from a seed. How many
is settled by stability: the count doubles until doubling it moves the answers on held-out examples by less than
`STEADY` of what quantization itself moves them. Does not know how a model is quantized.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from netwright.core import workload
from netwright.core.artifact import Artifact
from netwright.core.error import UserError
from netwright.core.measurement import Measurement, readable
from netwright.hardware import detect

if TYPE_CHECKING:
    from netwright.data.tasks import Task

FEWEST, MOST = 32, 1024
"""Examples with which the search for a count begins, and at which it ends."""
STEADY = 0.5
"""A calibration is steady when twice the examples move the answers by less than this share of the whole change."""
PROBE = 128
"""Validation examples on which answers are compared."""
COPIES = 4.0
"""Copies of the weights that a quantizer holds at its peak: the graph, its clone, integers, what it writes."""
BASE = 350e6
"""Bytes of a quantizer's own code and tables, beside the model."""
SPREAD = 2.0
"""Factor of the interval around a planned peak, in both directions."""
Inputs = Mapping[str, NDArray[Any]]
Answer = Callable[[Inputs], NDArray[np.float32]]


class Examples:
    """Single training examples, the same at every reading; `advance` is told at the first reading."""

    def __init__(self, task: Task, seed: int, count: int, advance: Callable[[], object] = lambda: None) -> None:
        self.task, self.seed, self.advance = task, seed, advance
        self.count = min(count, task.size("train"))

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Inputs]:
        advance, self.advance = self.advance, lambda: None
        for index in self.indices():
            advance()  # before: nobody asks for what comes after the last
            yield {name: x.numpy() for name, x in self.task.batch("train", index[None]).inputs.items()}

    def batches(self, size: int) -> Iterator[Mapping[str, Any]]:
        """The same as tensors, `size` at a time."""
        for indices in self.indices().split(size):
            yield self.task.batch("train", indices).inputs

    def indices(self) -> Any:
        """Which training examples, as a tensor."""
        import torch

        generator = torch.Generator().manual_seed(self.seed)
        return torch.randperm(self.task.size("train"), generator=generator)[: self.count]


@dataclass(frozen=True)
class Trial:
    """A count of examples, and how far answers were from those with half as many and from the reference, relative."""

    samples: int
    moved: float | None
    error: float

    @property
    def steady(self) -> bool:
        return self.moved is not None and math.isfinite(self.error) and self.moved <= STEADY * self.error


def settle(make: Callable[[int], tuple[Any, Answer]], reference: Answer, task: Task) -> tuple[Any, list[Trial]]:
    """The first steady calibration: what `make(count)` made, and the counts that were tried.

    `make` gives a quantized model and how it answers. All examples, or `MOST`, are taken where none is steady.
    """
    probe = [{name: x.numpy() for name, x in task.batch("validation", at).inputs.items()} for at in _probe(task)]
    want = _answers(reference, probe)
    whole = min(MOST, task.size("train"))
    count, trials = min(FEWEST, whole), list[Trial]()
    before: NDArray[np.float32] | None = None
    while True:
        made, answer = make(count)
        got = _answers(answer, probe)
        moved = None if before is None else distance(got, before)
        trials.append(Trial(count, moved, distance(got, want)))
        if trials[-1].steady or count >= whole:
            return made, trials
        count, before = min(2 * count, whole), got


def distance(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """|a - b| / |b|, Euclidean; infinite where one of them is not finite."""
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return math.inf
    return float(np.linalg.norm(a - b) / max(float(np.linalg.norm(b)), 1e-30))


def memory(artifact: Artifact) -> Measurement | None:
    """Peak memory that quantizing this artifact is expected to take; None where it has no workload."""
    if workload.FILE not in artifact.files:
        return None
    work = workload.read(artifact.folder)
    value = BASE + COPIES * work.stored_bytes + 2 * work.peak_bytes / work.batch
    return Measurement(
        quantity="peak_memory", value=value, low=value / SPREAD, high=value * SPREAD, n=0, source="predicted"
    )


def check_memory(artifact: Artifact) -> None:
    """Raises UserError where a calibration is expected to take more memory than is free, even at best."""
    planned, free = memory(artifact), detect.detect().memory_available
    if planned is not None and free and planned.low > free:
        raise UserError(
            "memory", artifact.name, f"quantizing takes about {planned}, and {readable(free, 'B')} are free",
            "close what else runs, or take a machine with more memory",
        )  # fmt: skip


def _probe(task: Task) -> list[Any]:
    import torch

    return list(torch.arange(min(PROBE, task.size("validation"))).split(16))


def _answers(answer: Answer, probe: Sequence[Inputs]) -> NDArray[np.float32]:
    return np.concatenate([np.array(answer(inputs)).ravel() for inputs in probe])
