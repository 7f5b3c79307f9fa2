"""Prices of cloud accelerators per hour: provider, accelerator, count, USD on demand and as spot.

The file that ships holds facts read off skypilot-catalog (167 rows, 13 providers). It is undated; GCP's
rows of H200, L4, T4, P4, P100 and V100 leave out the host; `count` devices together have the price.
A user's own file of that layout, with a column `date`, goes before it.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path

from netwright.hardware.etl import read
from netwright.hardware.etl.kaggle import maker
from netwright.hardware.etl.row import Price, Row

SEED = Path(__file__).parents[1] / "seed" / "prices.csv"
NEEDED = ("provider", "accelerator", "count", "usd_per_hour", "region", "instance_type")
WITHOUT_HOST = ("H200", "L4", "T4", "P4", "P100", "V100-16GB")


def rows(data: bytes) -> Iterator[Row | tuple[str, str]]:
    """A row a price list's line, or where it stands and why it is not taken."""
    for at, cells in read.table(data, NEEDED, "prices"):
        yield (at, cells) if isinstance(cells, str) else _row(at, cells)


def _row(at: str, cells: read.Cells) -> Row | tuple[str, str]:
    name, provider = cells["accelerator"], cells["provider"]
    if name.startswith("CPU-"):
        return at, "a host without an accelerator"
    count = read.number(cells["count"])
    if not isinstance(count, float) or not 1 <= count <= 1e4 or count != int(count):
        return at, f"count {cells['count'][:40]!r} is no whole number of devices"
    try:
        date = datetime.date.fromisoformat(cells["date"]) if cells.get("date") else None
    except ValueError:
        return at, f"date {cells['date'][:40]!r} is not written 2026-11-20"
    note = "without the host" if provider == "gcp" and name in WITHOUT_HOST else ""
    prices = []
    for kind, column in (("on_demand", "usd_per_hour"), ("spot", "spot_usd_per_hour")):
        usd = read.number(cells.get(column, ""))
        if isinstance(usd, str):
            return at, f"{column} {usd[:40]!r} is no number"
        if usd is not None:
            about = {"provider": provider, "region": cells["region"], "instance": cells["instance_type"]}
            prices.append(Price(kind=kind, usd=usd, count=int(count), date=date, note=note, **about))
    return Row(at, name, {}, maker(name), "GPU" if maker(name) == "NVIDIA" else "accelerator", tuple(prices))
