"""netwright evaluate: how well language models read and answer, alone or beside the first of them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from netwright.cli import Answer
from netwright.core.error import UserError

HELP = "perplexity, tasks and answers of language models, each against the first, with intervals and a verdict"
EXAMPLE = "netwright evaluate runs/20261120-import-3fa9 runs/20261120-train-81c0 --tasks exam.jsonl"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "words",
        nargs="*",
        metavar="RUN | evaluate.key=value",
        help="artifacts' folders or runs that made them; settings such as evaluate.max_tokens=200; runs=FOLDER",
    )
    parser.add_argument("--tasks", metavar="FILE", default="", help="questions with answers, a .jsonl line each")
    parser.add_argument("--text", metavar="FILE", default="", help="perplexity on the texts of a file or folder")
    parser.add_argument(
        "--sidebyside", metavar="FILE", default="", help="a page of answers to the prompts of a .txt (a line each)"
    )
    parser.add_argument("--blind", action="store_true", help="hide names on that page until the votes are in")
    parser.add_argument(
        "--votes",
        metavar="FILE",
        action="append",
        help="what people said on such a page: the JSON it gives out; may be repeated",
    )
    parser.add_argument("--fresh", action="store_true", help="evaluate again even if nothing has changed")


def main(args: argparse.Namespace) -> Answer:
    from netwright.core import artifact, recipe
    from netwright.measure import evaluate

    if args.votes:
        return _votes([Path(one) for one in args.votes])
    settings = [word for word in args.overrides if "=" in word]
    config = recipe.from_words(settings, {"evaluate": evaluate.Config})["evaluate"]
    given = [artifact.open(_folder(word, args.runs)) for word in args.overrides if "=" not in word]
    if not given:
        raise UserError("RUN", None, "one language model or more", EXAMPLE)
    if args.blind and not args.sidebyside:
        raise UserError("--blind", True, "a page to be blind on", "--sidebyside prompts.txt")
    sources = evaluate.Sources(tasks=args.tasks, text=args.text, prompts=args.sidebyside)
    evaluate.settled(config)
    if args.dry_run:
        plan = evaluate.Plan.of(given, sources)
        on = [*filter(None, (args.tasks, args.text, args.sidebyside))] or [f"test split of {plan.task.name}"]
        data = {"artifacts": [one.digest for one in given], "on": on, "evaluate": config}
        return Answer(data, f"would evaluate {', '.join(one.name for one in given)} on {', '.join(on)}")
    found = evaluate.evaluate(given, args.runs, sources, config, args.blind, args.fresh)
    return Answer(_data(found), _view(found))


def _votes(paths: list[Path]) -> Answer:
    from netwright.measure import votes

    found = votes.read(paths)
    said = votes.verdicts(found)
    return Answer({"best": found.best, "ties": found.ties, "blind": found.blind, "verdicts": said}, "\n".join(said))


def _folder(word: str, runs: Path) -> Path:
    """A folder, or the one run whose name has this part."""
    if Path(word).exists() or not runs.is_dir():
        return Path(word)
    found = [path.parent for path in sorted(runs.glob("*/run.json")) if word in path.parent.name]
    if len(found) > 1:
        raise UserError("RUN", word, "one of " + ", ".join(path.name for path in found), "give more of its name")
    return found[0] if found else Path(word)


def _data(found: Any) -> dict[str, Any]:
    models = [
        {
            "name": name,
            "runs": [str(part.folder) for part in parts],
            "measurements": [m for part in parts for m in part.measurements],
        }
        for name, parts in zip(found.names, found.parts, strict=True)
    ]
    return {
        "models": models, "changes": found.changes, "verdicts": found.verdicts,
        "run": str(found.folder) if found.folder else None, "page": str(found.page) if found.page else None,
    }  # fmt: skip


def _view(found: Any) -> Any:
    from rich import box
    from rich.console import Group
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("on", "measured", *found.names):
        table.add_column(title, overflow="fold")
    for at, part in enumerate(found.parts[0]):
        for place, one in enumerate(part.measurements):
            cells = [_cell(parts[at].measurements[place]) for parts in found.parts]
            table.add_row(part.on if place == 0 else "", _what(one), *cells)
    lines = list(found.verdicts)
    if any(part.measurements for part in found.parts[0]):
        lines.insert(0, "")
    lines += [f"Page: {found.page}"] if found.page else []
    folders = [part.folder for parts in found.parts for part in parts]
    lines.append(f"Run: {found.folder or folders[0]}")
    return Group(*([table] if any(part.measurements for part in found.parts[0]) else []), *lines)


def _what(one: Any) -> str:
    from netwright.core.measurement import words

    score = one.conditions.get("score")
    return f"{words(one.quantity)}\n{score}" if score else words(one.quantity)


def _cell(one: Any) -> str:
    from netwright.core.measurement import readable, span

    return f"{readable(one.value, one.unit)}\n[{span(one.low, one.high, one.unit)}]\nn = {one.n:,}"
