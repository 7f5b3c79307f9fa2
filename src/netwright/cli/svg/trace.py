"""netwright svg trace: images and folders to SVG, each by the best settings for a wish."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from netwright.cli import Answer
from netwright.core.error import UserError

ABOUT = "trace IMAGE|FOLDER ...: SVGs for a wish"
HEEDS = ("min_ssim", "max_bytes", "max_paths", "mode", "preset", "out", "csv", "report", "traces", "quick", "overwrite",
         "workers", "how", "model")  # fmt: skip
FEW = 30
"""Images of which the table on the terminal has a line each."""


def arguments(parser: argparse.ArgumentParser) -> None:
    wish = parser.add_argument_group("the wish", "none: the fewest bytes at the likeness of VTracer's default")
    wish.add_argument(
        "--min-ssim", type=float, metavar="SSIM", help="at least so alike, 1 is equal; in the fewest bytes"
    )
    wish.add_argument("--max-bytes", type=int, metavar="N", help="at most so large; as alike as fits")
    wish.add_argument("--max-paths", type=int, metavar="N", help="at most so many paths")
    wish.add_argument("--mode", metavar="MODE", help="curves, polygon, or auto: either (default)")
    wish.add_argument("--preset", metavar="NAME", help="trace with this setting; search for none")
    made = parser.add_argument_group("what is written")
    made.add_argument("--overwrite", action="store_true", help="replace SVGs that are there")
    made.add_argument("--csv", type=Path, metavar="FILE", help="a line an image")
    made.add_argument("--report", type=Path, metavar="FILE", help="a page to look at, .html, that needs no network")
    search = parser.add_argument_group("the search")
    search.add_argument("--traces", type=int, metavar="N", help="that are tried beside the presets (default: 6)")
    search.add_argument(
        "--quick", action="store_true", help="leave the presets out: faster, but may be worse than they"
    )
    search.add_argument("--how", metavar="HOW", help="predict, measure, or auto: whichever is cheaper (default)")
    search.add_argument(
        "--model", type=Path, metavar="FILE", help="a predictor of your own (default: the packaged one)"
    )


def main(args: argparse.Namespace) -> Answer:
    from netwright.core.run import console, progress
    from netwright.svg import batch
    from netwright.svg.wish import Wish

    if not args.overrides:
        raise UserError("image", "", "one image or folder, or more", "netwright svg trace logo.png")
    wish = Wish(args.min_ssim, args.max_bytes, args.max_paths, args.mode or "auto", args.preset)
    asked = batch.Asked(wish, count("--traces", args.traces, 6), args.quick, how(args.how), args.overwrite,
                        count("--workers", args.workers, os.cpu_count() or 1))  # fmt: skip
    for option, path, suffix in (("--csv", args.csv, ".csv"), ("--report", args.report, ".html")):
        check(option, path, suffix)
    named = [Path(word) for word in args.overrides]
    images, failed = batch.find(named)
    jobs = batch.place(images, args.out)
    many = len(jobs) + len(failed) > 1 or any(path.is_dir() for path in named)
    if args.dry_run:
        plan = [{"image": str(job.source), "svg": str(job.target)} for job in jobs]
        lines = [f"would trace {one['image']} to {one['svg']}" for one in plan] + [
            f"{one.image}: {one.why}" for one in failed
        ]
        return Answer({"wish": wish, "images": plan, "failed": failed}, "\n".join(lines) or "nothing to trace")
    kept = record(named, args.out) if many else None
    done: list[batch.Done] = []
    for fault in failed:
        console.print(f"{fault.image}: {fault.why}", markup=False, highlight=False, soft_wrap=True)
    predictor = predictor_of(args.model)
    try:
        with (
            progress("tracing", len(jobs), unit="images") as advance,
            contextlib.closing(batch.trace_all(jobs, asked, predictor, kept)) as found,
        ):
            for one in found:
                name = one.image if isinstance(one, batch.Failed) else str(one.job.source)
                if isinstance(one, batch.Failed):
                    failed.append(one)
                    if many:
                        console.print(f"{one.image}: {one.why}", markup=False, highlight=False, soft_wrap=True)
                else:
                    done.append(one)
                advance(note=name)
    finally:
        order = {job.source: at for at, job in enumerate(jobs)}
        done.sort(key=lambda one: order[one.job.source])
        if args.csv is not None and done:
            from netwright.svg import view

            view.write_csv(args.csv, [one.row for one in done])
    if not many and failed:
        raise UserError("image", failed[0].image, failed[0].why, "netwright svg trace --help")
    if args.report is not None and done:
        from netwright.svg import report

        report.write(args.report, done, failed, again(args))
    return told(done, failed, args)


def told(done: Sequence[Any], failed: Sequence[Any], args: argparse.Namespace) -> Answer:
    """The answer, as data and as tables."""
    from rich.console import Group

    from netwright.svg import view

    rows = [one.row for one in done]
    data = {"images": rows, "failed": failed, "earlier": sum(one.earlier for one in done)}
    parts: list[Any] = []
    if len(rows) == 1:
        parts += view.one(rows[0])
    elif rows:
        parts.append(view.many(rows[:FEW]))
        parts += [f"and {len(rows) - FEW} more: --csv FILE or --json has all"] * (len(rows) > FEW)
        parts.append(view.total(rows))
    if data["earlier"]:
        parts.append(f"{data['earlier']} of them were there already, made by the same wish.")
    parts += [f"Failed: {len(failed)}, told above."] * bool(failed)
    parts += [
        f"{name}: {path}" for name, path in (("Table", args.csv), ("Report", args.report)) if path is not None and rows
    ]
    return Answer(data, Group(*parts) if parts else "", 1 if failed else 0)


def predictor_of(path: Path | None) -> Any:
    """The predictor: a file's, or the packaged one."""
    from netwright.svg.predictor import Predictor

    return Predictor.load(path)


def record(named: Sequence[Path], out: Path | None) -> Path:
    """The file of what a batch has done: in the folder of the SVGs, or in the first that was named."""
    from netwright.svg import batch

    first = next((path for path in named if path.is_dir()), named[0].parent)
    return (first if out is None else out) / batch.KEPT


def check(option: str, path: Path | None, suffix: str) -> None:
    """Raise UserError for a place that cannot be written to, before any work."""
    if path is not None and (path.suffix.lower() != suffix or path.is_dir()):
        raise UserError(option, str(path), f"a file that ends in {suffix}", f"{option} traced{suffix}")


def count(option: str, value: int | None, default: int) -> int:
    """A whole number from 1."""
    if value is not None and value < 1:
        raise UserError(option, value, "a whole number from 1", "netwright svg trace --help")
    return default if value is None else value


def how(word: str | None) -> Any:
    """The way of searching."""
    ways = ("auto", "predict", "measure")
    if word is not None and word not in ways:
        raise UserError("--how", word, f"one of {', '.join(ways)}", "netwright svg trace --help")
    return word or "auto"


def again(args: argparse.Namespace) -> str:
    """The command that does the same."""
    import shlex

    words = ["netwright", "svg", args.action, *args.overrides]
    for name in HEEDS:
        value = getattr(args, name)
        if value is True:
            words.append(f"--{name}")
        elif value not in (None, False):
            words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)
