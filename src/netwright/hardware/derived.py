"""What follows from a device's stated numbers: one table of metrics, each with formula, unit and source.

    derive(catalog.find("h100"))["ridge_bf16"].value        # 295 FLOP/B: below that, memory bounds

A metric whose inputs no source states is absent, never zero. Most are exact consequences of the stated
numbers and hold for the peak; those of `works.py` are estimates of what programs reach and carry an
interval. Rates of cards that halve with 32-bit accumulation count half, as everywhere in netwright. This
file knows no measurement, and no device but the one that an index is relative to.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from netwright.core.measurement import readable, span
from netwright.hardware import works
from netwright.hardware.device import DTYPES, Device

REFERENCE = "NVIDIA A100 SXM 80GB"
"""What the relative latency index is relative to."""

Number = float | None
Better = Literal["higher", "lower", "neither"]


@dataclass(frozen=True)
class Derived:
    """A derived value; `low` and `high` bound an estimate and equal the value where it is exact."""

    value: float
    low: float
    high: float

    @property
    def estimate(self) -> bool:
        return self.low < self.high


@dataclass(frozen=True)
class Metric:
    """One row of the table: what it is called, how it is computed, and who proposed it."""

    title: str
    unit: str
    formula: str
    source: str
    better: Better
    of: Callable[[Device], Derived | Number]


def derive(device: Device) -> dict[str, Derived]:
    """Every metric whose inputs the device states, in the table's order."""
    found = {}
    for name, metric in METRICS.items():
        one = metric.of(device)
        one = Derived(one, one, one) if isinstance(one, int | float) else one
        if one is not None and all(map(math.isfinite, (one.value, one.low, one.high))):
            found[name] = one
    return found


def value(device: Device, name: str) -> Number:
    """One metric's value, None where its inputs are not stated. Raises KeyError for an unknown name."""
    one = METRICS[name].of(device)
    return one.value if isinstance(one, Derived) else one


def text(name: str, value: float) -> str:
    """A value of a metric as a person reads it, in three digits."""
    unit = METRICS[name].unit
    return f"{value:.3g}" if unit == "1" else readable(float(f"{value:.3g}"), unit)


def interval(name: str, one: Derived) -> str:
    """The ends of an estimate; without their unit where it is that of the value."""
    low, high = (float(f"{end:.3g}") for end in (one.low, one.high))
    unit = METRICS[name].unit
    ends = f"{low:g}–{high:g}" if unit == "1" else span(low, high, unit)
    return ends if " to " in ends else ends.removesuffix(" " + text(name, one.value).partition(" ")[2])


def half(device: Device) -> Number:
    """The dense 16-bit rate in FLOP/s with 32-bit accumulation: bf16, else fp16; None where neither is stated."""
    return _rate(device, "bf16") or _rate(device, "fp16")


def _rate(device: Device, dtype: str) -> Number:
    return device.rate(dtype).flops if dtype in device.rates else None


def _over(above: Number, below: Number) -> Number:
    return above / below if above and below else None


def _mm2(device: Device) -> Number:
    return device.die_area * 1e6 if device.die_area else None


def _low_precision(device: Device, dtypes: Iterable[str]) -> Number:
    rates = [device.rates[dtype] for dtype in dtypes if dtype in device.rates]
    return max(rates) if rates else None


def _estimate(work: works.Work) -> Callable[[Device], Derived | None]:
    """Items per second of a work."""

    def of(device: Device) -> Derived | None:
        rate = half(device)
        if rate is None:
            return None
        least, likely, most = (work.items / seconds for seconds in works.seconds(work, rate, device.bandwidth)[::-1])
        return Derived(likely, least, most)

    return of


def _energy(work: works.Work) -> Callable[[Device], Derived | None]:
    """Joules an item at the thermal design power."""

    def of(device: Device) -> Derived | None:
        speed = _estimate(work)(device)
        if speed is None or device.power is None:
            return None
        return Derived(*(device.power / items for items in (speed.value, speed.high, speed.low)))

    return of


def _per_dollar(work: works.Work) -> Callable[[Device], Derived | None]:
    def of(device: Device) -> Derived | None:
        speed = _estimate(work)(device)
        if speed is None or device.price is None:
            return None
        return Derived(*(items / device.price for items in (speed.value, speed.low, speed.high)))

    return of


def _latency_index(device: Device) -> Derived | None:
    rate, (rate_there, bandwidth_there) = half(device), _reference()
    if rate is None:
        return None
    logs = []
    for work in works.WORKS.values():
        there = works.seconds(work, rate_there, bandwidth_there)[1]
        logs.append([math.log(seconds / there) for seconds in works.seconds(work, rate, device.bandwidth)])
    least, likely, most = (math.exp(sum(column) / len(logs)) for column in zip(*logs, strict=True))
    return Derived(likely, least, most)


