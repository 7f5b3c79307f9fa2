"""Training on a network that a method has changed, and keeping what comes out: what such methods share.

Knows no method; the loop is the one of every training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from netwright.core import artifact as artifacts
from netwright.core import recipe
from netwright.core.artifact import Artifact
from netwright.core.error import UserError
from netwright.core.recipe import Range
from netwright.core.workload import Workload

if TYPE_CHECKING:
    from torch import nn

    from netwright.data.tasks import Task
    from netwright.train.step import Config as Training


@dataclass(frozen=True, kw_only=True)
class Retraining:
    """How long and how a network is trained on."""

    epochs: Annotated[int, Range(0, 100_000)] = 0
    """0 for a third of what the network was trained for, at least one; a student that begins anew has all of it."""
    lr: Annotated[float, Range(0, 1000)] = 0.0
    """0 for half of the network's, a tenth of it on grids, all of it where a student begins anew."""
    batch: Annotated[int, Range(0, 1_000_000)] = 0
    """0 for the network's."""
    seed: Annotated[int, Range(0, 2**31)] = 0
    """Of the order of examples."""
    threads: Annotated[int, Range(0, 4096)] = 0
    """CPU threads; 0 takes all that this process may use."""


def check_source(artifact: Artifact, method: str) -> None:
    """Raises UserError for an artifact that is no network of torch, or one whose layers are on grids already."""
    if artifact.format != "torch" or artifact.precision != "fp32" or "quantized" in artifact.model:
        raise UserError(
            "artifact", artifact.name, f'{method} takes an fp32 artifact of format "torch"',
            "give the one it was made from: its digest stands under parents in artifact.json",
        )  # fmt: skip


def continued(artifact: Artifact, config: Retraining, slower: float = 0.5, epochs: int = 0) -> Training:
    """The settings of training on: the network's own but for what `config` says.

    Where that is silent: `epochs`, or a third of the network's, at least one, at a rate lower by `slower`.
    """
    from netwright.train.step import Config as Training

    known = set(Training.__dataclass_fields__)
    own = {key: value for key, value in dict(artifact.made_by.get("train", {})).items() if key in known}
    first: Training = recipe.build(Training, {k: v for k, v in own.items() if k != "multilevel"}, "train")
    return replace(
        first,
        epochs=config.epochs or epochs or max(1, round(first.epochs / 3)),
        lr=config.lr or first.lr * slower,
        batch=config.batch or first.batch,
        seed=config.seed,
        threads=config.threads,
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
    from netwright.models.load import save

    return artifacts.create(
        folder,
        lambda draft: save(model, task, work, draft),
        format="torch",
        precision="fp32",
        task=artifact.task,
        model=dict(section),
        inputs=artifact.inputs,
        processor=artifact.processor,
        parents=(artifact.digest,),
        made_by={"verb": "compress", **made_by},
    )
