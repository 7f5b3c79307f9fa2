"""How long one call takes on one device: by which method, between which bounds, and how far to trust it.

    timing.call(workload, device)      # Timing(seconds=Spread(...), method="networks", outside=(), ...)

The first method that applies: a suite learned from whole networks like this one, kernels learned one by one,
the roofline with the spread of whole programs about it. This file knows no price and no second device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from netwright.core.workload import Workload
from netwright.hardware.device import Device
from netwright.predict import learned, operators, roofline
from netwright.predict.spread import Spread

METHOD = "uncalibrated roofline"

RECURRENT = ("lstm", "gru", "rnn")

LEVEL = 0.9
"""Of a sum of kernels; nobody has tested it on whole programs."""

BACKWARD = 3.0
"""A training step's arithmetic over the forward pass's: the backward pass takes two (Kaplan 2020, arXiv 2001.08361,
section 2.1)."""

UPDATE = 28.0
"""Bytes for each parameter that Adam's update moves in mixed precision: gradient read in 16 bits, weight and two
moments read and written in 32, weight written in 16."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds of one call; `level` is the confidence of the bounds, `n` the devices that they come from.

    `outside` names what lies beyond what the method was fitted on.
    """

    seconds: Spread
    method: str
    level: float
    n: int
    outside: Sequence[str] = ()
    notes: Sequence[str] = ()

    @property
    def in_range(self) -> bool:
        return not self.outside


def call(work: Workload, device: Device, *, compiled: bool = False, measured: Path | None = None) -> Timing:
    """One call on one device; `measured` holds rows of that device, see `learned`.

    Raises UserError where nothing supports a number.
    """
    mode = "compiled nchw" if compiled else "eager nchw"
    whole = work.kind == "inference" and _is_like_vision(work, device)
    found = _network(work, device, mode, measured) if whole else None
    return found or _operators(work, device, measured) or _roofline(work, device)


def step(work: Workload, device: Device, *, compiled: bool = False, measured: Path | None = None) -> Timing:
    """One optimizer step on one device. Raises UserError where nothing supports a number.

    Work that was traced as a training step is timed as it is; otherwise a suite says it, or the backward
    pass is reckoned as two forward passes and the update as what Adam moves.
    """
    if work.kind == "training":
        return call(work, device, compiled=compiled, measured=measured)
    whole = _network(work, device, "training nchw", measured) if _is_like_vision(work, device) else None
    if whole is not None:
        return whole
    forward = call(work, device, compiled=compiled, measured=measured)
    update = UPDATE * work.parameters / device.bandwidth
    seconds = forward.seconds * BACKWARD + Spread(1.4 * update, update, 3 * update)
    return replace(forward, seconds=seconds, notes=[*forward.notes, "the backward pass reckoned as two forward passes"])


def _network(work: Workload, device: Device, mode: str, measured: Path | None) -> Timing | None:
    """Whole networks measured by timm; their rate is in items per second."""
    from netwright.predict.suites import timm

    suite = "timm_cpu" if device.kind == "cpu" else "timm"
    told = learned.rows(suite, timm.columns_of(work, device.name, mode), device, measured)
    if told is None or told.refused[0]:
        return None
    rate = Spread(float(told.value[0]), float(told.low[0]), float(told.high[0]))
    return Timing(
        seconds=rate.inverse() * float(work.batch), method=f"networks measured whole (suite {suite})",
        level=told.level, n=told.devices, outside=() if told.in_range[0] else (str(told.why[0]),),
        notes=(f"{mode.partition(' ')[0]}, as PyTorch runs it", *told.notes),
    )  # fmt: skip


def _is_like_vision(work: Workload, device: Device) -> bool:
    """With convolutions, or mostly products and attention, none recurrent: as the networks that were measured whole."""
    from netwright.predict import structure

    names = {operator.name.lower() for operator in work.operators}
    if any(word in name for name in names for word in RECURRENT):
        return False
    if any("conv" in name for name in names):
        return True
    products = [operator for operator in work.operators if structure.is_product(operator)]
    return roofline.share(products, work, device) > 0.5


def _operators(work: Workload, device: Device, measured: Path | None) -> Timing | None:
    found = operators.timed(work, device, measured)
    if found is None:
        return None
    seconds, told = found
    outside = tuple(dict.fromkeys(str(why) for why in told.why if why))
    method = "products measured alone (suite gemm), the rest by the roofline"
    return Timing(seconds=seconds, method=method, level=LEVEL, n=told.devices, outside=outside, notes=told.notes)


def _roofline(work: Workload, device: Device) -> Timing:
    (low, value, high), known, notes = roofline.call(work, device)
    seconds = Spread(value, low, high)
    return Timing(seconds=seconds, method=METHOD, level=known.level, n=known.devices, notes=tuple(notes))
