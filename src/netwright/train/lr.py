"""Learning rates: schedules as pure functions of the step, and the range test.

A schedule has no state, so a resumed run needs none. Does not know the loop; the range test is given
a function that makes one step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

ScheduleName = Literal["constant", "cosine", "step", "one-cycle"]


def factor(schedule: ScheduleName, step: float, total: int, warmup: float) -> float:
    """Share of the peak learning rate at `step` of `total` (0-based, whole or not).

    `warmup` is the share of all steps over which the rate rises linearly. After it: `cosine` falls to 0
    (Loshchilov and Hutter 2017, arXiv:1608.03983), `step` to a tenth at half and at three quarters,
    `one-cycle` linearly to 0 (Smith and Topin 2018, arXiv:1708.07120), `constant` stays.
    """
    rising = warmup * total
    if step < rising:
        return (step + 1) / (rising + 1)
    done = (step - rising) / max(1.0, total - rising)
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * done))
    if schedule == "step":
        return 1.0 if done < 0.5 else 0.1 if done < 0.75 else 0.01
    if schedule == "one-cycle":
        return 1 - done
    return 1.0


@dataclass(frozen=True)
class RangeTest:
    """Losses over rising learning rates, and the rate that they suggest."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    suggestion: float


def range_test(
    one_step: Callable[[int, float], float], low: float = 1e-6, high: float = 10.0, steps: int = 60
) -> RangeTest:
    """Raise the rate geometrically until the loss explodes (Smith 2017, arXiv:1506.01186).

    `one_step(step, rate)` trains one step and returns its loss. The suggestion is a third of the rate
    of least smoothed loss: steeper readings of the curve vary by a factor of ten between seeds.
    The caller restores model, optimizer and random state.
    """
    rates, losses, smooth, best = [], [], 0.0, math.inf
    for step in range(steps):
        rate = low * (high / low) ** (step / (steps - 1))
        loss = one_step(step, rate)
        if not math.isfinite(loss):
            break
        smooth = 0.8 * smooth + 0.2 * loss
        corrected = smooth / (1 - 0.8 ** (step + 1))
        rates.append(rate)
        losses.append(corrected)
        if corrected > 4 * best:
            break
        best = min(best, corrected)
    lowest = min(range(len(losses)), key=losses.__getitem__, default=0)
    return RangeTest(tuple(rates), tuple(losses), rates[lowest] / 3 if rates else low)
