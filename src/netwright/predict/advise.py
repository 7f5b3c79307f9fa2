"""The question turned round: which device, how many, which precision and which batch, for limits and a purpose.

    found = advise.rank(llm.find("Qwen3-8B"), Question(), Limits(max_per_token=0.03), "cost")
    found.choices[0].device, found.choices[0].rank

Every device is asked; one that misses a limit is named with the limit. A choice's rank is one more than the number of
choices that are better beyond doubt (intervals apart), so that several may be first. A limit counts as met where
the predicted value meets it, and as `sure` where the whole interval does. This file predicts nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from netwright.core.error import UserError, did_you_mean
from netwright.core.measurement import QUANTITIES, Measurement, better, readable
from netwright.core.workload import Workload
from netwright.hardware import catalog
from netwright.hardware.device import Device
from netwright.predict import cost, estimate, learned
from netwright.predict.llm import LLM
from netwright.predict.question import Question
from netwright.predict.scale import Split

Objective = Literal["cost", "energy", "latency", "throughput"]

BATCHES = (1, 4, 16, 32, 64, 128, 256)
"""Tried where the question names no batch."""

SLOWER = ("latency", "time to", "time per")
"""How reasons begin that a larger batch does not take away."""

COUNTS = (1, 2, 4, 8)
"""Devices tried, sharing the model, where the question names no split."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a choice must keep. Seconds, USD for a million items (output tokens of a language model), items or tokens
    per second, W and USD an hour of all devices together, and GB of each. Raises UserError."""

    max_latency: float | None = None
    max_first_token: float | None = None
    max_per_token: float | None = None
    max_cost: float | None = None
    min_throughput: float | None = None
    max_power: float | None = None
    max_hourly: float | None = None
    min_memory: float | None = None

    def __post_init__(self) -> None:
        for name in LIMITS:
            value = getattr(self, name)
            if value is not None and not 0 < value < 1e15:
                option = f"--{name.replace('_', '-')}"
                raise UserError(option, value, "a number above 0", f"{option} 1")


LIMITS = tuple(one.name for one in fields(Limits))


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A device, how many and how spread, a precision and a batch, and what they would do."""

    rank: int
    device: str
    split: Split
    precision: str
    batch: int
    sure: bool
    objective: Measurement
    found: Sequence[Measurement]


@dataclass(frozen=True, kw_only=True)
class Advice:
    """Choices from the best on, one a device and precision; and why each other device is none."""

    objective: Objective
    choices: Sequence[Choice]
    excluded: Sequence[tuple[str, str]]


def rank(
    model: Workload | LLM,
    question: Question,
    limits: Limits,
    objective: str = "cost",
    *,
    precisions: Sequence[str] = (),
    devices: Iterable[Device] | None = None,
    most: int = max(COUNTS),
    advance: Callable[..., object] = lambda *_, **__: None,
) -> Advice:
    """All devices, or those given, from the best on. `most` devices may share the model.

    `advance(note=name)` is called after each. Raises UserError for an objective that is none.
    """
    if objective not in get_args(Objective):
        raise UserError("objective", objective, did_you_mean(objective, get_args(Objective)), "--objective cost")
    learned.check()
    quantity = _quantity(objective, isinstance(model, LLM))
    choices, excluded = [], []
    for device in devices if devices is not None else catalog.all():
        met, why = [], ""
        for precision in precisions or (question.precision,):
            asked = replace(question, precision=precision)
            best, reason = _best(model, device, asked, limits, quantity, most)
            met += [best] if best else []
            why = why or reason
        choices += met
        if not met:
            excluded.append((device.name, why))
        advance(note=device.name)
    direction = 1 if QUANTITIES[quantity].better == "lower" else -1
    choices.sort(key=lambda choice: direction * choice.objective.value)
    ranked = [
        replace(one, rank=1 + sum(better(other.objective, one.objective) is True for other in choices))
        for one in choices
    ]
    return Advice(objective=objective, choices=ranked, excluded=excluded)  # type: ignore[arg-type]


