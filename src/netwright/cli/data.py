"""netwright data: the data and weights known by name; fetch one; look at one and check it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netwright.cli import Answer
from netwright.core.error import UserError, did_you_mean
from netwright.core.measurement import readable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netwright.data.inspect import Report
    from netwright.data.show import Shown
    from netwright.data.sources import Source
    from netwright.data.text.report import Found
    from netwright.data.text.report import Report as TextReport

HELP = "list data and weights, fetch one, or show one, or your own texts, with a validation report"
EXAMPLE = "netwright data show mnist"
ACTIONS = ("list", "fetch", "show")
THUMBNAIL = 16
"""Side in pixels of an image in the terminal, where a character is two pixels high."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", metavar="ACTION", help="list, fetch NAME, or show NAME")
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="the data, as list names it; or a file or folder of texts"
    )
    parser.add_argument("--tokenizer", metavar="NAME", help="show your texts as tokens: of a model's folder, or bytes")


def main(args: argparse.Namespace) -> Answer:
    if args.action not in ACTIONS:
        raise UserError("action", args.action, did_you_mean(args.action, ACTIONS), "netwright data list")
    if (args.name is not None) != (args.action != "list"):
        allowed = "a name for fetch and show, none for list"
        raise UserError("name", args.name, allowed, "netwright data list")
    return {"list": _list, "fetch": _fetch, "show": _show}[args.action](args)


def _list(args: argparse.Namespace) -> Answer:
    from netwright.data import sources
    from netwright.data.catalog import SOURCES

    rows = [_about(source) for source in SOURCES.values()]
    cells = [
        (
            r["name"],
            readable(r["size"], "B"),
            "yes" if r["cached"] else "",
            f"{r['title']}. {r['licence']}. {r['from']}",
        )
        for r in ({**row, "from": ", ".join(row["places"])} for row in rows)
    ]
    caption = f"Cache: {sources.cache_folder()} (NETWRIGHT_CACHE). Your own copies: NETWRIGHT_DATA=FOLDER."
    return Answer({"data": rows}, _table(("name", "size", "cached", "what, licence, places"), cells, caption))


def _fetch(args: argparse.Namespace) -> Answer:
    from netwright.data import sources

    source = sources.find(args.name)
    if args.dry_run:
        return _plan(source)
    folder = sources.fetch(source)
    files = sources.describe(folder)
    return Answer({**_about(source), "folder": str(folder), "files": _plain(files)}, _files(source.name, files, folder))


def _show(args: argparse.Namespace) -> Answer:
    from netwright.data.catalog import SOURCES

    if args.name not in SOURCES and (Path(args.name).exists() or "/" in args.name):
        return _show_texts(args)
    if args.tokenizer is not None:
        raise UserError("--tokenizer", args.tokenizer, "only with a file or folder of texts", "netwright data --help")
    if args.dry_run and args.name in SOURCES:
        return _plan(SOURCES[args.name])
    from netwright.data.show import show

    if args.dry_run:
        return Answer({"name": args.name}, f"{args.name}: nothing to fetch; its examples would be made and checked")
    shown = show(args.name)
    if shown.report is None:
        return Answer({"name": shown.name, "files": _plain(shown.files)}, _files(shown.name, shown.files, ""))
    data = {"report": shown.report, "picture": shown.picture and str(shown.picture), "texts": shown.texts}
    return Answer(data, _view(shown, shown.report))


def _show_texts(args: argparse.Namespace) -> Answer:
    if args.dry_run:
        return Answer({"source": args.name}, f"{args.name}: would be read once, and checked")
    from rich.console import Group

    from netwright.data.text.report import report

    found = report(args.name)
    records = [_tokens(record, args.tokenizer) if args.tokenizer else _record(record) for record in found.first]
    return Answer({"report": found}, Group(_text_report(found), *records))


def _text_report(found: TextReport) -> Any:
    """The report as a table: what was asked, how many, and where the first are."""

    def told(counts: dict[str, int]) -> str:
        return ", ".join(f"{name} {count:,}" for name, count in list(counts.items())[:12])

    def row(name: str, one: Found) -> tuple[str, str, str]:
        return name, f"{one.count:,}", "\n".join(one.places[:5])

    rows: list[tuple[str, str, str]] = [
        ("records", f"{found.records:,}", f"in {found.files:,} files; {told(found.shapes)}"),
        row("broken", found.broken),
        ("empty", f"{found.empty:,}", ""),
        row("files left out", found.left_out),
        ("characters", f"{found.characters:,}", f"of a record: {told(found.lengths)}"),
        *([("messages", "", f"of a conversation: {told(found.turns)}")] if found.turns else []),
        *([("unanswered", f"{found.unanswered:,}", "chats that end with the user")] if found.unanswered else []),
        ("languages", f"{len(found.languages) or ''}", told(found.languages) or "pip install 'netwright[text]'"),
        ("encoding", f"{sum(found.repaired.values()):,}", told(found.repaired)),
        ("to clean", f"{sum(found.uncleaned.values()):,}", told(found.uncleaned)),
        row("exact duplicates", found.exact_duplicates),
        row("near duplicates", found.near_duplicates),
        *(row(f"private: {one.kind}", one) for one in found.private),
        ("splits", "", f"by hash: {told(found.splits)}"),
        row("leaks", found.leaks),
    ]  # fmt: skip
    caption = "Nothing was changed. All that is listed: --json"
    if found.looked_at < found.records:
        caption = f"Lengths to leaks: of the first {found.looked_at:,} records. {caption}"
    return _table((Path(found.source).name or found.source, "found", "what, or where first"), rows, caption)


