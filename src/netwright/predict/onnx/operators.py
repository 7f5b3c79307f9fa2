"""What a node of an ONNX graph costs: FLOPs, bytes, and the shape of the product it is.

    cost(node, graph)        # Operator, or None for what moves nothing

Products get the names that a trace of PyTorch gives them (convolution, addmm, mm, bmm, lstm ...), other operators
their ONNX name in small letters, one FLOP an element. Quantized networks are counted as runtimes execute them:
a product between DequantizeLinear and QuantizeLinear computes in 8 bits. This file knows no device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from netwright.core.workload import BYTES, Attention, Matrix, Operator
from netwright.predict.onnx.graph import Graph, Tensor

FREE = {"Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Shape", "Size", "Constant", "Dropout", "Optional"}
FREE |= {"SequenceConstruct", "SequenceAt", "OptionalGetElement", "OptionalHasElement", "NoOp"}
"""Operators that move nothing: views, and what a runtime drops."""

MOVES = {"Transpose", "Concat", "Split", "Slice", "Expand", "Tile", "Pad", "Cast", "CastLike", "DepthToSpace"}
MOVES |= {"SpaceToDepth", "ConstantOfShape", "Range", "EyeLike", "ReverseSequence", "Compress", "OneHot", "BitCast"}
MOVES |= {"SplitToSequence", "ConcatFromSequence", "Trilu"}
"""Operators that move bytes and compute nothing."""

LOOKUPS = {"Gather", "GatherElements", "GatherND"}
"""Operators that read of their first input only what they return."""

WRITES = {"ScatterElements", "ScatterND", "Scatter", "TensorScatter"}
"""Operators that a runtime performs in place, where it can: what is moved is the update."""

CONVOLUTIONS = {"Conv": 1, "FusedConv": 1, "NhwcFusedConv": 1, "ConvInteger": 1, "QLinearConv": 3, "DeformConv": 1}
CONVOLUTIONS |= {"ConvTranspose": 1}
"""Convolutions -> which input is the weight."""

PRODUCTS = {"MatMul": 1, "Gemm": 1, "MatMulInteger": 1, "QLinearMatMul": 3, "FusedMatMul": 1, "FusedGemm": 1}
PRODUCTS |= {"DynamicQuantizeMatMul": 1, "MatMulIntegerToFloat": 1, "MatMulNBits": 1, "QGemm": 3}
"""Matrix products -> which input is the second matrix."""

INTEGER = {"ConvInteger", "QLinearConv", "MatMulInteger", "QLinearMatMul", "QGemm", "DynamicQuantizeMatMul"}
INTEGER |= {"MatMulIntegerToFloat"}
"""Operators that compute in 8 bits whatever they answer in."""

RECURRENT = {"LSTM": 4, "GRU": 3, "RNN": 1}
"""Recurrent layers -> gates."""

CONTRIB = {"Gelu", "FastGelu", "BiasGelu", "QuickGelu", "LayerNormalization", "SimplifiedLayerNormalization"}
CONTRIB |= {"SkipLayerNormalization", "SkipSimplifiedLayerNormalization", "RotaryEmbedding", "BiasAdd", "BiasSoftmax"}
CONTRIB |= {"QLinearAdd", "QLinearMul", "QLinearConcat", "QLinearSigmoid", "QLinearLeakyRelu", "QLinearSoftmax"}
CONTRIB |= {"QLinearAveragePool", "QLinearGlobalAveragePool", "GroupNorm", "SkipGroupNorm", "NhwcMaxPool"}
"""Elementwise or nearly so, of ONNX Runtime's own."""

OPAQUE = {"NonMaxSuppression", "Loop", "Scan", "If", "DFT", "STFT", "Det", "Unique", "TfIdfVectorizer", "SequenceMap"}
OPAQUE |= {"NonZero", "StringNormalizer", "MelWeightMatrix"}
"""Standard operators whose work their shapes do not tell."""

STANDARD = ("", "ai.onnx")


