"""How long one call takes on one device: by which method, between which bounds, and how far to trust it.

    timing.call(workload, device)      # Timing(seconds=Spread(...), method="roofline", in_range=True, ...)

Three methods, the first that applies: a suite learned from whole networks like this one, kernels learned one
by one, the roofline. This file knows no other device than the one it is asked about, and no price.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netwright.core.workload import Workload
from netwright.hardware.device import Device
from netwright.predict import roofline
from netwright.predict.spread import Spread


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds of one call; `level` is the confidence of the bounds, `n` the devices that they come from.

    `outside` names the features that lie beyond what the method was fitted on.
    """

    seconds: Spread
    method: str
    level: float
    n: int
    outside: Sequence[str] = ()
    notes: Sequence[str] = ()

    @property
    def in_range(self) -> bool:
        return not self.outside


def call(workload: Workload, device: Device) -> Timing:
    """One call on one device. Raises UserError where nothing supports a number."""
    latency = roofline.predict(workload, device)[0]
    return Timing(
        seconds=Spread(latency.value, latency.low, latency.high),
        method=str(latency.conditions["method"]),
        level=latency.level,
        n=latency.n,
        notes=tuple(latency.conditions["notes"]),
    )
