"""Power of one device under work that no suite of measured power knows.

    watts.under(load, device)        # Spread of W; None where no design power is known

A device draws part of its thermal design power in any case, more as it reads and computes, less as it waits for
launches and for its host. The shares are those of language models on the H100 (suites/power.py); for other work
and other devices they are a guess, and the interval says so. This file does not know clocks, fans, the host, or the
power supply.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from netwright.core.workload import Workload
from netwright.hardware.device import Device
from netwright.predict import roofline
from netwright.predict.spread import Spread
from netwright.predict.suites import power

AROUND = (0.6, 1.4)
"""Of 405 measured servings of language models, 90 % drew 0.83 to 1.26 times that suite's formula, of 483 of diffusion
models 0.47 to 1.16 times, all on the H100 (ML.ENERGY benchmark); for other work and devices, an assumption."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What one device does in `seconds`: FLOPs in a dtype, bytes moved, and seconds that it must be busy at least."""

    seconds: float
    flops: float
    bytes: float
    busy: float
    dtype: str

    @classmethod
    def of(cls, work: Workload, seconds: float, device: Device, devices: int = 1) -> Load:
        """Of work that `devices` share."""
        return cls(
            seconds=seconds, flops=work.flops / devices, bytes=work.bytes / devices,
            busy=roofline.bare(work.operators, device) / devices, dtype=roofline.main_dtype(work),
        )  # fmt: skip


def under(load: Load, device: Device) -> Spread | None:
    """Watts, at most the design power; None where that is not known."""
    if device.power is None:
        return None
    slowdown = roofline.prior("cpu" if device.kind == "cpu" else "gpu").slowdown[1]
    reading = min(1.0, load.bytes / device.bandwidth / load.seconds)
    arithmetic = min(1.0, load.flops / device.rate(load.dtype).flops / load.seconds)
    waiting = 1.0 - min(1.0, slowdown * load.busy / load.seconds)
    always, read, compute, _, launch, _ = power.LLM_SHARES
    share = always + read * reading + compute * math.sqrt(arithmetic) + launch * waiting
    share = min(max(share, power.LEAST), power.MOST)
    return (Spread(1.0, AROUND[0], AROUND[1]) * (share * device.power)).at_most(device.power)
