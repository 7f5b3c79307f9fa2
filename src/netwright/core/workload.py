"""Workload: a model's work as a list of operators with FLOPs and bytes, for one batch size.

    work = read(folder).at_batch(32).at_dtype("bf16")
    work.flops, work.bytes, work.activations, work.kv_bytes_per_token

It is written into every artifact as workload.json when the model is traced (`models.facts`), and read
by `predict`, which never imports torch. It does not know any device, nor another sequence length or
image size than the one it was traced at: those need another trace.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from netwright.core import artifact, recipe
from netwright.core.error import UserError

FILE = "workload.json"


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """`count` products of an (m, k) with a (k, n) matrix: 2 * count * m * n * k FLOPs.

    A convolution is its implicit product: m = batch * output pixels, n = output channels of a group,
    k = input channels of a group * kernel, count = groups. `grows` names what the batch multiplies.
    """

    m: int
    n: int
    k: int
    count: int = 1
    grows: Literal["m", "n", "k", "count", ""] = "m"

    @property
    def flops(self) -> float:
        return 2.0 * self.count * self.m * self.n * self.k


@dataclass(frozen=True, kw_only=True)
class Attention:
    """softmax(q k') v over `heads` heads; `kv_heads` of keys and values are shared among them.

    `causal`: a query sees no later key, so half of the products could be left out; no count of FLOPs here
    leaves them out, as torch's does not.
    """

    batch: int
    heads: int
    kv_heads: int
    queries: int
    keys: int
    head_dim: int
    value_dim: int
    causal: bool = False

    @property
    def flops(self) -> float:
        return 2.0 * self.batch * self.heads * self.queries * self.keys * (self.head_dim + self.value_dim)


@dataclass(frozen=True, kw_only=True)
class Operator:
    """One operator call.

    `flops` counts two for a multiply-add. `weight_bytes` are read (or, by an optimizer, written) once
    whatever the batch; `input_bytes` and `output_bytes` grow with it. `dtype` is what it computes in.
    `matrix` or `attention` gives the shape of the product it is, where it is one and the shape is known.
    """

    name: str
    flops: float
    weight_bytes: float = 0.0
    input_bytes: float = 0.0
    output_bytes: float = 0.0
    dtype: str = "fp32"
    matrix: Matrix | None = None
    attention: Attention | None = None

    def __post_init__(self) -> None:
        if min(self.flops, self.weight_bytes, self.input_bytes, self.output_bytes) < 0 or self.dtype not in BYTES:
            raise ValueError(f"{self.name}: negative work, or the unknown dtype {self.dtype!r}")

    @property
    def bytes(self) -> float:
        return self.weight_bytes + self.input_bytes + self.output_bytes

    @property
    def activations(self) -> float:
        """Numbers that a product makes; attention makes its scores too, though a fused one never writes them."""
        made = self.output_bytes / BYTES[self.dtype]
        if self.attention is not None:
            a = self.attention
            return made + float(a.batch * a.heads * a.queries * a.keys)
        # integer products answer in wider numbers, transposed convolutions add up overlapping ones
        return min(made, float(self.matrix.count * self.matrix.m * self.matrix.n)) if self.matrix else 0.0


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Operators in the order of execution, for `batch` items: of one call, or of one training step.

    `peak_bytes` are alive at once at the worst moment beside weights, gradients and optimizer state: inputs
    and activations, each freed when nothing needs it any more; 0 where nobody counted. `kept_bytes` of them
    are kept from the forward for the backward pass. `stored_bytes` are those of parameters and buffers.
    `sequence` is the length that was asked for, 0 where nobody asked. `notes` say what could not be counted.
    """

    name: str
    batch: int
    parameters: int
    operators: tuple[Operator, ...]
    kind: Literal["inference", "training"] = "inference"
    peak_bytes: float = 0.0
    kept_bytes: float = 0.0
    stored_bytes: float = 0.0
    sequence: int = 0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.batch < 1 or self.parameters < 0:
            raise ValueError(f"{self.name}: batch {self.batch}, {self.parameters} parameters")
        if not 0 <= self.kept_bytes <= self.peak_bytes:
            raise ValueError(f"{self.name}: of {self.peak_bytes} bytes at the peak, {self.kept_bytes} are kept")

    @property
    def flops(self) -> float:
        return sum(operator.flops for operator in self.operators)

    @property
    def bytes(self) -> float:
        return sum(operator.bytes for operator in self.operators)

    @property
    def activations(self) -> float:
        """Output elements of products and attention: what timm prints as MActs, times 1e6."""
        return sum(operator.activations for operator in self.operators)

    @property
    def kv_bytes_per_token(self) -> float:
        """Keys and values that causal attention must keep of every token of one item; 0 where none is causal."""
        causal = [(o.attention, BYTES[o.dtype]) for o in self.operators if o.attention and o.attention.causal]
        return sum(a.kv_heads * (a.head_dim + a.value_dim) * size for a, size in causal)

    @functools.cached_property
    def digest(self) -> str:
        """sha256 over what is computed: name, batch, parameters, and each operator's counts."""
        counted = ("name", "flops", "weight_bytes", "input_bytes", "output_bytes", "dtype")
        operators = [{key: getattr(o, key) for key in counted} for o in self.operators]
        about = {"name": self.name, "batch": self.batch, "parameters": self.parameters}
        return recipe.digest({**about, "operators": operators})

    def at_batch(self, batch: int) -> Workload:
        """The same work for another batch size: weights are moved once, the rest grows in proportion."""
        by = batch / self.batch
        return replace(
            self,
            batch=batch,
            peak_bytes=self.peak_bytes * by,
            kept_bytes=self.kept_bytes * by,
            operators=tuple(_grown(operator, by) for operator in self.operators),
        )

    def at_sequence(self, sequence: int) -> Workload:
        """The same work if it is already of that length. Raises UserError where it is not: parts of a network grow
        with the length, others with its square or not at all, and one trace does not tell which."""
        if sequence != self.sequence:
            allowed = f"language models only; {self.name} is computed for the shapes it was traced with"
            raise UserError("sequence", sequence, allowed, "trace it with another length")
        return self

    def at_dtype(self, dtype: str) -> Workload:
        """The same work with weights, activations and arithmetic in another dtype.

        Raises UserError for a training step, where optimizers and losses stay as they are: trace it again.
        """
        if self.kind == "training" and any(o.dtype != dtype for o in self.operators):
            raise UserError(
                "dtype", dtype, "a training step mixes dtypes as its trace says", "trace it again under torch.autocast"
            )
        by = {o.dtype: BYTES[dtype] / BYTES[o.dtype] for o in self.operators}
        whole = min(by.values(), default=1.0)
        operators = tuple(
            replace(
                o,
                dtype=dtype,
                weight_bytes=o.weight_bytes * by[o.dtype],
                input_bytes=o.input_bytes * by[o.dtype],
                output_bytes=o.output_bytes * by[o.dtype],
            )
            for o in self.operators
        )
        return replace(
            self,
            operators=operators,
            peak_bytes=self.peak_bytes * whole,
            kept_bytes=self.kept_bytes * whole,
            stored_bytes=self.stored_bytes * whole,
        )

    def with_weights(self, dtype: str) -> Workload:
        """The same arithmetic on weights that are stored in another dtype, and so are read faster."""
        by = {o.dtype: BYTES[dtype] / BYTES[o.dtype] for o in self.operators}
        operators = tuple(replace(o, weight_bytes=o.weight_bytes * by[o.dtype]) for o in self.operators)
        return replace(self, operators=operators, stored_bytes=self.stored_bytes * min(by.values(), default=1.0))


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


@dataclass(frozen=True)
class Update:
    """What an optimizer does to one parameter: FLOPs, numbers read and written, numbers it keeps."""

    flops: int
    moves: int
    states: int


OPTIMIZERS: Mapping[str, Update] = {"sgd": Update(2, 3, 0), "momentum": Update(4, 5, 1), "adamw": Update(14, 7, 2)}
"""By name. Counted from the update rules: SGD reads weight and gradient and writes the weight; momentum reads and
writes one average more, AdamW (Loshchilov and Hutter 2019, algorithm 2) two."""


def _grown(operator: Operator, by: float) -> Operator:
    """What does not touch a batch's data (an optimizer, a weight's cast) does not grow with it."""
    if not (operator.input_bytes or operator.output_bytes):
        return operator
    matrix, attention = operator.matrix, operator.attention
    if matrix is not None and matrix.grows:
        matrix = replace(matrix, **{matrix.grows: round(getattr(matrix, matrix.grows) * by)})
    if attention is not None:
        attention = replace(attention, batch=round(attention.batch * by))
    return replace(
        operator,
        flops=operator.flops * by,
        input_bytes=operator.input_bytes * by,
        output_bytes=operator.output_bytes * by,
        matrix=matrix,
        attention=attention,
    )


def write(workload: Workload, folder: Path) -> None:
    """Into a folder, as workload.json."""
    values = recipe.plain(workload)
    values["operators"] = [{k: v for k, v in o.items() if v is not None} for o in values["operators"]]
    artifact.write_json(folder / FILE, values)


def read(folder: Path) -> Workload:
    """The workload of an artifact's folder. Raises UserError when it is no workload."""
    values: Any = artifact.read_json(folder / FILE, 50_000_000)
    if not isinstance(values, dict):
        raise UserError("workload", str(folder / FILE), "not a table of operators", "export the model again")
    found: Workload = recipe.build(Workload, values, "workload")
    return found
