"""netwright hardware show and derive: one device in full, with sources, guesses and prices; derived metrics."""

from __future__ import annotations

import argparse
from typing import Any

from netwright.cli import Answer
from netwright.hardware import catalog, derived, fields
from netwright.hardware.device import DTYPES, Device


def main(args: argparse.Namespace) -> Answer:
    """Show a device, or the metrics."""
    if args.action == "derive":
        return _derive(args) if args.overrides else _metrics()
    return _show(args)


def _show(args: argparse.Namespace) -> Answer:
    from netwright.hardware import detect, names, probe

    name = args.overrides[0]
    if names.plain(name) == names.plain(catalog.HERE) and (args.dry_run or probe.cached() is None):
        here = detect.detect()
        text = f"{here.cpu}, {here.threads} threads: not measured yet. Next: netwright hardware probe"
        return Answer({"machine": here, "measured": False}, text)
    device = catalog.find(name, args.runs)
    guesses = [] if device.this_machine else _guesses(device, args)
    offers = _offers(device)
    figures = derived.derive(device)
    data = {"device": device, "derived": figures, "imputed": guesses, "offers": offers}
    return Answer(data, _view(device, figures, guesses, offers))


def _guesses(device: Device, args: argparse.Namespace) -> list[Any]:
    from netwright.hardware import impute

    return impute.impute(catalog.all(args.runs), device.name)


def _offers(device: Device) -> list[Any]:
    """What an hour of the device costs, by provider, where an offer is known."""
    from netwright.predict import cost

    return [one for one in cost.offers(cost.SHIPPED) if one.device == device.name]


def _view(device: Device, figures: dict[str, derived.Derived], guesses: list[Any], offers: list[Any]) -> Any:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    numbers = {source: at for at, source in enumerate(device.sources, 1)}
    said = {value: at for source, at in numbers.items() for value in source.values}
    stated = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for head, justify in ((device.name, "left"), ("value", "right"), ("source", "left")):
        stated.add_column(head, justify=justify)  # type: ignore[arg-type]
    for name in fields.NAMES:
        value = fields.value(device, name)
        if value is not None:
            interval = device.measured.get(name)
            spread = f" [{fields.text(name, interval[0])} to {fields.text(name, interval[1])}]" if interval else ""
            stated.add_row(
                fields.title(name), fields.text(name, value) + spread, f"[{said[name]}]" if name in said else ""
            )
    for one in guesses:
        span = f"~{fields.text(one.quantity, one.value)}"
        ends = f"{fields.text(one.quantity, one.low)} to {fields.text(one.quantity, one.high)}, {one.method}"
        stated.add_row(f"~{fields.title(one.quantity)}", span, ends)
    notes = [f"[{at}] {source.where} ({source.date}, {source.licence})" for source, at in numbers.items()]
    if guesses:
        notes.append(f"~ guessed, not stated: meant to lie in its interval in {100 * guesses[0].level:.0f} % of cases.")
    notes += [device.note] if device.note else []
    notes += ["16-bit rates are with 16-bit accumulation; predictions use half."] if device.narrow else []
    parts = [stated, *map(Text, notes), "", *_figures(figures)]
    if offers:
        parts += ["", *map(Text, _prices(offers))]
    return Group(*parts)


def _prices(offers: list[Any]) -> list[str]:
    lines = ["An hour of one, as providers ask it (undated; --json names each source):"]
    for spot in (False, True):
        listed = sorted((one for one in offers if one.spot == spot), key=lambda one: one.hourly)
        if listed:
            told = [f"${one.hourly:.2f} {one.provider}" for one in listed]
            some = told if len(told) <= 4 else [told[0], told[1], f"... {len(told) - 3} more ...", told[-1]]
            lines.append(f"  {'spot' if spot else 'on demand'}: " + ", ".join(some))
    return lines


def _figures(figures: dict[str, derived.Derived]) -> list[Any]:
    """The families that each dtype has, in one table, and the other metrics below it."""
    from rich.table import Table

    families = [family for family in derived.PER_DTYPE if family[0] != "bytes_per_flop"]  # the inverse of the ridge
    dtypes = [dtype for dtype in DTYPES if any(f"{family[0]}_{dtype}" in figures for family in families)]
    by_dtype = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    by_dtype.add_column("derived")
    shown = [family for family in families if any(f"{family[0]}_{dtype}" in figures for dtype in dtypes)]
    for _, title, unit, *_ in shown:
        head = title.removeprefix("rate ").removesuffix(" and unit").replace("ridge: FLOP per byte", "ridge")
        by_dtype.add_column(f"{head}\n{unit}", justify="right", no_wrap=True)
    for dtype in dtypes:
        names = [f"{family[0]}_{dtype}" for family in shown]
        by_dtype.add_row(dtype, *(_bare(n, figures[n].value) if n in figures else "" for n in names))
    single = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    single.add_column()
    single.add_column(justify="right", no_wrap=True)
    single.add_column()
    prefixes = tuple(family[0] + "_" for family in derived.PER_DTYPE)
    for name, one in figures.items():
        if not (name.startswith(prefixes) and name.rpartition("_")[2] in DTYPES):
            mark = "~" if one.estimate else ""
            ends = f"[{derived.interval(name, one)}]" if one.estimate else ""
            single.add_row(derived.METRICS[name].title, mark + derived.text(name, one.value), ends)
    return [by_dtype, single]


def _bare(name: str, value: float) -> str:
    """A value without its unit, which the column's head says."""
    return derived.text(name, value).removesuffix(derived.METRICS[name].unit).strip()


def _derive(args: argparse.Namespace) -> Answer:
    from rich.console import Group
    from rich.text import Text

    devices = [catalog.find(name, args.runs) for name in args.overrides]
    found = {device.name: derived.derive(device) for device in devices}
    parts: list[Any] = []
    for name, figures in found.items():
        parts += [Text(name, "bold"), *_figures(figures), ""]
    return Answer({"derived": found}, Group(*parts[:-1]))


def _metrics() -> Answer:
    """The table of metrics: the same formula for each dtype stands once."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    plain = {
        name: {key: getattr(metric, key) for key in ("title", "unit", "better", "formula", "source")}
        for name, metric in derived.METRICS.items()
    }
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("metric", no_wrap=True)
    table.add_column("formula", overflow="fold", ratio=1)
    table.add_column("source", overflow="fold", ratio=1)
    for name, metric in derived.METRICS.items():
        stem, _, dtype = name.rpartition("_")
        if dtype == DTYPES[0]:
            table.add_row(f"{stem}_DTYPE", _formula(metric).replace(dtype, "DTYPE"), metric.source)
        elif dtype not in DTYPES:
            table.add_row(name, _formula(metric), metric.source)
    lines = [f"DTYPE: {', '.join(DTYPES)}. `derive NAME ...` computes them; list and export sort by them.",
             "Metrics with a slowdown are estimates and carry an interval; the rest are exact."]  # fmt: skip
    return Answer({"metrics": plain}, Group(table, *map(Text, lines)))


def _formula(metric: derived.Metric) -> str:
    return f"{metric.formula} [{metric.unit}]"
