"""A device from a YAML file that a person writes, laid out as the system files of NVIDIA aiconfigurator.

    gpu:  {mem_bw: 3.35e+12, mem_capacity: 85899345920, bfloat16_tc_flops: 9.89e+14, power: 700, sm_version: 90}
    node: {intra_node_bw: 4.5e+11, pcie_bw: 6.4e+10, inter_node_bw: 5.0e+10}

SI units throughout: B/s, B, FLOP/s (dense), W. Beyond that layout `gpu` may hold name, manufacturer,
kind, architecture, units, clock (Hz), cache (B), price (USD), year, process (m), die_area (m^2),
transistors and `narrow` (see `Device`). What the file leaves out stays unknown: this file knows no device.
"""

from __future__ import annotations

import datetime
import difflib
import math
from pathlib import Path
from typing import Any

from netwright.core.error import UserError, did_you_mean
from netwright.hardware.device import DTYPES, Device, Source

MAX_BYTES = 100_000
"""The longest file of that layout known here has 3,000 bytes."""

ARCHITECTURES = {
    50: "Maxwell", 52: "Maxwell", 60: "Pascal", 61: "Pascal", 70: "Volta", 75: "Turing", 80: "Ampere", 86: "Ampere",
    87: "Ampere", 89: "Ada Lovelace", 90: "Hopper", 100: "Blackwell", 103: "Blackwell", 120: "Blackwell",
    121: "Blackwell",
}  # fmt: skip
"""CUDA compute capability, ten times -> architecture; CUDA C++ Programming Guide, "Compute Capabilities"."""

RATES = {"float64": "fp64", "float32": "fp32", "tfloat32": "tf32", "bfloat16": "bf16", "float16": "fp16"}
RATES |= {dtype: dtype for dtype in DTYPES}

RANGES = {
    "mem_bw": (1e9, 1e14, "B/s"), "mem_capacity": (1e8, 1e13, "B"), "power": (1, 1e4, "W"),
    "intra_node_bw": (1e8, 1e13, "B/s"), "pcie_bw": (1e8, 1e12, "B/s"), "inter_node_bw": (1e7, 1e13, "B/s"),
    "units": (1, 1e6, "units"), "clock": (1e7, 1e10, "Hz"), "cache": (1e4, 1e11, "B"), "price": (1, 1e7, "USD"),
    "year": (1990, 2100, "year"), "process": (1e-9, 1e-6, "m"), "die_area": (1e-6, 0.1, "m^2"),
    "transistors": (1e6, 1e14, "transistors"),
}  # fmt: skip
"""Key -> the least and most that any device may have, and the unit: outside stands a wrong unit."""

FLOPS = (1e9, 1e18, "FLOP/s")
NODE = {"intra_node_bw": "link", "pcie_bw": "host_link", "inter_node_bw": "network"}
GPU = {"mem_bw": "bandwidth", "mem_capacity": "memory", "power": "power"}
GPU |= {key: key for key in RANGES if key not in GPU and key not in NODE}
WORDS = ("name", "manufacturer", "kind", "architecture")
OTHERS = ("sm_version", "narrow", "mem_bw_empirical_scaling_factor", "mem_empirical_constant_latency")
NODE_OTHERS = ("num_gpus_per_node", "num_gpus_per_rack", "inter_rack_bw", "p2p_latency", "inter_rack_latency")
LIKELY = {"B/s": (1e9, "GB/s"), "B": (1e9, "GB"), "FLOP/s": (1e12, "TFLOP/s"), "Hz": (1e6, "MHz")}
"""Unit -> what people write by mistake, and how many of the unit it is."""


