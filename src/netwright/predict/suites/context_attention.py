"""Attention of whole prompts (prefill), as in kernels/context_attention_perf.parquet. See attention.py."""

from __future__ import annotations

from pathlib import Path

from netwright.predict.learning.table import Columns
from netwright.predict.suites import attention, kernels

NAME = "context_attention"
QUANTITY = "latency"
REGIMES = ("launches", "arithmetic / memory", "log time")
PARAMS = {"num_iterations": 250, "num_leaves": 20, "min_data_in_leaf": 80}
SPLITS = kernels.SPLITS
describe = attention.describe
roofline = attention.roofline


def read(folder: Path) -> tuple[Columns, dict[str, int]]:
    return attention.read(folder, NAME)
