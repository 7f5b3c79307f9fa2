"""A language model at work: first token, next tokens, requests, and what of it fits into memory.

    for one in generation.predict(llm.find("Qwen3-8B"), catalog.find("l40s"), Question(batch=16)):
        print(one.quantity, one)

`batch` requests run at once, each with a prompt of `sequence` tokens and `output` tokens to write. Where no suite
of measured servings applies, a pass is the sum of its operators; then there is no queue, no scheduler and no
speculation in it. This file does not know how a pass is timed (`timing`), nor how devices talk (`scale`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from netwright.core.error import UserError
from netwright.core.measurement import Measurement, readable
from netwright.hardware.device import Device
from netwright.predict import scale, timing
from netwright.predict.forecast import Forecast
from netwright.predict.llm import LLM
from netwright.predict.question import Question
from netwright.predict.spread import Spread

SEQUENCE, OUTPUT = 1024, 256
"""Tokens of a prompt and of an answer where nothing else is asked."""

USABLE = 0.9
"""Share of a device's memory that weights and caches get; vLLM's default for `gpu_memory_utilization`."""

WIDTH = 2.0
"""Bytes of an activation between layers: they stay in 16 bits."""


def predict(model: LLM, device: Device, question: Question) -> list[Measurement]:
    """Time to first token, time per output token, latency of a request, throughputs, memory, power, energy, cost.

    Defaults: one request of 1,024 tokens that asks for 256. `batch` requests share each replica.
    Raises UserError where it does not fit, or where nothing supports a time.
    """
    if question.training:
        raise UserError(
            "training", model.name, "a model that was traced as a training step", "netwright predict --help"
        )
    split = question.split
    model = at(model, question.precision)
    batch, sequence, output = question.batch or 1, question.sequence or SEQUENCE, question.output or OUTPUT
    needed = memory(model, batch, sequence + output, split)
    if needed > USABLE * device.memory:
        trying = next_try(model, batch, sequence + output, split, device)
        raise UserError("device", device.name, too_large(needed, device), trying)
    prefill, decode = passes(model, device, batch, sequence, output, split)
    work = model.decode(batch, sequence + output // 2)
    told: dict[str, Any] = {"batch": batch, "sequence": sequence, "output": output, "dtype": model.weights}
    if not model.confirmed:
        told["notes"] = [*decode.notes, "the model's shape is from memory, checked only by its number of parameters"]
    forecast = Forecast.of(work, device, question, decode, **told)
    first, each = prefill.seconds, decode.seconds
    forecast.add("time_to_first_token", first, method=prefill.method, outside=list(prefill.outside))
    forecast.add("time_per_output_token", each)
    forecast.add("latency", first + each * float(output - 1) if output > 1 else first)
    # while one request's prompt is read, the others of the batch wait
    cycle = first * float(batch) + each * float(output)
    requests = cycle.inverse() * float(batch * split.pipeline) * scale.replicas(split.data)
    forecast.add("throughput", requests)
    forecast.add("token_throughput", requests * float(output))
    forecast.add("device_memory", Spread(needed, needed, max(needed, min(1.15 * needed, device.memory))))
    forecast.add("max_batch", float(largest_batch(model, sequence + output, split, device)))
    forecast.add("max_context", float(largest_context(model, batch, split, device)))
    forecast.utilised(work, each)
    forecast.paid(requests, tokens=output)
    return forecast.found


def at(model: LLM, precision: str | None) -> LLM:
    """The model with its weights stored so."""
    if precision is None or precision == model.weights:
        return model
    return replace(model, weights=precision, attention_weights=precision)


def passes(
    model: LLM, device: Device, batch: int, sequence: int, output: int, split: scale.Split
) -> tuple[timing.Timing, timing.Timing]:
    """One prompt read, and one token written for each of `batch` requests, through all layers."""
    prompt = model.prefill(1, sequence, split.tensor)
    step = model.decode(batch, sequence + output // 2, split.tensor)
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


def memory(model: LLM, batch: int, context: int, split: scale.Split) -> float:
    """Bytes on one device: its part of the weights, the caches of `batch` sequences, and one layer's activations."""
    parts = split.tensor * split.pipeline
    cache = batch * model.cache_bytes(context) / (split.pipeline * min(split.tensor, _cache_shares(model)))
    activations = WIDTH * 8192 * (4 * model.hidden + 2 * max(model.inter, model.expert_inter) / split.tensor)
    return model.weight_bytes / parts + cache + activations


def _cache_shares(model: LLM) -> int:
    """Devices among which a token's cache can be divided: by heads of keys, or not at all when it is latent."""
    return 1 if model.kv_rank else model.kv_heads


def largest_batch(model: LLM, context: int, split: scale.Split, device: Device) -> int:
    """Sequences of so many tokens that fit beside the weights; 0 where none does."""
    free = USABLE * device.memory - memory(model, 0, context, split)
    each = memory(model, 1, context, split) - memory(model, 0, context, split)
    return max(0, int(free / each)) if each > 0 else 1 << 20


def largest_context(model: LLM, batch: int, split: scale.Split, device: Device) -> int:
    """Tokens that each of `batch` sequences may have; 0 where not one fits. By bisection: windows are not linear."""
    low, high = 0, 1 << 30
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if memory(model, batch, middle, split) <= USABLE * device.memory else (low, middle)
    return low


def too_large(needed: float, device: Device) -> str:
    room = readable(USABLE * device.memory, "B")
    return f"needs {readable(needed, 'B')} a device; {device.name} has {room}, {100 * USABLE:.0f} % of its memory"


def next_try(model: LLM, batch: int, context: int, split: scale.Split, device: Device) -> str:
    """What would fit: more devices, or fewer requests."""
    for tensor in (2, 4, 8):
        wider = replace(split, tensor=tensor)
        if tensor > split.tensor and memory(model, batch, context, wider) <= USABLE * device.memory:
            return f"--parallel tp={tensor}"
    fits = largest_batch(model, context, split, device)
    return f"--batch {fits}" if fits else "--precision fp8, or --parallel tp=8,pp=4"
