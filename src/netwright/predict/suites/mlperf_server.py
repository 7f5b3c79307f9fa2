"""MLPerf Inference, closed division, server scenario: queries per second of one accelerator within the latency limit.

    columns, refused = read(Path("data/hardware"))            # mlperf/*.csv.gz

All but the scenario is as in `mlperf`, constants apart: what queueing costs a task is inside of them. This file does
not know the limits, which are the benchmark's and the same for all.
"""

from __future__ import annotations

from pathlib import Path

from netwright.predict.learning.table import Columns
from netwright.predict.suites import mlperf
from netwright.predict.suites.mlperf import (
    LEFT_OUT,
    PARAMS,
    QUANTITY,
    REGIMES,
    columns_of,
    describe,
    fit_constants,
)

__all__ = ("LEFT_OUT", "NAME", "PARAMS", "QUANTITY", "REGIMES", "columns_of", "describe", "fit_constants", "read")

NAME = "mlperf_server"


def read(folder: Path) -> tuple[Columns, dict[str, int]]:
    """All rows of the folder's mlperf/*.csv.gz and *.csv, and reason -> rows refused."""
    return mlperf.read(folder, "Server")
