"""The shapes of an ONNX graph, all of them numbers.

    graph = load(Path("model.onnx"), batch=8, shapes={"ids": (8, 128)})
    graph.tensors["logits"]                     # Tensor(dtype="fp32", shape=(8, 10), ...)

Shapes come from onnx's shape inference. What that leaves open because a shape is computed in the graph is computed
here, node by node, for small integer tensors only. It knows no operator's cost.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from netwright.core.table import extra
from netwright.predict.onnx.graph import (
    FAULTS,
    SMALL,
    TYPES,
    Graph,
    Tensor,
    code_of,
    line,
    opened,
    parse,
    refused,
    tensor_of,
)

ROUNDS = 64
"""Of inference and folding; each settles at least one more node, networks seen here took up to five."""

FOLDED = {"Constant", "Shape", "Size", "Gather", "Concat", "Slice", "Cast", "CastLike", "Identity", "Reshape"}
FOLDED |= {"Squeeze"}
FOLDED |= {"Unsqueeze", "Transpose", "Flatten", "Expand", "ConstantOfShape", "Range", "Tile", "Where", "Equal", "Not"}
FOLDED |= {"Add", "Sub", "Mul", "Div", "Mod", "Neg", "Abs", "Sign", "Floor", "Ceil", "Round", "Sqrt", "Reciprocal"}
FOLDED |= {"Min", "Max", "Greater", "Less", "GreaterOrEqual", "LessOrEqual", "And", "Or", "ReduceProd", "ReduceSum"}
FOLDED |= {"ReduceMin", "ReduceMax", "GatherND", "GatherElements", "ScatterND", "ScatterElements", "CumSum"}
"""Operators that shapes are computed with; none of them can take long over few numbers."""

RANDOM = {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli"}


def load(
    path: Path, batch: int | None, shapes: Mapping[str, Sequence[int]] | None = None, sequence: int | None = None
) -> Graph:
    """Read a file and settle its shapes. Raises UserError for no ONNX, and for shapes that it leaves open."""
    onnx = extra("onnx", "an ONNX file")
    model = parse(onnx, path)
    try:
        if model.functions:
            model = onnx.inliner.inline_local_functions(model)
        found = opened(onnx, model, path, (batch, sequence), dict(shapes or {}))
        settle(onnx, model, found)
    except (*FAULTS, onnx.shape_inference.InferenceError, onnx.checker.ValidationError) as fault:
        raise refused(path, f"its graph is broken: {line(fault)}") from fault
    return found


def settle(onnx: Any, model: Any, found: Graph) -> None:
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
            found.tensors[name] = tensor_of(onnx.helper.np_dtype_to_tensor_dtype(value.dtype), value.shape, False)
            model.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
        _guess(found, pending)
        if (len(found.tensors), len(pending)) == before:
            break
        del model.graph.node[:]
        model.graph.node.extend(pending)
        known = {one.name for one in model.graph.input} | {one.name for one in model.graph.initializer}
        for name, tensor in found.tensors.items():
            if name not in known:
                model.graph.value_info.append(onnx.helper.make_tensor_value_info(name, code_of(tensor), tensor.shape))
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
            found.tensors[outputs[0]] = tensor_of(tensor.data_type, tuple(tensor.dims), True)
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


def _graphs(node: Any) -> list[Any]:
    """Its subgraphs: branches and loop bodies."""
    return [graph for a in node.attribute for graph in ([a.g] if a.HasField("g") else list(a.graphs))]


def _typed(one: Any) -> Tensor | None:
    kind = one.type.tensor_type
    if not kind.HasField("shape") or kind.elem_type not in TYPES:
        return None
    if any(not d.HasField("dim_value") or d.dim_value < 0 for d in kind.shape.dim):
        return None
    return tensor_of(kind.elem_type, tuple(d.dim_value for d in kind.shape.dim), False)
