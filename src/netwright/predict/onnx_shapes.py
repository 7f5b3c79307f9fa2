"""An ONNX file as nodes whose shapes are all numbers; its weights are left where they are.

    graph = load(Path("model.onnx"), batch=8, shapes={"ids": (8, 128)})
    graph.nodes, graph.tensors["logits"]        # Tensor(dtype="fp32", shape=(8, 10), ...)

Shapes come from onnx's shape inference. What that leaves open because a shape is computed in the graph is
computed here, node by node, for small integer tensors only. Weights become mere types, so that a file of 2 GB
is reasoned about in kilobytes, and data in other files is never opened. It knows no operator's cost.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netwright.core.error import UserError
from netwright.core.table import extra

MAX_BYTES = 2**31 - 1
"""protobuf's own limit."""
MAX_NODES = 200_000
MAX_ELEMENTS = 2**40
"""Of one tensor: a thousand times what any accelerator holds."""
SMALL = 1024
"""Elements of a tensor whose value may matter for a shape."""
ROUNDS = 64
"""Of inference and folding; each settles at least one more node, networks seen here took up to five."""

FOLDED = {
    "Constant",
    "Shape",
    "Size",
    "Gather",
    "Concat",
    "Slice",
    "Cast",
    "CastLike",
    "Identity",
    "Reshape",
    "Squeeze",
}
FOLDED |= {"Unsqueeze", "Transpose", "Flatten", "Expand", "ConstantOfShape", "Range", "Tile", "Where", "Equal", "Not"}
FOLDED |= {"Add", "Sub", "Mul", "Div", "Mod", "Neg", "Abs", "Sign", "Floor", "Ceil", "Round", "Sqrt", "Reciprocal"}
FOLDED |= {"Min", "Max", "Greater", "Less", "GreaterOrEqual", "LessOrEqual", "And", "Or", "ReduceProd", "ReduceSum"}
FOLDED |= {"ReduceMin", "ReduceMax", "GatherND", "GatherElements", "ScatterND", "ScatterElements", "CumSum"}
"""Operators that shapes are computed with; none of them can take long over few numbers."""

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


def load(
    path: Path, batch: int | None, shapes: Mapping[str, Sequence[int]] | None = None, sequence: int | None = None
) -> Graph:
    """Read a file and settle its shapes. Raises UserError for no ONNX, and for shapes that it leaves open."""
    onnx = extra("onnx", "an ONNX file")
    model = _parse(onnx, path)
    try:
        if model.functions:
            model = onnx.inliner.inline_local_functions(model)
        return _settled(onnx, model, path, (batch, sequence), dict(shapes or {}))
    except UserError:
        raise
    except (*FAULTS, onnx.shape_inference.InferenceError, onnx.checker.ValidationError) as fault:
        raise _refused(path, f"its graph is broken: {_line(fault)}") from fault


def _parse(onnx: Any, path: Path) -> Any:
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
        raise _refused(path, f"it is no ONNX: {_line(fault)}") from None
    if not model.graph.node or not model.graph.output:  # an empty file is a valid message
        raise _refused(path, "it has no graph")
    if len(model.graph.node) > MAX_NODES:
        raise _refused(path, f"it has {len(model.graph.node):,} nodes; at most {MAX_NODES:,} are read")
    return model


def _settled(
    onnx: Any, model: Any, path: Path, asked: tuple[int | None, int | None], shapes: dict[str, Sequence[int]]
) -> Graph:
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
            code = next(code for code, (dtype, size) in TYPES.items() if (dtype, size) == (tensor.dtype, tensor.size))
            graph.input.append(onnx.helper.make_tensor_value_info(name, code, tensor.shape))
    for name, value in values.items():
        graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    _infer(onnx, model, found)
    return found


