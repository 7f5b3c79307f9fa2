"""netwright hardware advise: which device, how many, which precision and batch, for limits and a purpose."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from netwright.cli import Answer
from netwright.core.error import UserError

EXAMPLE = "netwright hardware advise Qwen3-8B --max-per-token 0.03 --objective cost"

OPTIONS = {
    "max_latency": ("S", "a call, or a whole request of a language model, takes at most this"),
    "max_first_token": ("S", "time to first token"),
    "max_per_token": ("S", "time per output token"),
    "max_cost": ("USD", "of a million items, or output tokens of a language model"),
    "min_throughput": ("N", "items a second, or output tokens"),
    "max_power": ("W", "of all devices together"),
    "max_hourly": ("USD", "an hour of all devices together"),
    "min_memory": ("GB", "of each device"),
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the action."""
    asked = parser.add_argument_group("advise MODEL")
    asked.add_argument(
        "--objective", default="cost", metavar="WHAT", help="cost (default), energy, latency, throughput"
    )
    for name, (unit, meaning) in OPTIONS.items():
        asked.add_argument(f"--{name.replace('_', '-')}", type=float, metavar=unit, help=meaning)
    asked.add_argument("--batch", type=int, metavar="N", help="items in a call (default: the best of 1 to 256)")
    asked.add_argument("--seq", type=int, metavar="N", dest="sequence", help="tokens of a prompt (default: 1024)")
    asked.add_argument("--output", type=int, metavar="N", help="tokens of an answer (default: 256)")
    asked.add_argument("--precision", action="append", default=[], metavar="DTYPE", help="may be said again")
    asked.add_argument("--devices", type=int, default=8, metavar="N", help="that may share the model (default: 8)")
    asked.add_argument("--price", metavar="KIND", help="on-demand (default), spot, or owned")
    asked.add_argument("--price-file", type=Path, metavar="FILE", help="CSV with accelerator, usd_per_hour, count")
    asked.add_argument("--electricity", type=float, metavar="USD", help="per kWh, for --price owned")
    asked.add_argument("--show", type=int, default=10, metavar="N", help="choices to print (default: 10)")
    asked.add_argument("--plot", type=Path, metavar="FILE", help="these choices, time against purpose; .png or .svg")


def main(name: str, args: argparse.Namespace) -> Answer:
    """Rank the catalogue for a model."""
    from netwright.cli.predict import opened
    from netwright.core import figure
    from netwright.core.run import progress
    from netwright.hardware import catalog
    from netwright.predict import advise

    question = _question(args)
    limits = advise.Limits(**{limit: getattr(args, limit) for limit in OPTIONS})
    devices = catalog.all()
    if not 1 <= args.devices <= 1024:
        raise UserError("devices", args.devices, "a whole number from 1 to 1,024", "--devices 8")
    if args.dry_run:
        return Answer({"model": name, "devices": len(devices)}, f"would rank {len(devices)} devices for {name}")
    figure.check(args.plot)
    found = opened(name, question)
    with progress("asking every device", len(devices)) as advance:
        advice = advise.rank(
            found, question, limits, args.objective,
            precisions=args.precision, devices=devices, most=args.devices, advance=advance,
        )  # fmt: skip
    if args.plot is not None and advice.choices:
        _draw(advice, args.show, args.plot)
    return Answer(advise.plain(advice), _view(found.name, advice, args.show))


def _draw(advice: Any, most: int, path: Path) -> None:
    """Time against the purpose of the first choices."""
    from netwright.core import figure, plot
    from netwright.core.measurement import QUANTITIES

    shown = [(choice, {one.quantity: one for one in choice.found}) for choice in advice.choices[:most]]
    purpose = advice.choices[0].objective.quantity
    time = "time_per_output_token" if "time_per_output_token" in shown[0][1] else "latency"
    against = "throughput" if purpose == time else purpose
    sign = {name: 1 if QUANTITIES[name].better == "lower" else -1 for name in (time, against)}
    places = [tuple(sign[name] * by[name].value for name in (time, against)) for _, by in shown]
    points = [
        plot.Point(
            label=f"{choice.device}, {choice.precision}", figures=by,
            on_front=not any(x < own[0] and y < own[1] for x, y in places),
        )
        for (choice, by), own in zip(shown, places, strict=True)
    ]  # fmt: skip
    figure.save(plot.front(points, x=time, y=against), path)


