"""netwright history: the chats that were kept: listed, shown, searched, taken out and in, judged, deleted."""

from __future__ import annotations

import argparse
import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netwright.cli import Answer
from netwright.core.error import UserError, did_you_mean

if TYPE_CHECKING:
    from netwright.chat.history import History, Node

HELP = "list chats that were kept, show or search them, export, import or delete them, say which replies were good"
EXAMPLE = "netwright history export 3fa92c --output chat.html"
ACTIONS = {
    "list": (0, 0), "show": (1, 1), "search": (1, 32), "export": (0, 999), "import": (1, 99), "delete": (1, 999),
    "feedback": (2, 999),
}  # fmt: skip
"""Action -> how many words it takes, at least and at most."""
READING = ("list", "show", "search", "export")
THUMBS = {"good": 1, "bad": -1, "none": 0}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action", metavar="ACTION",
        help="list, show ID, search WORD ..., export [ID ...], import FILE ..., delete ID ..., "
        "feedback ID good|bad|none [NOTE ...]",
    )  # fmt: skip
    parser.add_argument(
        "words", nargs="*", default=[], metavar="WORD",
        help="ids of chats, or their beginnings; words; files; runs=FOLDER says where chats.db is (default: runs)",
    )  # fmt: skip
    parser.add_argument("--tag", default="", help="list only chats with this tag")
    parser.add_argument("--limit", type=int, default=20, help="how many are listed or found (default: 20)")
    parser.add_argument("--skip", type=int, default=0, help="how many before them are left out")
    parser.add_argument("--format", help="of an export: json, jsonl, markdown, html, sharegpt, chatgpt, messages, "
                        "good, preferences (default: as the file's name ends, else json)")  # fmt: skip
    parser.add_argument("--output", type=Path, metavar="FILE", help="where an export goes (default: standard output)")
    parser.add_argument(
        "--message", type=int, metavar="N",
        help="of feedback: the N-th message, as show counts (default: the last reply); of delete: it and what follows",
    )  # fmt: skip


def main(args: argparse.Namespace) -> Answer:
    if args.action not in ACTIONS:
        raise UserError("action", args.action, did_you_mean(args.action, ACTIONS), "netwright history list")
    least, most = ACTIONS[args.action]
    words = args.overrides
    if not least <= len(words) <= most:
        allowed = f"{least if least == most else f'{least} to {most}'} words for {args.action}"
        raise UserError("WORD", " ".join(words), allowed, "netwright history --help")
    for name, value in (("--limit", args.limit - 1), ("--skip", args.skip)):
        if not 0 <= value < 1 << 31:
            raise UserError(name, value, "a whole number that is not below it", "--limit 20 --skip 0")
    if args.dry_run:
        return _plan(args)
    from netwright.chat.history import History

    with History.open(_place(args)) as history:
        return {"list": _list, "show": _show, "search": _search, "export": _export, "import": _import,
                "delete": _delete, "feedback": _feedback}[args.action](history, args)  # fmt: skip


def _place(args: argparse.Namespace) -> Path | None:
    """The folder of the chats; none where there is nothing to read, so that looking makes no file."""
    from netwright.chat.history import schema
    from netwright.core import db

    if args.runs.exists() and not args.runs.is_dir():
        raise UserError("runs", str(args.runs), "a folder", f"netwright history {args.action} runs=FOLDER")
    there = db.elsewhere() or (args.runs / schema.FILE).exists()
    return args.runs if there or args.action not in READING else None


def _plan(args: argparse.Namespace) -> Answer:
    steps: dict[str, Any] = {"action": args.action, "words": args.overrides, "runs": str(args.runs)}
    if args.action == "import":
        from netwright.chat.history import reading

        found = [reading.read(Path(name)) for name in args.overrides]
        count = sum(len(one.conversations) for one in found)
        return Answer({**steps, "conversations": count}, f"Would import {count} chats; none is kept yet.")
    changes = "Nothing would change." if args.action in READING and not args.output else "Nothing was changed."
    return Answer(steps, f"Would {args.action} {' '.join(args.overrides)}".rstrip() + f" in {args.runs}. {changes}")


def _list(history: History, args: argparse.Namespace) -> Answer:
    from netwright.chat.history.nodes import shown

    found = history.conversations(args.limit, args.skip, args.tag)
    data = {"conversations": found}
    if not found:
        return Answer(data, "No chats here. Begin with: netwright chat")
    table = _table("chat", "title", "messages", "changed", "tags")
    for one in found:
        pin = "* " if one.pinned else ""
        table.add_row(one.id[:8], pin + shown(one.title), str(one.count), _when(one.changed), shown(" ".join(one.tags)))
    return Answer(data, table)


