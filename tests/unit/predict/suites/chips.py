"""Two chips and a bare one, and rows written as a folder of kernels."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from netwright.hardware.device import Device
from netwright.predict.learning.table import Columns, Described, Specs, Suite

CHIP = Device(
    name="Maker Chip", manufacturer="Maker", kind="gpu", architecture="One", bandwidth=2e12, memory=8e10, power=400,
    units=100, clock=1.5e9, cache=4e7, link=3e11, host_link=3e10, rates={"bf16": 3e14, "int8": 6e14},
)  # fmt: skip
FAST = Device(
    name="Maker Chip 2", manufacturer="Maker", kind="gpu", architecture="Two", bandwidth=4e12, memory=8e10, power=800,
    units=100, clock=1.5e9, cache=4e7, link=6e11, host_link=6e10, rates={"bf16": 6e14, "fp8": 1.2e15},
)  # fmt: skip
BARE = Device(name="Bare", manufacturer="Other", kind="gpu", bandwidth=1e12, memory=1e10, rates={"fp32": 2e13})
DEVICES = {"chip": CHIP, "fast": FAST, "bare": BARE}


def write(folder: Path, name: str, rows: list[dict[str, Any]]) -> Path:
    """A folder with kernels/NAME_perf.parquet."""
    (folder / "kernels").mkdir(exist_ok=True)
    pd.DataFrame(rows).to_parquet(folder / "kernels" / f"{name}_perf.parquet")
    return folder


def told(suite: Suite, columns: Columns) -> Described:
    return suite.describe(columns, Specs.of(columns["device"], DEVICES))


def seconds(suite: Suite, columns: Columns) -> np.ndarray[Any, Any]:
    return np.exp(told(suite, columns).base)
