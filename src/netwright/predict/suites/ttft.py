"""LLM serving: time to the first token, of serving/*.csv.

A request waits for the step in flight, for prompts that are ahead of it, and for its own prompt. The rows are means
over some ten requests for each that is kept in flight, of which the first all come at once: they wait for half of
each other's prompts on average, and as one in ten, add 0.05 prompts for each request in flight. Later ones
wait as in a queue with one server (M/D/1) whose load is the share of time that prompts take.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from netwright.predict.engine import Load, by_engine
from netwright.predict.suites import serving, tpot
from netwright.predict.table import Columns, Described, Specs

NAME = "ttft"
QUANTITY = "time_to_first_token"
REGIMES = ("share of own prompt", "prompts / answers", "requests")
PARAMS = {"num_iterations": 60, "num_leaves": 6, "max_depth": 3, "learning_rate": 0.05, "min_data_in_leaf": 20}
SPLITS = tpot.SPLITS

FRONT = {"trtllm": 0.06, "vllm": 0.005, "sglang": 0.13, "": 0.03}
"""s from the request to the engine and back, by engine: fitted, as those below, on rows of H100 and H200."""
OWN = {"trtllm": 1.3, "vllm": 1.7, "sglang": 2.6, "": 1.7}
"""Passes that the own prompt takes, decode steps in between."""
BURST = {"trtllm": 0.07, "vllm": 0.045, "sglang": 0.24, "": 0.06}
"""Prompts waited for, for each request in flight."""
STEPS = {"trtllm": 5.6, "vllm": 4.4, "sglang": 0.9, "": 4.0}
"""Decode steps waited for."""
QUEUE = 0.1
"""Part of the wait of an M/D/1 queue that is left when requests come as others end."""


def read(folder: Path) -> tuple[Columns, dict[str, int]]:
    return serving.rows_of(folder, "silicon_ttft_ms")


def describe(columns: Columns, specs: Specs) -> Described:
    load = Load.of(columns, specs)
    aggregated = columns["served"] == "agg"
    requests = columns["concurrency"] / np.where(aggregated, 1.0, columns["prefill_workers"])
    answer = columns["osl"] * load.decode.total
    apart = np.clip(requests * load.prompt / answer, 0.0, 0.95)
    busy = np.where(aggregated, load.stolen / (load.decode.total + load.host + load.stolen), apart)
    own, steps = by_engine(OWN, columns) * load.single, by_engine(STEPS, columns) * (load.decode.total + load.host)
    burst = by_engine(BURST, columns) * requests * load.prompt
    total = by_engine(FRONT, columns) + own + burst + steps + QUEUE * load.prompt * busy / (1 - busy)
    features = {
        "share of own prompt": own / total, "share of burst": burst / total, "share of steps": steps / total,
        "prompts / answers": np.log(requests * load.prompt / answer), "busy": busy, "requests": np.log(requests),
        "tokens in flight / budget": np.log(requests * columns["isl"] / 8192),
        "prompt / launch": np.log(load.single / 0.02), "prompts a pass": np.log(load.single / load.prompt),
        "full": np.clip(np.log(load.running / np.maximum(load.room, 1e-3)), -5, 3),
        "native": serving.native(columns, specs),
        "prompt": np.log(columns["isl"]), "answer": np.log(columns["osl"]),
        "experts": np.array([float(shape.experts > 0) for shape in load.shapes]),
    }  # fmt: skip
    features |= serving.conditions(load, columns)
    refused, why = serving.support(load, columns, specs)
    return Described(
        base=np.log(total), features=np.stack(list(features.values()), axis=1), names=tuple(features),
        monotone=(0,) * len(features), refused=refused, why=why,
    )  # fmt: skip
