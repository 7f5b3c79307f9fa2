"""netwright hardware compare: devices side by side, each figure with its ratio to the first device and a bar."""

from __future__ import annotations

import argparse
import shutil
from typing import Any

from netwright.cli import Answer
from netwright.core.error import UserError
from netwright.hardware import catalog, derived, fields
from netwright.hardware.device import DTYPES, Device

METRICS = ("flops_per_watt_bf16", "flops_per_watt_fp16", "ridge_bf16", "flops_per_dollar_bf16", "memory_per_dollar",
           "throughput_resnet50", "throughput_bert_large", "throughput_gpt2", "energy_gpt2",
           "relative_latency_index")  # fmt: skip
STATED = (*(f"rates.{dtype}" for dtype in DTYPES), "bandwidth", "memory", "cache", "link", "power", "price", "units",
          "clock", "die_area", "year")  # fmt: skip
BLOCKS = " ▏▎▍▌▋▊▉█"


def main(args: argparse.Namespace) -> Answer:
    """Compare devices; the first is what ratios are relative to."""
    devices = [catalog.find(name, args.runs) for name in args.overrides]
    names = [device.name for device in devices]
    double = sorted({name for name in names if names.count(name) > 1})
    if double:
        raise UserError("name", double[0], "each device once", "netwright hardware compare h100 a100")
    rows = [(fields.title(name), name, [_stated(device, name) for device in devices]) for name in STATED]
    figures = [derived.derive(device) for device in devices]
    for name in METRICS:
        if name == "flops_per_watt_fp16" and any("flops_per_watt_bf16" in one for one in figures):
            continue
        rows.append((derived.METRICS[name].title, name, [one[name].value if name in one else None for one in figures]))
    rows = [row for row in rows if any(value is not None for value in row[2])]
    data = [
        {"quantity": name, "values": values, "ratios": [_ratio(value, values[0]) for value in values]}
        for _, name, values in rows
    ]
    return Answer({"devices": devices, "comparison": data}, _view(devices, rows))


def _stated(device: Device, name: str) -> float | None:
    value = fields.value(device, name)
    return float(value) if isinstance(value, int | float) else None


def _ratio(value: float | None, first: float | None) -> float | None:
    return value / first if value is not None and first else None


def _view(devices: list[Device], rows: list[tuple[str, str, list[float | None]]]) -> Any:
    from rich.console import Group
    from rich.text import Text

    texts = [_text(name, value) for _, name, values in rows for value in values]
    names, figures = max(len(_short(device)) for device in devices), max(map(len, texts))
    width = max(6, min(40, shutil.get_terminal_size().columns - names - figures - 12))
    lines = []
    for title, name, values in rows:
        lines.append(Text(title, "bold"))
        most = max(value for value in values if value is not None)
        for device, value in zip(devices, values, strict=True):
            ratio = None if name == "year" else _ratio(value, values[0])
            told = f"{ratio:.2f}×" if ratio is not None else ""
            drawn = bar(value / most, width) if value is not None and name != "year" else ""
            lines.append(
                Text(f"  {_short(device):<{names}} {_text(name, value):>{figures}} {told:>6} {drawn}".rstrip())
            )
    notes = ["", f"Ratios are to {devices[0].name}; bars to the greatest of each row; -: no source here states it."]
    if any(text.startswith("~") for text in texts):
        notes.append("~ an estimate, for whose interval see `derive NAME`; `netwright predict` does better.")
    if any(device.narrow for device in devices):
        narrow = ", ".join(device.name for device in devices if device.narrow)
        notes.append(f"16-bit rates of {narrow} are with 16-bit accumulation; what is derived uses half.")
    return Group(*lines, *map(Text, notes))


def _short(device: Device) -> str:
    return device.name.removeprefix(device.manufacturer + " ")


def _text(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    if name not in derived.METRICS:
        return fields.text(name, value)
    estimated = name.startswith(("throughput", "energy", "relative"))
    return ("~" if estimated else "") + derived.text(name, value)


def bar(share: float, width: int) -> str:
    """A bar of eighths of a character; share is 0 to 1."""
    eighths = max(1, round(share * width * 8))
    return "█" * (eighths // 8) + BLOCKS[eighths % 8].strip()
