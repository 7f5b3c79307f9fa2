"""The plan: what a training will take, before it begins, each figure with an interval.

Parameters and FLOPs are counted by tracing; time and memory come from a few real steps on a copy of the
network; what earlier runs here took against their plans widens or narrows the interval of time.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from netwright.core import artifact, stats
from netwright.core.measurement import Measurement, exact
from netwright.core.run import progress
from netwright.core.workload import Workload
from netwright.data.tasks import Task
from netwright.models import facts
from netwright.train.loop import begin, settings
from netwright.train.memory import peak_bytes, recompute, reset_peak, trial_copy
from netwright.train.parallel import Team
from netwright.train.step import Config, Training, choose_device, predictor

PROBE_SECONDS = 3.0
DRIFT = (0.85, 1.4)
"""Actual over planned time where fewer than `ENOUGH` runs have finished here: neighbours on a shared machine
slow a run down more often than they speed it up."""
ENOUGH = 8
BACKWARD = 2.0
"""FLOPs of a backward pass over those of the forward one: a product for each of the two gradients."""
WATTS_PER_CORE = (2.0, 8.0, 20.0)
"""Low, middle and high: an assumption, stated wherever it is used, for machines whose power cannot be read."""


Scaled = Callable[[Measurement, Workload], Measurement]
"""One process's step, and the inference of a micro-batch, to what a step takes on all processes of a team."""


