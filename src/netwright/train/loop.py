"""fit(): the one training loop, for every task and network.

    fitted = fit(model, task, Config(epochs=3), run)

It says when to evaluate, to save, to report and to stop; what a step does stands in `train.step`. A run
that was killed goes on from its last checkpoint and ends with the same bits. The loop does not know what
is learned, nor by which network.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from netwright.core import artifact
from netwright.core.error import UserError
from netwright.core.run import PACE, Run, interrupted_later, progress, read_metrics
from netwright.data.tasks import Task
from netwright.train import checkpoint
from netwright.train.alerts import Watch
from netwright.train.memory import own_bytes, peak_bytes, recompute, reset_peak
from netwright.train.parallel import Team
from netwright.train.step import Config, Training, choose_device, load_state

SPENT = "spent.json"
REPORTS_PER_EPOCH = 50
"""Reading the loss waits for the device, so it is read this often; on a CPU that costs nothing."""


@dataclass(frozen=True)
class Fitted:
    """How a training ended. `seconds` counts the time in the loop, over all its resumptions."""

    step: int
    total_steps: int
    seconds: float
    best: float | None
    best_step: int
    stopped: str | None
    """Why it ended before `total_steps`, or None."""
    weights: dict[str, Tensor]
    """The weights to keep, whole and on the CPU, in the leading process."""
    step_seconds: tuple[float, ...] = ()
    """Mean time of a step between two reports of the loss, without evaluations and checkpoints; not of the first."""
    held: tuple[int, ...] = ()
    """Bytes of parameters in each process."""
    peaks: tuple[int, ...] = ()
    """Most memory of each process while it trained."""


def fit(
    model: nn.Module,
    task: Task,
    config: Config,
    run: Run | None = None,
    *,
    team: Team | None = None,
    stop_after: int | None = None,
) -> Fitted:
    """Train `model` in place, evaluating after each epoch; on return it holds the weights to keep.

    The run folder gets metrics.jsonl, checkpoints/last and best, and now and then plots/training.svg; a run that has
    a checkpoint goes on from it. Only the leading process of a team has a `run`. `stop_after` ends
    after so many steps in all, as a kill would. Raises UserError for a batch larger than the data, and
    FloatingPointError when the loss is not finite: the last good checkpoint stays.
    """
    team = team or Team("none", 0, 1, choose_device(config.device))
    with settings(config):
        training = begin(model, task, config, team)  # levels are copies of the network as it is before `recompute`
    with settings(config), recompute(model, config.checkpointing):
        folder = team.agree(str(run.folder / "checkpoints") if run else None)
        last = Path(folder) / "last.safetensors" if folder else None
        if last is not None and last.is_file():
            training.restore(*checkpoint.read(last))
            if run:
                run.rewind(training.step)
                run.note(f"Resuming at step {training.step:,} of {training.total_steps:,}")
        reset_peak(team.device)
        start = time.monotonic()
        stopped, seconds_each = _train(training, run, last, stop_after)
        training.enter(0)
        seconds = spent(last) if last else time.monotonic() - start
        kept = last.with_name("best.safetensors") if last else None
        if config.keep == "best" and kept is not None and kept.is_file():
            tensors, _ = checkpoint.read(kept)
            kind = "average" if training.average else "model"
            checkpoint.restore_model(training.model, training.parts(tensors, kind), f"{kind}.")
        elif training.average:
            load_state(training.model, training.average)
        whole = training.weights().items()
        weights = {name.removeprefix("model."): x.detach().to("cpu").contiguous() for name, x in whole}
        peaks = tuple(team.everyone(peak_bytes(team.device)))
        held = tuple(team.everyone(sum(map(own_bytes, training.model.parameters()))))
    return Fitted(
        training.step, training.total_steps, seconds, training.best, training.best_step, stopped, weights,
        tuple(seconds_each), held, peaks,
    )  # fmt: skip


def begin(model: nn.Module, task: Task, config: Config, team: Team) -> Training:
    """The state of a training that has not begun: of the network alone, or of its levels (`[train.multilevel]`)."""
    if config.multilevel.schedule == "single":
        return Training(model, task, config, team)
    from netwright.train.multilevel.training import Multilevel

    return Multilevel(model, task, config, team)


def _train(
    training: Training, run: Run | None, last: Path | None, stop_after: int | None
) -> tuple[str | None, list[float]]:
    """Why it ended early, or None; and how long steps took."""
    config = training.config
    watch = Watch(config.alerts, run.note if run else lambda message: None, config.plateau)
    limit = stop_after or math.inf
    report_every = max(1, training.steps_per_epoch // REPORTS_PER_EPOCH)
    saves = _Saves(training, last, config.checkpoint_seconds, run)
    plot = _LivePlot(run)
    losses: list[Tensor] = []
    times: list[float] = []
    bar: Any = progress("Training", training.total_steps, training.step, "steps") if run else contextlib.nullcontext()
    with bar as advance:
        begin = time.perf_counter()
        while training.step < limit and not training.done:
            epoch = training.epoch
            losses.append(training.one_step())
            ended = training.epoch > epoch or training.done
            over = training.done or training.step == limit
            if training.step % training.steps_per_epoch % report_every and not ended and not over:
                continue
            _report(training, run, watch, advance, losses)
            times.append((time.perf_counter() - begin) / len(losses))
            if run:
                rate = config.batch / max(times[-1], 1e-9)
                run.pace(training.step, examples_per_second=rate, memory=peak_bytes(training.team.device))
            losses = []
            stop = _end_of_epoch(training, run, last, watch, plot) if ended else None
            saves.save(at_once=ended or over)
            if stop:
                return stop, times[1:] or times
            begin = time.perf_counter()
    return None, times[1:] or times


def _report(training: Training, run: Run | None, watch: Watch, advance: Any, losses: list[Tensor]) -> None:
    """Log the mean loss since the last report. Raises FloatingPointError when one is not finite."""
    losses_S = training.team.mean(torch.stack([loss.float() for loss in losses])).tolist()
    for back, loss in enumerate(reversed(losses_S)):
        watch.loss(training.step - back, loss)
    if not all(map(math.isfinite, losses_S)):
        raise FloatingPointError(
            f"the loss is not finite at step {training.step}: lower train.lr, raise train.warmup or set train.clip=1"
        )
    if run:
        rate = training.optimizer.param_groups[0]["lr"]
        for step, row in training.happened():
            run.log(step, **row)
        run.log(training.step, loss=sum(losses_S) / len(losses_S), lr=rate, **training.place())
        where = f"level {training.level}  " if training.config.multilevel.schedule != "single" else ""
        advance(len(losses_S), f"{where}loss {losses_S[-1]:.4f}  lr {rate:.2g}")


def _end_of_epoch(training: Training, run: Run | None, last: Path | None, watch: Watch, plot: _LivePlot) -> str | None:
    """Evaluate, keep the best, and say why to stop, if there is a reason."""
    config, team = training.config, training.team
    found = {"loss": 0.0, "accuracy": 0.0}
    if team.leads or team.together:
        found = training.evaluate("validation").figures()
    value = team.agree(-found["loss"] if config.monitor == "loss" else found.get("accuracy", 0.0))
    if training.level == 0 and (training.best is None or value > training.best):
        training.best, training.best_step = value, training.step
        if last is not None:
            _save(training, last.with_name("best.safetensors"))
    epochs_since = 0 if training.level else (training.step - training.best_step) // training.steps_per_epoch
    if run:
        run.log(training.step, **{f"validation_{name}": x for name, x in found.items()}, **training.place())
        where = f"  level {training.level}" if training.level else ""
        best = "  (best)" if training.best_step == training.step else ""
        read = ", ".join(f"{name} {x:.4f}" for name, x in found.items() if name not in ("loss", "accuracy"))
        read = read or f"accuracy {100 * found['accuracy']:.2f} %"
        run.note(f"epoch {training.epoch:>3}/{config.epochs}{where}  validation loss {found['loss']:.4f}  {read}{best}")
        watch.stale(epochs_since)
        plot.draw()
    if config.patience and epochs_since >= config.patience:
        return f"no better validation {config.monitor} for {epochs_since} epochs"
    return None


class _Saves:
    """Writes checkpoints/last now and then, and beside it how long training has taken so far.

    The time stands in a file of its own, so that checkpoints of equal steps are equal files.
    """

    def __init__(self, training: Training, path: Path | None, seconds: float, run: Run | None) -> None:
        self.training, self.path, self.wait, self.run = training, path, seconds, run
        self.begin = self.saved = time.monotonic()
        self.before = spent(path) if path else 0.0

    def save(self, at_once: bool) -> None:
        now = time.monotonic()
        if self.path is None or not self.training.team.agree(at_once or now - self.saved > self.wait):
            return
        _save(self.training, self.path)
        self.saved = time.monotonic()
        self.wait = max(self.training.config.checkpoint_seconds, 50 * (self.saved - now))
        if self.training.team.leads:
            artifact.write_json(self.path.with_name(SPENT), {"seconds": self.before + self.saved - self.begin})
        if self.run:
            self.run.saved()


def spent(path: Path) -> float:
    """Seconds in the loop up to the last checkpoint, over all resumptions."""
    beside = path.with_name(SPENT)
    return float(artifact.read_json(beside)["seconds"]) if beside.is_file() else 0.0


def _save(training: Training, path: Path) -> None:
    tensors = training.tensors()  # gathered by all processes
    if training.team.leads:
        checkpoint.write(path, tensors, training.meta())


class _LivePlot:
    """plots/training.svg, drawn again after an epoch when that costs at most 2 % of the time.

    plots/training.html shows it in a browser, and reads it anew.
    """

    def __init__(self, run: Run | None) -> None:
        self.run, self.cost, self.drawn = run, 0.05, time.monotonic()

    def draw(self) -> None:
        if self.run is None or time.monotonic() - self.drawn < 50 * self.cost:
            return
        begin = time.monotonic()
        draw_curves(self.run)
        self.drawn = time.monotonic()
        self.cost = self.drawn - begin


def draw_curves(run: Run) -> None:
    """Write plots/training.svg from metrics.jsonl, where the plot extra is installed."""
    try:
        from netwright.core import plot

        with interrupted_later():  # matplotlib's reader of fonts drops an interrupt that comes while it reads
            text = plot.svg_text(plot.curves([*run.metrics(), *read_metrics(run.folder, PACE)]), "training curves")
    except UserError:
        return
    (run.folder / "plots").mkdir(exist_ok=True)
    artifact.replace_file(run.folder / "plots" / "training.svg", lambda draft: draft.write_text(text))
    page = run.folder / "plots" / "training.html"
    if not page.is_file():
        artifact.replace_file(page, lambda draft: draft.write_text(LIVE))


LIVE = """<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="5"><title>Training</title>
<body style="margin:1em;background:#fff"><img src="training.svg" alt="training curves" style="max-width:100%">
"""
"""A page that shows the curves, and every five seconds shows them as they then are."""


@contextlib.contextmanager
def settings(config: Config) -> Iterator[None]:
    """Threads, determinism and random state of a training, put back afterwards."""
    threads, random = torch.get_num_threads(), torch.get_rng_state()
    deterministic = torch.are_deterministic_algorithms_enabled()
    filled = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    torch.set_num_threads(config.threads or threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # it only costs time
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)
        torch.utils.deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]
        torch.set_rng_state(random)
