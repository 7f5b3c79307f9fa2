"""netwright compress: a smaller artifact, and what that cost."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from netwright.cli import Answer, add_words

HELP = "make an artifact smaller and faster, with a certificate of what that cost"
EXAMPLE = "netwright compress runs/20261120-train-3fa9c1d2 --method int8 compress.format=onnx"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("artifact", type=Path, help="an artifact's folder, or the run that made it")
    parser.add_argument("--method", default="int8", metavar="NAME", help="int8 (default), prune")
    add_words(parser)
    parser.add_argument("--fresh", action="store_true", help="compress again even if nothing has changed")


def main(args: argparse.Namespace) -> Answer:
    """Compress, or say what would be."""
    from netwright.cli.export import answer
    from netwright.compress import METHODS
    from netwright.core import artifact as artifacts
    from netwright.core import recipe, table
    from netwright.export import verify
    from netwright.study import stages

    method = table.resolve(METHODS, args.method, "compress.name", "netwright.methods")
    words = [f"compress.name={args.method}", *args.overrides]
    config = recipe.from_words(words, {"compress": METHODS})["compress"]
    source = artifacts.open(args.artifact)
    method.check_source(source)
    if args.dry_run:
        plan = {"artifact": source.digest, "compress": config}
        return Answer(plan, f"would compress {source.name} by {args.method}: {recipe.plain(config)}")
    made = stages.compressed(args.runs, source, config, args.fresh)
    return answer([made]) if verify.read(made) else _retrained(source, made, args.runs)


def _retrained(source: Any, made: Any, runs: Path) -> Answer:
    """Of a network that was trained on: what it costs, and its accuracy beside its source's on the test split."""
    from rich import box
    from rich.console import Group
    from rich.table import Table

    from netwright.core import workload
    from netwright.core.measurement import readable
    from netwright.hardware.detect import usable_threads
    from netwright.measure import quality
    from netwright.measure.bench import deployed
    from netwright.models.load import open_task
    from netwright.study import stages

    task, both = open_task(source), (source, made)
    answers = [stages.evaluated(runs, one, task, usable_threads()) for one in both]
    works = [workload.read(one.folder) for one in both]
    change = quality.accuracy_change(answers[1][0], answers[0][0], artifact=made.digest)
    table = Table("", "FLOPs", "parameters", "size", "test accuracy", box=box.SIMPLE_HEAD, pad_edge=False)
    for name, one, work, (_, accuracy) in zip(("before", "after"), both, works, answers, strict=True):
        table.add_row(
            name, readable(work.flops, "FLOP"), f"{work.parameters:,}", readable(deployed(one), "B"), str(accuracy)
        )
    data = {
        "artifact": str(made.folder), "digest": made.digest, "flops": works[1].flops / works[0].flops,
        "parameters": works[1].parameters / works[0].parameters, "accuracy": answers[1][1], "accuracy_change": change,
    }  # fmt: skip
    last = f"Change of accuracy: {change}\nNext: netwright export {made.folder} --format openvino"
    return Answer(data, Group(table, last))
