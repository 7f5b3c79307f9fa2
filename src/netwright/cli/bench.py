"""netwright bench: speed, memory, size and energy here, of several artifacts against each other."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from netwright.cli import Answer
from netwright.core.error import UserError

HELP = "measure latency, throughput, memory, size and energy of artifacts on this machine, interleaved"
EXAMPLE = "netwright bench runs/20261120-export-3fa9c1d2 runs/20261120-compress-77b0e1aa --batch 1 --batch 64"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument(
        "words",
        nargs="+",
        metavar="ARTIFACT | bench.key=value",
        help="artifacts' folders or runs that made them; settings such as bench.seconds=5; runs=FOLDER",
    )
    parser.add_argument("--batch", type=int, action="append", metavar="N", help="items in a call; may be said again")
    parser.add_argument("--fresh", action="store_true", help="measure again even if nothing has changed")


def main(args: argparse.Namespace) -> Answer:
    """Measure, or say what would be."""
    from netwright.core import artifact as artifacts
    from netwright.core import recipe
    from netwright.measure import bench
    from netwright.study import stages

    words = [word for word in args.overrides if "=" in word]
    words += [f"bench.batch={args.batch}"] if args.batch else []
    config = recipe.from_words(words, {"bench": bench.Config})["bench"]
    candidates = [artifacts.open(Path(word)) for word in args.overrides if "=" not in word]
    if not candidates:
        raise UserError("artifact", None, "one artifact or more", EXAMPLE)
    first = candidates[0]
    for other in candidates[1:]:
        if other.task != first.task:
            raise UserError("artifact", other.name, f"of another task than {first.name}", "bench them one by one")
    if args.dry_run:
        seconds = bench.expected_seconds(len(candidates), config)
        data = {"artifacts": [one.digest for one in candidates], "bench": config, "seconds": seconds}
        return Answer(data, f"would measure {', '.join(one.name for one in candidates)} for about {seconds:.0f} s")
    folder, measured = stages.benched(args.runs, candidates, config, args.fresh)
    return Answer({"run": str(folder), "measurements": measured}, _view(measured, folder))


def _view(measured: list[Any], folder: Path) -> Any:
    from rich.console import Group
    from rich.table import Table

    from netwright.measure.bench import compare

    sizes = {one.conditions["place"]: one for one in measured if one.quantity == "size"}
    rows: dict[int, dict[int, dict[str, Any]]] = {}
    for one in measured:
        if one.quantity != "size":
            rows.setdefault(one.conditions["batch"], {}).setdefault(one.conditions["place"], {})[one.quantity] = one
    tables: list[Any] = []
    for batch, places in sorted(rows.items()):
        names = {"latency": "latency", "latency_p99": "p99", "throughput": "items/s", "peak_memory": "memory"}
        names = {name: title for name, title in {**names, "energy": "energy"}.items() if name in places[0]}
        table = Table(box=None, title=f"Batch {batch}", title_justify="left")
        for title in ("artifact", *names.values(), "size", "time over first"):
            table.add_column(title, overflow="fold")
        for place, row in sorted(places.items()):
            seen = compare(row["latency"], places[0]["latency"])
            ratio = f"{seen.value:.3g}\n[{seen.low:.2g}, {seen.high:.2g}]" + (
                "\nno difference" * (seen.low <= 1 <= seen.high)
            )
            about = row["latency"].conditions
            name = f"{about['precision']} {about['format']}\nruns {about['executed']}"
            size = str(sizes[place]).split(" [", maxsplit=1)[0]
            table.add_row(name, *(_cell(row[key]) for key in names), size, ratio if place else "1", end_section=True)
        tables += [table, ""]
    about = measured[0].conditions
    first = about["name"].split(" ")[0]
    lines = [
        f"{first}; [low, high] holds at {100 * measured[0].level:.0f} %; {about['threads']} threads;"
        f" load of the machine {about['load_before']:.1f} before, {about['load_after']:.1f} after.",
        f"Run: {folder}",
    ]
    return Group(*tables, *lines)


def _cell(one: Any) -> str:
    """`36.1 µs` over `[35, 37.7]`, the bounds in the unit of the value."""
    from netwright.core.measurement import readable

    text = readable(one.value, one.unit)
    if one.quantity == "throughput":
        text = f"{one.value / 1000:.3g} k" if one.value >= 10_000 else f"{one.value:,.0f}"
    number = text.split(" ", maxsplit=1)[0].replace(",", "")
    scale = one.value / float(number) if float(number) else 1.0
    low, high = (f"{x:,.0f}" if x >= 1000 else f"{x:.3g}" for x in (one.low / scale, one.high / scale))
    return f"{text}\n[{low}, {high}]"
