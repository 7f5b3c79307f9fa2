"""Workload: a model's work as a list of operators with FLOPs and bytes, for one batch size.

It is written into every artifact as workload.json when the model is traced (`models.facts`), and read
by `predict`, which never imports torch. It does not know any device.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from netwright.core import artifact, recipe
from netwright.core.error import UserError

FILE = "workload.json"


@dataclass(frozen=True, kw_only=True)
class Operator:
    """One operator call.

    `flops` counts two for a multiply-add. `weight_bytes` are read once whatever the batch;
    `input_bytes` and `output_bytes` grow with it. `dtype` is what it computes in.
    """

    name: str
    flops: float
    weight_bytes: float = 0.0
    input_bytes: float = 0.0
    output_bytes: float = 0.0
    dtype: str = "fp32"

    def __post_init__(self) -> None:
        if min(self.flops, self.weight_bytes, self.input_bytes, self.output_bytes) < 0 or self.dtype not in BYTES:
            raise ValueError(f"{self.name}: negative work, or the unknown dtype {self.dtype!r}")

    @property
    def bytes(self) -> float:
        return self.weight_bytes + self.input_bytes + self.output_bytes


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Operators in the order of execution, for `batch` items."""

    name: str
    batch: int
    parameters: int
    operators: tuple[Operator, ...]

    def __post_init__(self) -> None:
        if self.batch < 1 or self.parameters < 0:
            raise ValueError(f"{self.name}: batch {self.batch}, {self.parameters} parameters")

    @property
    def flops(self) -> float:
        return sum(operator.flops for operator in self.operators)

    @property
    def bytes(self) -> float:
        return sum(operator.bytes for operator in self.operators)

    @property
    def digest(self) -> str:
        return recipe.digest(self)

    def at_batch(self, batch: int) -> Workload:
        """The same work for another batch size: weights are read once, the rest grows in proportion."""
        by = batch / self.batch
        operators = tuple(
            replace(o, flops=o.flops * by, input_bytes=o.input_bytes * by, output_bytes=o.output_bytes * by)
            for o in self.operators
        )
        return replace(self, batch=batch, operators=operators)

    def at_dtype(self, dtype: str) -> Workload:
        """The same work with weights, activations and arithmetic in another dtype."""
        by = BYTES[dtype] / BYTES[self.operators[0].dtype] if self.operators else 1.0
        operators = tuple(
            replace(
                o,
                dtype=dtype,
                weight_bytes=o.weight_bytes * by,
                input_bytes=o.input_bytes * by,
                output_bytes=o.output_bytes * by,
            )
            for o in self.operators
        )
        return replace(self, operators=operators)


BYTES: Mapping[str, float] = {
    "fp64": 8,
    "fp32": 4,
    "tf32": 4,
    "bf16": 2,
    "fp16": 2,
    "fp8": 1,
    "int8": 1,
    "fp4": 0.5,
    "int4": 0.5,
}
"""Bytes of one number."""


def write(workload: Workload, folder: Path) -> None:
    artifact.write_json(folder / FILE, workload)


def read(folder: Path) -> Workload:
    """The workload of an artifact's folder. Raises UserError when it is no workload."""
    values: Any = artifact.read_json(folder / FILE, 50_000_000)
    if not isinstance(values, dict):
        raise UserError("workload", str(folder / FILE), "not a table of operators", "export the model again")
    found: Workload = recipe.build(Workload, values, "workload")
    return found
