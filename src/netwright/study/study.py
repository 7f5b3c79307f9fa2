"""study(): from a recipe to a front and a report: train, compress, export, measure, predict, rank.

    found = study(recipe.load(Path("recipes/quickstart.toml"), [], SECTIONS), Path("runs"))
    found.report        # the page

Or from a network that was trained before, which `study.source` names, to a front.

A candidate is a chain of methods and a format of one trained network; a strategy says which are made and measured. Each
stage is a run of its own (`study.stages`), so a study that was killed goes on, and one that has changed a little does
little.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from netwright.compress import METHODS, chain, distill, equalize, prune, qat, quantize
from netwright.core import artifact, table, workload
from netwright.core.error import UserError
from netwright.core.map import Where
from netwright.core.measurement import Measurement, exact
from netwright.core.recipe import Range, Recipe, Section, plain
from netwright.core.run import Run, console
from netwright.data.regression import is_number
from netwright.data.tasks import Task
from netwright.hardware import catalog, detect, power
from netwright.hardware.device import Device
from netwright.measure import bench, quality
from netwright.models.load import open_task
from netwright.predict import PREDICTORS
from netwright.study import beginning, report, stages
from netwright.study.pareto import Candidate, Objective, works
from netwright.study.roadmap import roadmap
from netwright.study.search import search
from netwright.study.trials import NAMES, REFERENCE, Chosen, Trials, label
from netwright.train import training

NEEDED = 200_000_000
"""Bytes that a study may write: checkpoints, exports, report."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Which candidates, by what they are ranked, and for which other devices they are predicted."""

    source: str = ""
    """An artifact of format "torch", or its run: it is studied as it is; without, the recipe trains a network."""
    strategy: Literal["grid", "roadmap", "search"] = "grid"
    """grid: every chain in every format. roadmap: the cheapest step first, until limits are met. search: methods,
    settings, formats and threads, by successive halving and predictions."""
    chains: tuple[str, ...] = ()
    """Of the grid, beside the network as trained: ["int8", "prune keep=0.5 > int8"]."""
    formats: tuple[Literal["onnx", "openvino", "program"], ...] = ("onnx", "openvino")
    objectives: tuple[Objective, ...] = ("accuracy", "latency", "size")
    max_drop: Annotated[float, Range(0, 1)] = 0.003
    """Largest loss of accuracy against the trained network, as a fraction."""
    max_latency: Annotated[float, Range(0, 1e6)] = 0.0
    """Seconds of a call, with which the roadmap is content; 0 sets no limit, here and below."""
    max_size: Annotated[float, Range(0, 1e15)] = 0.0
    """Bytes of what is deployed."""
    max_memory: Annotated[float, Range(0, 1e15)] = 0.0
    """Bytes of peak memory."""
    price: Annotated[float, Range(0, 1e6)] = 0.0
    """Dollars for an hour of this machine, of which the cost of a million examples is reckoned; 0: unknown."""
    minutes: Annotated[float, Range(0, 1e6)] = 0.0
    """Wall-clock budget of roadmap and search, after the training; 0 sets none."""
    networks: tuple[str, ...] = (
        "prune keep=0.7",
        "prune keep=0.5",
        "prune keep=0.35",
        "distill keep=0.25",
        "qat to=int4",
    )
    """Of the search: chains that make a network."""
    finishes: tuple[str, ...] = ("int8", "bf16", "int8-weights")
    """Of the search: what each network is finished with, beside being left as it is."""
    threads: Annotated[tuple[int, ...], Range(0, 4096)] = ()
    """Of the search: counts of threads to measure with; without, those of [bench]."""
    devices: tuple[str, ...] = ()
    """Names in the hardware catalogue; see `netwright hardware list`."""
    predictor: Literal["learned", "roofline"] = "learned"
    batches: Annotated[tuple[int, ...], Range(1, 1_000_000)] = (1,)
    """Batch sizes of the predictions."""
    where: Where = "here"
    """Where formats are made: one after another here, over processes, or over a Ray cluster that shares the
    folder of runs. What is timed is always timed here, one session for all."""
    workers: Annotated[int, Range(1, 10_000)] = 2


