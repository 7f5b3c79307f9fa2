"""The plan: what a training will take, before it begins, each figure with an interval.

Parameters and FLOPs are counted by tracing; time and memory come from a few real steps on a copy of the
network; what earlier runs here took against their plans widens or narrows the interval of time.
"""

from __future__ import annotations

import copy
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
from netwright.data.tasks import Task
from netwright.models import facts
from netwright.train.loop import begin, settings
from netwright.train.memory import peak_bytes, recompute, reset_peak
from netwright.train.parallel import Team
from netwright.train.step import Config, Training, choose_device, part, predictor

PROBE_SECONDS = 3.0
DRIFT = (0.85, 1.4)
"""Actual over planned time where fewer than `ENOUGH` runs have finished here: neighbours on a shared machine
slow a run down more often than they speed it up."""
ENOUGH = 8
BACKWARD = 2.0
"""FLOPs of a backward pass over those of the forward one: a product for each of the two gradients."""
WATTS_PER_CORE = (2.0, 8.0, 20.0)
"""Low, middle and high: an assumption, stated wherever it is used, for machines whose power cannot be read."""


def plan(model: nn.Module, task: Task, config: Config, runs: Path | None = None) -> list[Measurement]:
    """Parameters, FLOPs, memory, time and energy of `fit(model, task, config)`, as predictions.

    Neither the model nor any random state is changed. Takes a few seconds.
    """
    workload = facts.trace(model, task.example(1))
    training = _steps(task, config) * config.batch * (1 + BACKWARD + (1 if config.checkpointing else 0))
    flops = workload.flops * (training + config.epochs * task.size("validation"))
    seconds, memory = _probe(model, task, config)
    low, high, known = drift(runs)
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
        exact("parameters", workload.parameters, **about),
        # elementwise work of the backward pass is counted like its products, which it is not
        Measurement(quantity="flops", value=flops, low=0.9 * flops, high=1.1 * flops, n=1, **about),
        Measurement(
            quantity="training_memory", value=1.1 * memory, low=0.9 * memory, high=1.6 * memory, n=1,
            conditions={"basis": "peak of a few steps, and room for evaluation"}, **about,
        ),
        duration,
        _energy(duration, conditions),
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


def _probe(model: nn.Module, task: Task, config: Config) -> tuple[stats.Interval, float]:
    """Seconds of the whole training, and peak bytes, from real steps on a copy of the model."""
    device = choose_device(config.device)
    trial = replace(config, parallel="none", epochs=max(config.epochs, 1))
    clone = copy.deepcopy(model)
    reset_peak(device)
    with settings(config):
        training = begin(clone, task, trial, Team("none", 0, 1, device))
    steps = {level: count for level, count in training.tally().items() if count}
    with settings(config), recompute(clone, config.checkpointing), progress("Planning", None) as advance:
        levels = [_timed(training, level, PROBE_SECONDS / len(steps), advance) for level in steps]
        indices = torch.arange(min(500, task.size("validation")))
        training.enter(0)
        batch = part(task.batch("validation", indices), slice(0, len(indices)))
        predict = predictor(clone, device, training.autocast)
        predict({name: x.numpy() for name, x in batch.inputs.items()})
        start = time.perf_counter()
        predict({name: x.numpy() for name, x in batch.inputs.items()})
        evaluation = (time.perf_counter() - start) * task.size("validation") / len(indices)
    found = list(zip(levels, steps.values(), strict=True))
    low, value, high = (
        sum(count * getattr(step, end) for step, count in found) + evaluation * config.epochs
        for end in ("low", "value", "high")
    )
    return stats.Interval(value, low, high, sum(step.n for step in levels)), float(peak_bytes(device))


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
