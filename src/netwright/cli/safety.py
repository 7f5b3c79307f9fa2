"""netwright safety: what a chat's filters find in a text and do about it, and which filters there are."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netwright.cli import STDIN, Answer
from netwright.core.error import UserError, did_you_mean

if TYPE_CHECKING:
    from netwright.chat.safety import rules
    from netwright.chat.safety.guard import Verdict

HELP = "say what a chat's filters find in a text and do about it, or list the filters"
EXAMPLE = 'netwright safety check "Mail ann@shop.org, or call +49 30 901820" --reply'
ACTIONS = {"check": 1, "list": 0}
"""Action -> how many words it takes."""
MOST = 10_000_000
"""Bytes of a text."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("action", metavar="ACTION", help="check TEXT, check FILE, check - (standard input), or list")
    parser.add_argument("text", nargs="*", default=[], metavar="TEXT", help="a text, a file, or - for standard input")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="a TOML file with a table [safety] (default: the defaults)"
    )
    parser.add_argument("--reply", action="store_true", help="judge it as a reply, not as what a person asks")


def main(args: argparse.Namespace) -> Answer:
    """Check a text, or list the filters. Exit code 1 where the text would be blocked."""
    from netwright.chat.safety import rules

    if args.action not in ACTIONS:
        raise UserError("action", args.action, did_you_mean(args.action, ACTIONS), "netwright safety list")
    if len(args.text) != ACTIONS[args.action]:
        allowed = f"{ACTIONS[args.action]} texts for {args.action}: quote one of several words"
        raise UserError("TEXT", " ".join(args.text), allowed, f"netwright safety {args.action} --help")
    config = rules.Config() if args.config is None else rules.read(args.config)
    if config is None:
        raise UserError("--config", str(args.config), "a file with a table [safety]", "netwright safety list")
    if args.dry_run:
        return Answer(
            {"action": args.action, "changes": "nothing"}, "This verb changes nothing, and writes no journal."
        )
    opened = rules.opened(config, args.config.parent if args.config else Path())
    return _list(opened) if args.action == "list" else _check(opened, given(args.text[0]), args.reply)


def given(word: str) -> str:
    """The text of standard input, of a file, or the word itself. Raises UserError for what is no text."""
    try:
        if word == STDIN:
            raw = sys.stdin.buffer.read(MOST + 1)
        elif len(word) < 1000 and "\0" not in word and Path(word).is_file():
            with Path(word).open("rb") as file:
                raw = file.read(MOST + 1)
        else:
            return word.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    except OSError as fault:
        raise UserError("TEXT", word, f"not readable: {fault.strerror}", "ls -l") from None
    if len(raw) > MOST:
        raise UserError("TEXT", word, f"at most {MOST:,} bytes", "a part of it")
    return raw.decode("utf-8", "replace")


def _check(opened: rules.Rules, text: str, reply: bool) -> Answer:
    from netwright.chat.safety.guard import Guard

    guard = Guard(opened)
    found = guard.answered(text) if reply else guard.asked(text)
    data = {
        "side": "reply" if reply else "asked", "action": found.action, "text": found.text, "said": found.said,
        "findings": [
            {
                "filter": one.filter, "kind": one.finding.kind, "start": one.finding.start, "end": one.finding.end,
                "score": round(one.finding.score, 4), "action": one.action, "reason": one.finding.reason,
            }
            for one in found.decisions
        ],
    }  # fmt: skip
    return Answer(data, _view(found, text), int(found.action == "block"))


def _view(found: Verdict, text: str) -> Any:
    from rich.console import Group
    from rich.text import Text

    done = {"pass": "It passes as it is.", "mask": "What would be shown:", "block": "It would be blocked."}
    last = [Text(done[found.action])]
    if found.action == "mask":
        last.append(Text(found.text[:2000]))
    if found.action == "block":
        last.append(Text(found.said))
    if not found.decisions:
        return Group("Nothing was found.", *last)
    table = _table("filter", "kind", "where", "found", "score", "done", "why")
    for one in found.decisions:
        at = one.finding
        told = text[at.start : at.end]
        table.add_row(
            one.filter, at.kind, f"{at.start}-{at.end}", Text(told if len(told) <= 40 else told[:37] + "..."),
            f"{at.score:.2f}", one.action if one.action != "pass" else "nothing", at.reason,
        )  # fmt: skip
    return Group(table, *last)


def _list(opened: rules.Rules) -> Answer:
    from netwright.chat.safety import FILTERS

    by_name = {one.filter.name: one for one in opened.rules}
    rows = []
    for name in FILTERS:
        rule = by_name.get(name)
        size = getattr(rule.filter, "size", None) if rule else None
        rows.append(
            {
                "filter": name,
                "action": rule.action if rule else "off",
                "where": rule.where if rule else "",
                "threshold": rule.threshold if rule else None,
                "entries": size,
            }
        )
    table = _table("filter", "action", "where", "threshold", "entries")
    for row in rows:
        table.add_row(*("" if one is None else str(one) for one in row.values()))
    return Answer({"filters": rows, "sentence": opened.sentence}, table)


def _table(*columns: str) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
    return table
