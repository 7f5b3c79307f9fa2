"""What a unit of a chip does in a clock, and the rates that follow for a device of so many units.

    rates("GA106", "Ampere", units=26, clock=1.2e9, geforce=False)
    # {"rates.fp16.matrix.fp32.dense": 3.19e13, ...}, "NVIDIA Ampere GA102 GPU Architecture, whitepaper ..."

The figures are the makers' (seed/chips.toml). Rates so computed are peaks at the highest clock, as data
sheets give them: of 460 of curated devices 0.02 % off in the median, 5.7 % at most (B300). This file does not know
what a card sustains.
"""

from __future__ import annotations

import functools
import re
import tomllib
from pathlib import Path
from typing import Any

SEED = Path(__file__).with_name("seed") / "chips.toml"


@functools.cache
def table() -> dict[str, dict[str, Any]]:
    """Name of a chip or family -> its row of seed/chips.toml."""
    return {row["name"]: row for row in tomllib.loads(SEED.read_text(encoding="utf-8"))["chip"]}


def rates(chip: str, architecture: str, units: float, clock: float, geforce: bool) -> tuple[dict[str, float], str]:
    """Dense matrix rates in FLOP/s by the name of their field, and who states what a unit does.

    `chip` is the maker's code ("GA106"); empty where no row of the table is of it or its architecture.
    GeForce cards sum 16-bit products in 32 bits at a share of the rate: their rates hold for 16-bit sums.
    """
    known = table()
    family = re.sub(r"^([A-Z]{2}\d{1,2}?)\d[A-Z]*$", r"\1x", chip)
    row = known.get(chip) or known.get(family) or known.get(architecture)
    if row is None:
        return {}, ""
    wide = row.get("wide", {}) if geforce else {}
    found = {}
    for dtype, per_clock in row["per_clock"].items():
        if dtype in ("fp32", "fp64"):
            continue
        halved = dtype in ("bf16", "fp16") and dtype in wide
        share = 1.0 if halved else wide.get(dtype, 1.0)
        value = per_clock * units * clock * row.get("matrix_clock", 1.0) * share
        found[f"rates.{dtype}.matrix.{'fp16' if halved else 'fp32'}.dense"] = value
    return found, str(row["where"])