SECTIONS: dict[str, Section] = {
    **training.SECTIONS,
    "equalize": equalize.Config,
    "quantize": quantize.Config,
    "qat": qat.Config,
    "prune": prune.Config,
    "distill": distill.Config,
    "bench": bench.Config,
    "study": Config,
}
"""What a study's recipe may hold; the sections of methods say with what these begin wherever a chain names them."""


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
    source = beginning.source(recipe)
    task = open_task(source) if source else training.task_of(recipe)
    if is_number(task.classes):
        raise UserError(
            "task.name", task.name, "a study ranks by accuracy, and this task answers a number",
            f"netwright train {recipe.path}, then netwright compress",
        )  # fmt: skip
    key = {"recipe": plain(recipe.sections), "task": task.digest, "machine": detect.fingerprint()}
    key |= {"source": source.digest} if source else {}
    with Run.start(runs, "study", key, fresh) as run:
        if run.done and all((run.folder / name).is_file() for name in (report.HTML, report.MARKDOWN, report.JSON)):
            return Study(run.folder, artifact.read_json(run.folder / report.JSON, 100_000_000), reused=True)
        if not source:
            training.prepare(recipe)  # refuses what would stop the training later; not needed where nothing is done
        artifact.replace_file(run.folder / "recipe.toml", lambda draft: draft.write_text(recipe.toml()))
        _say(f"1/6 Begin with {source.name}" if source else "1/6 Train")
        trained = beginning.found(source) if source else training.train(recipe, runs)
        assert trained is not None  # only a process of a team gets none
        _say("2/6 Compress and export")
        trials = Trials(recipe, trained, task, runs, run)
        chosen = [Chosen(REFERENCE, trained.artifact, trials.threads), *STRATEGIES[config.strategy](trials)]
        _say("3/6 Evaluate on the test split")
        candidates = measured(chosen, recipe, task, runs)
        _say("5/6 Predict for other devices")
        predictions = predict(candidates, devices, config)
        _say("6/6 Report")
        summary = report.summarize(recipe, trained, candidates, predictions, trials.decisions, run.folder)
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
    _measurable(config, recipe["bench"])
    if recipe["train"].parallel != "none":
        raise UserError(
            "train.parallel", recipe["train"].parallel, "none: a study runs in one process", "train.parallel=none"
        )
    chains = _chains(recipe)
    for text in config.chains if config.strategy == "grid" else ():  # the others leave out what cannot be
        if not any(chain.possible(_steps(recipe, text), format) for format in config.formats):
            raise UserError(
                "study.formats", list(config.formats), f"onnx or openvino among them: {text} makes a file of one",
                'study.formats=["program", "openvino"]',
            )  # fmt: skip
    for package in {"openvino": ("openvino",), "onnx": ("onnx", "onnxscript", "onnxruntime"), "program": ()}.items():
        for name in package[1] if package[0] in config.formats else ():
            table.need(name, f'study.formats "{package[0]}"')
    if any(step.name == "quantize" for text in chains for step in _steps(recipe, text)):
        table.need("nncf", "quantization")
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


def _measurable(config: Config, timed: bench.Config) -> None:
    """Raises UserError for an objective that nothing here can tell."""
    missing = {
        "energy": ("reads" in power.readers().values(), "no counter of energy can be read here", "leave energy out"),
        "cost": (config.price, "the price of an hour of this machine is not known", "study.price=0.34"),
        "peak_memory": (timed.memory, "memory is not measured", "bench.memory=true"),
    }
    for name, (known, why, next) in missing.items():
        if name in config.objectives and not known:
            raise UserError("study.objectives", list(config.objectives), why, next)


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


def grid(trials: Trials) -> list[Chosen]:
    """Every chain in every format that it can be written in."""
    pairs = _grid(trials.recipe)
    made = trials.made_all(pairs)
    return [Chosen(label(*pair), one, trials.threads, pair[0]) for pair, one in zip(pairs, made, strict=True)]


STRATEGIES: Mapping[str, Callable[[Trials], list[Chosen]]] = {"grid": grid, "roadmap": roadmap, "search": search}


