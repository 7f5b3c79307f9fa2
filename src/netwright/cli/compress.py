"""netwright compress: a smaller artifact, and what that cost."""

from __future__ import annotations

import argparse
from pathlib import Path

from netwright.cli import Answer, add_words

HELP = "make an artifact smaller and faster, with a certificate of what that cost"
EXAMPLE = "netwright compress runs/20261120-train-3fa9c1d2 --method int8 compress.format=onnx"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("artifact", type=Path, help="an artifact's folder, or the run that made it")
    parser.add_argument("--method", default="int8", metavar="NAME", help="int8 (default)")
    add_words(parser)
    parser.add_argument("--fresh", action="store_true", help="compress again even if nothing has changed")


def main(args: argparse.Namespace) -> Answer:
    """Compress, or say what would be."""
    from netwright.cli.export import answer
    from netwright.compress import METHODS
    from netwright.core import artifact as artifacts
    from netwright.core import recipe, table
    from netwright.study import stages

    method = table.resolve(METHODS, args.method, "compress.name", "netwright.methods")
    words = [f"compress.name={args.method}", *args.overrides]
    config = recipe.from_words(words, {"compress": METHODS})["compress"]
    source = artifacts.open(args.artifact)
    method.check_source(source)
    if args.dry_run:
        plan = {"artifact": source.digest, "compress": config}
        return Answer(plan, f"would compress {source.name} by {args.method}: {recipe.plain(config)}")
    return answer([stages.compressed(args.runs, source, config, args.fresh)])
