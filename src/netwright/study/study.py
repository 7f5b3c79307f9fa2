"""study(): from a recipe to a front and a report: train, compress, export, measure, predict, rank.

    found = study(recipe.load(Path("recipes/quickstart.toml"), [], SECTIONS), Path("runs"))
    found.report        # the page

Every candidate is a format and a precision of one trained network. Each stage is a run of its own
(`study.stages`), so a study that was killed goes on, and one that has changed a little does little.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from netwright.compress import METHODS
from netwright.core import artifact, table, workload
from netwright.core.artifact import Artifact
from netwright.core.error import UserError
from netwright.core.map import Where, map
from netwright.core.measurement import Measurement, exact
from netwright.core.recipe import Range, Recipe, Section, plain
from netwright.core.run import Run, console
from netwright.data.tasks import Task
from netwright.hardware import catalog, detect
from netwright.hardware.device import Device
from netwright.measure import bench, quality
from netwright.predict import PREDICTORS
from netwright.study import report, stages
from netwright.study.pareto import Candidate, Objective
from netwright.train import training
from netwright.train.training import Trained

REFERENCE = "PyTorch FP32"
NAMES = {"onnx": "ONNX Runtime", "openvino": "OpenVINO", "program": "ExportedProgram"}
NEEDED = 200_000_000
"""Bytes that a study may write: checkpoints, exports, report."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Which candidates, by what they are ranked, and for which other devices they are predicted."""

    formats: tuple[Literal["onnx", "openvino", "program"], ...] = ("onnx", "openvino")
    objectives: tuple[Objective, ...] = ("accuracy", "latency", "size")
    max_drop: Annotated[float, Range(0, 1)] = 0.003
    """Largest loss of accuracy against the trained network, as a fraction."""
    devices: tuple[str, ...] = ()
    """Names in the hardware catalogue; see `netwright hardware list`."""
    predictor: Literal["learned", "roofline"] = "learned"
    batches: Annotated[tuple[int, ...], Range(1, 1_000_000)] = (1,)
    """Batch sizes of the predictions."""
    where: Where = "here"
    """Where formats are made: one after another here, over processes, or over a Ray cluster that shares the
    folder of runs. What is timed is always timed here, one session for all."""
    workers: Annotated[int, Range(1, 10_000)] = 2


SECTIONS: dict[str, Section] = {**training.SECTIONS, "compress": METHODS, "bench": bench.Config, "study": Config}
"""What a study's recipe may hold; without [compress] only the network as trained is exported."""


@dataclass(frozen=True)
class Study:
    """A finished study: its run folder, its report, and everything in the report as plain data."""

    folder: Path
    summary: dict[str, Any]
    reused: bool

    @property
    def report(self) -> Path:
        return self.folder / report.HTML


def study(recipe: Recipe, runs: Path, fresh: bool = False) -> Study:
    """Do, or find again, everything that a recipe asks for.

    Raises UserError before any work for what the recipe cannot have: an unknown device or format, a
    missing extra, a full disk.
    """
    config: Config = recipe["study"]
    devices = check(recipe, runs)
    task, _ = training.prepare(recipe)
    key = {"recipe": plain(recipe.sections), "task": task.digest, "machine": detect.fingerprint()}
    with Run.start(runs, "study", key, fresh) as run:
        if run.done and all((run.folder / name).is_file() for name in (report.HTML, report.MARKDOWN, report.JSON)):
            return Study(run.folder, artifact.read_json(run.folder / report.JSON, 100_000_000), reused=True)
        artifact.replace_file(run.folder / "recipe.toml", lambda draft: draft.write_text(recipe.toml()))
        _say("1/6 Train")
        trained = training.train(recipe, runs)
        assert trained is not None  # only a process of a team gets none
        _say("2/6 Compress and export")
        sources = _sources(recipe, trained, runs)
        _say("3/6 Evaluate on the test split")
        candidates = _measured(sources, recipe, task, runs)
        _say("5/6 Predict for other devices")
        predictions = predict(candidates, devices, config)
        _say("6/6 Report")
        summary = report.summarize(recipe, trained, candidates, predictions, run.folder)
        report.write(summary, candidates, predictions, trained, run.folder)
        run.finish({"report": report.HTML, "measurements": [plain(m) for c in candidates for m in c.figures.values()]})
        return Study(run.folder, summary, reused=False)


def check(recipe: Recipe, runs: Path) -> list[Device]:
    """Refuse what cannot be done, before anything is; returns the devices to predict for."""
    config: Config = recipe["study"]
    _each_once("study.formats", config.formats, '["openvino"]')
    _each_once("study.objectives", config.objectives, '["accuracy", "latency"]')
    _each_once("study.batches", config.batches, "[1]")
    _each_once("bench.batch", recipe["bench"].batch, "[1, 64]")
    if "accuracy" not in config.objectives:
        raise UserError("study.objectives", list(config.objectives), "accuracy and others", "add accuracy")
    if recipe["train"].parallel != "none":
        raise UserError(
            "train.parallel", recipe["train"].parallel, "none: a study runs in one process", "train.parallel=none"
        )
    if "compress" in recipe and recipe["compress"].name != "int8":
        raise UserError(
            "compress.name", recipe["compress"].name, "int8: what is pruned is a network of its own",
            "netwright compress RUN --method prune; netwright export and bench of what it makes",
        )  # fmt: skip
    if "compress" in recipe and config.formats == ("program",):
        raise UserError(
            "study.formats", ["program"], "onnx or openvino among them: [compress] has nothing to work on",
            'study.formats=["program", "openvino"]',
        )  # fmt: skip
    for package in {"openvino": ("openvino",), "onnx": ("onnx", "onnxscript", "onnxruntime"), "program": ()}.items():
        for name in package[1] if package[0] in config.formats else ():
            table.need(name, f'study.formats "{package[0]}"')
    if "compress" in recipe:
        table.need("nncf", "INT8 quantization")
    table.need("matplotlib", "the report")
    if config.where == "ray":
        table.need("ray", 'study.where = "ray"')
    table.resolve(PREDICTORS, config.predictor, "study.predictor", "netwright.predictors")
    bench.threads_of(recipe["bench"])
    devices = [_device(name) for name in config.devices]
    if devices:
        _each_once("study.devices", [device.name for device in devices], '["h100", "l4"]')
    _room(runs)
    return devices


