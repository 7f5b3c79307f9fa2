"""Measurement: every number that netwright prints, measured or predicted, with its interval.

A prediction is a Measurement with `source="predicted"`; tables, plots and fronts treat both alike.
This file knows no device and no model; it knows when two numbers may be ranked.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from netwright.core.error import UserError

Source = Literal["measured", "predicted", "vendor"]


@dataclass(frozen=True)
class Quantity:
    """What is measured: its unit, which way is better, and how a person reads it."""

    unit: str
    better: Literal["higher", "lower", "neither"]
    meaning: str


QUANTITIES: dict[str, Quantity] = {
    "accuracy": Quantity("fraction", "higher", "share of held-out examples classified correctly"),
    "accuracy_change": Quantity("fraction", "higher", "paired change of accuracy against the reference"),
    "loss": Quantity("nat", "lower", "mean cross-entropy on held-out examples"),
    "correlation": Quantity("ratio", "higher", "Pearson's correlation of estimates with what was measured, held out"),
    "correlation_change": Quantity("ratio", "higher", "paired change of the correlation against the reference"),
    "rank_correlation": Quantity("ratio", "higher", "Spearman's correlation within a group, the mean over groups"),
    "absolute_error": Quantity("ratio", "lower", "mean absolute error of estimates of held-out examples"),
    "squared_error": Quantity("ratio", "lower", "mean squared error of estimates of held-out examples"),
    "perplexity": Quantity(
        "ratio", "lower", "e to the mean loss of a token: among how many the next one is as if drawn"
    ),
    "perplexity_ratio": Quantity("ratio", "lower", "perplexity over that of the reference, on the same tokens"),
    "bits_per_byte": Quantity("bit/B", "lower", "bits that a model needs to tell a byte of a text"),
    "in_form": Quantity("fraction", "higher", "share of answers that end in the form that was asked for"),
    "latency": Quantity("s", "lower", "median time of one call"),
    "latency_p90": Quantity("s", "lower", "90th percentile of the time of one call"),
    "latency_p99": Quantity("s", "lower", "99th percentile of the time of one call"),
    "throughput": Quantity("items/s", "higher", "items answered per second"),
    "peak_memory": Quantity("B", "lower", "peak resident memory of a fresh process that runs the model"),
    "size": Quantity("B", "lower", "bytes of the files that are deployed"),
    "energy": Quantity("J", "lower", "energy of one item"),
    "training_time": Quantity("s", "lower", "wall time of a training run"),
    "training_energy": Quantity("J", "lower", "energy of a training run"),
    "training_memory": Quantity("B", "lower", "peak resident memory of a training run"),
    "parameters": Quantity("1", "lower", "trainable numbers"),
    "flops": Quantity("FLOP", "lower", "floating-point operations, two for a multiply-add"),
    "gemm_rate": Quantity("FLOP/s", "higher", "rate of a large matrix product"),
    "bandwidth": Quantity("B/s", "higher", "rate of reading main memory"),
    "epoch_time": Quantity("s", "lower", "wall time of one training epoch"),
    "training_step": Quantity("s", "lower", "time of one optimizer step"),
    "time_to_first_token": Quantity("s", "lower", "from a request to the first token of its answer"),
    "time_per_output_token": Quantity("s", "lower", "between two tokens of an answer"),
    "token_throughput": Quantity("tokens/s", "higher", "output tokens per second of all requests together"),
    "device_memory": Quantity("B", "lower", "memory of one device that weights, activations and caches take"),
    "max_batch": Quantity("1", "higher", "largest batch that fits into the device's memory"),
    "max_context": Quantity("1", "higher", "longest context that fits into the device's memory, tokens"),
    "power": Quantity("W", "lower", "electric power of one device under this work"),
    "utilisation": Quantity("fraction", "higher", "share of the device's peak arithmetic that the work reaches"),
    "token_energy": Quantity("J", "lower", "energy of one output token"),
    "cost": Quantity("USD", "lower", "price of a million items"),
    "token_cost": Quantity("USD", "lower", "price of a million output tokens"),
}


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One number with its interval.

    `low` and `high` bound the value at confidence `level`; `n` counts the independent observations
    behind it. `conditions` holds what one needs to measure it again: threads, batch, precision that
    was executed, load, seed. Raises ValueError for an interval that does not hold its value.
    """

    quantity: str
    value: float
    low: float
    high: float
    level: float = 0.95
    unit: str = ""
    n: int
    source: Source = "measured"
    artifact: str | None = None
    device: str | None = None
    workload: str | None = None
    when: str = field(default_factory=lambda: datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"))
    conditions: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.quantity not in QUANTITIES:
            raise ValueError(f"unknown quantity {self.quantity!r}")
        if not all(map(math.isfinite, (self.value, self.low, self.high))):
            raise ValueError(f"{self.quantity} = {self.value} [{self.low}, {self.high}] is not finite")
        if not self.low <= self.value <= self.high:
            raise ValueError(f"{self.quantity} = {self.value} lies outside its interval [{self.low}, {self.high}]")
        if not 0 < self.level < 1 or self.n < 0:
            raise ValueError(f"{self.quantity}: level {self.level}, n {self.n}")
        object.__setattr__(self, "unit", self.unit or QUANTITIES[self.quantity].unit)

    def __str__(self) -> str:
        value = readable(self.value, self.unit)
        return f"{value} [{span(self.low, self.high, self.unit)}]" if self.low < self.high else value


def exact(quantity: str, value: float, **about: Any) -> Measurement:
    """A count that has no spread: bytes of a file, parameters of a model."""
    return Measurement(quantity=quantity, value=value, low=value, high=value, n=1, **about)


def from_plain(values: Mapping[str, Any]) -> Measurement:
    """A measurement out of JSON. Raises UserError when it is none."""
    texts = ("quantity", "unit", "when", "artifact", "device", "workload")
    try:
        one = Measurement(**values)
        if not all(isinstance(getattr(one, name), str | None) for name in texts):
            raise TypeError(f"{', '.join(texts)} are text")
        if one.source not in get_args(Source) or not isinstance(one.conditions, Mapping):
            raise TypeError("source or conditions")
    except (TypeError, ValueError, OverflowError) as fault:
        raise UserError("measurement", values, f"not a measurement: {fault}", "measure it again") from None
    return one


def in_result(result: Any) -> list[Measurement]:
    """The measurements in a run's result: those under its key "measurements", where there are any."""
    listed = result.get("measurements", []) if isinstance(result, Mapping) else []
    return [from_plain(one) for one in listed]


def better(a: Measurement, b: Measurement) -> bool | None:
    """True if `a` is better than `b`, False if worse, None where their intervals overlap.

    Disjoint 95 % intervals differ at far below the 5 % level, so None is said more often than a
    paired test would; compare paired observations with `stats.paired` where there are any.
    """
    if a.quantity != b.quantity or a.unit != b.unit:
        raise ValueError(f"cannot compare {a.quantity} in {a.unit} with {b.quantity} in {b.unit}")
    direction = QUANTITIES[a.quantity].better
    if direction == "neither" or (a.low <= b.high and b.low <= a.high):
        return None
    return (a.value > b.value) == (direction == "higher")


def readable(value: float, unit: str) -> str:
    """A value with the prefix a person expects: 0.00123 s is 1.23 ms; 0.991 as a fraction is 99.10 %."""
    if unit == "fraction":
        return f"{100 * value:.2f} %"
    if unit in ("", "1"):
        return f"{value:,.0f}"
    size = abs(value)
    if unit == "ratio":
        return f"{value:.4g}" if size < 9999.5 else f"{value:,.0f}" if size < 1e9 else f"{value:.3g}"
    if unit in ("nat", "bit/B") or size == 0:
        return f"{value:.4g} {unit}"
    if unit.startswith(("items", "tokens", "images", "sequences", "USD")):
        return f"{_three(value)} {unit}"
    if size < 0.9995:
        for prefix, scale in (("m", 1e-3), ("µ", 1e-6), ("n", 1e-9), ("p", 1e-12), ("f", 1e-15)):
            if size >= scale * 0.9995:
                return f"{_three(value / scale)} {prefix}{unit}"
    if unit == "s" and size >= 120:
        return f"{_three(value / 60)} min" if size < 7200 else f"{_three(value / 3600)} h"
    for prefix, scale in (("E", 1e18), ("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if unit != "s" and size >= scale * 0.9995:
            return f"{_three(value / scale)} {prefix}{unit}"
    return f"{_three(value)} {unit}"


def span(low: float, high: float, unit: str) -> str:
    """Two bounds with their unit said once: 37.7–39.7 µs; where they read alike, that one value."""
    first, second = readable(low, unit), readable(high, unit)
    (number, _, of), (other, _, same) = first.partition(" "), second.partition(" ")
    if first == second:
        return first
    if of != same:
        return f"{first} to {second}"
    return f"{number}{'–' if low >= 0 else ' to '}{other} {of}".rstrip()


def words(quantity: str) -> str:
    """A quantity as it is written in a text."""
    return "FLOPs" if quantity == "flops" else quantity.replace("_", " ")


def _three(value: float) -> str:
    """Three digits, or all those before the point where there are more."""
    return f"{value:.3g}" if abs(value) < 999.5 else f"{value:,.0f}"
