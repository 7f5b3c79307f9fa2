"""A language model at work: first token, next tokens, requests, and what of it fits into memory.

    for one in generation.predict(llm.find("Qwen3-8B"), catalog.find("l40s"), Question(batch=16)):
        print(one.quantity, one)

`batch` requests run at once, each with a prompt of `sequence` tokens and `output` tokens to write. Where no suite
of measured servings applies, a pass is the sum of its operators; then there is no queue, no scheduler and no
speculation in it. This file does not know how a pass is timed (`timing`), nor how devices talk (`scale`).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Any

from netwright.core import recipe
from netwright.core.error import UserError
from netwright.core.measurement import Measurement, readable
from netwright.core.workload import Workload
from netwright.hardware.device import Device
from netwright.predict import llm, memory, scale, service, timing, watts
from netwright.predict.forecast import MEASURED, Forecast
from netwright.predict.llm import LLM
from netwright.predict.llm.passes import passes
from netwright.predict.question import Question
from netwright.predict.spread import Spread

SEQUENCE, OUTPUT = 1024, 256
"""Tokens of a prompt and of an answer where nothing else is asked."""

CHUNK = 8192
"""Tokens of prompts that an engine reads in one pass at most; vLLM's and TensorRT-LLM's usual setting."""

WIDTH = 2.0
"""Bytes of an activation between layers: they stay in 16 bits."""


def predict(model: LLM, device: Device, question: Question) -> list[Measurement]:
    """Time to first token, time per output token, latency of a request, throughputs, memory, power, energy, cost.

    Defaults: one request of 1,024 tokens that asks for 256. `batch` requests share each replica.
    Raises UserError where it does not fit, or where nothing supports a time.
    """
    split = question.split
    model = at(model, question.precision)
    batch, sequence, output = question.batch or 1, question.sequence or SEQUENCE, question.output or OUTPUT
    demand = demanded(model, sequence, split)
    if memory.fits(demand, device, batch, sequence + output) is False:
        needed = readable(demand.held(batch, sequence + output, device.kind).low, "B")
        allowed = f"needs {needed} a device; {device.name} has {readable(device.memory, 'B')}"
        raise UserError("device", device.name, allowed, _smaller(model, batch, sequence, output, split, device))
    times = Times.of(model, device, question, batch=batch, sequence=sequence, output=output)
    told: dict[str, Any] = {"batch": batch, "sequence": sequence, "output": output, "dtype": model.weights}
    if not model.confirmed:
        told["notes"] = [*times.each.notes, "the model's shape is from memory, checked only by its size"]
    forecast = Forecast.asked(digest(model), device, question, times.each, told)
    first, each = times.first.seconds, times.each.seconds
    forecast.add("time_to_first_token", first, method=times.first.method, outside=list(times.first.outside))
    forecast.add("time_per_output_token", each)
    forecast.add("latency", first + each * float(output - 1) if output > 1 else first)
    requests = times.requests * float(split.pipeline) * scale.replicas(split.data)
    forecast.add("throughput", requests)
    forecast.add("token_throughput", requests * float(output))
    forecast.join(memory.needed(demand, device, batch, sequence + output))
    forecast.join(memory.max_batch(demand, device, sequence + output))
    if demand.token:
        forecast.join(memory.max_context(demand, device, batch))
    parts = list(passes(model, batch, 1, sequence + output // 2))
    flops, moved = (sum(float(getattr(part, of)) * part.times for part in parts) for of in ("flops", "bytes"))
    forecast.utilised(flops, parts[0].dtype, each)
    own = split.tensor * split.pipeline
    rate = times.requests.value * output * split.pipeline
    drawn = service.power(
        model, device, batch=batch, output=output, devices=own, each=each, rate=rate, measured=question.measured
    )
    if drawn is not None:
        forecast.paid(requests, drawn, by=MEASURED, tokens=output)
    else:
        rate_of = {part.dtype: device.rate(part.dtype).flops for part in parts}
        busy = sum(
            part.times * max(float(part.flops) / rate_of[part.dtype], float(part.bytes) / device.bandwidth)
            for part in parts
        )
        load = watts.Load(
            seconds=each.value, flops=flops / own, bytes=moved / own, busy=busy / own, dtype=parts[0].dtype
        )
        forecast.paid(requests, watts.under(load, device), tokens=output)
    return forecast.found


@dataclass(frozen=True, kw_only=True)
class Times:
    """First token, each next one, and requests per second of one replica (of one stage of it)."""

    first: timing.Timing
    each: timing.Timing
    requests: Spread

    @classmethod
    def of(
        cls, model: LLM, device: Device, question: Question, *, batch: int, sequence: int, output: int
    ) -> Times:  # fmt: skip
        """By the suites of servings where they answer, else by the operators of a pass."""
        split, measured = question.split, question.measured
        if split.pipeline == 1:
            asked = {"batch": batch, "sequence": sequence, "output": output, "tensor": split.tensor}
            found = service.timed(model, device, **asked, measured=measured)
            if found is not None:  # its times are those of a closed loop of `batch` requests, queueing included
                whole = found.first.seconds + found.each.seconds * float(max(1, output - 1))
                return cls(first=found.first, each=found.each, requests=whole.inverse() * float(batch))
        prefill, decode = reckoned(model, device, batch, sequence, output, split)
        # while one request's prompt is read, the others of the batch wait
        cycle = prefill.seconds * float(batch) + decode.seconds * float(output)
        return cls(first=prefill, each=decode, requests=cycle.inverse() * float(batch))


def at(model: LLM, precision: str | None) -> LLM:
    """The model with its weights stored so."""
    if precision is None or precision == model.weights:
        return model
    return llm.quantized(model, precision)


@functools.lru_cache(maxsize=256)
def digest(model: LLM) -> str:
    """sha256 of the model's shape."""
    return recipe.digest(model)


