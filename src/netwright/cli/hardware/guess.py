"""netwright hardware impute and synthesize: values that no source states, and devices that nobody makes."""

from __future__ import annotations

import argparse
from typing import Any

from netwright.cli import Answer
from netwright.core.error import UserError
from netwright.hardware import catalog, fields


def main(args: argparse.Namespace) -> Answer:
    """Guess values, or a device."""
    return _impute(args) if args.action == "impute" else _synthesize(args)


def _impute(args: argparse.Namespace) -> Answer:
    """Guess what is missing, say how wrong the methods are, and write the guesses into the database."""
    from netwright.core import db
    from netwright.hardware import impute

    devices = catalog.all(args.runs)
    errors = impute.evaluate(devices)
    guesses = impute.impute(devices)
    written: int | None = None
    if not args.dry_run:
        engine = db.engine(args.runs)
        try:
            written = impute.write(engine, guesses)
        finally:
            engine.dispose()
    data = {"errors": errors, "imputed": guesses, "written": written}
    return Answer(data, _errors(errors, guesses, written, len(devices)))


def _errors(errors: list[Any], guesses: list[Any], written: int | None, devices: int) -> Any:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    heads = ("value", "method", "left out", "n", "median", "p90", "covered", "made")
    for head in heads:
        table.add_column(head, justify="left" if head in heads[:3] else "right", no_wrap=head != "method")
    for one in errors:
        made = sum(
            g.quantity == one.quantity and g.method == one.method and ("whole" in g.note) == one.new for g in guesses
        )
        if one.rank == 0 or made:
            table.add_row(
                fields.title(one.quantity), one.method, "architecture" if one.new else "device", str(one.n),
                f"{100 * one.median:.1f} %", f"{100 * one.p90:.0f} %", f"{100 * one.coverage.value:.0f} %",
                str(made) if made else "",
            )  # fmt: skip
    lines = [
        f"{len(guesses)} guesses for {devices} devices. median, p90: absolute errors where the truth is known;",
        "covered: how often the 90 % interval held it, made from other architectures alone.",
    ]
    if written is None:
        lines.append("Nothing was written (--dry-run).")
    else:
        lines.append(
            f"{written} were written to imputed_values, for devices in the database; nothing stated is changed."
        )
    if written == 0:
        lines.append("The database holds no devices: netwright hardware import seed")
    return Group(table, *map(Text, lines))


def _synthesize(args: argparse.Namespace) -> Answer:
    from netwright.hardware import synthetic

    given = {"units": args.units, "bandwidth": args.bandwidth, "memory": args.memory}
    for name, value in given.items():
        if value is None:
            example = "netwright hardware synthesize Hopper --units 100 --bandwidth 2500 --memory 96"
            raise UserError(f"--{name}", None, "units, GB/s and GB of the card are needed", example)
    made = synthetic.device(
        args.overrides[0], args.units, 1e9 * args.bandwidth, 1e9 * args.memory, devices=catalog.all(args.runs)
    )
    return Answer(made, _made(made))


def _made(made: Any) -> Any:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for head in (f"~{made.device.name}", "value", f"{100 * made.level:.0f} % interval", "devices judged"):
        table.add_column(head, justify="left" if head.startswith("~") else "right")
    for name in fields.NAMES:
        value = fields.value(made.device, name)
        if value is not None and name != "architecture":
            ends = made.intervals.get(name)
            span = f"{fields.text(name, ends[0])} to {fields.text(name, ends[1])}" if ends else "as asked"
            mark = "~" if ends else ""
            table.add_row(fields.title(name), mark + fields.text(name, value), span, str(made.errors.get(name, "")))
    basis = ", ".join(made.basis[:4]) + (f" and {len(made.basis) - 4} more" if len(made.basis) > 4 else "")
    return Group(table, Text(made.device.note), Text(f"Interpolated between {basis}."))
