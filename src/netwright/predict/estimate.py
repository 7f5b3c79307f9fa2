"""What a model would do on hardware that is not here: time, memory, power, energy and cost, with intervals.

    for one in estimate.predict(workload, catalog.find("h100"), batch=32, precision="bf16"):
        print(one.quantity, one)                      # latency 1.93 ms [1.2–3.1 ms] ...

Every answer is a Measurement with source "predicted"; its conditions say the method, whether the question is
in the range that the method was fitted on, and what stands in for what. This file does not know how a number
is learned (`timing`), how devices talk (`scale`), nor what they cost (`cost`): it puts them together.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from netwright.core.error import UserError, did_you_mean
from netwright.core.measurement import Measurement, readable
from netwright.core.workload import Workload
from netwright.hardware.device import DTYPES, Device
from netwright.predict import cost, roofline, scale, timing
from netwright.predict.spread import Spread, exactly

MILLION = 1e6

LOAD = (0.40, 0.75, 1.0)
"""Power under load over the thermal design power: least, median, most.

Of 888 measured servings of language models on the H100, 5 %, 50 % and 95 % are 0.42, 0.76 and 0.97 (ML.ENERGY
benchmark); rounded outwards, and nothing draws more than its design power for long.
"""

BACKWARD = 3.0
"""A training step's arithmetic and bytes over those of the forward pass: backward takes two forwards (Kaplan 2020)."""

STATE = 16.0
"""Bytes of memory for each parameter that Adam trains in mixed precision: weight and gradient in 16 bits, weight and
two moments in 32 (Rajbhandari 2020, ZeRO)."""


@dataclass
class Answer:
    """Measurements of one question, as they are found; all share `left_out`, which says what is missing and why."""

    device: Device
    split: scale.Split
    about: dict[str, Any]
    conditions: dict[str, Any]
    left_out: dict[str, str] = field(default_factory=dict)
    found: list[Measurement] = field(default_factory=list)

    def add(self, quantity: str, of: Spread | float, **conditions: Any) -> None:
        bounds = of if isinstance(of, Spread) else Spread(of, of, of)
        values = {"value": bounds.value, "low": bounds.low, "high": bounds.high}
        told = {**self.conditions, **conditions, "left_out": self.left_out}
        self.found.append(Measurement(quantity=quantity, **values, **self.about, conditions=told))


def predict(
    workload: Workload,
    device: Device,
    *,
    batch: int | None = None,
    precision: str | None = None,
    split: scale.Split | None = None,
    training: bool = False,
    terms: cost.Terms | None = None,
) -> list[Measurement]:
    """Latency or step time, throughput, memory, largest batch, utilisation, power, energy and cost.

    `batch` are the items of one call (of one step of all replicas, when training). What cannot be known
    for this device (power without a design power, cost without a price) is left out, and why is said in
    the conditions under "left_out". Raises UserError where nothing supports a time.
    """
    split = split or scale.Split()
    work = at(workload, batch, precision)
    if training:
        return _training(work, device, split, terms)
    part = scale.shard(work, split.tensor) if split.tensor > 1 else work
    _fits(part, device, split)
    time = timing.call(part, device)
    seconds = time.seconds
    if split.tensor > 1:
        seconds = seconds + _reduced(work, split.tensor, device)
    if split.pipeline > 1:
        seconds = seconds + scale.send(_boundary(work), device) * float(split.pipeline - 1)
    calls = scale.replicas(split.data) * float(split.pipeline)  # each stage serves another call
    answer = _answer(work, device, split, time)
    answer.add("latency", seconds)
    throughput = seconds.inverse() * float(work.batch) * calls
    answer.add("throughput", throughput)
    _memory(answer, part)
    _utilised(answer, work, seconds)
    _paid(answer, throughput, terms)
    return answer.found


def at(workload: Workload, batch: int | None, precision: str | None) -> Workload:
    """The workload as asked. Raises UserError for a batch or a precision that is none."""
    if batch is not None and not 1 <= batch <= 10_000_000:
        raise UserError("batch", batch, "a whole number >= 1 and <= 10,000,000", "--batch 1")
    if precision is not None and precision not in DTYPES:
        raise UserError("precision", precision, did_you_mean(precision, DTYPES), "--precision bf16")
    work = workload.at_batch(batch) if batch is not None and batch != workload.batch else workload
    return work.at_dtype(precision) if precision is not None else work


