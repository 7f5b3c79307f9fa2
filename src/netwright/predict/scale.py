"""Many devices: how a model is spread over them, what that costs in communication, and what is idle.

    split = scale.parse("tp=4,pp=2", devices=8)                    # Split(data=1, tensor=4, pipeline=2)
    scale.all_reduce(16e6, 4, device)                              # Spread of seconds
    scale.bubble(stages=4, microbatches=16)                        # 0.158

A message takes `start + steps * hop + bytes on the link / (share * link rate)`: the alpha-beta model (Hockney
1994) with the steps and bytes of the ring algorithm (Patarasuk and Yuan 2009; Thakur, Rabenseifner and Gropp
2005). Its constants are NCCL's, or those of a `Wire` that was measured. This file does not know congestion between
jobs, nor how links are wired beyond one rate for a node.
"""

from __future__ import annotations

import functools
import math
import operator
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from netwright.core.error import UserError, did_you_mean
from netwright.core.workload import Operator, Workload
from netwright.hardware.device import Device
from netwright.predict import learned, roofline
from netwright.predict.learning.table import Columns
from netwright.predict.spread import Spread

START, HOP, SHARE = 6.7e-6, 1.27e-6, 0.66
"""Seconds of a collective's launch and of each step, and the share of the stated link rate that a ring reaches.

Medians over seven systems (A100, H100, H200, B200, B300, GB200, RTX PRO 6000) of NCCL's measured all-reduce, 2 to 8
devices in a node: start 3.5 to 8.5 us, hop 0.8 to 1.6 us, share 0.40 to 0.74 (NVIDIA aiconfigurator, Apache-2.0).
"""

AROUND = (0.64, 1.6)
"""Of those all-reduces, 90 % took between these multiples of the formula's time."""

REPLICAS = (0.96, 0.87)
"""Throughput of eight replicas over eight times that of one: median and lowest tenth of 102 pairs of MLPerf inference
results that differ in nothing else (closed division, offline, v0.7 to v4.1); what is lost is lost to the host."""

NODE = 8
"""Devices that a node holds where the catalogue says nothing else; beyond it, messages take the network."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """How one model is spread: `data` replicas, each cut `tensor` ways within layers and into `pipeline` stages.

    A batch passes the stages in `microbatches` parts.
    """

    data: int = 1
    tensor: int = 1
    pipeline: int = 1
    microbatches: int = 0

    @property
    def devices(self) -> int:
        return self.data * self.tensor * self.pipeline

    def __str__(self) -> str:
        named = (("data", self.data), ("tensor", self.tensor), ("pipeline", self.pipeline))
        return " x ".join(f"{n} {name}" for name, n in named if n > 1) or "one device"


KEYS = {"dp": "data", "tp": "tensor", "pp": "pipeline", "micro": "microbatches"}


def parse(text: str | None, devices: int | None = None) -> Split:
    """`tp=4,pp=2` as a Split; devices that it leaves over become replicas. Raises UserError."""
    if devices is not None and not 1 <= devices <= 1_000_000:
        raise UserError("devices", devices, "a whole number from 1 to 1,000,000", "--devices 8")
    given: dict[str, int] = {}
    for part in filter(None, re.split(r"[,\s]+", text or "")):
        key, _, number = part.partition("=")
        if key not in KEYS:
            raise UserError("parallel", part, did_you_mean(key, KEYS), "--parallel tp=4,pp=2")
        if not re.fullmatch(r"[1-9][0-9]{0,5}", number):
            raise UserError("parallel", part, "a whole number from 1 to 999,999", f"--parallel {key}=2")
        given[KEYS[key]] = int(number)
    one = Split(**given)
    if devices is None or devices == one.devices:
        return one
    if "data" in given or devices % one.devices:
        allowed = f"{one} takes a multiple of {one.devices} devices"
        raise UserError("devices", devices, allowed, f"--devices {one.devices}")
    return replace(one, data=devices // one.devices)


@dataclass(frozen=True, kw_only=True)
class Wire:
    """How long messages take between devices: seconds to begin and for each step, B/s that are reached, and how far
    single messages are off, as multiples of the formula."""

    start: float = START
    hop: float = HOP
    rate: float
    around: tuple[float, float] = AROUND

    def message(self, steps: int, sent: float) -> Spread:
        """Seconds of so many steps, with so many bytes on each link in all."""
        seconds = self.start + steps * self.hop + sent / self.rate
        return Spread(seconds, self.around[0] * seconds, self.around[1] * seconds)


def wire(device: Device, devices: int) -> Wire:
    """NCCL's on the links of a device. Raises UserError where no rate is known."""
    return Wire(rate=SHARE * rate(device, devices))