def plan(
    model: nn.Module,
    task: Task,
    config: Config,
    runs: Path | None = None,
    team: Team | None = None,
    scaled: Scaled | None = None,
) -> list[Measurement]:
    """Parameters, FLOPs, memory, time and energy of `fit(model, task, config)`, as predictions.

    Steps of the whole network are tried in this process, with its share of a batch; for a team `scaled` tells what they
    take where its processes work together. Neither the model nor any random state is changed. Takes a few seconds.
    """
    workload = facts.trace(model, task.example(1))
    training = _steps(task, config) * config.batch * (1 + BACKWARD + (1 if config.checkpointing else 0))
    flops = workload.flops * (training + config.epochs * task.size("validation"))
    counted = [
        exact("parameters", workload.parameters, source="predicted"),
        # elementwise work of the backward pass is counted like its products, which it is not
        Measurement(quantity="flops", value=flops, low=0.9 * flops, high=1.1 * flops, n=1, source="predicted"),
    ]
    try:
        tried, evaluation, memory = _probe(model, task, config, team)
    except torch.OutOfMemoryError:  # a network that only several devices hold: nothing can be tried on one
        return counted
    step = None
    if scaled and list(tried) == [0]:
        step = scaled(_step(tried[0][1]), workload.at_batch(max(1, config.batch // config.accumulate)))
        tried[0] = tried[0][0], stats.Interval(step.value, step.low, step.high, step.n)
    seconds = _whole(tried, evaluation * config.epochs)
    low, high, known = drift(runs)
    if step:
        step = replace(step, low=min(step.value, step.low * low), high=max(step.value, step.high * high))
    about: dict[str, Any] = {"source": "predicted"}
    conditions = {"threads": config.threads or torch.get_num_threads(), "precision": config.precision}
    wanted = seconds.value * max(1.0, (low + high) / 2 if known else 1.0)
    duration = Measurement(
        quantity="training_time",
        value=wanted,
        low=min(wanted, seconds.low * low),
        high=max(wanted, seconds.high * high),
        n=seconds.n,
        conditions={**conditions, "basis": f"{seconds.n} real steps; {known} finished runs" if known else "real steps"},
        **about,
    )
    return [
        *counted,
        Measurement(
            quantity="training_memory", value=1.1 * memory, low=0.9 * memory, high=1.6 * memory, n=1,
            conditions={"basis": "peak of a few steps, and room for evaluation"}, **about,
        ),
        duration,
        _energy(duration, conditions),
        *([step] if step else []),
    ]  # fmt: skip


def drift(runs: Path | None) -> tuple[float, float, int]:
    """5 % and 95 % quantile of actual over planned time of the finished runs here, and their number."""
    ratios = []
    for path in sorted(runs.glob("*-train-*/run.json")) if runs and runs.is_dir() else []:
        result = artifact.read_json(path).get("result") or {}
        if isinstance(result.get("time_over_plan"), float):
            ratios.append(result["time_over_plan"])
    if len(ratios) < ENOUGH:
        return *DRIFT, 0
    low, high = np.quantile(ratios, [0.05, 0.95])
    return float(low), float(high), len(ratios)


def against(planned: Sequence[Measurement], actual: Sequence[Measurement]) -> list[dict[str, Any]]:
    """Plan and actual side by side: quantity, both values, their ratio, and whether the interval held."""
    found = {one.quantity: one for one in actual}
    return [
        {
            "quantity": one.quantity,
            "planned": one.value,
            "low": one.low,
            "high": one.high,
            "actual": found[one.quantity].value,
            "ratio": found[one.quantity].value / one.value if one.value else None,
            "held": one.low <= found[one.quantity].value <= one.high,
            "unit": one.unit,
        }
        for one in planned
        if one.quantity in found
    ]


def _steps(task: Task, config: Config) -> int:
    return config.epochs * (task.size("train") // config.batch)


Tried = dict[int, tuple[float, stats.Interval]]
"""Level -> its number of steps, and the seconds of one."""


def _probe(model: nn.Module, task: Task, config: Config, team: Team | None) -> tuple[Tried, float, float]:
    """Steps on a copy of the model, of this process's share of a batch; seconds of an evaluation; peak bytes."""
    device = choose_device(config.device)
    share = (team or Team("none", 0, 1, device)).share(torch.arange(config.batch))
    batch = share.stop - share.start
    trial = replace(config, parallel="none", batch=batch, epochs=max(config.epochs, 1))
    clone = trial_copy(model)
    reset_peak(device)
    with settings(config):
        training = begin(clone, task, trial, Team("none", 0, 1, device))
    steps = {level: count * batch / config.batch for level, count in training.tally().items() if count}
    quiet: Any = contextlib.nullcontext(lambda: None)
    shown = quiet if team and not team.leads else progress("Planning", None)
    with settings(config), recompute(clone, config.checkpointing), shown as advance:
        levels = [_timed(training, level, PROBE_SECONDS / len(steps), advance) for level in steps]
        indices = torch.arange(min(500 if task.classes else 2, task.size("validation")))  # of tokens, logits are many
        training.enter(0)
        inputs = {name: x.numpy() for name, x in task.batch("validation", indices).inputs.items()}
        predict = predictor(clone, device, training.autocast)
        predict(inputs)
        start = time.perf_counter()
        predict(inputs)
        evaluation = (time.perf_counter() - start) * task.size("validation") / len(indices)
    tried = {level: (count, step) for (level, count), step in zip(steps.items(), levels, strict=True)}
    return tried, evaluation, float(peak_bytes(device))


def _whole(tried: Tried, evaluations: float) -> stats.Interval:
    """Seconds of the whole training."""
    low, value, high = (
        sum(count * getattr(step, end) for count, step in tried.values()) + evaluations
        for end in ("low", "value", "high")
    )
    return stats.Interval(value, low, high, sum(step.n for _, step in tried.values()))


def _step(seconds: stats.Interval, **about: Any) -> Measurement:
    return Measurement(
        quantity="training_step", value=seconds.value, low=seconds.low, high=seconds.high, n=seconds.n, **about
    )


def measured_step(seconds: Sequence[float], **about: Any) -> Measurement:
    """The median step of a finished training, with its bootstrap interval over the times between reports."""
    return _step(stats.bootstrap(seconds, np.median), **about)


def _timed(training: Training, level: int, seconds: float, advance: Callable[[], None]) -> stats.Interval:
    """Seconds of a step on a level, from a few real ones."""
    training.enter(level)
    times: list[float] = []
    start = time.monotonic()
    while len(times) < 4 or (time.monotonic() - start < seconds and len(times) < 40):
        before = time.perf_counter()
        float(Training.one_step(training))  # of this level, whatever the schedule would do
        times.append(time.perf_counter() - before)
        advance()
        if time.monotonic() - start > 10 * seconds:
            break
    return stats.bootstrap(times[1:] or times)


def _energy(duration: Measurement, conditions: dict[str, Any]) -> Measurement:
    low, middle, high = (watts * conditions["threads"] for watts in WATTS_PER_CORE)
    return Measurement(
        quantity="training_energy",
        value=duration.value * middle,
        low=duration.low * low,
        high=duration.high * high,
        n=duration.n,
        source="predicted",
        conditions={**conditions, "basis": f"assumed {low:.0f} to {high:.0f} W; no power reader was used"},
    )
