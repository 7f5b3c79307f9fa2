"""train(): from a recipe to an artifact: task, network, plan, fit, test, files.

trained = train(recipe.load(path, [], SECTIONS), Path("runs"))
trained.artifact, trained.measurements
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from netwright.core import artifact, table, verdict
from netwright.core.artifact import Artifact
from netwright.core.error import UserError
from netwright.core.measurement import Measurement, exact
from netwright.core.recipe import Recipe, Section, plain
from netwright.core.run import Run, console, progress
from netwright.data import TASKS, language
from netwright.data.tasks import Arrays, Evaluation, Task, open_task
from netwright.hardware.detect import check_threads
from netwright.hardware.power import Energy
from netwright.models import MODELS, FromData, facts, pretrained
from netwright.models.load import save
from netwright.train import alerts, budget, loop, lora
from netwright.train.memory import peak_bytes
from netwright.train.parallel import Team, join
from netwright.train.plan import Scaled, against, measured_step, plan
from netwright.train.step import Config, choose_device, device_reason, fits, mix, predictor

SECTIONS: dict[str, Section] = {"task": TASKS, "model": MODELS, "train": Config}
"""What a training recipe may hold."""
SEEN = 5000
"""Training examples that a network may be initialized from."""
NO_EFFECT = ("mirrors", "alerts", "checkpoint_seconds", "plateau")
"""Settings of [train] that do not change the result, and so are no part of a run's key."""
Step = Callable[..., Measurement]
"""`predict.parallel.step`, which stands above this floor."""


@dataclass(frozen=True)
class Trained:
    """A finished training: its run folder, its artifact, and what was measured."""

    folder: Path
    artifact: Artifact
    measurements: tuple[Measurement, ...]
    plan: tuple[dict[str, Any], ...]
    reused: bool
    verdicts: tuple[str, ...] = ()
    """Of a language model that others trained before: what the training changed."""


def resolved(recipe: Recipe) -> Recipe:
    """A recipe whose task reads with the tokenizer of the model that is trained on, where none is named."""
    task, model = recipe.sections.get("task"), recipe.sections.get("model")
    if not isinstance(task, language.Config) or not isinstance(model, pretrained.Config) or task.tokenizer:
        return recipe
    return replace(recipe, sections={**recipe.sections, "task": replace(task, tokenizer=model.source)})


def task_of(recipe: Recipe) -> Task:
    """The task of a training recipe. Raises UserError where it names none, or no model."""
    for section in ("task", "model"):
        if section not in recipe:
            raise UserError(section, None, "a section of every training recipe", f"add [{section}] with a name")
    return open_task(resolved(recipe)["task"])


def prepare(recipe: Recipe) -> tuple[Task, nn.Module]:
    """The task and a freshly initialized network of a recipe; the same seed gives the same weights.

    Raises UserError for what would stop the training later: nothing is written yet.
    """
    recipe = resolved(recipe)
    config: Config = recipe["train"]
    choose_device(config.device)
    check_threads("train.threads", config.threads)
    alerts.check(config.alerts)
    for name in config.mirrors:
        table.need(name, f'train.mirrors "{name}"')
    task = task_of(recipe)
    fits(config, task)
    model = network(recipe, task)
    if isinstance(model, FromData):
        model.initialize(task.batch("train", torch.arange(min(SEEN, task.size("train")))).inputs)
    try:
        facts.trace(model, task.example(1))
    except RuntimeError as fault:
        raise UserError(
            "model.name", recipe["model"].name, f"does not fit the task {task.name}: {str(fault).splitlines()[0]}",
            "set a smaller model, or larger inputs",
        ) from None  # fmt: skip
    return task, model


def network(recipe: Recipe, task: Task, adapted: bool = True) -> nn.Module:
    """A freshly initialized network on the CPU, with adapters where [train.lora] asks for them."""
    module = table.resolve(MODELS, recipe["model"].name, "model.name", "netwright.models")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mix(recipe["train"].seed, "weights"))
        model: nn.Module = module.build(recipe["model"], task.inputs, len(task.classes))
        return lora.adapt(model, recipe["train"].lora) if adapted and recipe["train"].lora.rank else model


