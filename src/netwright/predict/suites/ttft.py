"""LLM serving: time to the first token, of serving/*.csv.

A request waits for the step in flight, for prompts that are ahead of it, and for its own prompt. The rows are means
over some ten requests for each that is kept in flight. The first all come at once and wait for half of each
other's prompts, which are one in ten; after that prompts come one by one, as answers end. So a mean wait holds 0.05
prompts for each request in flight, the answers' steps in between, and the server's own time for each request.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from netwright.predict.learning.table import Columns, Described, Floats, Specs
from netwright.predict.llm.engine import BANDWIDTH, BUDGET, Load, by_engine
from netwright.predict.suites import serving, tpot

NAME = "ttft"
QUANTITY = "time_to_first_token"
REGIMES = ("share of own prompt", "prompts / answers", "requests")
PARAMS = {"num_iterations": 60, "num_leaves": 6, "max_depth": 3, "learning_rate": 0.05, "min_data_in_leaf": 20}
SPLITS = tpot.SPLITS

FRONT = {"trtllm": 0.055, "vllm": 0.01, "sglang": 0.14, "": 0.04}
"""s from the request to the engine and back, by engine: fitted, as those below, on rows of H100 and H200."""
OWN = {"trtllm": 1.7, "vllm": 1.8, "sglang": 2.2, "": 1.8}
"""Passes that the own prompt takes, in chunks and with answers in the same passes."""
STEPS = {"trtllm": 3.8, "vllm": 1.5, "sglang": 0.7, "": 1.5}
"""Decode steps waited for."""
BURST = {"trtllm": 0.04, "vllm": 0.025, "sglang": 0.2, "": 0.04}
"""Prompts waited for, for each request in flight."""
BETWEEN = {"trtllm": 0.23, "vllm": 0.39, "sglang": 0.04, "": 0.2}
"""Decode steps between those prompts, for each BUDGET of their tokens."""
REQUEST = {"trtllm": 0.9e-3, "vllm": 0.4e-3, "sglang": 0.65e-3, "": 0.6e-3}
"""s of the server's processor, for each request in flight: it takes them one after another."""


def read(folder: Path) -> tuple[Columns, dict[str, int]]:
    return serving.rows_of(folder, "silicon_ttft_ms")


def describe(columns: Columns, specs: Specs) -> Described:
    load = Load.of(columns, specs)
    waits = _waits(columns, load)
    total: Floats = np.sum(list(waits.values()), axis=0)
    requests, answer = _requests(columns), columns["osl"] * load.decode.total
    apart = np.clip(requests * load.prompt / answer, 0.0, 0.95)
    busy = np.where(columns["served"] == "agg", load.stolen / (load.decode.total + load.host + load.stolen), apart)
    features = {
        "share of own prompt": waits["own"] / total, "share of burst": waits["burst"] / total,
        "share of steps": (waits["steps"] + waits["between"]) / total, "share of requests": waits["requests"] / total,
        "prompts / answers": np.log(requests * load.prompt / answer), "busy": busy, "requests": np.log(requests),
        "tokens in flight / budget": np.log(requests * columns["isl"] / BUDGET),
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


def roofline(columns: Columns, specs: Specs) -> Floats:
    """Log of the time in which the own prompt is read, by the parts of a pass alone."""
    found: Floats = np.log(Load.of(columns, specs).single * BANDWIDTH)
    return found


def _waits(columns: Columns, load: Load) -> dict[str, Floats]:
    """What a request waits for, in seconds."""
    requests, step = _requests(columns), load.decode.total + load.host
    passes = np.minimum(columns["isl"] / BUDGET, 1.0)
    return {
        "front": by_engine(FRONT, columns),
        "own": by_engine(OWN, columns) * load.single,
        "steps": by_engine(STEPS, columns) * step,
        "burst": by_engine(BURST, columns) * requests * load.prompt,
        "between": by_engine(BETWEEN, columns) * requests * passes * step,
        "requests": by_engine(REQUEST, columns) * requests,
    }


def _requests(columns: Columns) -> Floats:
    """In flight, for each worker that reads prompts."""
    found: Floats = columns["concurrency"] / np.where(columns["served"] == "agg", 1.0, columns["prefill_workers"])
    return found