@functools.cache
def _reference() -> tuple[float, float]:
    from netwright.hardware import catalog

    device = catalog.find(REFERENCE)
    rate = half(device)
    if rate is None:
        raise ValueError(f"{REFERENCE} states no 16-bit rate")
    return rate, device.bandwidth


def _gemm_energy(device: Device) -> Derived | None:
    rate = half(device)
    if rate is None or device.power is None:
        return None
    least, likely, most = (slow * device.power / rate for slow in works.GEMM_SLOWDOWN)
    return Derived(likely, least, most)


ROOFLINE = "Williams, Waterman, Patterson 2009, Roofline, CACM 52(4)"
BALANCE = "McCalpin 1995, Memory bandwidth and machine balance, IEEE TCCA Newsletter"
GREEN = "Feng, Cameron 2007, The Green500 list, IEEE Computer 40(12)"
EPOCH = "Epoch AI 2023, Trends in machine learning hardware"
AMDAHL = "Gray, Shenoy 2000, Rules of thumb in data engineering, ICDE"
HOROWITZ = "Horowitz 2014, Computing's energy problem, ISSCC"
DECODE = "Pope et al. 2022, Efficiently scaling transformer inference, arXiv 2211.05102"
NARAYANAN = "Narayanan et al. 2021, Efficient large-scale language model training, SC21"
DENNARD = "Dennard et al. 1974, Design of ion-implanted MOSFETs, IEEE JSSC 9(5)"
DIVISION = "the maker's figures, divided"


PER_DTYPE: tuple[tuple[str, str, str, str, str, Better, Callable[[Device, float], Number]], ...] = (
    ("flops_per_watt", "rate per watt", "FLOP/s/W", "{rate} / power", GREEN, "higher", lambda d, r: _over(r, d.power)),
    ("ridge", "ridge: FLOP per byte", "FLOP/B", "{rate} / bandwidth", ROOFLINE,
        "neither", lambda d, r: r / d.bandwidth),
    ("bytes_per_flop", "balance: bytes per FLOP", "B/FLOP", "bandwidth / {rate}", BALANCE,
        "neither", lambda d, r: d.bandwidth / r),
    ("flops_per_dollar", "rate per dollar", "FLOP/s/USD", "{rate} / price", EPOCH,
        "higher", lambda d, r: _over(r, d.price)),
    ("flops_per_area", "rate per die area", "FLOP/s/mm²", "{rate} / die_area", DIVISION,
        "higher", lambda d, r: _over(r, _mm2(d))),
    ("flops_per_cycle", "FLOP per cycle and unit", "FLOP", "{rate} / (units clock)", ROOFLINE,
        "higher", lambda d, r: _over(_over(r, d.units), d.clock)),
)  # fmt: skip
"""The families of metrics of which each dtype has one, named by the prefix."""


def _by_dtype() -> dict[str, Metric]:
    """The metrics that each dtype has one of."""
    found = {}
    for prefix, title, unit, formula, source, better, divide in PER_DTYPE:
        for dtype in DTYPES:

            def of(device: Device, dtype: str = dtype, divide: Callable[[Device, float], Number] = divide) -> Number:
                rate = _rate(device, dtype)
                return divide(device, rate) if rate else None

            text = formula.format(rate=f"rate({dtype})")
            found[f"{prefix}_{dtype}"] = Metric(f"{dtype} {title}", unit, text, source, better, of)
    return found


