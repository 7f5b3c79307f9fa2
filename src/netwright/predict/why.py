"""Why a prediction is what it is: which operators take the time, and what bounds each.

    found = why.shares(workload, catalog.find("l4"), Question(batch=8))
    found.headline                      # "bandwidth 71 %, compute 22 %, launches 7 %"

An operator is bound by what takes longest of its three: arithmetic at the device's rate, bytes at its
bandwidth, or the launch itself. Shares are those of the roofline's time; where a suite timed the
whole, they say how it is spent, not how much it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from netwright.core.workload import Operator, Workload
from netwright.hardware.device import Device
from netwright.predict import estimate, generation, roofline
from netwright.predict.llm import LLM
from netwright.predict.question import Question

Bound = Literal["compute", "bandwidth", "launches"]

MOST = 8
"""Kinds of operators that are told apart; the rest is one line."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One kind of operator: how many, their time, its share, and what bounds most of it."""

    name: str
    count: int
    seconds: float
    share: float
    bound: Bound
    flops: float
    bytes: float


@dataclass(frozen=True, kw_only=True)
class Why:
    """The parts of one call on one device, the largest first, and the share of each bound."""

    device: str
    work: str
    parts: Sequence[Part]
    bounds: dict[str, float]
    ridge: float
    """FLOP per byte above which arithmetic bounds."""
    intensity: float
    advice: str

    @property
    def headline(self) -> str:
        return ", ".join(f"{name} {100 * share:.0f} %" for name, share in self.bounds.items() if share >= 0.005)


def shares(model: Workload | LLM, device: Device, question: Question) -> Why:
    """Of one call; of a language model, of one token for each request."""
    work = worked(model, question)
    timed = [(operator, *seconds(operator, device)) for operator in work.operators]
    total = sum(time for _, time, _ in timed)
    kinds: dict[str, list[tuple[Operator, float, Bound]]] = {}
    for operator, time, bound in timed:
        kinds.setdefault(operator.name, []).append((operator, time, bound))
    parts = sorted((_part(name, listed, total) for name, listed in kinds.items()), key=lambda part: -part.seconds)
    bounds = {
        name: sum(time for _, time, bound in timed if bound == name) / total
        for name in ("bandwidth", "compute", "launches")
    }
    bounds = dict(sorted(bounds.items(), key=lambda item: -item[1]))
    peak = device.rate(roofline.main_dtype(work)).flops
    return Why(
        device=device.name,
        work=work.name,
        parts=_short(parts, total),
        bounds=bounds,
        ridge=peak / device.bandwidth,
        intensity=work.flops / work.bytes if work.bytes else 0.0,
        advice=_advice(next(iter(bounds)), bounds, work, device),
    )


def worked(model: Workload | LLM, question: Question) -> Workload:
    """The work of one call as the question asks it."""
    if isinstance(model, LLM):
        batch, sequence = question.batch or 1, question.sequence or generation.SEQUENCE
        output = question.output or generation.OUTPUT
        stored = generation.at(model, question.precision)
        return stored.decode(batch, sequence + output // 2, question.split.tensor)
    return estimate.at(model, question)


def seconds(operator: Operator, device: Device) -> tuple[float, Bound]:
    """The longest of arithmetic, bytes and launch of one operator, and which it is."""
    known = roofline.prior("cpu" if device.kind == "cpu" else "gpu")
    times: dict[Bound, float] = {
        "compute": operator.flops / device.rate(operator.dtype).flops,
        "bandwidth": operator.bytes / device.bandwidth,
        "launches": known.floor[1] * roofline.launches(operator),
    }
    bound = max(times, key=lambda name: times[name])
    return times[bound], bound


def _part(name: str, listed: Sequence[tuple[Operator, float, Bound]], total: float) -> Part:
    by: dict[Bound, float] = {}
    for _, time, bound in listed:
        by[bound] = by.get(bound, 0.0) + time
    spent = sum(by.values())
    return Part(
        name=name,
        count=len(listed),
        seconds=spent,
        share=spent / total,
        bound=max(by, key=lambda bound: by[bound]),
        flops=sum(operator.flops for operator, _, _ in listed),
        bytes=sum(operator.bytes for operator, _, _ in listed),
    )


def _short(parts: Sequence[Part], total: float) -> list[Part]:
    """The largest, and the rest as one."""
    if len(parts) <= MOST:
        return list(parts)
    rest = parts[MOST - 1 :]
    spent = sum(part.seconds for part in rest)
    bound = max(rest, key=lambda part: part.seconds).bound
    flops, moved = sum(part.flops for part in rest), sum(part.bytes for part in rest)
    count = sum(part.count for part in rest)
    last = Part(name="the rest", count=count, seconds=spent, share=spent / total, bound=bound, flops=flops, bytes=moved)
    return [*parts[: MOST - 1], last]


def _advice(bound: str, bounds: dict[str, float], work: Workload, device: Device) -> str:
    """What would help most, where one bound takes more than half."""
    if bounds[bound] <= 0.5:
        return ""
    if bound == "launches":
        return "Mostly launches: a larger batch or a compiled graph costs little more time."
    if bound == "bandwidth":
        weights = sum(operator.weight_bytes for operator in work.operators) / max(work.bytes, 1.0)
        if weights > 0.5:
            return "Mostly reading weights: a larger batch shares them, a smaller dtype shrinks them."
        return "Mostly moving activations: fusing operators or a smaller dtype helps; a faster processor does not."
    faster = [dtype for dtype in ("fp8", "int8", "fp4") if dtype in device.rates and work.operators[0].dtype != dtype]
    return f"Mostly arithmetic: {' or '.join(faster)} has a higher rate here." if faster else "Mostly arithmetic."


def draw(model: Workload | LLM, device: Device, question: Question, path: Path) -> None:
    """The operators under the device's roofline, into a .png or .svg file. Needs the extra `plot`."""
    from netwright.core import figure, plot

    work = worked(model, question)
    found = shares(model, device, question)
    roofs = {dtype: device.rate(dtype).flops for dtype in dict.fromkeys(operator.dtype for operator in work.operators)}
    points = [
        plot.Dot(label=part.name, flops=part.flops, bytes=part.bytes, seconds=part.seconds, share=part.share)
        for part in found.parts
        if part.flops > 0 and part.bytes > 0
    ]
    figure.save(plot.roofline(points, roofs, device.bandwidth, title=f"{work.name} on {device.name}"), path)