def cost(node: Any, graph: Graph, fused: frozenset[str] = frozenset()) -> list[Operator]:
    """The operators that a node is; none where it moves nothing. KeyError where a shape is unknown.

    `fused` are tensors that are never written, because a runtime computes them inside the next operator.
    """
    outputs = [graph.tensors[name] for name in node.output if name and (name in graph.tensors or node.op_type == "If")]
    if not outputs:
        raise KeyError(node.output[0] if node.output else node.op_type)
    if node.op_type in FREE or all(tensor.constant for tensor in outputs):
        return []
    if node.op_type in RECURRENT:
        return _recurrent(node, graph)
    given = [_read(name, graph, fused) for name in node.input if name]
    made = [_written(name, graph, fused) for name in node.output if name in graph.tensors]
    if node.op_type in CONVOLUTIONS:
        return [_product(node, _convolution(node, graph), given, made)]
    if node.op_type in PRODUCTS and len(node.input) > PRODUCTS[node.op_type]:
        return [_product(node, _matrix(node, graph), given, made)]
    if node.op_type == "Einsum" and len(node.input) == 2:
        return [_product(node, _einsum(node, graph), given, made)]
    if node.op_type in ATTENTIONS and (shape := ATTENTIONS[node.op_type](node, graph)):
        return [_operator("scaled_dot_product_attention", shape.flops, given, made, attention=shape)]
    return [_other(node, graph, given, made)]


def is_unknown(node: Any) -> bool:
    """Whether a node's FLOPs are anybody's guess."""
    if node.domain in STANDARD:
        return node.op_type in OPAQUE
    known = CONTRIB | PRODUCTS.keys() | CONVOLUTIONS.keys() | ATTENTIONS.keys() | FREE
    return node.domain != "com.microsoft" or node.op_type not in known


def _other(node: Any, graph: Graph, given: Sequence[Tensor], made: Sequence[Tensor]) -> Operator:
    name = node.op_type.lower() if node.op_type.isprintable() else repr(node.op_type)
    if node.op_type in LOOKUPS:
        moved = sum(tensor.bytes for tensor in made)
        return Operator(
            name="embedding" if given[0].weight else name, flops=0.0, dtype=_dtype(made),
            input_bytes=moved + sum(tensor.bytes for tensor in given[1:]), output_bytes=moved,
        )  # fmt: skip
    if node.op_type in WRITES:
        return Operator(
            name=name, flops=0.0, dtype=_dtype(made), output_bytes=given[-1].bytes,
            input_bytes=sum(tensor.bytes for tensor in given[1:]),
        )  # fmt: skip
    if node.op_type in ("Slice", "Split", "Pad"):  # what is cut away is not read
        given = [*made, *given[1:]]
    elements = max(tensor.elements for tensor in (*given, *made))
    counted = node.op_type in MOVES or is_unknown(node)
    return _operator(name, 0.0 if counted else float(elements), given, made)


def _product(node: Any, matrix: Matrix, given: Sequence[Tensor], made: Sequence[Tensor]) -> Operator:
    name = "mm"
    if node.op_type in CONVOLUTIONS:
        name = "grouped_convolution" if matrix.count > 1 else "convolution"
        name = "depthwise_convolution" if matrix.count == given[0].shape[1] > 1 else name
    elif node.op_type in ("Gemm", "FusedGemm", "QGemm"):
        name = "addmm"
    elif matrix.grows == "count":
        name = "bmm"
    one = _operator(name, matrix.flops, given, made, matrix=matrix)
    dtypes = [tensor.dtype for tensor in (given[0], given[PRODUCTS.get(node.op_type, 1)])] if len(given) > 1 else []
    if node.op_type in INTEGER or (len(dtypes) == 2 and set(dtypes) <= {"int8", "fp8"} and "bool" not in dtypes):
        return _in(one, "fp8" if "fp8" in dtypes else "int8")
    # 4- and 8-bit weights of a product of wider activations are widened before they are multiplied
    return _in(one, given[0].dtype) if given[0].dtype in BYTES else one


def _in(one: Operator, dtype: str) -> Operator:
    return replace(one, dtype=dtype)


def _operator(
    name: str, flops: float, given: Sequence[Tensor], made: Sequence[Tensor], **shape: Matrix | Attention
) -> Operator:
    weights = sum(tensor.bytes for tensor in given if tensor.constant)
    return Operator(
        name=name,
        flops=flops,
        weight_bytes=weights,
        input_bytes=sum(tensor.bytes for tensor in given if not tensor.constant),
        output_bytes=sum(tensor.bytes for tensor in made),
        dtype=_dtype([*made, *given]),
        **shape,  # type: ignore[arg-type]
    )