def _each_once(setting: str, chosen: Sequence[Any], example: str) -> None:
    if not chosen or len(set(chosen)) < len(chosen):
        raise UserError(setting, list(chosen), "one or more, each once", f"{setting}={example}")


def _device(name: str) -> Device:
    try:
        return catalog.find(name)
    except UserError as refusal:
        raise UserError("study.devices", name, refusal.allowed, refusal.next) from None


def _room(runs: Path) -> None:
    there = next(folder for folder in (runs.absolute(), *runs.absolute().parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if free < NEEDED:
        raise UserError(
            "disk", str(there), f"{free / 1e6:.0f} MB are free, a study needs {NEEDED / 1e6:.0f} MB",
            "free space, or set runs=FOLDER",
        )  # fmt: skip


def labels(recipe: Recipe) -> list[str]:
    """What the candidates of a recipe are called."""
    kinds = {
        format: ("FP32", "INT8") if "compress" in recipe and format != "program" else ("FP32",) for format in NAMES
    }
    return [REFERENCE, *(f"{NAMES[format]} {kind}" for format in recipe["study"].formats for kind in kinds[format])]


def predict(candidates: Sequence[Candidate], devices: Sequence[Device], config: Config) -> list[dict[str, Any]]:
    """Latency and throughput of each distinct precision on each device; a refusal stands in its place."""
    predictor = table.resolve(PREDICTORS, config.predictor, "study.predictor", "netwright.predictors")
    distinct = {c.artifact.precision: c for c in reversed(candidates) if workload.FILE in c.artifact.files}
    rows = []
    for (precision, candidate), device, batch in itertools.product(sorted(distinct.items()), devices, config.batches):
        work = workload.read(candidate.artifact.folder).at_batch(batch)
        row = {"device": device.name, "precision": precision, "batch": batch, "measurements": [], "refused": None}
        try:
            row["measurements"] = predictor.predict(work, device)[:2]
        except UserError as refusal:
            row["refused"] = str(refusal)
        rows.append(row)
    return rows


def _sources(recipe: Recipe, trained: Trained, runs: Path) -> list[tuple[str, Artifact]]:
    config: Config = recipe["study"]
    method = plain(recipe["compress"]) if "compress" in recipe else None
    jobs = [
        stages.Job(
            str(runs.absolute()),
            str(trained.artifact.folder.absolute()),
            format,
            method if format != "program" else None,
        )
        for format in config.formats
    ]
    folders = map(stages.made, jobs, where=config.where, workers=config.workers, title="Compress and export")
    found = [(REFERENCE, trained.artifact)]
    for format, made in zip(config.formats, folders, strict=True):
        found += [(f"{NAMES[format]} {one.precision.upper()}", one) for one in (artifact.open(f) for f in made)]
    return found


def _measured(sources: Sequence[tuple[str, Artifact]], recipe: Recipe, task: Task, runs: Path) -> list[Candidate]:
    config: bench.Config = recipe["bench"]
    threads = config.threads or detect.usable_threads()
    answers = [stages.evaluated(runs, source, task, threads) for _, source in sources]
    _say("4/6 Measure speed, memory and size")
    _, speeds = stages.benched(runs, [source for _, source in sources], config)
    reference = answers[0][0]
    candidates = []
    for (label, source), (evaluation, accuracy) in zip(sources, answers, strict=True):
        mine = [one for one in speeds if one.artifact == source.digest]
        change = (
            quality.accuracy_change(evaluation, reference, artifact=source.digest)
            if evaluation is not reference
            else exact("accuracy_change", 0.0, artifact=source.digest)  # from itself it cannot differ
        )
        figures = {"accuracy": accuracy, "accuracy_change": change, **_by_quantity(mine, config)}
        candidates.append(Candidate(label=label, artifact=source, figures=figures, evaluation=evaluation))
    return candidates


def _by_quantity(found: Sequence[Measurement], config: bench.Config) -> dict[str, Measurement]:
    """One figure a quantity: latency at the smallest batch, throughput and memory at the largest."""
    figures: dict[str, Measurement] = {}
    for one in sorted(found, key=lambda m: m.conditions.get("batch", 0)):
        if not (one.quantity.startswith("latency") and one.quantity in figures):
            figures[one.quantity] = one
    return figures


def _say(stage: str) -> None:
    console.print(f"[bold]{stage}[/bold]")
