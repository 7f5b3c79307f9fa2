"""netwright svg data: build the data set, or finish it, or say what it holds."""

from __future__ import annotations

import argparse
import os

from netwright.cli import Answer
from netwright.core.error import UserError

ABOUT = "data: the data set that the predictor learns from"
HEEDS = ("images", "settings", "seed", "families", "out", "workers")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the action."""
    group = parser.add_argument_group("data: images traced with many settings")
    group.add_argument("--images", type=int, metavar="N", help="how many, about (default: 4000)")
    group.add_argument("--settings", type=int, metavar="N", help="traces of each (default: 14)")
    group.add_argument("--seed", type=int, metavar="N", help="of what is drawn (default: 0)")
    group.add_argument(
        "--families", metavar="A,B", help="only these icon sets and photo sources; reserve: those kept for tests"
    )


def main(args: argparse.Namespace) -> Answer:
    """Build it and count it."""
    from netwright.svg import dataset
    from netwright.svg.collection import select

    if args.overrides:
        raise UserError("image", " ".join(args.overrides), "data takes none: it fetches its own", "netwright svg data")
    names = tuple(name.strip() for name in (args.families or "").split(",") if name.strip())
    given = {name: value for name in ("images", "settings", "seed") if (value := getattr(args, name)) is not None}
    config = dataset.Config(**given, families=names)
    if args.dry_run:
        chosen = select(names)
        plan = {"families": {f.name: f.source.licence for f in chosen}, "images": config.images}
        lines = [f"{f.name:28} {f.kind:8} {f.source.licence} ({f.item})" for f in chosen]
        return Answer(plan, "\n".join([*lines, f"{config.images} images x {config.settings} settings"]))
    folder = dataset.build(config, args.out, (os.cpu_count() or 1) if args.workers is None else args.workers)
    data = dataset.load(folder)
    counts = {name: len(images) for name, images in dataset.splits(data).items()}
    found = {"folder": str(folder), "images": len(data.images), "rows": len(data.rows), "splits": counts}
    told = ", ".join(f"{count} {name}" for name, count in counts.items())
    return Answer(found, f"{len(data.images)} images ({told}), {len(data.rows)} traces in {folder}")
