"""Settings found by trying: the learning rate by a range test, the batch by the memory it takes.

Both leave the network, the optimizer and the random state as they were.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
from torch import nn

from netwright.core import artifact
from netwright.core.error import UserError
from netwright.core.run import progress
from netwright.data.tasks import Task
from netwright.train.loop import settings
from netwright.train.lr import RangeTest, range_test
from netwright.train.memory import BatchFound, find_batch, recompute, trial_copy
from netwright.train.parallel import Team
from netwright.train.step import Config, Training, choose_device


def learning_rate(
    model: nn.Module, task: Task, config: Config, runs: Path | None = None, steps: int = 60
) -> dict[str, Any]:
    """Run the range test; the curve goes to `<runs>/range-test.svg` where the plot extra is installed."""
    found = rates(model, task, config, steps)
    result: dict[str, Any] = {"suggestion": f"train.lr={found.suggestion:.2g}", "lr": found.suggestion}
    rows = [{"lr": rate, "loss": loss} for rate, loss in zip(found.rates, found.losses, strict=True)]
    try:
        from netwright.core import plot

        text = plot.svg_text(plot.range_test(rows, found.suggestion), "loss over the learning rate")
        if runs is not None:
            runs.mkdir(parents=True, exist_ok=True)
            artifact.replace_file(runs / "range-test.svg", lambda draft: draft.write_text(text))
            result["plot"] = str(runs / "range-test.svg")
    except UserError as missing:
        result["plot"] = str(missing)
    return {**result, "rates": found.rates, "losses": found.losses}


def rates(model: nn.Module, task: Task, config: Config, steps: int = 60) -> RangeTest:
    """The range test on a copy of the network, with the recipe's own optimizer and batches."""
    trial = replace(config, parallel="none", schedule="constant", warmup=0.0, average=0.0)
    clone = trial_copy(model)
    with settings(trial), recompute(clone, trial.checkpointing), progress("Range test", steps, unit="steps") as advance:
        training = Training(clone, task, trial, Team("none", 0, 1, choose_device(trial.device)))

        def one_step(step: int, rate: float) -> float:
            loss = float(training.one_step(lr=rate))
            advance(1, f"lr {rate:.1e}  loss {loss:.3f}" if math.isfinite(loss) else "diverged")
            return loss

        return range_test(one_step, steps=steps)


def batch_size(model: nn.Module, task: Task, config: Config, runs: Path | None = None) -> dict[str, Any]:
    """The largest batch whose training step stays within `train.memory_gb`."""
    device = choose_device(config.device)
    free = psutil.virtual_memory().available
    budget = int(config.memory_gb * 1e9) if config.memory_gb else int(0.8 * free)
    with settings(config), recompute(model, config.checkpointing), progress("Batch size", None) as advance:

        def one_step(batch: int) -> None:
            trial = replace(config, batch=batch, accumulate=1, parallel="none", average=0.0)
            float(Training(trial_copy(model), task, trial, Team("none", 0, 1, device)).one_step())
            advance(1, f"batch {batch}")

        found: BatchFound = find_batch(one_step, budget, task.size("train"), device)
    return {
        "suggestion": f"train.batch={found.batch}",
        "batch": found.batch,
        "budget_bytes": found.budget,
        "peak_bytes": found.peaks[found.batch],
        "tried": found.peaks,
    }
