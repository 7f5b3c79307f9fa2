"""What a model would do on hardware that is not here: time, memory, power, energy and cost, with intervals.

    for one in estimate.predict(model.open("net.onnx"), catalog.find("h100"), Question(batch=32, precision="bf16")):
        print(one.quantity, one)                      # latency 1.93 ms [1.2–3.1 ms] ...

Every answer is a Measurement with source "predicted"; its conditions say the method, whether the question is
in the range that the method was fitted on, and what stands in for what. This file does not know how a number
is learned (`timing`), how devices talk (`scale`), nor what they cost (`cost`): it puts them together.
"""

from __future__ import annotations

from netwright.core.error import UserError
from netwright.core.measurement import Measurement
from netwright.core.workload import Workload
from netwright.hardware.device import Device
from netwright.predict import generation, memory, roofline, scale, timing, training, watts
from netwright.predict.forecast import Forecast
from netwright.predict.llm import LLM
from netwright.predict.question import Question


def predict(model: Workload | LLM, device: Device, question: Question | None = None) -> list[Measurement]:
    """Latency, throughput, memory, largest batch, utilisation, power, energy and cost; for a language model
    time to first token and per output token and the longest context too; when training, the time of a step.

    What cannot be known for this device (power without a design power, cost without a price) is left out, and
    the conditions say why under "left_out". Raises UserError where nothing supports a time, or it does not fit.
    """
    question = question or Question()
    if isinstance(model, LLM) and question.training:
        batch, sequence = question.batch or question.split.data, question.sequence or generation.SEQUENCE
        work = generation.at(model, question.precision).prefill(batch, sequence)
        return training.predict(work, device, question)
    if isinstance(model, LLM):
        return generation.predict(model, device, question)
    if question.output is not None:
        raise UserError("output", question.output, f"language models only; {model.name} writes no tokens", "without it")
    work = at(model if question.sequence is None else model.at_sequence(question.sequence), question)
    if question.training or work.kind == "training":
        return training.predict(work, device, question)
    return _inference(work, device, question)


def at(model: Workload, question: Question) -> Workload:
    """The workload with the question's batch and precision."""
    work = model.at_batch(question.batch) if question.batch not in (None, model.batch) else model
    return work.at_dtype(question.precision) if question.precision is not None else work


def _inference(work: Workload, device: Device, question: Question) -> list[Measurement]:
    split = question.split
    demand = memory.of_workload(work, split)
    memory.check(demand, device, work.batch)
    time = timing.call(scale.shard(work, split.tensor), device, compiled=question.compiled, measured=question.measured)
    seconds = time.seconds
    if split.tensor > 1:
        seconds = seconds + scale.reduced(work, split.tensor, device)
    if split.pipeline > 1:
        seconds = seconds + scale.send(scale.boundary(work), device) * float(split.pipeline - 1)
    calls = scale.replicas(split.data) * float(split.pipeline)  # each stage serves another call
    throughput = seconds.inverse() * float(work.batch) * calls
    forecast = Forecast.of(work, device, question, time)
    forecast.add("latency", seconds)
    forecast.add("throughput", throughput)
    forecast.join(memory.needed(demand, device, work.batch))
    if demand.item:
        forecast.join(memory.max_batch(demand, device))
    forecast.utilised(work.flops, roofline.main_dtype(work), seconds)
    shared = split.tensor * split.pipeline
    forecast.paid(throughput, watts.under(watts.Load.of(work, seconds.value, device, shared), device))
    return forecast.found
