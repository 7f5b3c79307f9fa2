"""The stages of a study, each a run of its own: what has not changed is found again and not done again.

A stage's key holds all that determines its result: settings, digests of what went in, and for what is
measured also the machine. The verbs export, compress and bench are these stages too, and so find what a
study made. Knows no ranking and no report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from netwright import export
from netwright.compress import METHODS
from netwright.core import artifact, recipe, table
from netwright.core.artifact import Artifact
from netwright.core.measurement import Measurement, in_result
from netwright.core.recipe import plain
from netwright.core.run import Run
from netwright.data.tasks import Evaluation, Task
from netwright.hardware import detect
from netwright.measure import bench, quality
from netwright.models.load import open_task
from netwright.train import training

DEFAULT_EXPORT = export.Config()


@dataclass(frozen=True)
class Job:
    """One format of one trained network, as plain data that travels to another process or machine."""

    runs: str
    source: str
    format: str
    compress: dict[str, Any] | None


def made(job: Job) -> list[str]:
    """Export a network, and compress it if asked: the folders of the artifacts, exported first."""
    runs, source = Path(job.runs), artifact.open(job.source)
    found = [exported(runs, source, job.format)]
    if job.compress is not None:
        method = recipe.config_of(METHODS, job.compress, "compress")
        found.append(compressed(runs, found[0], recipe.build(method, job.compress, "compress")))
    return [str(one.folder) for one in found]


def exported(
    runs: Path, source: Artifact, format: str, config: export.Config = DEFAULT_EXPORT, fresh: bool = False
) -> Artifact:
    """A torch artifact in another format, with its certificate."""
    with Run.start(runs, "export", {"artifact": source.digest, "format": format, "export": config}, fresh) as run:
        if not training.kept(run):
            task = open_task(source)
            run.finish(
                {"artifact": export.write(source, format, task, run.folder / "artifact", n=config.examples).digest}
            )
        return training.opened(run)


def compressed(runs: Path, source: Artifact, config: Any, fresh: bool = False) -> Artifact:
    """An artifact made smaller by one method."""
    method = table.resolve(METHODS, config.name, "compress.name", "netwright.methods")
    with Run.start(runs, "compress", {"artifact": source.digest, "compress": config}, fresh) as run:
        if not training.kept(run):
            made = method.apply(source, open_task(source), config, run.folder / "artifact", run)
            run.finish({"artifact": made.digest})
        return training.opened(run)


def evaluated(runs: Path, source: Artifact, task: Task, threads: int) -> tuple[Evaluation, Measurement]:
    """What an artifact answers on every test example, and its accuracy."""
    key = {"artifact": source.digest, "task": task.digest, "machine": detect.fingerprint(), "threads": threads}
    with Run.start(runs, "evaluate", key) as run:
        path = run.folder / "evaluation.safetensors"
        known = _answers(path) if run.done else None
        if known is None:
            seen, accuracy = quality.quality(source, task, "test", threads)
            seen_arrays: dict[str, Any] = {"correct": seen.correct_N.astype(np.uint8), "loss": np.asarray(seen.loss_N)}
            artifact.replace_file(path, lambda draft: save_file(seen_arrays, draft))
            run.finish({"measurements": [plain(accuracy)]})
            known = seen
        return known, Measurement(**run.result["measurements"][0])


def _answers(path: Path) -> Evaluation | None:
    """What was kept of an evaluation; None where it is lost or damaged, and has to be done again."""
    try:
        arrays = load_file(path)
        return Evaluation(arrays["correct"].astype(bool), arrays["loss"])
    except (OSError, SafetensorError, KeyError):
        return None


def benched(
    runs: Path, sources: Sequence[Artifact], config: bench.Config, fresh: bool = False
) -> tuple[Path, list[Measurement]]:
    """Speed, memory and size of all candidates, interleaved in one session, and the run's folder."""
    key = {"artifacts": [s.digest for s in sources], "bench": config, "machine": detect.fingerprint()}
    with Run.start(runs, "bench", key, fresh) as run:
        if not run.done:
            run.finish({"measurements": plain(bench.bench(sources, open_task(sources[0]), config, run))})
        return run.folder, in_result(run.result)
