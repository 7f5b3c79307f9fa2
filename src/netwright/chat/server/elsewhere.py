"""How fast a model that is served here would answer on other hardware: predictions, each with its interval.

predicted(folder, prompt=256, reply=256)
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from netwright.core import artifact as artifacts
from netwright.core.error import UserError
from netwright.core.measurement import Measurement
from netwright.hardware import catalog
from netwright.predict import generation
from netwright.predict.llm import LLM
from netwright.predict.question import Question

DEVICES = (
    "GeForce RTX 3060 12GB", "GeForce RTX 4090", "GeForce RTX 5090", "L4", "L40S", "A100 SXM4 80GB", "H100 SXM5 80GB",
    "Radeon RX 7900 XTX", "Instinct MI300X", "M1 Max", "M2 Ultra", "Arc A770 16GB",
)  # fmt: skip
"""What people have at home, in a workstation, or rent."""
STORED = {
    "int8-weights": "int8", "int4-weights": "int4", "int8": "int8", "int4": "int4", "fp16": "fp16", "fp32": "fp32",
}  # fmt: skip


@functools.lru_cache(maxsize=64)
def predicted(folder: Path, prompt: int, reply: int) -> list[dict[str, Any]]:
    """Tokens a second and seconds to the first, of each device that the model fits on; the fastest first."""
    artifact = artifacts.read(folder)
    try:
        model = shape(artifact)
    except UserError:
        return []
    found = []
    for name in DEVICES:
        try:
            device = catalog.find(name)
            told = generation.predict(model, device, Question(batch=1, sequence=prompt, output=reply))
        except UserError:
            continue  # unknown, too small, or nothing supports a time
        by = {one.quantity: one for one in told}
        each, first = by["time_per_output_token"], by["time_to_first_token"]
        found.append({"device": device.name, "per_second": _inverse(each), "first_token": _interval(first)})
    return sorted(found, key=lambda one: -one["per_second"]["value"])


def shape(artifact: artifacts.Artifact) -> LLM:
    """The model of an artifact, as predictions take it. Raises UserError for a network that was resized."""
    told = artifact.model
    if "resized" in told:
        raise UserError("model", artifact.name, "it was pruned: its layers differ", "netwright predict FOLDER")
    gpt2 = told["name"] == "gpt2"
    try:
        return LLM(
            name=artifact.name, layers=told["depth"], hidden=told["width"], heads=told["heads"],
            kv_heads=told.get("kv_heads", 0), head_dim=told.get("head_width", 0),
            inter=told.get("hidden") or 4 * told["width"], vocab=_vocabulary(artifact), gated=not gpt2,
            tied=bool(told.get("tied", True)), positions=told["positions"] if gpt2 else 0,
            weights=STORED.get(artifact.precision, "bf16"),
        )  # fmt: skip
    except (KeyError, ValueError) as fault:
        raise UserError("model", artifact.name, f"no shape to predict from: {fault}", "netwright predict") from None


def _vocabulary(artifact: artifacts.Artifact) -> int:
    return int(artifact.model.get("vocabulary") or artifact.inputs["ids"]["vocabulary"])


def _interval(one: Measurement) -> dict[str, float]:
    return {"value": one.value, "low": one.low, "high": one.high}


def _inverse(one: Measurement) -> dict[str, float]:
    return {"value": 1 / one.value, "low": 1 / one.high, "high": 1 / one.low}