def _best(
    model: Workload | LLM, device: Device, question: Question, limits: Limits, quantity: str, most: int
) -> tuple[Choice | None, str]:
    """The best choice on one device; None and the first reason where there is none."""
    hopeless = _hopeless(device, question, limits, quantity)
    if hopeless:
        return None, hopeless
    best: Choice | None = None
    reason = ""
    generated = isinstance(model, LLM)
    for split in _splits(question, most):
        for batch in _batches(question, quantity):
            asked = replace(question, batch=batch, split=split)
            try:
                found = {one.quantity: one for one in estimate.predict(model, device, asked)}
            except UserError as refusal:
                if refusal.setting == "predictor":
                    raise
                reason = reason or refusal.allowed
                break  # a larger batch will not fit either
            missed = _missed(found, limits, generated, split)
            reason = reason or missed
            if missed.startswith(SLOWER):
                break  # a larger batch takes longer
            if not missed and (best is None or _improves(found[quantity], best.objective)):
                first = next(iter(found.values()))
                best = Choice(
                    rank=0, device=device.name, split=split, precision=first.conditions["dtype"], batch=batch,
                    sure=not _missed(found, limits, generated, split, surely=True),
                    objective=found[quantity], found=list(found.values()),
                )  # fmt: skip
        if best is not None:
            break  # more devices than needed are not asked for
    return best, reason or "no number"


def _hopeless(device: Device, question: Question, limits: Limits, quantity: str) -> str:
    """Why a device need not be asked at all; empty where it must be."""
    if limits.min_memory is not None and device.memory < limits.min_memory * 1e9:
        return f"memory below {limits.min_memory:g} GB; {readable(device.memory, 'B')}"
    if device.power is None and ("energy" in quantity or limits.max_power is not None):
        return f"no design power of {device.name} is known"
    if "cost" in quantity or limits.max_cost is not None or limits.max_hourly is not None:
        try:
            cost.hour(device, question.terms or cost.Terms())
        except UserError as refusal:
            return refusal.allowed
    return ""


def _batches(question: Question, quantity: str) -> Sequence[int]:
    """A larger batch is never sooner, so that only the smallest is tried for latency."""
    if question.batch is not None:
        return (question.batch,)
    return BATCHES[:1] if quantity == "latency" else BATCHES


def _splits(question: Question, most: int) -> list[Split]:
    if question.split != Split():
        return [question.split]
    return [Split(tensor=count) for count in COUNTS if count <= most]


def _improves(one: Measurement, than: Measurement) -> bool:
    higher = QUANTITIES[one.quantity].better == "higher"
    return one.value > than.value if higher else one.value < than.value


def _quantity(objective: str, generated: bool) -> str:
    by_token = {"cost": "token_cost", "energy": "token_energy", "throughput": "token_throughput"}
    return by_token.get(objective, objective) if generated else objective


def _missed(found: dict[str, Measurement], limits: Limits, generated: bool, split: Split, surely: bool = False) -> str:
    """The first limit that is not kept, in words; empty where all are. `surely` asks it of the interval's far end."""
    checks: list[tuple[str, float | None, float]] = [
        ("latency", limits.max_latency, 1),
        ("time_to_first_token", limits.max_first_token, 1),
        ("time_per_output_token", limits.max_per_token, 1),
        (_quantity("cost", generated), limits.max_cost, 1),
        ("power", limits.max_power, split.devices),
        (_quantity("throughput", generated), limits.min_throughput, 1),
    ]
    for quantity, limit, times in checks:
        if limit is None:
            continue
        one = found.get(quantity)
        if one is None:
            return f"no {quantity.replace('_', ' ')} is known"
        least = QUANTITIES[quantity].better == "higher"
        value = times * (one.value if not surely else one.low if least else one.high)
        if value < limit if least else value > limit:
            word = "below" if least else "above"
            told = f"{quantity.replace('_', ' ')} {word} {readable(limit, one.unit)}"
            return f"{told}; predicted {readable(value, one.unit)}"
    if limits.max_hourly is not None:
        price = found.get("cost")
        if price is None:
            return "no price is known"
        if price.conditions["hourly"] > limits.max_hourly:
            return f"above {limits.max_hourly:g} USD an hour; {price.conditions['hourly']:.2f}"
    return ""


def plain(advice: Advice) -> dict[str, Any]:
    """For JSON."""
    return {
        "objective": advice.objective,
        "choices": [
            {
                "rank": one.rank, "device": one.device, "devices": one.split.devices, "split": str(one.split),
                "precision": one.precision, "batch": one.batch, "sure": one.sure, "objective": one.objective,
                "measurements": list(one.found),
            }
            for one in advice.choices
        ],
        "excluded": [{"device": device, "why": why} for device, why in advice.excluded],
    }  # fmt: skip
