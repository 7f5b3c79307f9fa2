"""netwright profile: where the time of a call goes, by layer, and what would help most."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from netwright.cli import Answer
from netwright.core.error import UserError

HELP = "time and memory of an artifact by layer, under this machine's roofs, and the changes that would help most"
EXAMPLE = "netwright profile runs/20261120-export-3fa9c1d2 runs/20261120-compress-77b0e1aa"
SHOWN = 15


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument(
        "words", nargs="+", metavar="ARTIFACT | profile.key=value",
        help="one artifact, or two to see before and after; settings such as profile.batch=8; runs=FOLDER",
    )  # fmt: skip
    parser.add_argument("--trace", type=Path, metavar="FILE", help="write a trace of torch for chrome://tracing")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the layers under this machine's roofline, SVG")


def main(args: argparse.Namespace) -> Answer:
    """Profile, or say what would be."""
    from netwright.core import artifact as artifacts
    from netwright.core import recipe
    from netwright.measure import profile
    from netwright.models.load import open_task

    words = [word for word in args.overrides if "=" in word]
    config = recipe.from_words(words, {"profile": profile.Config})["profile"]
    sources = [artifacts.open(Path(word)) for word in args.overrides if "=" not in word]
    if not 1 <= len(sources) <= 2:
        raise UserError("artifact", len(sources), "one, or two to compare", EXAMPLE)
    if args.dry_run:
        return Answer({"artifacts": [one.digest for one in sources], "profile": config},
                      f"would profile {', '.join(one.name for one in sources)}, {config.calls} calls each")  # fmt: skip
    found = [profile.profile(one, open_task(one), config, args.trace) for one in sources]
    if args.plot is not None:
        _plot(found[-1], args.plot)
    return Answer({"profiles": found}, _one(found[0], args) if len(found) == 1 else _two(*found))


def _one(found: Any, args: argparse.Namespace) -> Any:
    from rich import box
    from rich.console import Group
    from rich.table import Table

    from netwright.core.measurement import readable
    from netwright.measure import profile

    about = found.conditions
    title = (f"{found.name}: {profile.told(found)}, batch {about['batch']}, {about['threads']} "
             f"thread{'' if about['threads'] == 1 else 's'}")  # fmt: skip
    table = Table("layer", "kind", title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("time", "share", "answers", "bound by", "of the roof"):
        table.add_column(name, justify="right")
    for row in found.layers[:SHOWN]:
        table.add_row(
            row.name, row.kind, readable(row.seconds, "s"), f"{100 * row.share:.1f} %",
            readable(row.output_bytes, "B") if row.output_bytes else "", row.bound,
            f"{100 * row.reached:.0f} %" if row.bound else "",
        )  # fmt: skip
    rest = found.layers[SHOWN:]
    if rest:
        table.add_row(f"{len(rest)} more", "", readable(sum(r.seconds for r in rest), "s"),
                      f"{100 * sum(r.share for r in rest):.1f} %", "", "", "")  # fmt: skip
    said = [f"{at}. {one.what}: at most {readable(one.seconds, 's')} of a call. {one.why[0].upper()}{one.why[1:]}."
            for at, one in enumerate(found.changes, 1)]  # fmt: skip
    last = [f"Trace: {args.trace}"] if args.trace and found.conditions["format"] == "torch" else []
    if any(row.reached > 1.05 for row in found.layers):
        last.append("Some layers are above the roofs: these were measured on a busy machine. "
                    "When it is idle: netwright hardware probe")  # fmt: skip
    hint = "By line of Python: py-spy record -o profile.svg -- netwright bench ARTIFACT (pip install py-spy)"
    return Group(table, "What would help most:", *(said or ["nothing that is known here"]), *last, hint)


def _two(before: Any, after: Any) -> Any:
    from rich import box
    from rich.console import Group
    from rich.table import Table

    from netwright.core.measurement import readable

    table = Table("layer", title=f"before: {before.name}\nafter:  {after.name}", title_justify="left",
                  box=box.SIMPLE_HEAD, pad_edge=False)  # fmt: skip
    for name in ("before", "after", "ratio"):
        table.add_column(name, justify="right")
    first, second = ({row.name: row for row in one.layers} for one in (before, after))
    for name, row in list(first.items())[:SHOWN]:
        then = second.get(name)
        ratio = f"{then.seconds / row.seconds:.2f}" if then and row.seconds else ""
        table.add_row(name, readable(row.seconds, "s"), readable(then.seconds, "s") if then else "-", ratio)
    gone = [row for name, row in second.items() if name not in first]
    if gone:
        table.add_row(f"{len(gone)} only after", "-", readable(sum(row.seconds for row in gone), "s"), "")
    table.add_row("a call", readable(before.seconds, "s"), readable(after.seconds, "s"),
                  f"{after.seconds / before.seconds:.2f}")  # fmt: skip
    return Group(table, "Times of two profiles are of different moments; netwright bench compares them fairly.")


def _plot(found: Any, path: Path) -> None:
    from netwright.core import artifact, plot
    from netwright.hardware import detect

    here = detect.machine()
    dots = [plot.Dot(label=row.name, flops=row.flops, bytes=row.bytes, seconds=row.seconds, share=row.share)
            for row in found.layers if row.flops and row.bytes and row.seconds]  # fmt: skip
    roofs = {name: rate for name, rate in here.rates.items() if name in ("fp32", "bf16", "int8")}
    text = plot.svg_text(plot.roofline(dots, roofs, here.bandwidth, found.name), "layers under this machine's roofline")
    artifact.replace_file(path, lambda draft: draft.write_text(text, encoding="utf-8"))
