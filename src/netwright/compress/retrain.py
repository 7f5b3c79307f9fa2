"""Training on a network that a method has changed, and keeping what comes out: what such methods share.

Knows no method; the loop is the one of every training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from netwright.core import artifact as artifacts
from netwright.core import recipe, workload
from netwright.core.artifact import Artifact
from netwright.core.error import UserError
from netwright.core.recipe import Range
from netwright.core.workload import Workload

if TYPE_CHECKING:
    from torch import nn

    from netwright.data.tasks import Task
    from netwright.train.step import Config as Training

Epochs = Annotated[int, Range(0, 100_000)]
Rate = Annotated[float, Range(0, 1000)]
Threads = Annotated[int, Range(0, 4096)]


def check_source(artifact: Artifact, method: str) -> None:
    """Raises UserError for an artifact that is no network of torch, or one whose layers are on grids already."""
    if artifact.format != "torch" or artifact.precision != "fp32" or "quantized" in artifact.model:
        raise UserError(
            "artifact", artifact.name, f'{method} takes an fp32 artifact of format "torch"',
            "give the one it was made from: its digest stands under parents in artifact.json",
        )  # fmt: skip


def continued(artifact: Artifact, epochs: int, lr: float, seed: int, threads: int, slower: float = 0.5) -> Training:
    """The settings of training on: the network's own, for a third of its epochs (at least one) and at a rate lower by
    `slower`, where `epochs` and `lr` are 0."""
    from netwright.train.step import Config as Training

    known = set(Training.__dataclass_fields__)
    own = {key: value for key, value in dict(artifact.made_by.get("train", {})).items() if key in known}
    first: Training = recipe.build(Training, {k: v for k, v in own.items() if k != "multilevel"}, "train")
    return replace(
        first,
        epochs=epochs or max(1, round(first.epochs / 3)),
        lr=lr or first.lr * slower,
        seed=seed,
        threads=threads,
        parallel="none",
    )


def saved(
    model: nn.Module,
    artifact: Artifact,
    task: Task,
    folder: Path,
    work: Workload,
    section: Mapping[str, Any],
    made_by: Mapping[str, Any],
) -> Artifact:
    """An artifact of format "torch" made from another: the network, its work, and the parent's processor."""
    from netwright.models.load import save_model

    def fill(draft: Path) -> None:
        save_model(model, draft)
        workload.write(work, draft)
        task.write_processor(draft)

    return artifacts.create(
        folder,
        fill,
        format="torch",
        precision="fp32",
        task=artifact.task,
        model=dict(section),
        inputs=artifact.inputs,
        processor=artifact.processor,
        parents=(artifact.digest,),
        made_by={"verb": "compress", **made_by},
    )
