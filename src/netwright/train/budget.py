"""A memory budget that a training keeps: micro-batches and gradient checkpointing, chosen by trying steps.

    config = within(model, task, Config(batch=16, memory_gb=7), run)

The smallest micro-batch is tried first, a larger one only where the line through the peaks so far says that it fits,
so the machine is never driven beyond the budget to learn that it cannot. Micro-batches are preferred to checkpointing,
which computes a third more. What is tried is a copy of what learns, so trying takes more than the training will.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import nn

from netwright.core import artifact
from netwright.core.error import UserError
from netwright.core.run import Run, progress
from netwright.data.tasks import Task
from netwright.train.loop import settings
from netwright.train.memory import peak_bytes, recompute, reset_peak, trial_copy
from netwright.train.parallel import Team
from netwright.train.step import Config, Training, choose_device

FILE = "memory.json"
ROOM = 0.93
"""Of the budget, what tried steps may take: an evaluation, fragments and longer rows come on top."""


@dataclass(frozen=True)
class Tried:
    """Settings that were tried, and the peak bytes of a step with them."""

    micro: int
    checkpointing: bool
    peak: int


def within(model: nn.Module, task: Task, config: Config, run: Run | None = None) -> Config:
    """The settings with `accumulate` and `checkpointing` such that a step stays within `memory_gb`.

    A run keeps what it chose first. Raises UserError where not even one example at a time fits.
    """
    if not config.memory_gb:
        return config
    path = run.folder / FILE if run else None
    if path is not None and path.is_file():
        kept = artifact.read_json(path)
        return replace(config, accumulate=kept["accumulate"], checkpointing=kept["checkpointing"])
    budget, tried = int(config.memory_gb * 1e9), list[Tried]()
    with progress("Memory", None, unit="steps") as advance:
        for checkpointing in (True,) if config.checkpointing else (False, True):
            found = _largest(model, task, replace(config, checkpointing=checkpointing), budget, tried, advance)
            if found:
                chosen = replace(config, accumulate=max(config.accumulate, -(-config.batch // found.micro)))
                chosen = replace(chosen, checkpointing=checkpointing)
                break
        else:
            least = min(one.peak for one in tried)
            raise UserError(
                "train.memory_gb", config.memory_gb,
                f"a step of one example takes {least / 1e9:.2f} GB, with gradient checkpointing",
                f"train.memory_gb={least / ROOM / 1e9:.1f}, train.lora.rank=16, or a shorter task.max_tokens",
            )  # fmt: skip
    if path is not None and run is not None:
        about = {"budget": budget, "accumulate": chosen.accumulate, "checkpointing": chosen.checkpointing}
        artifact.write_json(path, {**about, "planned": found.peak, "tried": tried})
        run.note(
            f"Memory: {found.peak / 1e9:.2f} GB of {config.memory_gb:g} GB with micro-batches of {found.micro}"
            + (" and gradient checkpointing" if checkpointing else "")
        )
    return chosen


def _largest(
    model: nn.Module, task: Task, config: Config, budget: int, tried: list[Tried], advance: object
) -> Tried | None:
    """The largest micro-batch whose step fits, or None."""
    most = -(-config.batch // config.accumulate)
    peaks: dict[int, int] = {}
    micro, best = 1, None
    while micro not in peaks:
        peaks[micro] = peak(model, task, config, micro)
        tried.append(Tried(micro, config.checkpointing, peaks[micro]))
        advance(1, f"micro-batch {micro}: {peaks[micro] / 1e9:.2f} GB")  # type: ignore[operator]
        if peaks[micro] > ROOM * budget:
            break
        best = tried[-1]
        if micro == most:
            break
        last = max((size for size in peaks if size < micro), default=0)
        slope = (peaks[micro] - peaks[last]) / (micro - last) if last else 0.1 * peaks[micro]
        reach = int(micro + 0.9 * (ROOM * budget - peaks[micro]) / max(slope, 1.0))
        micro = min(most, max(micro, reach), 2 * micro if not last else 8 * micro)
    return best


def peak(model: nn.Module, task: Task, config: Config, micro: int) -> int:
    """Peak bytes of two steps of micro-batches of a size, as the training itself would take them."""
    device = choose_device(config.device)
    clone = trial_copy(model)
    trial = replace(config, batch=micro, accumulate=1, parallel="none")
    reset_peak(device)
    with settings(config), recompute(clone, config.checkpointing):
        training = Training(clone, task, trial, Team("none", 0, 1, device))
        for _ in range(2):  # the optimizer's state appears in the first
            float(training.one_step())
    found = peak_bytes(device)
    del training, clone
    return found


def held(run: Run, used: float) -> str:
    """A sentence on what was planned and used, or nothing where there was no budget."""
    if not (run.folder / FILE).is_file():
        return ""
    said = artifact.read_json(run.folder / FILE)
    verdict = "kept" if used <= said["budget"] else "not kept"
    return (
        f"Memory budget {said['budget'] / 1e9:g} GB {verdict}: {used / 1e9:.2f} GB, planned {said['planned'] / 1e9:.2f}"
    )