def train(recipe: Recipe, runs: Path, fresh: bool = False, step: Step | None = None) -> Trained | None:
    """Train what a recipe describes, or reuse the run that did, or go on with one that was killed.

    Under torchrun all processes call this; only the leading one gets a result, the others None. `step` predicts what a
    step takes on them.
    """
    recipe = resolved(recipe)
    config: Config = recipe["train"]
    task, model = prepare(recipe)
    with join(config, choose_device(config.device)) as team:
        team.check_network(model, task.example(2))
        if not team.leads:
            if not team.agree(None):  # whether the leader found the run done
                _planned(None, model, task, config, team, step)
                loop.fit(model, task, config, team=team)
            return None
        away = recipe["run"].copy_to if "run" in recipe else ""
        if away and not fresh and (back := Run.restored(runs, "train", _key(recipe, task), away)):
            console.print(f"Brought back {back.name} from {away}", highlight=False, markup=False)
        with Run.start(runs, "train", _key(recipe, task), fresh) as run:
            done = team.agree(kept(run))
            if not done:
                if team.world == 1:
                    section = budget.within(model, task, config, run)
                    recipe = replace(recipe, sections={**recipe.sections, "train": section})
                run.note(device_reason(config.device))
                _write_recipe(run, recipe)
                if away:
                    run.copy_to(away)
                _train(recipe, task, model, run, team, step)
            return _finished(run, reused=done)


def planned(recipe: Recipe, runs: Path, step: Step | None = None) -> list[Measurement] | None:
    """What a training would take: on the processes that torchrun started, else on one. None where it does not lead."""
    config: Config = recipe["train"]
    task, model = prepare(recipe)
    if "RANK" not in os.environ:
        return plan(model, task, config, runs)
    with join(config, choose_device(config.device)) as team:
        team.check_network(model, task.example(2))
        found = plan(model, task, config, runs, team, _scaled(team, config, step))
        return found if team.leads else None


def _scaled(team: Team, config: Config, step: Step | None) -> Scaled | None:
    """`step` for this team, on what messages between its processes were just measured to take; all take part."""
    if step is None or team.world == 1:
        return None
    messages = team.messages()
    return partial(
        step, kind=team.kind, processes=team.world, microbatches=config.accumulate, messages=messages
    )  # fmt: skip


def _train(recipe: Recipe, task: Task, model: nn.Module, run: Run, team: Team, step: Step | None) -> None:
    config: Config = recipe["train"]
    planned = _planned(run, model, task, config, team, step)
    _room(run, model)
    if config.mirrors:
        from netwright.core import mirror

        run.mirror(*mirror.mirrors(config.mirrors, run.folder, plain(recipe.sections)))
    begin = time.monotonic()
    with Energy() as energy:
        fitted = loop.fit(model, task, config, run, team=team)
    elapsed = time.monotonic() - begin
    device = team.device
    loop.draw_curves(run)
    del model
    model = network(recipe, task, adapted=False)  # the trained one may be spread over processes and devices
    before = _before(recipe, model, task)
    adapter = lora.of(model, config.lora, fitted.weights) if config.lora.rank else None
    if adapter is None:
        model.load_state_dict(fitted.weights)
    else:
        lora.merge(model, adapter)
    if config.multilevel.schedule != "single":
        from netwright.train.multilevel import view

        view.after_training(model, task, config.multilevel, run.folder, run.metrics())
    seen = _tested(model, task)
    source = recipe["model"].source if isinstance(recipe["model"], pretrained.Config) else ""

    def fill(draft: Path) -> None:
        save(model, task, facts.trace(model, task.example(1)), draft)
        if adapter is not None:
            lora.write(adapter, config.lora, draft / "adapter", source, pretrained.transposed(model))

    made = artifact.create(
        run.folder / "artifact",
        fill,
        format="torch",
        precision="fp32",
        task={**plain(recipe["task"]), "classes": list(task.classes), "digest": task.digest},
        model=pretrained.section(recipe["model"], model),
        inputs=plain(dict(task.inputs)),
        processor=dict(task.processor),
        parents=pretrained.parents(recipe["model"]),
        made_by={
            "verb": "train",
            **({"source": source} if source else {}),
            "train": {k: v for k, v in plain(config).items() if k not in NO_EFFECT},
        },
    )
    about: dict[str, Any] = {"artifact": made.digest, "conditions": {"split": "test", "precision": "fp32"}}
    conditions = {"last_process": elapsed, "device": str(device), "parallel": team.kind, "processes": team.world}
    first, *further = seen.judged(**about)
    actual = [
        first,
        seen.loss(**about),
        *further,
        *([] if before is None else [seen.perplexity_ratio(before, **about)]),
        exact("parameters", sum(p.numel() for p in (adapter.tensors.values() if adapter else model.parameters()))),
        exact("training_time", fitted.seconds, conditions=conditions),
        exact(
            "training_memory",
            peak_bytes(device),
            conditions={"parameters": list(fitted.held), "processes": list(fitted.peaks)},
        ),
    ]
    if fitted.step_seconds and config.multilevel.schedule == "single":  # else steps are of several networks
        actual.append(measured_step(fitted.step_seconds, conditions={"parallel": team.kind, "processes": team.world}))
    if energy.joules is not None and not run.resumed:  # of a resumed run only a part was counted
        actual.append(exact("training_energy", energy.joules, conditions={"parts": energy.parts}))
    if told := budget.held(run, peak_bytes(device)):
        run.note(told)
    compared = against(planned, actual)
    ratio = next((row["ratio"] for row in compared if row["quantity"] == "training_time"), None)
    run.finish(
        {
            "artifact": made.digest,
            "fitted": plain(replace(fitted, weights={}, step_seconds=())),
            "measurements": plain(actual),
            "plan": compared,
            "time_over_plan": ratio,
            "verdicts": verdict.of(actual, "tuned", "base"),
        }
    )