def _grid(recipe: Recipe) -> list[tuple[str, str]]:
    config: Config = recipe["study"]
    return [
        (text, format)
        for format in NAMES
        if format in config.formats
        for text in ("", *config.chains)
        if not text or chain.possible(_steps(recipe, text), format)
    ]


def _steps(recipe: Recipe, text: str) -> tuple[Any, ...]:
    return chain.parse(text, {name: plain(recipe[name]) for name in METHODS if name in recipe}, "study.chains")


def _chains(recipe: Recipe) -> list[str]:
    """All chains of a recipe's strategy, so that a fault in one is said before any work."""
    config: Config = recipe["study"]
    return {
        "grid": list(config.chains),
        "roadmap": ["prune", "distill", "int8", "qat to=int8"],
        "search": [*config.networks, *config.finishes],
    }[config.strategy]


def labels(recipe: Recipe) -> list[str]:
    """What the candidates of a grid are called; the other strategies find theirs on the way."""
    return [REFERENCE, *(label(*pair) for pair in _grid(recipe))] if recipe["study"].strategy == "grid" else [REFERENCE]


def predict(candidates: Sequence[Candidate], devices: Sequence[Device], config: Config) -> list[dict[str, Any]]:
    """Latency and throughput of each distinct work on each device; a refusal stands in its place.

    A work is called by its precision; one that another chain has made, by that chain.
    """
    predictor = table.resolve(PREDICTORS, config.predictor, "study.predictor", "netwright.predictors")
    rows = []
    for (precision, candidate), device, batch in itertools.product(works(candidates), devices, config.batches):
        work = workload.read(candidate.artifact.folder).at_batch(batch)
        row = {"device": device.name, "precision": precision, "batch": batch, "measurements": [], "refused": None}
        try:
            row["measurements"] = predictor.predict(work, device)[:2]
        except UserError as refusal:
            row["refused"] = str(refusal)
        rows.append(row)
    return rows


def measured(chosen: Sequence[Chosen], recipe: Recipe, task: Task, runs: Path) -> list[Candidate]:
    """Accuracy on the test split, and speed, memory and size in one interleaved session."""
    config: bench.Config = recipe["bench"]
    threads = config.threads or detect.usable_threads()
    answers = [stages.evaluated(runs, one.artifact, task, threads) for one in chosen]
    _say("4/6 Measure speed, memory and size")
    own = [one.threads for one in chosen]
    several = own if set(own) != {threads} else []
    _, speeds = stages.benched(runs, [one.artifact for one in chosen], config, threads=several)
    reference = answers[0][0]
    candidates = []
    for at, (one, (evaluation, accuracy)) in enumerate(zip(chosen, answers, strict=True)):
        mine = [found for found in speeds if found.conditions["place"] == at]
        digest = one.artifact.digest
        change = (
            quality.accuracy_change(evaluation, reference, artifact=digest)
            if evaluation is not reference
            else exact("accuracy_change", 0.0, artifact=digest)  # from itself it cannot differ
        )
        figures = {"accuracy": accuracy, "accuracy_change": change, **_by_quantity(mine, config)}
        if recipe["study"].price:
            figures["cost"] = cost(figures["throughput"], recipe["study"].price)
        candidates.append(
            Candidate(label=one.label, artifact=one.artifact, figures=figures, evaluation=evaluation, chain=one.chain)
        )
    return candidates


def _by_quantity(found: Sequence[Measurement], config: bench.Config) -> dict[str, Measurement]:
    """One figure a quantity: latency at the smallest batch, throughput and memory at the largest."""
    figures: dict[str, Measurement] = {}
    for one in sorted(found, key=lambda m: m.conditions.get("batch", 0)):
        if not (one.quantity.startswith("latency") and one.quantity in figures):
            figures[one.quantity] = one
    return figures


def cost(throughput: Measurement, price: float) -> Measurement:
    """Dollars of a million examples at a rate (1/s) and a price of an hour, with the machine in use all the time."""
    dollars = 1e6 * price / 3600
    return replace(
        throughput, quantity="cost", unit="", value=dollars / throughput.value, low=dollars / throughput.high,
        high=dollars / throughput.low, conditions={**throughput.conditions, "price_an_hour": price},
    )  # fmt: skip


def _say(stage: str) -> None:
    console.print(f"[bold]{stage}[/bold]")
