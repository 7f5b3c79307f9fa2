"""The measurements of one question, and what follows from a rate: utilisation, power, energy, cost.

This file does not know how a rate is found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from netwright.core.error import UserError
from netwright.core.measurement import Measurement
from netwright.core.workload import Workload
from netwright.hardware.device import Device
from netwright.predict import cost, roofline
from netwright.predict.question import Question
from netwright.predict.spread import Spread
from netwright.predict.timing import Timing

MILLION = 1e6

GUESSED = "share of the design power that the H100 drew under such load"
MEASURED = "power measured under load (suite power)"


@dataclass
class Forecast:
    """Measurements as they are found; all share `left_out`, which says what is missing and why."""

    device: Device
    question: Question
    about: dict[str, Any]
    conditions: dict[str, Any]
    left_out: dict[str, str] = field(default_factory=dict)
    found: list[Measurement] = field(default_factory=list)

    @classmethod
    def of(cls, work: Workload, device: Device, question: Question, time: Timing) -> Forecast:
        """Of some work whose time on one device was found so."""
        told = {"batch": work.batch, "dtype": roofline.main_dtype(work)}
        return cls.asked(work.digest, device, question, time, told)

    @classmethod
    def asked(
        cls, digest: str, device: Device, question: Question, time: Timing, conditions: Mapping[str, Any]
    ) -> Forecast:
        """`conditions` are said of every number, beside the method, its range and the split."""
        about = {"level": time.level, "n": time.n, "source": "predicted", "device": device.name, "workload": digest}
        told = {
            "devices": question.split.devices,
            "split": str(question.split),
            "training": question.training,
            "method": time.method,
            "in_range": time.in_range,
            "outside": list(time.outside),
            "notes": list(time.notes),
        }
        return cls(device, question, about, {**told, **conditions})

    def add(self, quantity: str, of: Spread | float, **conditions: Any) -> None:
        """`conditions` replace those of the question."""
        bounds = of if isinstance(of, Spread) else None
        low, value, high = (bounds.low, bounds.value, bounds.high) if bounds else (float(of),) * 3  # type: ignore[arg-type]
        told = {**self.conditions, **conditions, "left_out": self.left_out}
        one = Measurement(quantity=quantity, value=value, low=low, high=high, **self.about, conditions=told)
        self.found.append(one)

    def join(self, one: Measurement) -> None:
        """Take a measurement that was made elsewhere; its own level and conditions stay."""
        told = {**self.conditions, **one.conditions, "left_out": self.left_out}
        self.found.append(replace(one, workload=self.about["workload"], conditions=told))

    def utilised(self, flops: float, dtype: str, seconds: Spread) -> None:
        """Share of the peak that `seconds` for so much arithmetic on one replica's devices come to."""
        peak = self.device.rate(dtype).flops * self.question.split.tensor * self.question.split.pipeline
        self.add("utilisation", (seconds.inverse() * (flops / peak)).at_most(1.0))

    def paid(self, throughput: Spread, watts: Spread | None, *, by: str = GUESSED, tokens: int = 0) -> None:
        """Power, energy and cost of a rate of items, and of their output tokens where they have some.

        `watts` are those of one device, `by` how they were found. Without terms, a price that nobody states is
        left out; with them, it is refused.
        """
        terms = self.question.terms
        devices = float(self.question.split.devices)
        if watts is None:
            self.left_out["power"] = f"no design power of {self.device.name} is known"
        else:
            self.add("power", watts, method=by)
            joules = watts * devices / throughput
            self.add("energy", joules)
            if tokens:
                self.add("token_energy", joules / tokens)
        try:
            price = cost.hour(self.device, terms or cost.Terms())
        except UserError as refusal:
            if terms is not None:
                raise
            self.left_out["cost"] = refusal.allowed
            return
        hourly = price.hour(watts) * devices
        dollars = hourly * (MILLION / 3600) / throughput
        told = {"price": price.source, "hourly": hourly.value}
        self.add("cost", dollars, **told)
        if tokens:
            self.add("token_cost", dollars / tokens, **told)
