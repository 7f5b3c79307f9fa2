"""A language model under load, as suites of measured servings tell it: first token, next tokens, watts.

    found = service.timed(model, device, batch=16, sequence=1024, output=256, tensor=2)   # None: no suite answers
    found.first, found.each                   # Timings of the first token and of each next one, queueing included

`batch` requests are kept in flight by an engine such as vLLM, on devices that read prompts and write answers alike.
This file does not know speculative decoding, disaggregation, nor which engine one will choose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from netwright.hardware.device import Device
from netwright.predict import learned
from netwright.predict.learned import Told
from netwright.predict.learning.table import Columns, Texts
from netwright.predict.llm import LLM
from netwright.predict.spread import Spread
from netwright.predict.suites.serving import family
from netwright.predict.timing import Timing

ENGINE = "vllm"


@dataclass(frozen=True, kw_only=True)
class Service:
    """Seconds to the first token, and of each next one."""

    first: Timing
    each: Timing


def timed(
    model: LLM, device: Device, *, batch: int, sequence: int, output: int, tensor: int, measured: Path | None = None
) -> Service | None:  # fmt: skip
    """What the suites say; None where one is not there or refuses."""
    columns = _columns(model, device, batch, sequence, output, tensor)
    found = []
    for suite in ("ttft", "tpot"):
        told = learned.rows(suite, columns, device, measured)
        if told is None or told.refused[0]:
            return None
        found.append(_timing(told))
    return Service(first=found[0], each=found[1])


def power(
    model: LLM,
    device: Device,
    *,
    batch: int,
    output: int,
    devices: int,
    each: Spread,
    rate: float,
    measured: Path | None = None,
) -> Spread | None:
    """Watts of one device; `each` are the seconds between tokens, `rate` output tokens per second of all devices."""
    numbers = {
        "devices": devices, "experts_over": 1, "batch": batch, "answer": output, "itl": each.value,
        "per_token": batch / rate,
    }  # fmt: skip
    missing = ("itl_95", "parameters", "steps", "tokens", "latency")
    texts = {
        "kind": "llm",
        "llm": model.name,
        "weights": model.weights,
        "engine": ENGINE,
        "family": family(model),
        "work": "asked",
    }
    columns = _row({**texts, "device": device.name, "mode": "llm asked"}, {**numbers, **dict.fromkeys(missing, np.nan)})
    told = learned.rows("power", {**columns, "llm": _itself(model)}, device, measured)
    if told is None or told.refused[0]:
        return None
    watts = Spread(float(told.value[0]), float(told.low[0]), float(told.high[0]))
    return watts.at_most(device.power) if device.power else watts


def _columns(model: LLM, device: Device, batch: int, sequence: int, output: int, tensor: int) -> Columns:
    """The row of the suites of serving."""
    pool = {"workers": 1, "devices": tensor, "tensor": tensor, "data": 1, "experts_over": 1}
    numbers = {"isl": sequence, "osl": output, "concurrency": batch, "varied": 0, "guessing": 0, **pool}
    numbers |= {f"prefill_{name}": value for name, value in pool.items()}
    texts = {"device": device.name, "weights": model.weights, "engine": ENGINE, "served": "agg", "work": "asked"}
    texts |= {"mode": f"{ENGINE} agg", "family": family(model)}
    return {**_row(texts, numbers), "llm": _itself(model)}


def _row(texts: Mapping[str, str], numbers: Mapping[str, float]) -> Columns:
    columns: Columns = {name: np.array([text], dtype=object) for name, text in texts.items()}
    return {**columns, **{name: np.array([float(number)]) for name, number in numbers.items()}}


def _itself(model: LLM) -> Texts:
    """The model where rows that were measured hold its name."""
    found = np.empty(1, dtype=object)
    found[0] = model
    return found


def _timing(told: Told) -> Timing:
    return Timing(
        seconds=Spread(float(told.value[0]), float(told.low[0]), float(told.high[0])),
        method=f"servings measured (suite {told.suite})", level=told.level, n=told.devices,
        outside=() if told.in_range[0] else (str(told.why[0]),), notes=(f"as {ENGINE} serves it", *told.notes),
    )  # fmt: skip