def _record(record: Any) -> Any:
    """The beginning of a record, a message a line."""
    from rich.text import Text

    said = [(one.role, one.content) for one in record.messages] or [("text", record.text)]
    lines = "".join(f"  {role}: {_beginning(words)}\n" for role, words in said[:8])
    return Text(f"{record.place}\n{lines}")


def _beginning(words: str, limit: int = 300) -> str:
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in words[: 2 * limit]).split())
    return line if len(line) <= limit and len(words) <= 2 * limit else line[:limit] + " ..."


def _tokens(record: Any, name: str) -> Any:
    """A record as the tokens that a model gets, by the tokenizer and the template that the name leads to."""
    from rich.console import Group
    from rich.text import Text

    from netwright.data import language

    tokenizer = language.tokenizer_named(name)
    ids, learned = language.encode(record, tokenizer, "replies")
    tokens = [tokenizer.decode([one], special=True) for one in ids]
    return Group(Text(record.place), shown_tokens(tokens, ids, learned.tolist()))


def shown_tokens(tokens: Sequence[str], ids: Sequence[int], loss_mask: Sequence[bool], limit: int = 400) -> Any:
    """Tokens, each with its id; those that the model learns to write in green and between carets: ^token^/17.

    Spaces show as \u00b7, line ends as \u23ce, so that every token can be seen.
    """
    from rich.text import Text

    text = Text(overflow="fold")
    for token, number, learned in list(zip(tokens, ids, loss_mask, strict=True))[:limit]:
        seen = "".join(_VISIBLE.get(letter, letter if letter.isprintable() else "\ufffd") for letter in token)
        text.append(f"^{seen}^" if learned else seen, style="bold green" if learned else "")
        text.append(f"/{number} ", style="dim")
        if "\n" in token:
            text.append("\n")
    count = sum(map(bool, loss_mask))
    left = f"; {len(ids) - limit:,} more tokens" if len(ids) > limit else ""
    text.append(f"\n{len(ids):,} tokens, {count:,} of them (^between carets^) are learned{left}\n")
    return text


_VISIBLE = {" ": "\u00b7", "\n": "\u23ce", "\t": "\u21e5"}


def _about(source: Source) -> dict[str, Any]:
    from netwright.data import sources

    return {
        "name": source.name,
        "title": source.title,
        "licence": source.licence,
        "size": source.size,
        "sha256": source.sha256,
        "cached": sources.cached(source) is not None,
        "places": [str(place) for place in sources.route(source)],
    }


def _plan(source: Source) -> Answer:
    about = _about(source)
    steps = "\n".join(f"  {n}. {place}" for n, place in enumerate(about["places"], 1))
    text = f"{source.name} ({readable(source.size, 'B')}) is in the cache already" if about["cached"] else (
        f"would fetch {source.name} ({readable(source.size, 'B')}) from the first of these that has it:\n{steps}"
    )  # fmt: skip
    return Answer(about, text)


def _plain(files: Any) -> list[dict[str, Any]]:
    return [{"file": name, "size": size, "sha256": sha256} for name, size, sha256 in files]


def _files(name: str, files: Any, folder: object) -> Any:
    shown = [(file, readable(size, "B"), sha256) for file, size, sha256 in files[:40]]
    caption = f"{len(files):,} files, {readable(sum(size for _, size, _ in files), 'B')}. {folder}".rstrip()
    return _table((name, "size", "sha256"), shown, caption)


def _view(shown: Shown, report: Report) -> Any:
    from rich.console import Group
    from rich.text import Text

    splits = list(report.counts)
    rows = [(k, *(f"{report.classes[s][k]:,}" for s in splits)) for k in report.classes["train"]]
    rows.append(("all", *(f"{report.counts[s]:,}" for s in splits)))
    parts: list[Any] = [_table((report.name, *splits), rows, "")]
    if shown.picture is not None:
        parts += [_drawn(shown.picture, len(rows) - 1)] if sys.stdout.isatty() else []
        parts.append(Text(f"Picture: {shown.picture}", overflow="fold"))
    for sample in shown.texts:
        words = " ".join(sample.words[:60])
        parts.append(Text(f"\n{sample.label}: {words} ...\n  ids: {' '.join(map(str, sample.ids[:24]))} ..."))
    findings = [
        (f.check, f"{f.count:,}", f.method + "".join(f"\n  {line}" for line in f.examples[:5])) for f in report.findings
    ]
    parts.append(_table(("check", "found", "how, and the worst"), findings, "All examples that were listed: --json"))
    return Group(*parts)


def _drawn(path: Path, count: int) -> Any:
    """One image a class in half blocks, from the picture's first column."""
    from PIL import Image
    from rich.console import Console
    from rich.text import Text

    picture = Image.open(path).convert("RGB")
    side = picture.height // count
    tiles = [picture.crop((0, n * side, side, (n + 1) * side)).resize((THUMBNAIL, THUMBNAIL)) for n in range(count)]
    across = max(1, Console().width // THUMBNAIL)
    text = Text()
    for start in range(0, count, across):
        for y in range(0, THUMBNAIL, 2):
            for tile in tiles[start : start + across]:
                for x in range(THUMBNAIL):
                    top, bottom = tile.getpixel((x, y)), tile.getpixel((x, y + 1))
                    text.append("\u2580", style=f"rgb{_rgb(top)} on rgb{_rgb(bottom)}")
            text.append("\n")
    return text


def _rgb(pixel: Any) -> str:
    return f"({pixel[0]},{pixel[1]},{pixel[2]})"


def _table(columns: tuple[str, ...], rows: Any, caption: str) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, caption=caption or None, caption_justify="left")
    for n, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=n == 0)
    for row in rows:
        table.add_row(*row)
    return table
