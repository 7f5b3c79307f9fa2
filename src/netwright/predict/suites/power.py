"""Power of one device that serves: rows of mlenergy/*.csv, in watts.

A device that reads and computes all the time takes nearly its thermal design power; launches that wait for each
other, and devices that wait for others, take it down. For language models the shares come from the physics of a step
(predict/llm/engine.py) over the time between tokens, measured where the row says it, else predicted; for
diffusion models from the arithmetic of a step. Energy per token or image is power x devices / throughput.
Rows' own energy columns are not read: they hold the answer. Not known are clocks, and what the fans take.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netwright.core.error import UserError
from netwright.predict import llm
from netwright.predict.learning.table import Columns, Described, Floats, Specs, Texts, take
from netwright.predict.llm.engine import HOST, shape_of, step
from netwright.predict.suites.serving import count, number

NAME = "power"
QUANTITY = "power"
REGIMES = ("arithmetic", "reading", "batch a device")
PARAMS = {"num_iterations": 150, "num_leaves": 8, "max_depth": 4, "min_data_in_leaf": 25}

TEXTS = ("device", "work", "mode", "family", "kind", "llm", "weights", "engine")
NUMBERS = ("devices", "experts_over", "batch", "answer", "itl", "itl_95", "per_token", "parameters", "steps", "tokens",
           "latency")  # fmt: skip
STORED = {
    "bfloat16": "bf16",
    "bf16": "bf16",
    "float16": "bf16",
    "fp8": "fp8",
    "mxfp4": "fp4",
    "nvfp4": "fp4",
    "int4": "int4",
}
PROMPT = 500.0
"""Tokens of a prompt, which the rows do not give."""
LANGUAGE = {"always": 0.729, "arithmetic": 0.542, "prompts": 0.146, "pauses": -1.566, "pauses together": -0.303,
            "few bits": 0.124, "slowness": -0.132, "batch": 0.012, "devices": -0.055}  # fmt: skip
"""Of the design power, for a language model: always; times the root of the share of the arithmetic; times the shares
of time of prompts and of PAUSE, the latter once more for each doubling of the devices; if weights have less than 16
bits; times the logs of time / physics, of sequences a device, and of the devices (to 2). Fitted on H100
(`fit_constants`); a model left out is 6.6 % off with these alone. What is read has no term of its own: a step as
fast as physics reads at the peak."""
LLM_SHARES = (0.62, 0.16, 0.55, 0.05, -0.55, -0.03)
"""The same with what any work tells of itself (predict/watts.py): always, memory, root of arithmetic, prompts,
launches, devices. A language model left out is 9.4 % off."""
ENOUGH = 10
"""Rows for each share that is fitted anew."""
DIFFUSION = {"always": 0.6444, "devices": -0.034, "work": 0.0441, "pauses together": -0.1272}
"""The same for diffusion: always; times the logs of the devices (to 2) and of a step's arithmetic at the peak, in
units of BRIEF; times the share of time of PAUSE, for each doubling of the devices. A model left out is 10.0 % off."""
PAUSE = {"llm": 1e-3, "diffusion": 50e-3}
"""s of each step in which devices wait, to an order of magnitude; how far that takes power down is fitted. Language
models wait for their host, which schedules and samples. An image's step took several devices 47 ms or more, however
small their part was, and as long a step on one device was busy: diffusion models wait for each other."""
BRIEF = 1e-3
"""s at the peak, the unit of a step's work."""
BETWEEN = 10.0
"""Weight of a model's own deviation, squared, in the fit: models differ by 0.08 (standard deviation), and rows of one
by 0.06 (mean), which makes 0.06 / 0.08². So the shares are those that hold within models as well as between them;
in 12 draws of five folds, models left out were 6.9 % off with it and 8.3 % without."""
LEAST, MOST = 0.2, 1.0
PASSES = 2.0
"""That a step of a diffusion model takes: with and without the prompt (classifier-free guidance)."""
PATCH = 16
"""Pixels to a token, along one side: eight of the autoencoder by two of the patch."""


def read(folder: Path) -> tuple[Columns, dict[str, int]]:
    import pandas as pd

    refused: Counter[str] = Counter()
    kept: list[dict[str, Any]] = []
    for path in sorted((folder / "mlenergy").glob("*.csv")):
        frame = pd.read_csv(path, low_memory=False, on_bad_lines="skip")
        for raw in frame.to_dict("records"):
            row, why = _row({str(name): value for name, value in raw.items()})
            if row is None:
                refused[why] += 1
            else:
                kept.append(row)
    columns: Columns = {name: np.array([row[name] for row in kept], dtype=object) for name in TEXTS}
    for name in ("value", *NUMBERS):
        columns[name] = np.array([row[name] for row in kept], dtype=float)
    return columns, dict(refused)