def _dtype(tensors: Sequence[Tensor]) -> str:
    """What it computes in: the first floating tensor's, else 8 bits where there are such, else fp32."""
    floating = [tensor.dtype for tensor in tensors if tensor.dtype in BYTES and not tensor.dtype.startswith("int")]
    small = [tensor.dtype for tensor in tensors if tensor.dtype in ("int8", "int4")]
    return [*floating, *small, "fp32"][0]


def _convolution(node: Any, graph: Graph) -> Matrix:
    x, made = graph.tensors[node.input[0]].shape, graph.tensors[node.output[0]].shape
    weight = graph.tensors[node.input[CONVOLUTIONS[node.op_type]]].shape
    groups, kernel = max(_integer(node, "group", 1), 1), math.prod(weight[2:])
    if node.op_type == "ConvTranspose":
        return Matrix(m=x[0] * math.prod(x[2:]), n=weight[1] * kernel, k=weight[0] // groups, count=groups)
    return Matrix(m=made[0] * math.prod(made[2:]), n=weight[0] // groups, k=weight[1] * kernel, count=groups)


def _matrix(node: Any, graph: Graph) -> Matrix:
    a, b = graph.tensors[node.input[0]], graph.tensors[node.input[PRODUCTS[node.op_type]]]
    if node.op_type == "MatMulNBits":
        n, k = _integer(node, "N", 0), _integer(node, "K", 0)
        return Matrix(m=math.prod(a.shape[:-1]), n=n, k=k)
    left, right = list(a.shape), list(b.shape)
    left = [1, *left] if len(left) == 1 else left
    right = [*right, 1] if len(right) == 1 else right
    if _integer(node, "transA", 0):
        left[-2:] = reversed(left[-2:])
    if _integer(node, "transB", 0):
        right[-2:] = reversed(right[-2:])
    if left[-1] != right[-2]:
        raise ValueError(f"{node.op_type} of {a.shape} and {b.shape}")
    if math.prod(right[:-2]) == 1:
        return Matrix(m=math.prod(left[:-1]), n=right[-1], k=left[-1])
    count = math.prod(graph.tensors[node.output[0]].shape[:-2])
    return Matrix(m=left[-2], n=right[-1], k=left[-1], count=count, grows="m" if b.constant else "count")


def _einsum(node: Any, graph: Graph) -> Matrix:
    """Two operands: a batch of products over the indices that both have and the answer lacks."""
    equation = next(a.s for a in node.attribute if a.name == "equation").decode().replace(" ", "")
    given, _, answer = equation.partition("->")
    terms = given.split(",")
    shapes = [graph.tensors[name].shape for name in node.input]
    made = graph.tensors[node.output[0]].shape
    sizes: dict[str, int] = {}
    for term, shape in zip([*terms, answer], [*shapes, made], strict=True):
        before, dots, after = term.partition("...")
        for letter, size in zip(before, shape, strict=False):
            sizes[letter] = max(size, sizes.get(letter, 1))
        for letter, size in zip(reversed(after), reversed(shape), strict=False):
            sizes[letter] = max(size, sizes.get(letter, 1))
        if dots:
            sizes["..."] = max(math.prod(shape[len(before) : len(shape) - len(after)]), sizes.get("...", 1))
    left, right, kept = (_letters(term) for term in (*terms, answer))
    both = left & right
    by = {
        "count": both & kept,
        "m": (left - right) & kept,
        "n": (right - left) & kept,
        "k": (left | right) - kept,
    }
    m, n, k, count = (math.prod(sizes[letter] for letter in by[axis]) for axis in ("m", "n", "k", "count"))
    weight = any(graph.tensors[name].constant for name in node.input)
    return Matrix(m=m, n=n, k=k, count=count, grows="m" if weight or not by["count"] else "count")


def _letters(term: str) -> set[str]:
    found = set(term.replace("...", ""))
    return found | {"..."} if "..." in term else found


def _recurrent(node: Any, graph: Graph) -> list[Operator]:
    """As `models.fused` counts them: inputs' products for all steps at once, the state's one after another."""
    x, w, r = (graph.tensors[name] for name in node.input[:3])
    name, gates = node.op_type.lower(), RECURRENT[node.op_type]
    steps, rows = (x.shape[1], x.shape[0]) if _integer(node, "layout", 0) else x.shape[:2]
    operators = []
    for _ in range(w.shape[0]):
        wide, deep, hidden = w.shape[2], w.shape[1], r.shape[2]
        if deep != gates * hidden:
            raise ValueError(f"{node.op_type} of {hidden} states with {deep} gates")
        for part, k, reads, writes, count in (
            ("", wide, wide, deep, 1),
            ("_recurrence", hidden, deep, hidden, steps),
        ):
            matrix = Matrix(m=rows * steps // count, n=deep, k=k, count=count)
            operators.append(
                Operator(
                    name=name + part,
                    flops=matrix.flops,
                    weight_bytes=deep * k * w.size + (2 * deep * w.size if part and len(node.input) > 3 else 0.0),
                    input_bytes=rows * steps * reads * x.size,
                    output_bytes=rows * steps * writes * x.size,
                    dtype=_dtype([x]),
                    matrix=matrix,
                )
            )
    return operators


def _attention(node: Any, graph: Graph) -> Attention | None:
    """Attention of opset 23: (B, heads, L, E), or (B, L, heads * E) with the heads as attributes."""
    q, k, v = (graph.tensors[name].shape for name in node.input[:3])
    heads, kv_heads = _integer(node, "q_num_heads", 0), _integer(node, "kv_num_heads", 0)
    if len(q) == 3:
        if not (heads and kv_heads):
            return None
        q, k, v = ((s[0], n, s[1], s[2] // n) for s, n in ((q, heads), (k, kv_heads), (v, kv_heads)))
    past = graph.tensors[node.input[4]].shape[2] if len(node.input) > 4 and node.input[4] else 0
    return Attention(
        batch=q[0], heads=q[1], kv_heads=k[1], queries=q[2], keys=k[2] + past, head_dim=q[3], value_dim=v[3],
        causal=bool(_integer(node, "is_causal", 0)),
    )  # fmt: skip


def _contrib_attention(node: Any, graph: Graph) -> Attention | None:
    """MultiHeadAttention and GroupQueryAttention of ONNX Runtime, with separate queries, keys and values."""
    if len(node.input) < 3 or not all(node.input[:3]):
        return None
    q, k, v = (graph.tensors[name].shape for name in node.input[:3])
    heads = _integer(node, "num_heads", 0)
    kv_heads = _integer(node, "kv_num_heads", heads)
    if not (heads and kv_heads) or not len(q) == len(k) == len(v) == 3:
        return None
    past = graph.tensors[node.input[3]].shape if node.op_type == "GroupQueryAttention" and node.input[3:4] else ()
    return Attention(
        batch=q[0], heads=heads, kv_heads=kv_heads, queries=q[1], keys=k[1] + (past[2] if len(past) == 4 else 0),
        head_dim=q[2] // heads, value_dim=v[2] // kv_heads, causal=node.op_type == "GroupQueryAttention",
    )  # fmt: skip


ATTENTIONS = {
    "Attention": _attention,
    "MultiHeadAttention": _contrib_attention,
    "GroupQueryAttention": _contrib_attention,
}


def _read(name: str, graph: Graph, fused: frozenset[str]) -> Tensor:
    """A tensor as it is read: where its DequantizeLinear is fused, in its quantized form."""
    tensor = graph.tensors[name]
    source = graph.quantized.get(name)
    if source and (name in fused or tensor.constant):
        stored = graph.tensors[source]
        return Tensor(stored.dtype, stored.size, tensor.shape, tensor.constant, stored.weight)
    return tensor


def _written(name: str, graph: Graph, fused: frozenset[str]) -> Tensor:
    """A tensor as it is written: where only a fused QuantizeLinear reads it, in its quantized form."""
    tensor, target = graph.tensors[name], graph.requantized.get(name)
    if target and name in fused:
        stored = graph.tensors[target]
        return Tensor(stored.dtype, stored.size, tensor.shape)
    return tensor


def _integer(node: Any, name: str, otherwise: int) -> int:
    return next((int(a.i) for a in node.attribute if a.name == name), otherwise)
