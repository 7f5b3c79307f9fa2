"""netwright hardware import, report and diagram: what is read from files, and what is written to them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from netwright.cli import Answer
from netwright.core.error import UserError, did_you_mean

LISTED = "sources"
"""Said instead of a source, it lists them."""


def main(args: argparse.Namespace) -> Answer:
    """Do the action."""
    return {"import": _import, "report": _report, "diagram": _diagram}[args.action](args)


def _import(args: argparse.Namespace) -> Answer:
    from netwright.hardware import etl

    source, *paths = args.overrides
    if source == LISTED and not paths:
        return _sources()
    if source not in (*etl.SOURCES, "seed") and not paths and Path(source).exists():
        from netwright.hardware.etl import recognise

        source, found = recognise.source(Path(source))
        paths = [str(found)]
    if source not in (*etl.SOURCES, "seed"):
        known = [*etl.SOURCES, "seed", LISTED]
        raise UserError("source", source, did_you_mean(source, known), "netwright hardware import sources")
    report = _load(source, Path(paths[0]) if paths else None, args.runs, keep=not args.dry_run)
    data = {**report.plain(), "kept": not args.dry_run}
    last = "Nothing was written (--dry-run)." if args.dry_run else f"Written to {_place(args.runs)}."
    return Answer(data, f"{report.text()}\n\n{last}")


def _load(source: str, path: Path | None, runs: Path, keep: bool) -> Any:
    import os
    import tempfile

    from netwright.core import db
    from netwright.core.run import progress
    from netwright.hardware import etl

    with tempfile.TemporaryDirectory() as empty:
        there = bool(os.environ.get(db.VARIABLE)) or (runs / db.FILE).is_file()
        engine = db.engine(runs if keep or there else Path(empty))  # a trial makes no database
        try:
            with progress(f"importing {source}", None) as advance:
                report = etl.run(source, path, engine, keep)
                advance(report.rows)
        finally:
            engine.dispose()
    return report


def _sources() -> Answer:
    from rich.table import Table

    from netwright.hardware import etl

    table = Table("source", "what", "licence", "file", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_row("seed", f"all that ships: {', '.join(etl.SEED)}", "", "ships")
    for name, about in etl.SOURCES.items():
        table.add_row(
            name, f"{about.title}, {about.address}".rstrip(", "), about.licence, "ships" if about.ships else "PATH"
        )
    rows = [{"source": name, "title": about.title, "address": about.address, "licence": about.licence,
             "ships": bool(about.ships)} for name, about in etl.SOURCES.items()]  # fmt: skip
    return Answer({"sources": rows}, table)


def _place(runs: Path) -> str:
    import os

    from netwright.core import db

    return f"the database of {db.VARIABLE}" if os.environ.get(db.VARIABLE) else str(runs / db.FILE)


def _report(args: argparse.Namespace) -> Answer:
    from netwright.cli.hardware import select
    from netwright.core.run import progress
    from netwright.core.table import need

    file = args.output_file or Path("hardware.html")
    if file.suffix not in (".html", ".htm"):
        raise UserError(
            "--output-file", str(file), "a file that ends in .html", "netwright hardware report -o hardware.html"
        )
    need("matplotlib", "the report's figures")
    devices, notes = select.devices(args)
    if not devices:
        raise UserError("devices", " ".join(notes), "filters that some device keeps", "netwright hardware list")
    if args.dry_run:
        return Answer({"devices": len(devices), "file": str(file)}, f"would write {file} about {len(devices)} devices")
    from netwright.cli.hardware.listing import scores
    from netwright.hardware import report

    with progress("drawing the report", report.STEPS) as advance:
        summary = report.write(file, devices, scores(args.runs), notes, advance)
    about = f"{file}: {len(devices)} devices, {summary['figures']} figures, {file.stat().st_size / 1e6:.1f} MB"
    return Answer({"file": str(file), **summary}, about)


def _diagram(args: argparse.Namespace) -> Answer:
    from netwright.core import artifact
    from netwright.hardware import diagram

    endings = {".dbml": "dbml", ".mmd": "mermaid", ".mermaid": "mermaid"}
    form = args.format or (endings.get(args.output_file.suffix, "") if args.output_file else "dbml")
    if form not in diagram.FORMATS:
        raise UserError(
            "--format", form, did_you_mean(form, diagram.FORMATS), "netwright hardware diagram --format dbml"
        )
    text = diagram.draw(form)
    data = {"format": form, "text": text}
    if args.output_file is None or args.dry_run:
        return Answer(data, text.rstrip("\n") if args.output_file is None else f"would write {args.output_file}")
    artifact.replace_file(args.output_file, lambda draft: draft.write_text(text, encoding="utf-8"))
    return Answer({**data, "file": str(args.output_file)}, f"{args.output_file}: {form}, {text.count('Table ')} tables"
                  if form == "dbml" else f"{args.output_file}: {form}")  # fmt: skip
