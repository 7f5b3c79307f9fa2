"""netwright train: from a recipe to a tested artifact."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from netwright.cli import Answer, add_words
from netwright.core.error import UserError

HELP = "train a network as a recipe says; the same command again goes on where a kill stopped it"
EXAMPLE = "netwright train recipes/mnist.toml train.epochs=5 runs=runs"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("recipe", type=Path, help="a TOML file; see recipes/")
    add_words(parser)
    parser.add_argument("--fresh", action="store_true", help="train again even if nothing has changed")
    parser.add_argument(
        "--find-lr", action="store_true", help="learning-rate range test: suggest train.lr, train nothing"
    )
    parser.add_argument(
        "--find-batch", action="store_true", help="largest train.batch within train.memory_gb, train nothing"
    )


def main(args: argparse.Namespace) -> Answer:
    """Train, plan (--dry-run) or search for a setting."""
    from netwright.core import recipe as recipes
    from netwright.predict import parallel
    from netwright.study import delivery
    from netwright.train import search, training

    recipe = recipes.load(args.recipe, args.overrides, delivery.SECTIONS)
    delivery.check(recipe)
    if args.find_lr or args.find_batch:
        if args.find_lr and args.find_batch:
            raise UserError("--find-batch", True, "one of --find-lr and --find-batch", "netwright train --help")
        task, model = training.prepare(recipe)
        if args.dry_run:
            what = "learning rates" if args.find_lr else "batch sizes"
            return Answer({"would_try": what, "recipe": recipe.sections}, f"Would try {what} on a copy of the network.")
        find = search.learning_rate if args.find_lr else search.batch_size
        return _found(find(model, task, recipe["train"], args.runs))
    if args.dry_run:
        planned = training.planned(recipe, args.runs, parallel.step)
        if planned is None:  # a process of a team that does not lead
            return Answer({}, "")
        return Answer({"plan": planned, "recipe": recipe.sections}, plan_view(planned, args.recipe))
    trained = training.train(recipe, args.runs, args.fresh, parallel.step)
    if trained is None:
        return Answer({}, "")
    delivered = delivery.deliver(recipe, trained, args.runs, args.fresh)
    data: dict[str, Any] = {
        "run": str(trained.folder),
        "artifact": str(trained.artifact.folder),
        "digest": trained.artifact.digest,
        "measurements": trained.measurements,
        "plan": trained.plan,
        "verdicts": trained.verdicts,
    }
    if delivered is not None:
        data["delivered"] = {
            "run": str(delivered.folder),
            "exported": [str(one.folder) for one in delivered.exported],
            "packages": [str(path) for path in delivered.packages],
            "report": str(delivered.report) if delivered.report else None,
        }
    return Answer(data, _trained_view(trained, delivery.view(delivered) if delivered else []))


def plan_view(planned: list[Any], path: Path) -> Any:
    """What a training would take, as a table."""
    from rich.table import Table

    from netwright.core.measurement import readable, span, words

    table = Table(title=f"Plan of {path} (nothing was trained)", title_justify="left")
    for name in ("quantity", "expected", "interval", "basis"):
        table.add_column(name, justify="left" if name in ("quantity", "basis") else "right", overflow="fold")
    for one in planned:
        interval = span(one.low, one.high, one.unit) if one.low < one.high else "exact"
        basis = one.conditions.get("basis", "traced")
        table.add_row(words(one.quantity), readable(one.value, one.unit), interval, str(basis))
    return table


def _trained_view(trained: Any, made: list[str]) -> Any:
    from rich.console import Group
    from rich.table import Table

    from netwright.core.measurement import span, words

    table = Table(title="Trained" + (" (reused: nothing has changed)" if trained.reused else ""), title_justify="left")
    for name in ("quantity", "measured", "plan", "held"):
        table.add_column(name, justify="left" if name == "quantity" else "right")
    plans = {row["quantity"]: row for row in trained.plan}
    for one in trained.measurements:
        row = plans.get(one.quantity)
        expected = span(row["low"], row["high"], row["unit"]) if row else ""
        table.add_row(words(one.quantity), str(one), expected, ("yes" if row["held"] else "no") if row else "")
    from netwright.core.run import read_metrics
    from netwright.train.multilevel import view

    levels = view.told(read_metrics(trained.folder), trained.artifact.made_by)
    lines = [*trained.verdicts, f"Run: {trained.folder}", *made]
    lines += [] if made else [f"Next: netwright export {trained.folder} --format openvino"]
    return Group(table, *([levels] if levels else []), *lines)


def _found(found: Any) -> Answer:
    from netwright.core.measurement import readable

    if "lr" in found:
        return Answer(found, f"Suggested: {found['suggestion']}\nCurve: {found['plot']}")
    room = f"a step takes {readable(found['peak_bytes'], 'B')} of {readable(found['budget_bytes'], 'B')}"
    return Answer(found, f"Suggested: {found['suggestion']} ({room})")
