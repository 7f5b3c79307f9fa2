"""One optimizer step on one device or many: forward, backward, exchange of gradients, update.

This file does not know the loader, the host or the schedule, nor how a step on one device is timed (`timing`).
"""

from __future__ import annotations

from netwright.core.error import UserError
from netwright.core.measurement import Measurement
from netwright.core.workload import Workload
from netwright.hardware.device import Device
from netwright.predict import memory, roofline, scale, timing, watts
from netwright.predict.forecast import Forecast
from netwright.predict.question import Question
from netwright.predict.spread import Spread

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
    demand = memory.of_workload(own, split, "adamw")
    memory.check(demand, device, own.batch)
    time = timing.step(part, device, compiled=question.compiled, measured=question.measured)
    alone = time.seconds
    if split.tensor > 1:
        passes = 1.0 if work.kind == "training" else 2.0  # what is reduced forward is reduced backward too
        alone = alone + scale.reduced(own, split.tensor, device) * passes
    if split.pipeline > 1:
        micro = split.microbatches or 4 * split.pipeline
        alone = alone / split.pipeline / (1 - scale.bubble(split.pipeline, micro))
    seconds = exchanged(alone, part.parameters / split.pipeline, split.data, device)
    forecast = Forecast.of(work, device, question, time)
    forecast.add("training_step", seconds)
    throughput = seconds.inverse() * float(work.batch)
    forecast.add("throughput", throughput)
    forecast.join(memory.needed(demand, device, own.batch))
    forward = alone / (1.0 if work.kind == "training" else timing.BACKWARD)
    forecast.utilised(own.flops, roofline.main_dtype(own), forward)
    load = watts.Load.of(own, forward.value, device, split.tensor * split.pipeline)
    forecast.paid(throughput, watts.under(load, device))
    return forecast.found


def exchanged(
    step: Spread, parameters: float, replicas: int, over: Device | scale.Wire, gradient: float = GRADIENT
) -> Spread:
    """A step with the all-reduce of its gradients, of so many bytes each, among replicas.

    At best it hides behind the backward pass, at worst not at all; most likely three quarters of it do, as
    buckets of gradients are sent while others are computed (Li 2020, PyTorch Distributed).
    """
    if replicas == 1:
        return step
    wire = scale.all_reduce(gradient * parameters, replicas, over)
    low = max(step.low, wire.low)
    value = max(step.value, wire.value) + 0.25 * min(step.value, wire.value)
    return Spread(max(low, value), low, max(step.high + wire.high, value))
