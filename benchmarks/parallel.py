"""One training on one process and on two, divided in every way: time of a step against its prediction, and memory.

    python benchmarks/parallel.py [--rounds 5] [--width 384] [--depth 4] [--examples 1024]

A transformer on synthetic texts, four micro-batches a step, one thread a process. In each round every way runs once, in
processes of its own, so that a slow minute of the machine falls on all. A step is the median of a run; printed are the
median over the rounds with its bootstrap interval, and the plan's prediction, made from steps tried and messages
measured before each run (`netwright.predict.parallel`): its median, between its lowest and highest bound.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from netwright.core import stats
from netwright.core.measurement import readable, span

RECIPE = """
[task]
name = "synthetic-text"
examples = {examples}
tokens = 32
[model]
name = "transformer"
width = {width}
depth = {depth}
positions = 32
dropout = 0.0
[train]
epochs = 1
batch = 64
accumulate = 4
threads = 1
keep = "last"
"""
KINDS = ("none", "ddp", "fsdp2", "tensor", "pipeline")
LAUNCHER = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def run(kind: str, recipe: Path, runs: Path) -> dict[str, Any]:
    """One training; its measurements by quantity, and the planned step where there is one."""
    words = ["-m", "netwright", "train", str(recipe), f"train.parallel={kind}", f"runs={runs}", "--json"]
    launcher = () if kind == "none" else LAUNCHER
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *launcher, *words], env=environment, check=True, capture_output=True, text=True
    )
    result = _first(done.stdout)
    found = {one["quantity"]: one for one in result["measurements"]}
    planned = {row["quantity"]: row for row in result["plan"]}
    return {"found": found, "plan": planned.get("training_step")}


def _first(text: str) -> dict[str, Any]:
    """The leader's answer among those of all processes."""
    decoder, at, answers = json.JSONDecoder(), 0, []
    while (at := text.find("{", at)) >= 0:
        answer, at = decoder.raw_decode(text, at)
        answers.append(answer)
    return next(answer for answer in answers if answer)


def row(kind: str, rounds: list[dict[str, Any]], alone: float) -> str:
    """A line of the table."""
    steps = [one["found"]["training_step"]["value"] for one in rounds]
    step = stats.bootstrap(steps, np.median)
    held = sorted(set(rounds[0]["found"]["training_memory"]["conditions"]["parameters"]))
    peaks = zip(*(one["found"]["training_memory"]["conditions"]["processes"] for one in rounds), strict=True)
    plans = [one["plan"] for one in rounds if one["plan"]]
    predicted = ratio = ""
    if plans:
        low, value, high = (
            min(p["low"] for p in plans),
            median(p["planned"] for p in plans),
            max(p["high"] for p in plans),
        )
        predicted = f"{readable(value, 's')} [{span(low, high, 's')}]"
        each = stats.bootstrap([a / p["planned"] for a, p in zip(steps, plans, strict=True)], np.median)
        ratio = f"{each.value:.2f} [{each.low:.2f}–{each.high:.2f}]"
    measured = f"{readable(step.value, 's')} [{span(step.low, step.high, 's')}]"
    sizes = " and ".join(readable(one, "B") for one in held)
    memory = " and ".join(readable(median(each), "B") for each in peaks)
    cells = (kind, measured, predicted, ratio, f"{alone / step.value:.2f}", sizes, memory)
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--examples", type=int, default=1024, help="64 a step")
    args = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder) / "recipe.toml"
        recipe.write_text(RECIPE.format(width=args.width, depth=args.depth, examples=args.examples))
        for number in range(args.rounds):
            for kind in KINDS[number % len(KINDS) :] + KINDS[: number % len(KINDS)]:
                found[kind].append(run(kind, recipe, Path(folder) / f"{number}-{kind}"))
                step = found[kind][-1]["found"]["training_step"]
                print(f"round {number + 1}, {kind}: {readable(step['value'], 's')}", file=sys.stderr, flush=True)
    alone = median(one["found"]["training_step"]["value"] for one in found["none"])
    names = {"none": "one process"}
    print(f"{args.rounds} rounds, load {os.getloadavg()[2]:.1f} on {os.cpu_count()} cores\n")
    head = (
        "",
        "a step, measured",
        "predicted",
        "measured / predicted",
        "faster",
        "parameters a process",
        "peak memory of each",
    )
    print(f"| {' | '.join(head)} |")
    print("|---|---|---|---|---|---|---|")
    for kind in KINDS:
        print(row(names.get(kind, f"two, {kind}"), found[kind], alone))


if __name__ == "__main__":
    main()
