"""netwright hardware: the devices in the catalogue, one of them in full, or this machine measured."""

from __future__ import annotations

import argparse
from typing import Any

from netwright.cli import Answer
from netwright.core.error import UserError, did_you_mean
from netwright.core.measurement import readable

HELP = "list known devices, show one with its sources, or measure this machine"
EXAMPLE = "netwright hardware show h100"
ACTIONS = ("list", "show", "probe")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", metavar="ACTION", help="list, show NAME, or probe")
    parser.add_argument("name", nargs="?", help="a device, or this-machine")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long a probe may take, 1 to 60 (default: 10)")


def main(args: argparse.Namespace) -> Answer:
    if args.action not in ACTIONS:
        raise UserError("action", args.action, did_you_mean(args.action, ACTIONS), "netwright hardware list")
    if (args.name is not None) != (args.action == "show"):
        allowed = "a device for show, none for list and probe"
        raise UserError("name", args.name, allowed, "netwright hardware show h100")
    return {"list": _list, "show": _show, "probe": _probe}[args.action](args)


def _list(args: argparse.Namespace) -> Answer:
    from netwright.hardware import catalog

    columns = ("device", "year", "fp32", "16-bit", "int8", "bandwidth", "memory", "power", "price")
    rows = []
    for device in catalog.all():
        half = device.rates.get("bf16", device.rates.get("fp16"))
        cells = (
            device.name,
            str(device.year or ""),
            _rate(device.rates.get("fp32")),
            _rate(half) + ("*" if device.narrow else ""),
            _rate(device.rates.get("int8")),
            readable(device.bandwidth, "B/s"),
            readable(device.memory, "B"),
            readable(device.power, "W") if device.power else "",
            f"${device.price:,.0f}" if device.price else "",
        )
        rows.append(cells)
    caption = (
        "Dense peak rates in FLOP/s as the makers state them; empty: no source here says it.\n"
        "* with 16-bit accumulation; frameworks reach half. Data: Epoch AI (CC BY), NVIDIA aiconfigurator (Apache-2.0)."
    )
    return Answer({"devices": list(catalog.all())}, _table(columns, rows, caption))


def _show(args: argparse.Namespace) -> Answer:
    from netwright.hardware import catalog, detect, probe

    if args.name == catalog.HERE and (args.dry_run or probe.cached() is None):
        here = detect.detect()
        text = f"{here.cpu}, {here.threads} threads: not measured yet. Next: netwright hardware probe"
        return Answer({"machine": here, "measured": False}, text)
    device = catalog.find(args.name)
    rows = [(f"{dtype} rate", readable(rate, "FLOP/s")) for dtype, rate in device.rates.items()]
    rows += [("bandwidth", readable(device.bandwidth, "B/s")), ("memory", readable(device.memory, "B"))]
    rows += [("power", readable(device.power, "W"))] if device.power else []
    rows += [("price at release", f"${device.price:,.0f}")] if device.price else []
    said = {value: source for source in device.sources for value in source.values}
    keys = {"price at release": "price"} | {f"{dtype} rate": f"rates.{dtype}" for dtype in device.rates}
    sourced = []
    for name, value in rows:
        source = said.get(keys.get(name, name))
        sourced.append((name, value, f"{source.where} ({source.date}, {source.licence})" if source else ""))
    notes = [device.note] if device.note else []
    notes += ["16-bit rates are with 16-bit accumulation; predictions use half."] if device.narrow else []
    return Answer({"device": device}, _table((device.name, "value", "source"), sourced, "\n".join(notes)))


def _probe(args: argparse.Namespace) -> Answer:
    from netwright.hardware import detect, probe

    here = detect.detect()
    if args.dry_run:
        text = (
            f"would measure {here.cpu} with {here.threads} threads for {args.seconds:g} s, into {probe.cache_folder()}"
        )
        return Answer({"machine": here, "seconds": args.seconds, "cache": str(probe.cache_folder())}, text)
    found = probe.probe(args.seconds, here)
    rows = [
        (f"{one.quantity} {one.conditions['dtype']}".strip(), str(one.conditions["library"]), str(one), str(one.n))
        for one in found
    ]
    caption = f"{here.cpu}, {here.threads} threads; medians with 95 % intervals over the rounds of this sitting"
    return Answer(
        {"fingerprint": detect.fingerprint(here), "measurements": found},
        _table(("measured", "with", "value", "rounds"), rows, caption),
    )


def _rate(value: float | None) -> str:
    return "" if value is None else readable(value, "FLOP/s").removesuffix("FLOP/s")


def _table(columns: tuple[str, ...], rows: list[Any], caption: str) -> Any:
    from rich.table import Table

    table = Table(*columns, caption=caption, caption_justify="left", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    return table