def read(path: Path) -> Device:
    """The device that a file describes, named as the file is unless it says. Raises UserError."""
    told = _yaml(path)
    gpu, node = _section(told, "gpu", path), _section(told, "node", path, needed=False)
    _misspelt("gpu", gpu, (*GPU, *WORDS, *OTHERS, *(f"{rate}_tc_flops" for rate in RATES)), path)
    _misspelt("node", node, (*NODE, *NODE_OTHERS), path)
    for key in ("mem_bw", "mem_capacity"):
        if gpu.get(key) is None:
            raise UserError(f"gpu.{key}", None, f"a number in {RANGES[key][2]}", f"add {key}: ... to gpu in {path}")
    values = {
        field: _number(f"{name}.{key}", section[key], RANGES[key], path)
        for name, section, fields in (("gpu", gpu, GPU), ("node", node, NODE))
        for key, field in fields.items()
        if section.get(key) is not None
    }
    rates = {
        RATES[stem]: _number(f"gpu.{key}", value, FLOPS, path)
        for key, value in gpu.items()
        if value is not None and (stem := key.removesuffix("_flops").removesuffix("_tc")) in RATES and stem != key
    }
    if not rates:
        allowed = "a dense rate in FLOP/s such as bfloat16_tc_flops"
        raise UserError("gpu", ", ".join(gpu), allowed, f"add bfloat16_tc_flops: ... to gpu in {path}")
    if rates.get("fp8") == rates.get("bf16"):
        rates.pop("fp8", None)  # a device without fp8 units computes it in bf16; the layout repeats that rate
    words = {key: _word(f"gpu.{key}", gpu[key], path) for key in WORDS if gpu.get(key) is not None}
    words.setdefault("name", path.stem)
    capability = gpu.get("sm_version")
    if capability is not None:
        _number("gpu.sm_version", capability, (10, 1000, "ten times the compute capability"), path)
        words.setdefault("manufacturer", "NVIDIA")
        words.setdefault("architecture", ARCHITECTURES.get(int(float(capability)), ""))
    words.setdefault("kind", "gpu")
    if words["kind"] not in ("cpu", "gpu", "accelerator"):
        raise UserError("gpu.kind", words["kind"], "cpu, gpu or accelerator", f"mend {path}")
    narrow = gpu.get("narrow", False)
    if not isinstance(narrow, bool):
        raise UserError("gpu.narrow", narrow, "true or false", f"mend {path}")
    for whole in ("units", "year"):
        if whole in values:
            if not values[whole].is_integer():
                raise UserError(f"gpu.{whole}", values[whole], "a whole number", f"mend {path}")
            values[whole] = int(values[whole])
    stated = (*(f"rates.{dtype}" for dtype in rates), *values, *(["architecture"] if words.get("architecture") else []))
    changed = datetime.date.fromtimestamp(path.stat().st_mtime).isoformat()
    source = Source(values=stated, where=f"the file {path.name}", date=changed, licence="the reader's own")
    about: dict[str, Any] = {"manufacturer": "unknown"} | words | values
    return Device(rates=rates, narrow=narrow, sources=(source,), **about)


def _yaml(path: Path) -> dict[str, Any]:
    import yaml

    step = f"write {path} as systems/*.yaml of aiconfigurator are"
    try:
        if not path.is_file():
            raise UserError("specs", str(path), "a YAML file", "ls -l")
        if path.stat().st_size > MAX_BYTES:
            raise UserError("specs", str(path), f"at most {MAX_BYTES:,} bytes", step)
        text = path.read_text(encoding="utf-8")
        if "&" in text or "*" in text.replace("**", ""):
            aliases = any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text))
            if aliases:  # a few bytes of them unfold to gigabytes
                raise UserError("specs", str(path), "YAML without anchors and aliases", step)
        told = yaml.load(text, yaml.SafeLoader)
    except OSError as fault:
        raise UserError("specs", str(path), f"not a readable file ({fault.strerror})", "ls -l") from None
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as fault:
        cause = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
        raise UserError("specs", str(path), f"not YAML: {cause}", step) from None
    if not isinstance(told, dict):
        raise UserError("specs", str(path), "a YAML mapping with gpu: and node:", step)
    return told


def _section(told: dict[str, Any], name: str, path: Path, needed: bool = True) -> dict[str, Any]:
    section = told.get(name)
    if section is None and not needed:
        return {}
    if not isinstance(section, dict) or not all(isinstance(key, str) for key in section):
        raise UserError(name, section, "a mapping of names to values", f"add {name}: to {path}")
    return section


def _misspelt(name: str, section: dict[str, Any], known: tuple[str, ...], path: Path) -> None:
    """An unknown key that is nearly a known one; other keys may be those of a newer layout."""
    for key in section.keys() - set(known):
        if difflib.get_close_matches(key, known, n=1, cutoff=0.85):
            raise UserError(f"{name}.{key}", section[key], did_you_mean(key, known), f"mend {path}")


def _number(where: str, value: Any, span: tuple[float, float, str], path: Path) -> float:
    low, high, unit = span
    try:  # YAML reads 3.35e12 without the sign of the exponent as text
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if low <= number <= high:
        return number
    allowed = f"a number in {unit}, {low:g} to {high:g}"
    scale, mistaken = LIKELY.get(unit, (math.nan, ""))
    if low <= number * scale <= high:
        allowed += f"; {number:g} {mistaken} is {number * scale:g}"
    raise UserError(where, value, allowed, f"mend {where.rpartition('.')[2]} in {path}")


def _word(where: str, value: Any, path: Path) -> str:
    if not isinstance(value, str) or not 0 < len(value.strip()) <= 100 or not value.isprintable():
        raise UserError(where, value, "one line of text, at most 100 characters", f"mend {path}")
    return value.strip()
