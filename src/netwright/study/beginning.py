"""What a study begins with: the network that its recipe trains, or one that was trained before.

    first = source(recipe)              # None where the recipe trains its own
    trained = found(first) if first else training.train(recipe, runs)

Knows no strategy, and no report.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from netwright.compress import retrain
from netwright.core import artifact as artifacts
from netwright.core.artifact import Artifact
from netwright.core.error import UserError
from netwright.core.measurement import Measurement
from netwright.core.recipe import Recipe
from netwright.core.run import state
from netwright.models.load import open_model, open_task
from netwright.train.plan import plan
from netwright.train.training import Trained

TRAINS = ("task", "model")
"""Sections with which a recipe trains a network of its own."""


def source(recipe: Recipe) -> Artifact | None:
    """The artifact that `study.source` names.

    Raises UserError for a recipe that describes a network beside it, and for an artifact that is no fp32 network of
    torch.
    """
    named: str = recipe["study"].source
    if not named:
        return None
    for section in TRAINS:
        if section in recipe:
            raise UserError(
                "study.source", named, f"without [{section}]: an artifact has its own", f"take [{section}] out of it"
            )
    found = artifacts.open(Path(named))
    retrain.check_source(found, "a study")
    return found


def found(artifact: Artifact) -> Trained:
    """An artifact as if it had just been trained; what its training took is known where its run is there."""
    folder = artifact.folder.parent if artifact.folder.name == "artifact" else artifact.folder
    told: dict[str, Any] = state(folder) if (folder / "run.json").is_file() else {}
    result = told.get("result") if told.get("verb") == "train" else None
    if not isinstance(result, dict):
        return Trained(folder, artifact, (), (), reused=True)
    measurements = tuple(Measurement(**row) for row in result["measurements"])
    return Trained(folder, artifact, measurements, tuple(result["plan"]), reused=True)


def pace(trained: Trained, runs: Path) -> tuple[int, float]:
    """Epochs of a network's training and the seconds that they took, or should take here where nobody knows."""
    config = retrain.continued(trained.artifact, retrain.Retraining(), slower=1.0, epochs=0)
    own = trained.artifact.made_by.get("train", {})
    epochs = int(own.get("epochs", config.epochs))
    took = next((m.value for m in trained.measurements if m.quantity == "training_time"), None)
    if took is None:
        planned = plan(open_model(trained.artifact), open_task(trained.artifact), config, runs)
        took = next((m.value / config.epochs * epochs for m in planned if m.quantity == "training_time"), 0.0)
    return epochs, took