def _training(work: Workload, device: Device, split: scale.Split, terms: cost.Terms | None) -> list[Measurement]:
    """One optimizer step: `work.batch` items of all replicas together."""
    if work.batch % split.data:
        allowed = f"a multiple of the {split.data} replicas"
        raise UserError("batch", work.batch, allowed, f"--batch {split.data * max(1, work.batch // split.data)}")
    one = work.at_batch(work.batch // split.data) if split.data > 1 else work
    part = scale.shard(one, split.tensor) if split.tensor > 1 else one
    state = STATE * part.parameters / split.pipeline
    kept = sum(o.output_bytes for o in part.operators) / split.pipeline
    if state + kept > device.memory:
        room = f"{device.name} has {readable(device.memory, 'B')}, training takes {readable(state + kept, 'B')}"
        raise UserError("device", device.name, room, f"a smaller --batch than {work.batch}, or more --devices")
    time = timing.call(part, device)
    update = STATE * part.parameters / device.bandwidth
    seconds = time.seconds * BACKWARD + Spread(update, update, 2 * update)
    if split.tensor > 1:
        seconds = seconds + _reduced(one, split.tensor, device) * BACKWARD
    micro = split.microbatches or 4 * split.pipeline
    seconds = seconds / split.pipeline / (1 - scale.bubble(split.pipeline, micro))
    alone = seconds
    if split.data > 1:
        wire = scale.all_reduce(2.0 * part.parameters / split.pipeline, split.data, device)
        seconds = Spread(  # at best it hides behind the backward pass, at worst not at all
            max(alone.value, wire.value) + 0.1 * min(alone.value, wire.value),
            max(alone.low, wire.low),
            alone.high + wire.high,
        )
    answer = _answer(work, device, split, time)
    answer.conditions |= {"training": True}
    answer.add("training_step", seconds)
    throughput = seconds.inverse() * float(work.batch)
    answer.add("throughput", throughput)
    answer.add("device_memory", Spread(state + kept, state, 1.3 * (state + kept)))
    _utilised(answer, work, seconds / BACKWARD * float(split.data))
    _paid(answer, throughput, terms)
    return answer.found


def _fits(part: Workload, device: Device, split: scale.Split) -> None:
    needed = roofline.memory(part) / split.pipeline
    if needed > device.memory:
        room = f"{device.name} has {readable(device.memory, 'B')}, the model needs {readable(needed, 'B')} at least"
        raise UserError("device", device.name, room, f"a smaller --batch than {part.batch}, or --precision int8")


def _reduced(work: Workload, tensor: int, device: Device) -> Spread:
    """The all-reduces of one pass: the output of every second product (Shoeybi 2019)."""
    sizes = [o.output_bytes for o in work.operators if roofline.is_matrix(o)][1::2]
    total = exactly(1e-12)
    for size in sizes:
        total = total + scale.all_reduce(size, tensor, device)
    return total


def _boundary(work: Workload) -> float:
    """Bytes between two stages: the median output of a product."""
    sizes = sorted(o.output_bytes for o in work.operators if roofline.is_matrix(o))
    return sizes[len(sizes) // 2] if sizes else 0.0


def _answer(work: Workload, device: Device, split: scale.Split, time: timing.Timing) -> Answer:
    about = {"level": time.level, "n": time.n, "source": "predicted", "device": device.name, "workload": work.digest}
    conditions = {
        "batch": work.batch,
        "dtype": roofline.main_dtype(work),
        "devices": split.devices,
        "split": str(split),
        "method": time.method,
        "in_range": time.in_range,
        "outside": list(time.outside),
        "notes": list(time.notes),
    }
    return Answer(device, split, about, conditions)


def _memory(answer: Answer, part: Workload) -> None:
    least = roofline.memory(part) / answer.split.pipeline
    answer.add("device_memory", Spread(1.1 * least, least, 1.5 * least))
    answer.add("max_batch", float(largest_batch(part, answer.device, answer.split)))


def largest_batch(part: Workload, device: Device, split: scale.Split) -> int:
    """The largest batch whose weights and activations fit, by bisection; 0 where the weights alone do not."""

    def fits(batch: int) -> bool:
        return roofline.memory(part.at_batch(batch)) / split.pipeline <= device.memory

    low, high = 0, 1
    while high <= 1 << 24 and fits(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _utilised(answer: Answer, work: Workload, seconds: Spread) -> None:
    """Share of the peak that `seconds` for one forward pass over the split's devices, replicas aside, come to."""
    peak = answer.device.rate(roofline.main_dtype(work)).flops * answer.split.tensor * answer.split.pipeline
    answer.add("utilisation", (seconds.inverse() * (work.flops / peak)).at_most(1.0))


def _paid(answer: Answer, throughput: Spread, terms: cost.Terms | None) -> None:
    """Power, energy and cost of a rate of items."""
    device, devices = answer.device, float(answer.split.devices)
    watts = power(device)
    if watts is None:
        answer.left_out["power"] = f"no design power of {device.name} is known"
    else:
        answer.add("power", watts)
        answer.add("energy", watts * devices / throughput)
    try:
        price = cost.hour(device, terms or cost.Terms())
        hourly = price.hour(watts) * devices
        answer.add("cost", hourly * (MILLION / 3600) / throughput, price=price.source)
    except UserError as refusal:
        if terms is not None:
            raise
        answer.left_out["cost"] = refusal.allowed


def power(device: Device) -> Spread | None:
    """Watts of one device under load; None where its design power is not known."""
    return None if device.power is None else Spread(LOAD[1], LOAD[0], LOAD[2]) * device.power
