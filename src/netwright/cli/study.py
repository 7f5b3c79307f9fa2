"""netwright study: from a recipe to a front and a report."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from netwright.cli import Answer, add_words

HELP = "train, compress, export, measure and predict what a recipe says, and write one report"
EXAMPLE = "netwright study recipes/quickstart.toml runs=runs"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("recipe", type=Path, help="a TOML file; see recipes/")
    add_words(parser)
    parser.add_argument("--fresh", action="store_true", help="write the report again even if nothing has changed")


def main(args: argparse.Namespace) -> Answer:
    """Do the study, or say what it would do."""
    from netwright.core import recipe as recipes
    from netwright.study import study

    recipe = recipes.load(args.recipe, args.overrides, study.SECTIONS)
    if args.dry_run:
        return _dry_run(recipe, args.runs)
    found = study.study(recipe, args.runs, args.fresh)
    data = {**found.summary, "report": str(found.report), "reused": found.reused}
    return Answer(data, _view(found))


def _dry_run(recipe: Any, runs: Path) -> Answer:
    from rich.console import Group

    from netwright.cli.train import plan_view
    from netwright.study import beginning, study
    from netwright.train import training
    from netwright.train.plan import plan

    devices = [device.name for device in study.check(recipe, runs)]
    source = beginning.source(recipe)
    planned = [] if source else plan(*training.prepare(recipe)[::-1], recipe["train"], runs)
    labels = study.labels(recipe)
    lines = [
        *([f"Would begin with {source.name}"] if source else []),
        f"Would measure here: {', '.join(labels)}",
        f"Would predict for: {', '.join(devices) or 'no other device'}",
    ]
    return Answer(
        {"plan": planned, "candidates": labels, "devices": devices},
        Group(*([] if source else [plan_view(planned, recipe.path)]), *lines),
    )


def _view(found: Any) -> Any:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from netwright.study import report

    summary = found.summary
    table = Table(
        title=summary["title"] + (" (nothing has changed)" if found.reused else ""), title_justify="left", expand=True
    )
    table.add_column("candidate", min_width=12)
    measured = summary["candidates"][0]["figures"] if summary["candidates"] else {}
    shown = [name for name in ("accuracy", "latency", "peak_memory", "size") if name in measured]
    for name in shown:
        table.add_column(report.title(name), justify="right", no_wrap=True)
    for row in summary["candidates"]:
        figures = [row["figures"][name] for name in shown]
        cells = [Text.assemble(report.value(one), "\n", (report.interval(one), "dim")) for one in figures]
        table.add_row(Text.assemble(row["label"], ("\non the front" if row["on_front"] else "", "green")), *cells)
    # never wrapped, so that a terminal makes it a link
    places = Text(f"Report: {found.report.resolve().as_uri()}\n        {found.report}", no_wrap=True, overflow="ignore")
    return Group(table, *summary["verdict"], places)
