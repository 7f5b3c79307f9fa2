"""netwright compress: a smaller artifact, and what that cost."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from netwright.cli import Answer, add_words

HELP = "make an artifact smaller and faster, by one method or several in sequence, and say what that cost"
EXAMPLE = 'netwright compress runs/20261120-train-3fa9c1d2 --method "prune keep=0.5 > int8" --format onnx'


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("artifact", type=Path, help="an artifact's folder, or the run that made it")
    parser.add_argument(
        "--method", default="int8", metavar="STEPS",
        help='equalize, quantize, qat, prune, distill, each with its settings, separated by ">"; short names: int8 '
        "(default), int8-dynamic, int8-weights, int4, int4-weights, bf16, fp16",
    )  # fmt: skip
    parser.add_argument("--format", metavar="NAME", help="onnx or openvino, for what is quantized as a file (openvino)")
    parser.add_argument("--sensitivity", action="store_true", help="only measure which layers hurt most on the grid")
    add_words(parser)
    parser.add_argument("--fresh", action="store_true", help="compress again even if nothing has changed")


def main(args: argparse.Namespace) -> Answer:
    """Compress, or say what would be."""
    from netwright.cli.export import answer
    from netwright.compress import METHODS, chain
    from netwright.core import artifact as artifacts
    from netwright.core import recipe, table
    from netwright.export import verify
    from netwright.study import stages

    source = artifacts.open(args.artifact)
    steps = chain.parse(args.method, _overrides(args), "--method")
    if args.format or source.format != "torch":
        steps = tuple(chain.written_in(steps, args.format or source.format))
    table.resolve(METHODS, steps[0].name, "compress.name", "netwright.methods").check_source(source, steps[0])
    if args.dry_run:
        plan = {"artifact": source.digest, "compress": steps}
        return Answer(plan, f"would compress {source.name} by {chain.written(steps)}: {recipe.plain(steps)}")
    if args.sensitivity:
        return _sensitivity(source, steps[-1])
    made = stages.carried_out(args.runs, source, steps, args.fresh)
    told = answer([made]) if verify.read(made) else _retrained(source, made, args.runs)
    return _with_verdicts(told, stages.verdicts(made))


def _with_verdicts(told: Answer, verdicts: list[str]) -> Answer:
    """Of a language model: what it lost against the one that it was made from."""
    from rich.console import Group

    if not verdicts:
        return told
    return Answer({**told.data, "verdicts": verdicts}, Group(told.view, *verdicts), told.code)


def _overrides(args: argparse.Namespace) -> dict[str, Any]:
    """`compress.key=value` words, for the one step there is, or `method.key=value` for one of several."""
    from netwright.compress import METHODS, chain
    from netwright.core import recipe
    from netwright.core.error import UserError, did_you_mean

    steps = chain.parse(args.method, where="--method")
    found: dict[str, dict[str, Any]] = {}
    for word in args.overrides:
        section, dot, rest = word.partition(".")
        if section == "compress" and len({step.name for step in steps}) == 1:
            section = steps[0].name
        if not dot or section not in METHODS:
            example = f"{steps[0].name}.key=value"
            raise UserError("override", word, did_you_mean(section, ["compress", *METHODS]), example)
        found.setdefault(section, {}).update(recipe.words([rest], word))
    return found


def _sensitivity(source: Any, step: Any) -> Answer:
    """A table of layers, the one that hurts most first."""
    from rich import box
    from rich.console import Group
    from rich.table import Table

    from netwright.compress import quantize, sensitivity
    from netwright.core.measurement import readable
    from netwright.models.load import open_model, open_task

    bits = quantize.bits(step)
    rows = sensitivity.measured(open_model(source), open_task(source), bits, getattr(step, "group", 64))
    title = f"each layer alone, weights in {bits[0]} bits" + (f", inputs in {bits[1]}" if bits[1] else "")
    table = Table("layer", "share of weights", "change of answers", "change of loss",
                  title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)  # fmt: skip
    for row in rows:
        table.add_row(
            row.layer, readable(row.weights, "fraction"), readable(row.error, "fraction"),
            f"{row.loss:+.4f} nat [{row.loss_low:+.4f}, {row.loss_high:+.4f}]",
        )  # fmt: skip
    last = f'Next: netwright compress {source.folder} --method "{step.name} to={step.to} sensitive=2"'
    return Answer({"layers": rows, "bits": bits}, Group(table, last))


def _retrained(source: Any, made: Any, runs: Path) -> Answer:
    """Of a network that was trained on: what it costs, how well and how soon it and its source answer."""
    from rich import box
    from rich.console import Group
    from rich.table import Table

    from netwright.core import workload
    from netwright.core.measurement import readable
    from netwright.hardware.detect import usable_threads
    from netwright.measure import bench, quality
    from netwright.models import quantized
    from netwright.models.load import open_task
    from netwright.study import stages

    task, both = open_task(source), (source, made)
    answers = [stages.evaluated(runs, one, task, usable_threads()) for one in both]
    works = [workload.read(one.folder) for one in both]
    change = quality.change(answers[1][0], answers[0][0], artifact=made.digest)
    judged = answers[0][1].quantity
    latencies: list[Any] = []
    if not any("positions" in one.inputs or quantized.KEY in one.model for one in both):  # torch would not run these so
        config = bench.Config(batch=(1,), threads=1, seconds=0.5, rounds=10, memory=False)
        latencies = [one for one in stages.benched(runs, both, config)[1] if one.quantity == "latency"]
    heads = ["", "FLOPs", "parameters", "size", f"test {judged}", *["latency" for _ in latencies[:1]]]
    table = Table(*heads, box=box.SIMPLE_HEAD, pad_edge=False)
    for at, (name, one, work) in enumerate(zip(("before", "after"), both, works, strict=True)):
        table.add_row(
            name, readable(work.flops, "FLOP"), f"{work.parameters:,}", readable(bench.deployed(one), "B"),
            str(answers[at][1]), *(str(latency) for latency in latencies[at : at + 1]),
        )  # fmt: skip
    data = {
        "artifact": str(made.folder), "digest": made.digest, "flops": works[1].flops / works[0].flops,
        "parameters": works[1].parameters / works[0].parameters, judged: answers[1][1], f"{judged}_change": change,
    }  # fmt: skip
    last = f"Change of {judged}: {change}\n"
    if latencies:
        ratio = bench.compare(latencies[1], latencies[0])
        data["latency"] = ratio
        told = f"{ratio.value:.3g} [{ratio.low:.3g}, {ratio.high:.3g}]"
        last += f"Latency: {told} of before, one example, one thread, torch\n"
    return Answer(data, Group(table, f"{last}Next: netwright export {made.folder} --format openvino"))
