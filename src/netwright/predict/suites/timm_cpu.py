"""Vision networks measured by timm: items per second of inference, on CPUs.

    columns, refused = read(Path("data/hardware"))            # timm/benchmark-*-cpu-*.csv

All is as in `timm`, but CPUs deviate from each other otherwise than accelerators do: learned together, ten
measurements on a GPU told 1 point less. This file does not know how many cores were used.
"""

from __future__ import annotations

from pathlib import Path

from netwright.predict.learning.table import Columns
from netwright.predict.suites import timm
from netwright.predict.suites.timm import (
    QUANTITY,
    REGIMES,
    columns_of,
    describe,
    fit_constants,
    roofline,
)

__all__ = ("NAME", "QUANTITY", "REGIMES", "columns_of", "describe", "fit_constants", "read", "roofline")

NAME = "timm_cpu"


def read(folder: Path) -> tuple[Columns, dict[str, int]]:
    """All rows of the folder's timm/benchmark-*.csv on CPUs, and reason -> rows refused."""
    return timm.read(folder, cpu=True)
