"""One optimizer step on one device or many: forward, backward, exchange of gradients, update.

A workload that was traced as a training step is timed as it is; of one that was traced as inference, the
backward pass is reckoned as two forward passes. This file does not know the loader, the host or the schedule.
"""

from __future__ import annotations

from netwright.core.error import UserError
from netwright.core.measurement import Measurement, readable
from netwright.core.workload import Workload
from netwright.hardware.device import Device
from netwright.predict import scale, timing
from netwright.predict.forecast import Forecast
from netwright.predict.question import Question
from netwright.predict.spread import Spread

BACKWARD = 3.0
"""A step's arithmetic over the forward pass's: the backward pass takes two (Kaplan 2020, arXiv 2001.08361, 2.1)."""

STATE = 16.0
"""Bytes for each parameter that Adam trains in mixed precision: weight and gradient in 16 bits, weight and
two moments in 32 (Rajbhandari 2020, arXiv 1910.02054, section 3.1)."""

GRADIENT = 2.0
"""Bytes of a gradient on the wire: 16 bits."""


def predict(work: Workload, device: Device, question: Question) -> list[Measurement]:
    """Time of a step of `work.batch` items over all replicas, throughput, memory, power, energy and cost.

    Raises UserError where it does not fit, or the batch cannot be divided among the replicas.
    """
    split = question.split
    if work.batch % split.data:
        nearest = split.data * max(1, work.batch // split.data)
        raise UserError("batch", work.batch, f"a multiple of the {split.data} replicas", f"--batch {nearest}")
    own = work.at_batch(work.batch // split.data)
    part = scale.shard(own, split.tensor)
    needed = memory(part, split)
    if needed > device.memory:
        room = f"training needs {readable(needed, 'B')} a device; {device.name} has {readable(device.memory, 'B')}"
        raise UserError("device", device.name, room, f"a smaller --batch than {work.batch}, or more --devices")
    time = timing.call(part, device)
    seconds = time.seconds
    if work.kind != "training":
        update = STATE * part.parameters / device.bandwidth  # Adam reads and writes its state once
        seconds = seconds * BACKWARD + Spread(1.5 * update, update, 2 * update)
    if split.tensor > 1:
        passes = 1.0 if work.kind == "training" else 2.0  # what is reduced forward is reduced backward too
        seconds = seconds + scale.reduced(own, split.tensor, device) * passes
    if split.pipeline > 1:
        micro = split.microbatches or 4 * split.pipeline
        seconds = seconds / split.pipeline / (1 - scale.bubble(split.pipeline, micro))
    alone = seconds
    if split.data > 1:
        wire = scale.all_reduce(GRADIENT * part.parameters / split.pipeline, split.data, device)
        # at best the exchange hides behind the backward pass, at worst not at all; PyTorch's DDP hides most (Li 2020)
        longest, shortest = max(alone.value, wire.value), min(alone.value, wire.value)
        low = max(alone.low, wire.low)
        seconds = Spread(max(low, longest + 0.25 * shortest), low, alone.high + wire.high)
    forecast = Forecast.of(work, device, question, time)
    forecast.add("training_step", seconds)
    throughput = seconds.inverse() * float(work.batch)
    forecast.add("throughput", throughput)
    forecast.add("device_memory", Spread(needed, 0.8 * needed, 1.3 * needed))
    forecast.utilised(own, alone / (1.0 if work.kind == "training" else BACKWARD))
    forecast.paid(throughput)
    return forecast.found


def memory(part: Workload, split: scale.Split) -> float:
    """Bytes on one device: weights, gradients, optimizer, and what the forward pass keeps for the backward pass."""
    kept = part.peak_bytes if part.kind == "training" else sum(o.output_bytes for o in part.operators)
    return (STATE * part.parameters + kept) / split.pipeline