def measured(all_reduces: Sequence[tuple[float, float]], devices: int) -> Wire:
    """The wire that (bytes, seconds) of all-reduces were measured on; least squares of relative errors.

    Steps are part of the beginning, as they do not change with the bytes.
    """
    sent_N, seconds_N = np.array(all_reduces, float).T
    sent_N *= 2 * (devices - 1) / devices
    design_N2 = np.stack([np.ones_like(sent_N), sent_N], axis=1) / seconds_N[:, None]
    (start, slope), *_ = np.linalg.lstsq(design_N2, np.ones_like(sent_N))
    start, slope = max(start, 0.0), max(slope, 1e-15)
    off_N = seconds_N / np.maximum(start + slope * sent_N, 1e-12)
    around = min(1.0, float(off_N.min())), max(1.0, float(off_N.max()))
    return Wire(start=float(start), hop=0.0, rate=float(1 / slope), around=around)


def all_reduce(size: float, devices: int, over: Device | Wire) -> Spread:
    """Seconds until all have the sum of `size` bytes: 2 (p - 1) steps, 2 (p - 1) / p of the bytes on each link.

    Within a node the suite of collectives tells them, where there is one.
    """
    steps, sent = 2 * (devices - 1), 2 * (devices - 1) / devices * size
    if isinstance(over, Wire):
        return over.message(steps, sent)
    known = wire(over, devices)
    told = learned.rows("collective", _ring(steps, sent, devices, over), over) if devices <= NODE else None
    if told is not None and not told.refused[0]:
        return Spread(float(told.value[0]), float(told.low[0]), float(told.high[0]))
    return known.message(steps, sent)


def send(size: float, over: Device | Wire) -> Spread:
    """Seconds from one device to the next, as between two stages of a pipeline."""
    return (over if isinstance(over, Wire) else wire(over, 2)).message(1, size)


def _ring(steps: int, sent: float, devices: int, device: Device) -> Columns:
    """A row of the suite of collectives: NCCL's all-reduce."""
    numbers = {"gpus": devices, "bytes": sent, "steps": steps, "units": 0, "direct": 0, "eager": 0}
    texts = {"device": device.name, "op": "all_reduce", "mode": "nccl", "family": "ring", "work": "asked"}
    columns: Columns = {name: np.array([float(number)]) for name, number in numbers.items()}
    return columns | {name: np.array([text], dtype=object) for name, text in texts.items()}


def rate(device: Device, devices: int) -> float:
    """B/s in one direction of the slowest link between so many devices. Raises UserError where none is known."""
    inside = device.link or device.host_link
    found = inside if devices <= NODE else device.network
    if not found:
        missing = "link within a node" if devices <= NODE else f"network beyond the {NODE} devices of a node"
        raise UserError(
            "devices", devices, f"no rate of {device.name}'s {missing} is known", "--devices 1, or --specs FILE.yaml"
        )
    return found


def bubble(stages: int, microbatches: int) -> float:
    """Share of the time that a pipeline's stages wait while it fills and drains: (s - 1) / (m + s - 1), Huang 2019."""
    return (stages - 1) / (microbatches + stages - 1)


def replicas(count: int) -> Spread:
    """Throughput of so many replicas over that of one: what MLPerf's eight lose, as much again for each eightfold."""
    power = math.log(count, 8)
    return Spread(count * REPLICAS[0] ** power, count * REPLICAS[1] ** power, float(count))


def shard(workload: Workload, tensor: int) -> Workload:
    """What one of `tensor` devices computes when layers are cut as in Megatron-LM (Shoeybi 2019).

    Weights and arithmetic are divided; of two products in a row the first writes and the second reads a part
    only, so that on average (1 + 1 / tensor) / 2 of the activations move.
    """
    if tensor == 1:
        return workload
    moved = (1 + 1 / tensor) / 2
    return replace(
        workload,
        parameters=math.ceil(workload.parameters / tensor),
        operators=tuple(_part(one, tensor, moved) for one in workload.operators),
        peak_bytes=workload.peak_bytes * moved,
        kept_bytes=workload.kept_bytes * moved,
    )


def _part(one: Operator, tensor: int, moved: float) -> Operator:
    matrix, attention = one.matrix, one.attention
    return replace(
        one,
        flops=one.flops / tensor,
        weight_bytes=one.weight_bytes / tensor,
        input_bytes=one.input_bytes * moved,
        output_bytes=one.output_bytes * moved,
        matrix=matrix and replace(matrix, n=math.ceil(matrix.n / tensor)),
        attention=attention
        and replace(
            attention,
            heads=math.ceil(attention.heads / tensor),
            kv_heads=math.ceil(attention.kv_heads / tensor),
        ),
    )


def reduced(workload: Workload, tensor: int, over: Device | Wire) -> Spread:
    """Seconds of the all-reduces of one pass: the output of every second product (Shoeybi 2019)."""
    sizes = Counter([o.output_bytes for o in workload.operators if roofline.is_matrix(o)][1::2]) or Counter([1.0])
    found = [all_reduce(size, tensor, over) * float(count) for size, count in sizes.items()]
    return functools.reduce(operator.add, found)


def boundary(workload: Workload) -> float:
    """Bytes between two stages of a pipeline: the median output of a product."""
    sizes = sorted(o.output_bytes for o in workload.operators if roofline.is_matrix(o))
    return sizes[len(sizes) // 2] if sizes else 0.0
