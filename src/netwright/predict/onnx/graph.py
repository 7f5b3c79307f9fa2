"""An ONNX file as nodes and tensors; its weights are left where they are.

    graph = opened(onnx, parse(onnx, Path("model.onnx")), path, (8, None), {"ids": (8, 128)})
    graph.nodes, graph.tensors["ids"]           # Tensor(dtype="int64", shape=(8, 128), ...)

Weights become mere types, so that a file of 2 GB is reasoned about in kilobytes, and data in other files is never
opened. This file knows no operator.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netwright.core.error import UserError

MAX_BYTES = 2**31 - 1
"""protobuf's own limit."""
MAX_NODES = 200_000
MAX_ELEMENTS = 2**40
"""Of one tensor: a thousand times what any accelerator holds."""
SMALL = 1024
"""Elements of a tensor whose value may matter for a shape."""

TYPES: Mapping[int, tuple[str, float]] = {
    1: ("fp32", 4), 2: ("int8", 1), 3: ("int8", 1), 4: ("int16", 2), 5: ("int16", 2), 6: ("int32", 4),
    7: ("int64", 8), 9: ("bool", 1), 10: ("fp16", 2), 11: ("fp64", 8), 12: ("int32", 4), 13: ("int64", 8),
    14: ("complex", 8), 15: ("complex", 16), 16: ("bf16", 2), 17: ("fp8", 1), 18: ("fp8", 1), 19: ("fp8", 1),
    20: ("fp8", 1), 21: ("int4", 0.5), 22: ("int4", 0.5), 23: ("fp4", 0.5), 24: ("fp8", 1),
}  # fmt: skip
"""TensorProto.DataType -> what it is here, bytes of a number."""

FAULTS = (ValueError, TypeError, IndexError, KeyError, AttributeError, RuntimeError, ArithmeticError, AssertionError)
"""What onnx raises for a file that is wrong inside."""


@dataclass(frozen=True)
class Tensor:
    """A value in the graph. `constant`: it is the same in every call; `weight`: it is stored in the file."""

    dtype: str
    size: float
    shape: tuple[int, ...]
    constant: bool = False
    weight: bool = False

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def bytes(self) -> float:
        return self.elements * self.size


@dataclass
class Graph:
    """Nodes in the order of execution, and every tensor whose shape is known, by name."""

    name: str
    batch: int
    inputs: list[str]
    outputs: list[str]
    nodes: list[Any]
    tensors: dict[str, Tensor]
    values: dict[str, Any] = field(default_factory=dict)
    """Small constants, as arrays."""
    notes: list[str] = field(default_factory=list)
    quantized: dict[str, str] = field(default_factory=dict)
    """Output of a DequantizeLinear -> what it reads."""
    requantized: dict[str, str] = field(default_factory=dict)
    """Tensor that only a QuantizeLinear reads -> what that writes."""


def parse(onnx: Any, path: Path) -> Any:
    """The file as a message. Raises UserError for no ONNX."""
    from google.protobuf.message import DecodeError

    try:
        if path.exists() and not path.is_file():
            raise UserError("file", str(path), "not a plain file", "a .onnx file")
        size = path.stat().st_size
        if size > MAX_BYTES:
            allowed = f"at most {MAX_BYTES:,} bytes, protobuf's own limit"
            raise UserError("file", str(path), allowed, "export it with its weights in another file")
        model = onnx.load_model_from_string(path.read_bytes())
    except FileNotFoundError:
        raise UserError("file", str(path), "there is no such file", "ls *.onnx") from None
    except OSError as fault:
        raise UserError("file", str(path), f"not a readable file ({fault.strerror})", "ls -l") from None
    except (DecodeError, ValueError, RuntimeError) as fault:
        raise refused(path, f"it is no ONNX: {line(fault)}") from None
    if not model.graph.node or not model.graph.output:  # an empty file is a valid message
        raise refused(path, "it has no graph")
    if len(model.graph.node) > MAX_NODES:
        raise refused(path, f"it has {len(model.graph.node):,} nodes; at most {MAX_NODES:,} are read")
    return model


