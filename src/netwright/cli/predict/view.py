"""What a person sees of predictions, at 80 columns: one device in full, many in a table, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from netwright.cli.advise import reasons
from netwright.core.measurement import Measurement, readable, span, words

OFTEN = ("time_to_first_token", "time_per_output_token", "training_step", "latency", "token_throughput", "throughput")
COLUMNS = (*OFTEN, "token_cost", "cost")
"""What many devices are compared by: as much as 80 columns hold."""
MOST = 24
"""Devices in one figure."""

SHORT = {
    "time_to_first_token": "first token",
    "time_per_output_token": "per token",
    "token_throughput": "tokens/s",
    "throughput": "items/s",
    "token_cost": "USD / M tokens",
    "cost": "USD / M items",
    "training_step": "step",
}
MEANING = {
    "cost": "cost of a million items",
    "token_cost": "cost of a million tokens",
    "energy": "energy of an item",
    "token_energy": "energy of a token",
    "device_memory": "memory",
    "power": "power of a device",
}


def group(shown: Sequence[Any]) -> Any:
    """One thing under another."""
    from rich.console import Group

    return Group(*shown)


def predictions(
    model: Any, question: Any, found: Mapping[str, Sequence[Measurement]], refused: Sequence[Mapping[str, str]]
) -> Any:
    """A table, its notes, and what was refused."""
    from rich.text import Text

    lines = [Text(line) for line in _about(model, found)]
    notes: dict[str, int] = {}
    if len(found) == 1:
        shown = [_one(next(iter(found.values())), notes)]
    elif found:
        shown = [_many(found, notes)]
    else:
        shown = []
    tail = [f"[{number}] {note}" for note, number in notes.items()]
    missing = [(device, why) for device, listed in found.items() for why in listed[0].conditions["left_out"].values()]
    if len(found) > 1:
        tail += [line.strip() for line in reasons(missing, 4)]
    if refused:
        tail.append(f"{len(refused)} of {len(refused) + len(found)} devices are not predicted:")
        tail += reasons([(one["device"], one["why"]) for one in refused], 6)
    if found:
        first = next(iter(found.values()))[0]
        tail.append(f"Predicted, not measured; [low–high] is meant to hold {100 * first.level:.0f} % of cases.")
    return group([*lines, "", *shown, "", *map(Text, tail)])


def _about(model: Any, found: Mapping[str, Sequence[Measurement]]) -> list[str]:
    first = next(iter(found.values()))[0] if found else None
    about = f"{model.name}: {readable(model.parameters, 'B').removesuffix('B').strip()} parameters"
    if first is None:
        return [about]
    told = first.conditions
    asked = f"{told['dtype']}, batch {told['batch']}"
    if "sequence" in told:
        asked = f"{told['dtype']}, {told['batch']} at once, {told['sequence']:,} + {told['output']:,} tokens"
    spread = "" if told["devices"] == 1 else f", {told['devices']} devices: {told['split']}"
    return [f"{about}, {asked}{spread}"]


def _one(listed: Sequence[Measurement], notes: dict[str, int]) -> Any:
    from rich.table import Table

    table = Table(listed[0].device or "", "value", "interval", "by", box=None, pad_edge=False)
    for one in listed:
        name = MEANING.get(one.quantity, words(one.quantity))
        interval = span(one.low, one.high, one.unit) if one.low < one.high else ""
        table.add_row(name, readable(one.value, one.unit), interval, _marks(one, notes))
    return table


def _many(found: Mapping[str, Sequence[Measurement]], notes: dict[str, int]) -> Any:
    from rich.table import Table

    by = {device: {one.quantity: one for one in listed} for device, listed in found.items()}
    every = {quantity for row in by.values() for quantity in row}
    generated = "time_per_output_token" in every
    skipped = {"latency", "throughput", "cost"} if generated else set()
    columns = [quantity for quantity in COLUMNS if quantity in every - skipped]
    table = Table(box=None, pad_edge=False)
    table.add_column("device", min_width=12)
    for quantity in columns:
        table.add_column(SHORT.get(quantity, quantity), no_wrap=True)
    table.add_column("by")
    for device, row in by.items():
        cells = [_cell(row.get(quantity)) for quantity in columns]
        table.add_row(device, *cells, _marks(next(iter(row.values())), notes, brief=True))
    return table


def _cell(one: Measurement | None) -> str:
    if one is None:
        return "?"
    unit = "/s" if one.unit.endswith("/s") else one.unit  # thousands and millions of items as k/s and M/s
    value, interval = readable(one.value, unit), span(one.low, one.high, unit)
    interval = interval.replace(" to ", "–")
    return f"{value}\n[{interval}]".replace(" /s", "").replace("/s", "").replace(" USD", "")


def _marks(one: Measurement, notes: dict[str, int], brief: bool = False) -> str:
    """Numbers of the notes: the method, what is out of range, what stands in for what; unless brief, the price."""
    told = one.conditions
    said = [f"by {told['method']}"]
    said += [f"out of range: {feature}" for feature in told["outside"]]
    said += list(told["notes"])
    if not brief:
        said += [f"price: {told['price']}"] if "price" in told else []
        said += [f"no {what}: {why}" for what, why in told["left_out"].items()]
    return " ".join(f"[{notes.setdefault(note, len(notes) + 1)}]" for note in said)


def draw(
    model: Any, question: Any, devices: Sequence[Any], found: Mapping[str, Sequence[Measurement]], path: Path
) -> None:
    """One device: its operators under the roofline; several: what each takes, the soonest first."""
    from netwright.core import figure, plot
    from netwright.predict import why

    if len(devices) == 1:
        return why.draw(model, devices[0], question, path)
    generated = any(one.quantity == "time_per_output_token" for listed in found.values() for one in listed)
    shown = {device: listed[1 if generated else 0] for device, listed in found.items()}
    soonest = dict(sorted(shown.items(), key=lambda item: item[1].value)[:MOST])
    return figure.save(plot.bars(soonest), path)


def whys(model: Any, question: Any, devices: Sequence[Any]) -> tuple[Any, list[Any]]:
    """Which operators take the time, a bar each."""
    from rich.table import Table
    from rich.text import Text

    from netwright.predict import why

    data, shown = [], []
    for device in devices:
        found = why.shares(model, device, question)
        data.append(found)
        table = Table("", "share", "time", "bound by", box=None, pad_edge=False)
        for part in found.parts:
            bar = "█" * max(1, round(24 * part.share))
            name = f"{part.name} x {part.count}" if part.count > 1 else part.name
            table.add_row(name, f"{100 * part.share:3.0f} % {bar}", readable(part.seconds, "s"), part.bound)
        shown += ["", Text(f"{device.name}: {found.headline}"), table, Text(found.advice) if found.advice else ""]
    return data, shown