def _weights(onnx: Any, graph: Any) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Every stored tensor's type, and the small ones' values."""
    tensors: dict[str, Tensor] = {}
    values: dict[str, Any] = {}
    for one in graph.sparse_initializer:
        tensors[one.values.name] = _tensor(one.values.data_type, tuple(one.dims), True)
    for one in graph.initializer:
        tensors[one.name] = _tensor(one.data_type, tuple(one.dims), True)
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


def _infer(onnx: Any, model: Any, found: Graph) -> None:
    """Shape inference, and folding of what shapes are computed from, until nothing new is learnt."""
    pending = list(model.graph.node)
    for _ in range(ROUNDS):
        inferred = onnx.shape_inference.infer_shapes(model, check_type=False, strict_mode=False, data_prop=True)
        del model.graph.value_info[:]
        for one in [*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output]:
            if tensor := _typed(one):
                found.tensors.setdefault(one.name, tensor)
        before = len(found.tensors), len(pending)
        folded: dict[str, Any] = {}
        left = []
        for node in pending:
            value = _folded(onnx, node, found, model.opset_import)
            if value is None:
                left.append(node)
            else:
                folded |= value
        pending = left
        for name, value in folded.items():
            found.values[name] = value
            found.tensors[name] = _tensor(onnx.helper.np_dtype_to_tensor_dtype(value.dtype), value.shape, False)
            model.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
        _guess(found, pending)
        if (len(found.tensors), len(pending)) == before:
            break
        del model.graph.node[:]
        model.graph.node.extend(pending)
        known = {one.name for one in model.graph.input} | {one.name for one in model.graph.initializer}
        for name, tensor in found.tensors.items():
            if name not in known:
                model.graph.value_info.append(onnx.helper.make_tensor_value_info(name, _code(tensor), tensor.shape))
    _mark_constants(found)


def _folded(onnx: Any, node: Any, found: Graph, opsets: Any) -> dict[str, Any] | None:
    """The value of a node that computes a small constant; None where it does not."""
    import numpy as np

    outputs = [name for name in node.output if name]
    if node.domain not in ("", "ai.onnx") or node.op_type not in FOLDED or len(outputs) != 1:
        return None
    if node.op_type == "Constant":
        tensor = next((a.t for a in node.attribute if a.name == "value"), None)
        if tensor is not None and math.prod(tensor.dims) > SMALL:
            found.tensors[outputs[0]] = _tensor(tensor.data_type, tuple(tensor.dims), True)
            return None
    elif node.op_type in ("Shape", "Size"):
        tensor = found.tensors.get(node.input[0])
        if tensor is None:
            return None
        if node.op_type == "Size":
            return {outputs[0]: np.array(tensor.elements, dtype=np.int64)}
        about = {a.name: a.i for a in node.attribute}
        cut = slice(about.get("start", 0), about.get("end"))
        return {outputs[0]: np.array(tensor.shape[cut], dtype=np.int64)}
    named = [name for name in node.input if name]
    if any(name not in found.values for name in named):
        return None
    if any(found.values[name].size > SMALL for name in named) or not _stays_small(node, found, outputs[0]):
        return None
    if not (named or node.op_type == "Constant"):
        return None
    graph = onnx.helper.make_graph(
        [node], "one", [], [onnx.helper.make_tensor_value_info(outputs[0], 0, None)],
        [onnx.numpy_helper.from_array(found.values[name], name) for name in dict.fromkeys(named)],
    )  # fmt: skip
    from onnx import reference

    one = onnx.helper.make_model(graph, opset_imports=opsets)
    with np.errstate(all="ignore"):
        answers: Any = reference.ReferenceEvaluator(one).run(None, {})
        value = np.asarray(answers[0])
    return {outputs[0]: value} if value.size <= SMALL and value.dtype.kind in "biuf" else None


def _stays_small(node: Any, found: Graph, output: str) -> bool:
    """Whether a node cannot blow a few numbers up into many: a shape may say 10^12."""
    if output in found.tensors:
        return found.tensors[output].elements <= SMALL
    values = [found.values[name] for name in node.input if name]
    if node.op_type in ("Expand", "ConstantOfShape", "Tile", "Range"):
        import numpy as np

        largest = max((float(np.abs(v).max()) for v in values if v.size and v.dtype.kind in "iuf"), default=0.0)
        return largest ** max(max((v.size for v in values), default=1), 1) <= SMALL
    return True


def _guess(found: Graph, nodes: Sequence[Any]) -> None:
    """Of operators outside the standard, for which onnx has no rule: shaped like the first input, unless known here."""
    for node in nodes:
        named = [name for name in node.input if name]
        answer = next((name for name in node.output if name), "")
        if node.domain in ("", "ai.onnx") or not named or not answer or answer in found.tensors:
            continue
        if all(name in found.tensors for name in named):
            given = found.tensors[named[0]]
            found.tensors[answer] = _contrib(node, found) or Tensor(given.dtype, given.size, given.shape)


def _contrib(node: Any, found: Graph) -> Tensor | None:
    """Shapes of products outside the standard: ONNX Runtime's."""
    about = {a.name: a.i for a in node.attribute}
    a = found.tensors[node.input[0]]
    if node.op_type == "MatMulNBits":
        return Tensor(a.dtype, a.size, (*a.shape[:-1], about["N"]))
    if node.op_type in ("FusedMatMul", "DynamicQuantizeMatMul", "MatMulIntegerToFloat", "FusedGemm"):
        b = found.tensors[node.input[1]].shape
        n = b[-2] if about.get("transB") else b[-1]
        return Tensor("fp32", 4, (*a.shape[:-1], n))
    return None


def _mark_constants(found: Graph) -> None:
    """What is computed from weights alone is the same in every call, and runtimes compute it once."""
    for node in found.nodes:
        named = [name for name in node.input if name]
        if node.op_type in RANDOM or _graphs(node) or (not named and node.op_type != "Constant"):
            continue
        if all(name in found.tensors and _constant(found, name) for name in named):
            for name in node.output:
                if name in found.tensors:
                    t = found.tensors[name]
                    found.tensors[name] = Tensor(t.dtype, t.size, t.shape, True, t.weight)


def _constant(found: Graph, name: str) -> bool:
    return found.tensors[name].constant or name in found.values


RANDOM = {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli"}


def _graphs(node: Any) -> list[Any]:
    """Its subgraphs: branches and loop bodies."""
    return [graph for a in node.attribute for graph in ([a.g] if a.HasField("g") else list(a.graphs))]


def _typed(one: Any) -> Tensor | None:
    kind = one.type.tensor_type
    if not kind.HasField("shape") or kind.elem_type not in TYPES:
        return None
    if any(not d.HasField("dim_value") or d.dim_value < 0 for d in kind.shape.dim):
        return None
    return _tensor(kind.elem_type, tuple(d.dim_value for d in kind.shape.dim), False)


def _tensor(code: int, shape: tuple[int, ...], weight: bool) -> Tensor:
    if code not in TYPES:
        raise ValueError(f"a tensor of the unknown type {code}")
    if min(shape, default=1) < 0 or math.prod(shape) > MAX_ELEMENTS:
        raise ValueError(f"a tensor of shape {str(shape)[:80]}")
    return Tensor(*TYPES[code], shape, weight, weight)


def _code(tensor: Tensor) -> int:
    return next(code for code, kind in TYPES.items() if kind == (tensor.dtype, tensor.size))


def _refused(path: Path, why: str) -> UserError:
    return UserError("file", str(path), why, "export it again")


def _line(fault: BaseException) -> str:
    lines = [line.strip() for line in str(fault).splitlines() if line.strip()]
    text = lines[0] if lines else type(fault).__name__
    return text[:200] if text.isprintable() else repr(text)[:200]