def _question(args: argparse.Namespace) -> Any:
    from netwright.predict.cost import Terms
    from netwright.predict.question import Question

    terms = None
    if args.price or args.price_file or args.electricity is not None:
        file = Path(args.price_file) if args.price_file else None
        terms = Terms(kind=args.price or "on-demand", file=file, electricity=args.electricity)
    for precision in args.precision:
        Question(precision=precision)
    return Question(batch=args.batch, sequence=args.sequence, output=args.output, terms=terms)


def _view(name: str, advice: Any, most: int) -> Any:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    if not advice.choices:
        lines = ["No device of the catalogue keeps these limits. The nearest reasons:"]
        return Group(*(Text(line) for line in [*lines, *reasons(advice.excluded, 8)]))
    times = ("time_per_output_token", "latency")
    table = Table("", "device", "how", box=None, pad_edge=False)
    for title in (_title(advice.choices[0].objective.quantity), "time", "limits"):
        table.add_column(title, no_wrap=True)
    ranks = [choice.rank for choice in advice.choices]
    for choice in advice.choices[:most]:
        by = {one.quantity: one for one in choice.found}
        time = next(by[quantity] for quantity in times if quantity in by)
        tie = "=" if ranks.count(choice.rank) > 1 else ""
        how = f"{choice.precision}\nbatch {choice.batch}" + (f"\n{choice.split}" if choice.split.devices > 1 else "")
        outside = "" if choice.objective.conditions["in_range"] else " *"
        table.add_row(
            f"{choice.rank}{tie}", choice.device + outside, how, _cell(choice.objective), _cell(time),
            "surely" if choice.sure else "likely",
        )  # fmt: skip
    firsts = ranks.count(1)
    strange = any(not choice.objective.conditions["in_range"] for choice in advice.choices[:most])
    lines = ["* out of the range that the method was fitted on."] if strange else []
    lines += [f"{firsts} of {len(ranks)} share the first place: their intervals overlap."] if firsts > 1 else []
    lines += [f"{len(ranks) - most} more choices; --show {len(ranks)} prints all."] if len(ranks) > most else []
    lines += (
        [f"{len(advice.excluded)} devices are not among them:", *reasons(advice.excluded, 6)] if advice.excluded else []
    )
    lines.append(
        f"Predicted for {name}, not measured. time: of an output token, or of a call; limits: how they are kept."
    )
    return Group(table, "", *map(Text, lines))


def reasons(excluded: Sequence[tuple[str, str]], most: int) -> list[str]:
    """Devices with their reason, those that share one together, the commonest first."""
    by: dict[str, list[str]] = {}
    for device, why in excluded:
        by.setdefault(why.split(";")[0].replace(f" of {device}", ""), []).append(device)
    lines = []
    for why, devices in sorted(by.items(), key=lambda item: -len(item[1])):
        some = ", ".join(devices[:3]) + (f" and {len(devices) - 3} more" if len(devices) > 3 else "")
        lines.append(f"  {why}: {some}")
    return [*lines[:most], *([f"  and {len(lines) - most} more reasons (--json)"] if len(lines) > most else [])]


def _cell(one: Any) -> str:
    from netwright.core.measurement import readable, span

    return f"{readable(one.value, one.unit)}\n[{span(one.low, one.high, one.unit)}]".replace(" USD", "")


def _title(quantity: str) -> str:
    from netwright.core.measurement import words

    return {"cost": "USD / M items", "token_cost": "USD / M tokens", "token_throughput": "throughput"}.get(
        quantity, words(quantity)
    )