def _row(raw: Mapping[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """The row in our terms, or why there is none."""
    devices, watts = count(raw.get("num_gpus")), number(raw.get("avg_power_watts"))
    if not watts > 0:
        return None, "no measured power"
    name, task = str(raw.get("model_id", "")), str(raw.get("task", ""))
    row: dict[str, Any] = dict.fromkeys(NUMBERS, float("nan"))
    row |= {"device": str(raw.get("gpu_model", "")), "value": watts / devices, "devices": devices, "llm": "",
            "weights": "", "engine": "vllm", "experts_over": count(raw.get("expert_parallel"))}  # fmt: skip
    tail = name.rsplit("/", 1)[-1]
    batch = number(raw.get("avg_batch_size"))
    if batch > 0:
        try:
            shape = llm.find(name)
        except UserError:
            return None, f"unknown model {name[:60]}"
        weights = STORED.get(str(raw.get("weight_precision")), shape.weights)
        row |= {
            "kind": "llm", "llm": shape.name, "weights": weights, "family": shape.name, "batch": batch,
            "answer": number(raw.get("avg_output_len")), "itl": number(raw.get("median_itl_ms")) / 1e3,
            "itl_95": number(raw.get("p95_itl_ms")) / 1e3,
            "per_token": batch / (number(raw.get("output_throughput_tokens_per_sec")) or float("nan")),
            "mode": f"llm {task}", "work": f"{tail}|{task}|{devices:g}|{number(raw.get('max_num_seqs')):g}",
        }  # fmt: skip
        return row, ""
    kind = "video" if number(raw.get("num_frames")) > 0 else "image"
    high, wide = (number(raw.get(f"{kind}_{side}")) for side in ("height", "width"))
    frames = (number(raw.get("num_frames")) - 1) / 4 + 1 if kind == "video" else 1.0
    row |= {
        "kind": "diffusion", "family": tail, "batch": number(raw.get("batch_size")),
        "parameters": number(raw.get("total_params_billions")) * 1e9, "steps": number(raw.get("inference_steps")),
        "tokens": frames * high * wide / PATCH**2, "latency": number(raw.get("batch_latency_s")),
        "mode": f"diffusion {kind}",
        "work": f"{tail}|{high:g}|{frames:g}|{number(raw.get('batch_size')):g}|{devices:g}"
        f"|{number(raw.get('ulysses_degree')):g}",
    }  # fmt: skip
    if not all(row[name] > 0 for name in ("batch", "parameters", "steps", "tokens")):
        return None, "neither the load of a language model nor of a diffusion model"
    return row, ""


def fit_constants(columns: Columns, specs: Specs) -> dict[str, dict[str, float]]:
    """The shares of LANGUAGE and of DIFFUSION, each where enough rows tell them."""
    known = np.isfinite(specs.power) & np.isfinite(specs.bandwidth)
    found = {}
    for kind, (told, usual) in KINDS.items():
        of = _of_kind(columns, kind) & known
        if of.sum() >= ENOUGH * len(usual):
            some = take(columns, of)
            terms, _ = told(some, specs.take(of))
            found[kind] = _shares(terms, some["value"].astype(float) / specs.power[of], some["family"])
    return found


def _shares(terms: Mapping[str, Floats], measured: Floats, models: Texts) -> dict[str, float]:
    """By least absolute relative deviation (iterated weights), beside a deviation of each model's own (BETWEEN)."""
    told = np.stack(list(terms.values()), axis=1)
    usable = np.isfinite(told).all(axis=1) & (measured > 0)
    told, measured, models = told[usable], measured[usable], models[usable].astype(str)
    made = np.hstack([told, models[:, None] == np.unique(models)]) / measured[:, None]
    pull = np.diag(np.where(np.arange(made.shape[1]) < len(terms), 1e-3, BETWEEN))
    shares, weight = np.zeros(made.shape[1]), np.ones(len(made))
    for _ in range(25):
        gram = (made * weight[:, None]).T @ made + pull
        shares = np.linalg.solve(gram, (made * weight[:, None]).sum(axis=0))
        weight = 1 / np.maximum(np.abs(made @ shares - 1), 0.02)
    return {name: round(float(share), 4) for name, share in zip(terms, shares, strict=False)}


def describe(columns: Columns, specs: Specs, constants: Mapping[str, Mapping[str, float]] | None = None) -> Described:
    n = len(columns["devices"])
    share = np.full(n, np.nan)
    features = {name: np.full(n, np.nan) for name in FEATURES}
    for kind, (told, usual) in KINDS.items():
        of = _of_kind(columns, kind)
        if of.any():
            terms, found = told(take(columns, of), specs.take(of))
            shares = (constants or {}).get(kind, usual)
            share[of] = np.sum([shares[name] * values for name, values in terms.items()], axis=0)
            for name, values in found.items():
                features[name][of] = values
    base = np.log(specs.power * np.clip(share, LEAST, MOST))
    why = np.where(np.isnan(base), "no design power, bandwidth or rate is known of the device", "").astype(object)
    return Described(
        base=base, features=np.stack(list(features.values()), axis=1), names=FEATURES, monotone=(0,) * len(FEATURES),
        refused=np.isnan(base), why=why,
    )  # fmt: skip


FEATURES = ("reading", "arithmetic", "prompts", "tail", "batch", "batch a device", "cache", "experts", "few bits",
            "slowness", "devices", "work a device", "step / launch")  # fmt: skip
"""The last three of diffusion models alone; they lose 0.5 points on language models."""


def _of_kind(columns: Columns, kind: str) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (columns["kind"] == "llm") == (kind == "llm")
    return found


def _language(columns: Columns, specs: Specs) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Terms of the share of the design power, and features, of rows of language models."""
    devices, batch = columns["devices"], columns["batch"]
    answer = np.where(columns["answer"] > 0, columns["answer"], PROMPT)
    one = np.ones(len(batch))
    made = step(columns, specs, sequences=batch, tokens=one, context=PROMPT + answer / 2, where=(devices, one))
    guess = made.total + HOST["vllm"]
    itl = np.where(columns["itl"] > 0, columns["itl"], guess)
    time = np.where(columns["per_token"] > 0, columns["per_token"], itl)
    prompts = np.clip(1 - itl / time, 0, 1)
    shapes = [shape_of(a, b) for a, b in zip(columns["llm"], columns["weights"], strict=True)]
    rate = specs.rate("bf16")
    arithmetic = 2 * np.array([shape.active for shape in shapes]) * batch / devices / time / rate
    memory = made.reading + made.cache + made.experts
    reading = np.clip(memory / time, 0, 1)
    pauses = np.minimum(PAUSE["llm"] / itl, 1)
    tail = np.where(columns["itl_95"] > 0, columns["itl_95"] / itl, np.nan)
    found = {
        "reading": reading, "arithmetic": arithmetic, "prompts": prompts, "tail": np.log(tail), "batch": np.log(batch),
        "batch a device": np.log(batch / devices), "cache": made.cache / time, "experts": made.experts / time,
        "few bits": (columns["weights"] != "bf16").astype(float), "slowness": np.log(time / guess),
    }  # fmt: skip
    terms = {
        "always": one, "arithmetic": np.sqrt(arithmetic), "prompts": prompts,
        "pauses": pauses, "pauses together": pauses * np.log2(devices), "few bits": found["few bits"],
        "slowness": found["slowness"], "batch": found["batch a device"], "devices": np.log2(devices),
    }  # fmt: skip
    return terms, found


def _diffusion(columns: Columns, specs: Specs) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """The same of rows of diffusion models."""
    devices, batch = columns["devices"], columns["batch"]
    work = 2 * columns["parameters"] * columns["tokens"] * batch * PASSES / devices
    rate = specs.rate("bf16")
    latency = np.where(columns["latency"] > 0, columns["latency"] / columns["steps"], work / (0.4 * rate))
    found = {
        "devices": np.log2(devices), "arithmetic": work / latency / rate,
        "batch": np.log(batch), "batch a device": np.log(batch / devices),
        "work a device": np.log(work / (BRIEF * rate)), "step / launch": np.log(latency / BRIEF),
    }  # fmt: skip
    terms = {
        "always": np.ones(len(batch)), "devices": found["devices"], "work": found["work a device"],
        "pauses together": found["devices"] * np.minimum(PAUSE["diffusion"] / latency, 1),
    }  # fmt: skip
    return terms, found


KINDS = {"llm": (_language, LANGUAGE), "diffusion": (_diffusion, DIFFUSION)}
"""What tells the terms of a row of each kind, and the usual shares of them."""


def language_models(columns: Columns, specs: Specs) -> tuple[Any, Any]:
    """Learn from three quarters of the language models, judge on the others."""
    names = np.unique(columns["family"].astype(str))
    held = np.isin(columns["family"].astype(str), names[::4])
    language = columns["kind"] == "llm"
    return ~held, held & language


SPLITS = {"language models": language_models}
