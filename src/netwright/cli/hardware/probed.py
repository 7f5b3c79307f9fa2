"""netwright hardware probe: this machine, measured."""

from __future__ import annotations

import argparse
from typing import Any

from netwright.cli import Answer


def main(args: argparse.Namespace) -> Answer:
    """Measure bandwidth and products here, and keep the result."""
    from netwright.hardware import detect, probe

    here = detect.detect()
    if args.dry_run:
        text = (
            f"would measure {here.cpu} with {here.threads} threads for {args.seconds:g} s, into {probe.cache_folder()}"
        )
        return Answer({"machine": here, "seconds": args.seconds, "cache": str(probe.cache_folder())}, text)
    found = probe.probe(args.seconds, here)
    rows = [
        (f"{one.quantity} {one.conditions['dtype']}".strip(), str(one.conditions["library"]), str(one), str(one.n))
        for one in found
    ]
    caption = f"{here.cpu}, {here.threads} threads; medians with 95 % intervals over the rounds of this sitting"
    data = {"fingerprint": detect.fingerprint(here), "measurements": found}
    return Answer(data, _table(("measured", "with", "value", "rounds"), rows, caption))


def _table(columns: tuple[str, ...], rows: list[Any], caption: str) -> Any:
    from rich.table import Table

    table = Table(*columns, caption=caption, caption_justify="left", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    return table