def _show(history: History, args: argparse.Namespace) -> Answer:
    from rich.console import Group
    from rich.text import Text

    from netwright.chat.history.nodes import shown

    one = history.conversation(history.find(args.overrides[0]))
    path = history.path(one.id)
    parts = [
        Text(f"{one.id[:8]}  {shown(one.title)}", "bold"),
        *([Text(f"system: {shown(one.system)}")] * bool(one.system)),
    ]
    parts += [Text.assemble((_head(number, node), "bold"), shown(node.content)) for number, node in enumerate(path, 1)]
    return Answer({"conversation": one, "messages": path}, Group(*parts))


def _head(number: int, node: Node) -> str:
    which = f" {node.which}/{node.siblings}" if node.siblings > 1 else ""
    thumb = f" {'good' if node.thumb > 0 else 'bad'}" if node.thumb else ""
    return f"{number} {node.role}{which}{thumb}: "


def _search(history: History, args: argparse.Namespace) -> Answer:
    from rich.text import Text

    from netwright.chat.history.nodes import shown

    found = history.search(" ".join(args.overrides), args.limit, args.skip)
    data = {"found": found}
    if not found:
        return Answer(data, "No message has these words.")
    table = _table("chat", "title", "who", "words")
    for one in found:
        parts = [(shown(text), "bold" if hit else "") for text, hit in one.parts]
        table.add_row(one.conversation[:8], Text(shown(one.title)), one.role, Text.assemble(*parts))
    return Answer(data, table)


def _export(history: History, args: argparse.Namespace) -> Answer:
    from netwright.chat.history import formats
    from netwright.cli.generate import Silent
    from netwright.core import artifact

    ids = [history.find(one) for one in args.overrides] or None
    suffix = args.output.suffix if args.output else ""
    format = args.format or formats.of_suffix(suffix) or "json"
    pieces = formats.written(history, format, ids)
    if args.output is None:
        if args.json:
            return Answer({"format": format, "text": "".join(pieces)}, "")
        for piece in pieces:
            print(piece, end="")
        return Answer(None, Silent())
    if args.output.is_dir():
        raise UserError("--output", str(args.output), "a file", "--output chats.json")

    def write(draft: Path) -> None:
        with draft.open("w", encoding="utf-8", newline="") as file:
            file.writelines(pieces)

    args.output.parent.mkdir(parents=True, exist_ok=True)
    artifact.replace_file(args.output, write)
    return Answer({"format": format, "output": str(args.output)}, f"Written: {args.output} ({format})")


def _import(history: History, args: argparse.Namespace) -> Answer:
    from netwright.chat.history import bundle, reading

    found = [reading.read(Path(name)) for name in args.overrides]
    one = bundle.Bundle(*([row for some in found for row in getattr(some, kind)]
                          for kind in ("messages", "replies", "conversations")))  # fmt: skip
    added = bundle.restore(history, one)
    return Answer(
        added, f"Imported {added.conversations} chats, {added.messages} messages; what was here already stays."
    )


def _delete(history: History, args: argparse.Namespace) -> Answer:
    ids = list(dict.fromkeys(history.find(one) for one in args.overrides))
    if args.message is not None:
        return _delete_branch(history, ids, args.message)
    for id in ids:
        history.delete(id)
    return Answer({"deleted": ids}, f"Deleted {', '.join(id[:8] for id in ids)}.")


def _delete_branch(history: History, ids: list[str], number: int) -> Answer:
    path = history.path(ids[0])
    if len(ids) > 1 or not 1 <= number <= len(path):
        allowed = f"1 to {len(path)}, of one chat"
        raise UserError("--message", number, allowed, f"netwright history show {ids[0][:8]}")
    history.delete_branch(ids[0], path[number - 1].id)
    told = {"conversation": ids[0], "deleted": path[number - 1].id}
    return Answer(told, f"Deleted message {number} of {ids[0][:8]}, and what followed it.")


def _feedback(history: History, args: argparse.Namespace) -> Answer:
    name, thumb, *note = args.overrides
    if thumb not in THUMBS:
        raise UserError("feedback", thumb, did_you_mean(thumb, THUMBS), f"netwright history feedback {name} good")
    id = history.find(name)
    path = history.path(id)
    replies = [number for number, node in enumerate(path, 1) if node.role == "assistant"]
    number = (replies or [0])[-1] if args.message is None else args.message
    if number not in replies:
        raise UserError("--message", number, f"a reply: {', '.join(map(str, replies)) or 'there is none'}",
                        f"netwright history show {name}")  # fmt: skip
    history.rate(id, path[number - 1].id, THUMBS[thumb], " ".join(note))
    told = {"conversation": id, "message": path[number - 1].id, "thumb": THUMBS[thumb], "note": " ".join(note)}
    return Answer(told, f"Message {number} of {id[:8]}: {thumb}.")


def _when(seconds: float) -> str:
    try:
        return datetime.datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):  # of an imported chat
        return "?"


def _table(*columns: str) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for at, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=not at, min_width=8 if not at else None)
    return table
