"""The whole reference predictor: ResNet-50 and the trained layers after it in one network, from pixels to an estimate.

    artifact = joined(Path("runs"), trained.artifact)     # inputs image (3, 224, 224) and parameters (8)
    small = smaller(Path("runs"), artifact, "int8")       # the same in INT8, below 100 MB

What is trained reads features, each computed once; what is deployed reads images. Trains nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from netwright import export
from netwright.compress import chain
from netwright.core import artifact as artifacts
from netwright.core import recipe
from netwright.core.artifact import Artifact
from netwright.core.measurement import Measurement
from netwright.core.recipe import plain
from netwright.core.run import Run, progress
from netwright.data.regression import Estimates
from netwright.data.tasks import Batch
from netwright.models import facts, load, regressor
from netwright.study import stages
from netwright.svg.task import Config, SvgQuality, open
from netwright.train import training

EXPORT = export.Config(examples=100)
"""A hundred examples settle whether a file equals its source: each costs a ResNet-50 in both."""


def joined(runs: Path, trained: Artifact) -> Artifact:
    """A torch artifact of image and parameters, of a trained one of features. Fetches ResNet-50 where it is missing."""
    with Run.start(runs, "join", {"artifact": trained.digest, "backbone": regressor.BACKBONE}) as run:
        if not training.kept(run):
            settings = {**section(trained), "see": "pixels"}
            task = task_of(settings)
            config = recipe.build(regressor.Config, trained.model, "model")
            model = regressor.build(config, task.inputs, 1).eval()
            assert isinstance(model, regressor.Whole)
            model.initialize({})
            model.regressor.load_state_dict(load.open_model(trained).state_dict())
            made = artifacts.create(
                run.folder / "artifact",
                lambda draft: load.save(model, task, facts.trace(model, task.example(1)), draft),
                format="torch",
                precision="fp32",
                task={**settings, "classes": list(task.classes), "digest": task.digest},
                model=dict(trained.model),
                inputs=plain(dict(task.inputs)),
                processor=dict(task.processor),
                parents=(trained.digest,),
                made_by={"verb": "join", "source": regressor.BACKBONE, "train": trained.made_by.get("train", {})},
            )
            run.finish({"artifact": made.digest})
        return training.opened(run)


def smaller(runs: Path, full: Artifact, steps: str, format: str = "openvino") -> Artifact:
    """The whole as a file of a runtime, made smaller by methods (`compress.chain`): FP32 has 105 MB."""
    return stages.carried_out(runs, full, chain.written_in(chain.parse(steps), format))


def compared(small: Artifact, trained: Artifact, rows: int = 300) -> list[Measurement]:
    """Of rows of the test split: the correlation of what the whole made smaller estimates with what was measured, and

    its change against the network as it was trained, in pairs. Each row costs a ResNet-50.
    """
    task, seeing = task_of(section(trained)), task_of({**section(trained), "see": "pixels"})
    picks_N = np.random.default_rng(0).permutation(task.size("test"))[:rows]
    runner, network = export.open(small), export.open(trained)
    found = []
    with progress("testing the whole", len(picks_N)) as advance:
        for part_B in torch.from_numpy(picks_N).split(16):
            pixels, features = seeing.batch("test", part_B), task.batch("test", part_B)
            answers = [runner(_arrays(pixels)), network(_arrays(features)), features.labels_B.numpy()[:, None]]
            found.append(np.concatenate(answers, 1))
            advance(len(part_B))
    got_N, want_N, measured_N = np.concatenate(found).T
    group_N = task.groups("test")[picks_N]
    mine, reference = (Estimates.of(x_N, measured_N, group_N) for x_N in (got_N, want_N))
    told: dict[str, Any] = {"artifact": small.digest, "conditions": {"split": "test", "rows": len(picks_N)}}
    return [mine.correlation(**told), mine.correlation_change(reference, **told)]


def _arrays(batch: Batch) -> dict[str, Any]:
    return {name: x.numpy() for name, x in batch.inputs.items()}


def section(of: Artifact) -> dict[str, Any]:
    """The settings of an artifact's task."""
    return {key: value for key, value in of.task.items() if key not in ("classes", "digest")}


def task_of(settings: Mapping[str, Any]) -> SvgQuality:
    """The task of such settings."""
    return open(recipe.build(Config, settings, "task"))
