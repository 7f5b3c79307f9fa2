"""netwright import: a network that others have trained, as an artifact."""

from __future__ import annotations

import argparse
from typing import Any

from netwright.cli import Answer, add_words

HELP = "fetch a network that others have trained, as an artifact to compress, export and measure"
EXAMPLE = "netwright import resnet50-imagenet"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("name", help="resnet50-imagenet")
    add_words(parser)
    parser.add_argument("--fresh", action="store_true", help="write it again even if nothing has changed")


def main(args: argparse.Namespace) -> Answer:
    """Import, or say what would be."""
    from netwright.core import recipe
    from netwright.data import sources
    from netwright.models import pretrained

    recipe.from_words(args.overrides, {})
    pretrained.find(args.name)
    source = sources.find(args.name)
    if args.dry_run:
        return Answer({"name": source.name, "size": source.size}, f"would fetch {source.title}, {source.licence}")
    made = _made(args, source)
    data = {"artifact": str(made.folder), "digest": made.digest, "licence": source.licence}
    return Answer(data, f"{made.name}, {source.licence}\nNext: netwright export {made.folder} --format openvino")


def _made(args: argparse.Namespace, source: Any) -> Any:
    from netwright.core.run import Run
    from netwright.models import pretrained
    from netwright.train import training

    with Run.start(args.runs, "import", {"name": source.name, "sha256": source.sha256}, args.fresh) as run:
        if not training.kept(run):
            run.finish({"artifact": pretrained.make(args.name, run.folder / "artifact").digest})
        return training.opened(run)