def opened(
    onnx: Any, model: Any, path: Path, asked: tuple[int | None, int | None], shapes: dict[str, Sequence[int]]
) -> Graph:
    """The graph, its inputs' dimensions filled in and its weights replaced by their types, in `model` too."""
    graph = model.graph
    tensors, values = _weights(onnx, graph)
    given = [one for one in graph.input if one.name not in tensors]
    if unknown := shapes.keys() - {one.name for one in given}:
        names = ", ".join(one.name for one in given)
        raise UserError("shapes", sorted(unknown)[0], f"the file's inputs are {names}", f"shapes of {names}")
    notes: list[str] = []
    for one in given:
        _set_shape(one, *asked, shapes.get(one.name))
    first = given[0].type.tensor_type.shape.dim if given else []
    found = Graph(
        name=graph.name if graph.name.isprintable() and graph.name else path.stem,
        batch=first[0].dim_value if len(first) else 1,
        inputs=[one.name for one in given],
        outputs=[one.name for one in graph.output],
        nodes=list(graph.node),
        tensors=tensors,
        values=values,
        notes=notes,
    )
    # weights as inputs: inference then never touches their data
    del graph.initializer[:], graph.sparse_initializer[:], graph.value_info[:], graph.input[:]
    for one in graph.output:
        one.type.Clear()
    graph.input.extend(given)
    for name, tensor in tensors.items():
        if name not in values:
            graph.input.append(onnx.helper.make_tensor_value_info(name, code_of(tensor), tensor.shape))
    for name, value in values.items():
        graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    return found


def _weights(onnx: Any, graph: Any) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Every stored tensor's type, and the small ones' values."""
    tensors: dict[str, Tensor] = {}
    values: dict[str, Any] = {}
    for one in graph.sparse_initializer:
        tensors[one.values.name] = tensor_of(one.values.data_type, tuple(one.dims), True)
    for one in graph.initializer:
        tensors[one.name] = tensor_of(one.data_type, tuple(one.dims), True)
        if tensors[one.name].elements <= SMALL and not (one.data_location or one.external_data):
            values[one.name] = onnx.numpy_helper.to_array(one)
    return tensors, values


def _set_shape(one: Any, batch: int | None, sequence: int | None, shape: Sequence[int] | None) -> None:
    """Write numbers where the file leaves an input's dimensions open."""
    if not one.type.HasField("tensor_type") or not one.type.tensor_type.HasField("shape"):
        if shape is None:
            raise UserError(
                f"shapes.{one.name}", None, "the file does not say its shape", f"shapes={{{one.name!r}: ...}}"
            )
        one.type.tensor_type.shape.Clear()
        for _ in shape:
            one.type.tensor_type.shape.dim.add()
    dims = one.type.tensor_type.shape.dim
    stated = [d.dim_value if d.HasField("dim_value") else None for d in dims]
    if shape is not None:
        if len(shape) != len(dims) or any(type(n) is not int or not 1 <= n <= MAX_ELEMENTS for n in shape):
            raise UserError(f"shapes.{one.name}", list(shape), f"{len(dims)} whole numbers >= 1", f"as {stated}")
        if fixed := [at for at, n in enumerate(stated) if n and n != shape[at]]:
            allowed = f"the file fixes dimension {fixed[0]} at {stated[fixed[0]]}"
            raise UserError(f"shapes.{one.name}", list(shape), allowed, f"as {stated}, or export it anew")
        for d, n in zip(dims, shape, strict=True):
            d.dim_value = n
        return
    for at, d in enumerate(dims):
        if stated[at] is None or stated[at] == 0:
            if at > 0 and sequence and len(dims) <= 3:
                d.dim_value = sequence
                continue
            if at > 0:
                named = f" ({d.dim_param})" if d.dim_param.isprintable() and d.dim_param else ""
                allowed = f"dimension {at}{named} is open in the file"
                way = "--seq 128 (sequence=128)" if len(dims) <= 3 else f'shapes={{"{one.name}": (...)}} in Python'
                raise UserError(f"shapes.{one.name}", stated, allowed, way)
            d.dim_value = batch or 1


def tensor_of(code: int, shape: tuple[int, ...], weight: bool) -> Tensor:
    """A tensor of a TensorProto.DataType. Raises ValueError for a type or a shape that cannot be."""
    if code not in TYPES:
        raise ValueError(f"a tensor of the unknown type {code}")
    if min(shape, default=1) < 0 or math.prod(shape) > MAX_ELEMENTS:
        raise ValueError(f"a tensor of shape {str(shape)[:80]}")
    return Tensor(*TYPES[code], shape, weight, weight)


def code_of(tensor: Tensor) -> int:
    """The TensorProto.DataType of a tensor, or one as wide."""
    return next(code for code, kind in TYPES.items() if kind == (tensor.dtype, tensor.size))


def refused(path: Path, why: str) -> UserError:
    """A file that is at fault."""
    return UserError("file", str(path), why, "export it again")


def line(fault: BaseException) -> str:
    """The first line of a message, if it can be printed."""
    lines = [line.strip() for line in str(fault).splitlines() if line.strip()]
    text = lines[0] if lines else type(fault).__name__
    return text[:200] if text.isprintable() else repr(text)[:200]