def _planned(
    run: Run | None, model: nn.Module, task: Task, config: Config, team: Team, step: Step | None
) -> list[Measurement]:
    """The plan that this run began with; a resumed run keeps its first one.

    All processes of a team try steps at the same time, for they share memory and perhaps cores; the leader's are kept.
    """
    path = run.folder / "plan.json" if run else None
    if team.agree(path is not None and not path.is_file()):
        runs = run.folder.parent if run else None
        found = plan(model, task, config, runs, team, _scaled(team, config, step))
        if path:
            artifact.write_json(path, found)
    return [Measurement(**row) for row in artifact.read_json(path)] if path else []


def _before(recipe: Recipe, model: nn.Module, task: Task) -> Evaluation | None:
    """What a language model that others trained answers on the test split before it is trained on; None of others."""
    pretrains = isinstance(recipe["model"], pretrained.Config) and isinstance(task, language.LanguageTask)
    return _tested(model, task, "Testing what is trained on") if pretrains else None


def _tested(model: nn.Module, task: Task, title: str = "Testing") -> Evaluation:
    """What a network answers on the test split."""
    predict = predictor(model, torch.device("cpu"), contextlib.nullcontext)
    with progress(title, task.size("test"), unit="examples") as advance:

        def counted(inputs: Arrays) -> NDArray[np.float32]:
            logits_BK = predict(inputs)
            advance(len(logits_BK))
            return logits_BK

        return task.evaluate(counted, "test")


def _room(run: Run, model: nn.Module) -> None:
    """Refuse to begin on a disk that will not hold the checkpoints: two, each of weights and two moments."""
    needed = 2 * 4 * sum(p.numel() * p.element_size() for p in model.parameters()) + 20_000_000
    free = shutil.disk_usage(run.folder).free
    if free < needed:
        raise UserError(
            "disk", str(run.folder), f"{free / 1e6:.0f} MB are free, this run needs {needed / 1e6:.0f} MB",
            "free space, or set runs=FOLDER",
        )  # fmt: skip


def kept(run: Run) -> bool:
    """Whether a run is done and its artifact still there; one that was removed is made again."""
    return run.done and (run.folder / "artifact").exists()


def opened(run: Run) -> Artifact:
    """The artifact of a run that is done. Raises UserError, with the way out, where it is damaged."""
    try:
        return artifact.open(run.folder / "artifact")
    except UserError as refusal:
        next = f"rm -r {run.folder / 'artifact'}, then the same command makes it again"
        raise UserError("artifact", str(run.folder / "artifact"), refusal.allowed, next) from None


def _finished(run: Run, reused: bool) -> Trained:
    result = run.result
    return Trained(
        run.folder,
        opened(run),
        tuple(Measurement(**row) for row in result["measurements"]),
        tuple(result["plan"]),
        reused=reused,
        verdicts=tuple(result.get("verdicts", ())),
    )


def _key(recipe: Recipe, task: Task) -> dict[str, Any]:
    settings = {key: value for key, value in plain(recipe["train"]).items() if key not in NO_EFFECT}
    return {"task": task.digest, "model": pretrained.key(recipe["model"]), "train": settings}


def _write_recipe(run: Run, recipe: Recipe) -> None:
    artifact.replace_file(run.folder / "recipe.toml", lambda draft: draft.write_text(recipe.toml(), encoding="utf-8"))