@functools.lru_cache(maxsize=256)
def reading(model: LLM, sequence: int, tensor: int) -> Workload:
    """One prompt, on one of `tensor` devices."""
    return model.prefill(1, sequence, tensor)


@functools.lru_cache(maxsize=256)
def writing(model: LLM, batch: int, context: int, tensor: int) -> Workload:
    """One token for each of `batch` requests, on one of `tensor` devices."""
    return model.decode(batch, context, tensor)


def reckoned(
    model: LLM, device: Device, batch: int, sequence: int, output: int, split: scale.Split
) -> tuple[timing.Timing, timing.Timing]:
    """One prompt read, and one token written for each of `batch` requests, through all layers."""
    prompt = reading(model, sequence, split.tensor)
    step = writing(model, batch, sequence + output // 2, split.tensor)
    timed = []
    for work, tokens in ((prompt, sequence), (step, batch)):
        one = timing.call(work, device)
        message = WIDTH * tokens * model.hidden
        seconds = one.seconds
        if split.tensor > 1:  # one all-reduce after attention, one after the feed-forward layer (Shoeybi 2019)
            seconds = seconds + scale.all_reduce(message, split.tensor, device) * float(
                model.layers + model.feed_layers
            )
        if split.pipeline > 1:
            seconds = seconds + scale.send(message, device) * float(split.pipeline - 1)
        timed.append(replace(one, seconds=seconds))
    return timed[0], timed[1]


def demanded(model: LLM, sequence: int, split: scale.Split) -> memory.Demand:
    """Memory of one device: its part of the weights and caches, and what a prompt's widest layer holds for a while.

    Layers that see a window, or keep a state, take what they take however long the text is.
    """
    full = memory.of_language_model(
        model.weight_bytes, model.kv_bytes, 0.0, split, 1 if model.kv_rank else model.kv_heads
    )
    near = (model.cache_bytes(model.window or 1) - model.kv_bytes * (model.window or 1)) / split.devices * split.data
    wide = WIDTH * min(sequence, CHUNK) * (4 * model.hidden + 2 * max(model.inter, model.expert_inter) / split.tensor)
    item = Spread(near + wide / 8, near + wide / 64, near + wide)  # few requests are in their prompt at a time
    return replace(full, item=item)


def _smaller(model: LLM, batch: int, sequence: int, output: int, split: scale.Split, device: Device) -> str:
    """What would fit: more devices, or fewer requests."""
    for tensor in (2, 4, 8):
        wider = demanded(model, sequence, replace(split, tensor=tensor))
        if tensor > split.tensor and memory.fits(wider, device, batch, sequence + output) is not False:
            return f"--parallel tp={tensor}"
    most = memory.max_batch(demanded(model, sequence, split), device, sequence + output).high
    return f"--batch {most:.0f}" if most else "--precision fp8, or --parallel tp=8,pp=4"
