"""netwright hardware list and export: many devices in a table, as CSV or as JSON."""

from __future__ import annotations

import argparse
import csv
import io
import shutil
from pathlib import Path
from typing import Any

from netwright.cli import Answer
from netwright.cli.hardware import select
from netwright.core.error import UserError, did_you_mean
from netwright.hardware import fields, matrices, tiers
from netwright.hardware.device import Device

FORMATS = ("table", "csv", "json")
WIDE = 110
"""Columns of a terminal in which whole names and the second row of figures fit."""


def main(args: argparse.Namespace) -> Answer:
    """Show or write devices."""
    suffix = args.output_file.suffix.lstrip(".") if args.output_file else ""
    chosen = args.format or suffix or ("csv" if args.action == "export" else "table")
    if chosen not in FORMATS:
        raise UserError("--format", chosen, did_you_mean(chosen, FORMATS), "--format csv")
    name = args.matrix or "complete"
    if name not in matrices.MATRICES:
        raise UserError("--matrix", name, did_you_mean(name, matrices.MATRICES), "--matrix compute")
    found, notes = select.devices(args)
    if args.output_file and args.dry_run:
        text = f"would write {len(found)} devices to {args.output_file} as {chosen}"
        return Answer({"devices": len(found), "file": str(args.output_file), "format": chosen}, text)
    if args.action == "list" and chosen == "table" and not args.output_file:
        return Answer(_plain(found, notes), _table(found, notes, args.sort))
    matrix = matrices.matrix(
        name, found, scores(args.runs) if name in ("graphics", "unified", "price-performance") else {}
    )
    data = {**_plain(found, notes)} if args.action == "list" else _matrix(matrix)
    text = _csv(matrix) if chosen in ("csv", "table") else _json(data)
    if args.output_file:
        from netwright.core import artifact

        artifact.replace_file(args.output_file, lambda draft: draft.write_text(text, encoding="utf-8"))
        about = f"{len(found)} devices, {len(matrix.columns)} columns, {100 * matrix.total:.0f} % of the cells stated"
        return Answer(_matrix(matrix), f"{args.output_file}: {about}")
    return Answer(data, text.rstrip("\n"))


def _plain(found: list[Device], notes: list[str]) -> dict[str, Any]:
    from netwright.core.recipe import plain

    rows = [{**plain(one), "tier": tiers.tier(one), "ai_tier": tiers.ai_tier(one)} for one in found]
    return {"devices": rows, "notes": notes}


def _matrix(matrix: matrices.Matrix) -> dict[str, Any]:
    rows = [dict(zip(matrix.columns, row, strict=True)) for row in matrix.rows]
    return {"matrix": matrix.name, "devices": rows, "coverage": dict(matrix.coverage), "filled": matrix.total}


def _csv(matrix: matrices.Matrix) -> str:
    written = io.StringIO()
    rows = csv.writer(written, lineterminator="\n")
    rows.writerow(matrix.columns)
    rows.writerows([["" if cell is None else cell for cell in row] for row in matrix.rows])
    return written.getvalue()


def _json(data: Any) -> str:
    import json

    return json.dumps(data, indent=1)


def scores(runs: Path) -> dict[str, dict[str, float]]:
    """Scores that were imported, by device and column; none where nothing was."""
    import os

    from netwright.core import db

    if not os.environ.get(db.VARIABLE) and not (runs / db.FILE).is_file():
        return {}
    from netwright.hardware import views

    return views.scores(runs)


def _table(found: list[Device], notes: list[str], sort: str | None) -> Any:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    wide = shutil.get_terminal_size().columns >= WIDE
    heads = ["year", "fp32", "16 bit", "int8", "bandwidth", "memory", "power", "price", "tier", "AI tier"]
    shown = heads if wide else ["year", "16 bit", "bandwidth", "memory", "power", "price"]
    extra = [sort] if sort is not None and sort not in ("year", "bandwidth", "memory", "power", "price") else []
    if extra and not wide:
        shown = [head for head in shown if head not in ("price", "year")]
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("device", no_wrap=True, overflow="ellipsis")
    for head in (*extra, *shown):
        table.add_column(head, justify="left" if "tier" in head else "right", no_wrap=head not in extra)
    for device in found:
        name = device.name if wide else device.name.removeprefix(device.manufacturer + " ")
        first = [select.shown(sort, select.sort_key(sort)[0](device))] if sort is not None and extra else []
        table.add_row(name, *first, *(_cell(device, head) for head in shown))
    count = f"{len(found)} device{'' if len(found) == 1 else 's'}." if found else "No device keeps all of these limits."
    lines = [" ".join([count, *notes]), "Dense peak rates in FLOP/s as stated; empty: no source here says it."]
    if any(device.narrow for device in found):
        lines.append("* with 16-bit accumulation; frameworks reach half.")
    if found:
        lines.append(f"Data: {select.sources(found)}; `show NAME` names the source of each value.")
    return Group(table, *map(Text, lines)) if found else Group(*map(Text, lines))


def _cell(device: Device, head: str) -> str:
    if head in ("fp32", "int8"):
        return _rate(device.rates.get(head))
    if head == "16 bit":
        return _rate(device.rates.get("bf16", device.rates.get("fp16"))) + ("*" if device.narrow else "")
    if head == "tier":
        return tiers.tier(device) or ""
    if head == "AI tier":
        return (tiers.ai_tier(device) or "").removeprefix("AI_")
    return fields.text(head, fields.value(device, head))


def _rate(value: float | None) -> str:
    return fields.text("rates.fp32", value).removesuffix("FLOP/s")
