"""How well an artifact answers, and whether it answers worse than another on the same examples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from netwright import export
from netwright.core.artifact import Artifact
from netwright.core.measurement import Measurement
from netwright.core.run import progress
from netwright.core.stats import clustered, z_value

if TYPE_CHECKING:
    from netwright.data.tasks import Evaluation, Split, Task


def quality(artifact: Artifact, task: Task, split: Split = "test", threads: int = 1) -> tuple[Evaluation, Measurement]:
    """Run an artifact over a split: what was seen on every example, and what says most: the accuracy or correlation."""
    runner = export.open(artifact, threads)
    with progress(f"evaluating {artifact.format} {artifact.precision}", task.size(split)) as advance:

        def predict(inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
            logits_BK = runner(inputs)
            advance(len(logits_BK))
            return logits_BK

        seen = task.evaluate(predict, split)
    conditions = {"split": split, "executed": runner.precision, "format": artifact.format, "threads": threads}
    return seen, seen.judged(artifact=artifact.digest, conditions=conditions)[0]


def change(candidate: Evaluation, reference: Evaluation, **about: Any) -> Measurement:
    """What the candidate answers better than the reference, in pairs: a change of the accuracy or correlation."""
    from netwright.data.regression import Estimates

    if isinstance(candidate, Estimates) and isinstance(reference, Estimates):
        return candidate.correlation_change(reference, **about)
    return accuracy_change(candidate, reference, **about)


def accuracy_change(candidate: Evaluation, reference: Evaluation, level: float = 0.95, **about: Any) -> Measurement:
    """Accuracy of the candidate minus that of the reference, from the examples on which they differ.

    The interval is Agresti and Min's (2005, https://doi.org/10.1002/sim.1781): half an example added to
    each cell of the two-by-two table. Unlike the bootstrap it keeps a width where no example differs. Of tokens it is
    one over texts, for those of one text are alike.
    """
    if candidate.correct_N.shape != reference.correct_N.shape:
        raise ValueError(f"{len(candidate.correct_N)} examples cannot be paired with {len(reference.correct_N)}")
    n = len(candidate.correct_N)
    won = int((candidate.correct_N & ~reference.correct_N).sum())
    lost = int((reference.correct_N & ~candidate.correct_N).sum())
    value, total = (won - lost) / n, n + 2
    text_N = candidate.text_N
    if text_N is not None and won + lost and text_N.min() < text_N.max():
        mean = clustered(candidate.correct_N.astype(np.float64) - reference.correct_N, text_N, level)
        low, high, n = mean.low, mean.high, mean.n
    else:
        middle, discordant = (won - lost) / total, (won + lost + 1) / total
        half = z_value(level) * math.sqrt((discordant - middle**2) / total)
        low, high = middle - half, middle + half
    return Measurement(
        quantity="accuracy_change",
        value=value,
        low=max(-1.0, min(value, low)),
        high=min(1.0, max(value, high)),
        level=level,
        n=n,
        **{"conditions": {"won": won, "lost": lost}, **about},
    )
