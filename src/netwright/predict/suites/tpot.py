"""LLM serving: time per output token, of serving/*.csv.

The physics (predict/llm/engine.py) is a decode step over all sequences in flight, the scheduler's time, and the prompts
that come in between. The learner sees what the step is made of.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from netwright.predict.learning.table import Columns, Described, Floats, Specs
from netwright.predict.llm.engine import BANDWIDTH, COMPUTE, EXPERTS, Load
from netwright.predict.suites import serving

NAME = "tpot"
QUANTITY = "time_per_output_token"
REGIMES = ("share of reading", "share of prompts", "sequences a device")
PARAMS = {"num_iterations": 40, "num_leaves": 6, "max_depth": 3, "learning_rate": 0.05, "min_data_in_leaf": 20}
"""Few and shallow trees: larger ones fit the models that were served, and lose 1 to 4 points on others."""


def read(folder: Path) -> tuple[Columns, dict[str, int]]:
    return serving.rows_of(folder, "silicon_tpot_ms")


def describe(columns: Columns, specs: Specs) -> Described:
    load = Load.of(columns, specs)
    total, made = load.per_token, load.decode
    shares = {
        "share of reading": made.reading + made.cache + made.experts, "share of cache": made.cache,
        "share of experts": made.experts, "share of arithmetic": made.compute,
        "share of launches": made.launch, "share of latency": made.latency, "share of exchange": made.exchange,
        "share of host": load.host, "share of prompts": load.stolen,
    }  # fmt: skip
    features = {name: seconds / total for name, seconds in shares.items()}
    experts = np.array([shape.top_k / shape.experts if shape.experts else 1.0 for shape in load.shapes])
    features |= {"tokens an expert": np.log(load.running * experts), "native": serving.native(columns, specs)}
    features |= serving.conditions(load, columns)
    refused, why = serving.support(load, columns, specs)
    return Described(
        base=np.log(total), features=np.stack(list(features.values()), axis=1), names=tuple(features),
        monotone=(0,) * len(features), refused=refused, why=why,
    )  # fmt: skip


def roofline(columns: Columns, specs: Specs) -> Floats:
    """Log of the time that weights, cache and arithmetic of a step take at the peaks."""
    made = Load.of(columns, specs).decode
    found: Floats = np.log((made.reading + made.cache) * BANDWIDTH + made.experts * EXPERTS + made.compute * COMPUTE)
    return found


def hopper_to_blackwell(columns: Columns, specs: Specs) -> tuple[Any, Any]:
    """Learn from H100 and H200, judge on every Blackwell."""
    architecture = specs.architecture.astype(str)
    return architecture == "Hopper", np.char.startswith(architecture, "Blackwell")


SPLITS = {"hopper to blackwell": hopper_to_blackwell}
