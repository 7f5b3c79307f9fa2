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
    from netwright.data.inspect import Report
    from netwright.data.show import Shown
    from netwright.data.sources import Source

HELP = "list data and weights, fetch one, or show one with its validation report"
EXAMPLE = "netwright data show mnist"
ACTIONS = ("list", "fetch", "show")
THUMBNAIL = 16
"""Side in pixels of an image in the terminal, where a character is two pixels high."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", metavar="ACTION", help="list, fetch NAME, or show NAME")
    parser.add_argument("name", nargs="?", metavar="NAME", help="the data, as list names it")


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