_SINGLE: dict[str, Metric] = {
    "flops_per_transistor": Metric("16-bit rate per transistor", "FLOP/s", "rate(16 bit) / transistors", DIVISION,
        "higher", lambda d: _over(half(d), d.transistors)),
    "bandwidth_per_watt": Metric("bandwidth per watt", "B/s/W", "bandwidth / power", GREEN,
        "higher", lambda d: _over(d.bandwidth, d.power)),
    "bandwidth_per_dollar": Metric("bandwidth per dollar", "B/s/USD", "bandwidth / price", EPOCH,
        "higher", lambda d: _over(d.bandwidth, d.price)),
    "bandwidth_per_area": Metric("bandwidth per die area", "B/s/mm²", "bandwidth / die_area", DIVISION,
        "higher", lambda d: _over(d.bandwidth, _mm2(d))),
    "bandwidth_per_unit": Metric("bandwidth per unit", "B/s", "bandwidth / units", DIVISION,
        "higher", lambda d: _over(d.bandwidth, d.units)),
    "memory_per_dollar": Metric("memory per dollar", "B/USD", "memory / price", EPOCH,
        "higher", lambda d: _over(d.memory, d.price)),
    "memory_per_watt": Metric("memory per watt", "B/W", "memory / power", GREEN,
        "higher", lambda d: _over(d.memory, d.power)),
    "memory_per_flops": Metric("memory per 16-bit rate", "B s/FLOP", "memory / rate(16 bit)", AMDAHL,
        "neither", lambda d: _over(d.memory, half(d))),
    "sweep_time": Metric("time to read the whole memory", "s", "memory / bandwidth", DECODE,
        "lower", lambda d: _over(d.memory, d.bandwidth)),
    "fill_time": Metric("time to fill it from the host", "s", "memory / host_link", DIVISION,
        "lower", lambda d: _over(d.memory, d.host_link)),
    "cache_share": Metric("last cache over memory", "fraction", "cache / memory", BALANCE,
        "higher", lambda d: _over(d.cache, d.memory)),
    "cache_per_unit": Metric("last cache per unit", "B", "cache / units", DIVISION,
        "higher", lambda d: _over(d.cache, d.units)),
    "link_share": Metric("link over bandwidth", "fraction", "link / bandwidth", BALANCE,
        "higher", lambda d: _over(d.link, d.bandwidth)),
    "ridge_link": Metric("16-bit ridge of the link", "FLOP/B", "rate(16 bit) / link", NARAYANAN,
        "neither", lambda d: _over(half(d), d.link)),
    "ridge_network": Metric("16-bit ridge of the network", "FLOP/B", "rate(16 bit) / network", NARAYANAN,
        "neither", lambda d: _over(half(d), d.network)),
    "power_density": Metric("power per die area", "W/mm²", "power / die_area", DENNARD,
        "lower", lambda d: _over(d.power, _mm2(d))),
    "transistor_density": Metric("transistors per die area", "transistors/mm²", "transistors / die_area", DENNARD,
        "higher", lambda d: _over(d.transistors, _mm2(d))),
    "power_per_unit": Metric("power per unit", "W", "power / units", DIVISION,
        "lower", lambda d: _over(d.power, d.units)),
    "gain_matrix": Metric("16-bit over fp32", "1", "rate(16 bit) / rate(fp32)", EPOCH,
        "neither", lambda d: _over(half(d), _rate(d, "fp32"))),
    "gain_8_bit": Metric("8-bit over 16-bit", "1", "max(rate(fp8), rate(int8)) / rate(16 bit)", EPOCH,
        "neither", lambda d: _over(_low_precision(d, ("fp8", "int8")), half(d))),
    "gain_4_bit": Metric("4-bit over 16-bit", "1", "max(rate(fp4), rate(int4)) / rate(16 bit)", EPOCH,
        "neither", lambda d: _over(_low_precision(d, ("fp4", "int4")), half(d))),
    "energy_per_byte": Metric("energy per byte, at full power", "J/B", "power / bandwidth", HOROWITZ,
        "lower", lambda d: _over(d.power, d.bandwidth)),
    "energy_per_flop": Metric("energy per FLOP, 16-bit product", "J/FLOP",
        "slowdown(GEMM) power / rate(16 bit)", HOROWITZ, "lower", _gemm_energy),
    "largest_model_16_bit": Metric("parameters that fit in 16 bits", "parameters", "memory / 2 B", DECODE,
        "higher", lambda d: d.memory / 2),
    "largest_model_4_bit": Metric("parameters that fit in 4 bits", "parameters", "memory / 0.5 B", DECODE,
        "higher", lambda d: d.memory / 0.5),
    "decode_ceiling_gpt2": Metric("GPT-2 ceiling, batch 1", "tokens/s",
        "bandwidth / (2 B parameters + KV cache at 1024 tokens)", DECODE,
        "higher", lambda d: d.bandwidth / works.GPT2_DECODE_BYTES),
    "relative_latency_index": Metric("latency relative to an A100", "1",
        f"geometric mean over ResNet-50, BERT-large and GPT-2 of time / time on {REFERENCE}", works.SOURCE,
        "lower", _latency_index),
}  # fmt: skip


def _of_works() -> dict[str, Metric]:
    """Throughput, energy and price-performance of the three networks."""
    found = {}
    for name, work in works.WORKS.items():
        unit, time = work.unit, f"slowdown (FLOPs / rate(16 bit) + bytes / bandwidth), {work.title}"
        found[f"throughput_{name}"] = Metric(f"{work.name} throughput", f"{unit}/s", f"{unit} / time; time = {time}",
            work.source, "higher", _estimate(work))  # fmt: skip
        found[f"energy_{name}"] = Metric(f"{work.name} energy", f"J/{unit.removesuffix('s')}", f"power time / {unit}",
            work.source, "lower", _energy(work))  # fmt: skip
        found[f"per_dollar_{name}"] = Metric(f"{work.name} throughput per dollar", f"{unit}/s/USD",
            "throughput / price", work.source, "higher", _per_dollar(work))  # fmt: skip
    return found


METRICS: dict[str, Metric] = _by_dtype() | _SINGLE | _of_works()
"""name -> metric; a dtype in a name says which of the device's rates is meant."""
