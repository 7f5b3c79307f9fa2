"""A workload out of an ONNX file, without running it and without torch.

    work = read(Path("model.onnx"), batch=8)
    work = read(Path("bert.onnx"), shapes={"ids": (8, 128), "mask": (8, 128)})

Weights are not needed: only their shapes are used, and data that lies in other files is never opened. Attention
that was exported as products and a softmax is put together again, and layers that were quantized with
QuantizeLinear and DequantizeLinear are counted in 8 bits. What it does not know it names in `notes`: operators
without a rule move their bytes and compute nothing; bodies of loops and branches are left out.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from netwright.core.error import UserError
from netwright.core.workload import Attention, Operator, Workload
from netwright.predict.onnx.graph import FAULTS, Graph
from netwright.predict.onnx.operators import FREE, PRODUCTS, cost, is_unknown
from netwright.predict.onnx.shapes import load

BETWEEN = {"Mul", "Div", "Add", "Sub", "Where", "Cast", "Identity", "Clip", "Dropout", "IsNaN", "Max"}
"""What an exporter puts between the products of attention and its softmax: scale, mask, cast."""


SELECTS = {"MaxPool", "GlobalMaxPool", "ReduceMax", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice"}
SELECTS |= {"Split", "Gather", "Concat", "Identity", "Dropout", "Expand", "DepthToSpace", "SpaceToDepth"}
"""Operators that choose or move numbers and so keep them quantized."""

CLIPS = {"Relu", "Clip", "LeakyRelu", "HardSigmoid", "HardSwish"}
"""What quantized products do to their answers before they round them."""


def read(
    path: Path,
    batch: int | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    sequence: int | None = None,
    name: str = "",
) -> Workload:
    """The operators of one call of the network in an ONNX file.

    `batch` fills a first dimension that the file leaves open, `sequence` every other one of inputs of up to three
    dimensions; the rest, an image's sides for example, need `shapes`, input name -> whole shape.
    Where the file fixes its batch, the work is that of the file, scaled to `batch`. Raises UserError
    for a file that is no ONNX, is larger than 2 GB, or leaves a shape open.
    """
    if batch is not None and not (type(batch) is int and 1 <= batch <= 10**9):
        raise UserError("batch", batch, "a whole number >= 1", "batch=1")
    if sequence is not None and not (type(sequence) is int and 1 <= sequence <= 10**9):
        raise UserError("sequence", sequence, "a whole number >= 1", "sequence=128")
    graph = load(path, batch, shapes, sequence)
    try:
        work = _workload(graph, name or graph.name)
    except FAULTS as fault:
        raise UserError("file", str(path), f"its graph is broken: {str(fault)[:200]!r}", "export it again") from fault
    work = replace(work, sequence=sequence or 0)
    if batch is None or work.batch == batch or shapes:
        return work
    return work.at_batch(batch)


def _workload(graph: Graph, name: str) -> Workload:
    links = _Links.of(graph)
    attention, inside = _attentions(graph, links)
    fused, clipped = _fused(graph, links)
    shown = _shown(graph, links, attention) | clipped
    operators: list[Operator] = []
    unknown: Counter[str] = Counter()
    for at, node in enumerate(graph.nodes):
        if at in attention:
            operators.append(attention[at])
            continue
        if at in inside or at in shown or _absorbed(node, graph, fused):
            continue
        if is_unknown(node):
            unknown[f"{node.domain}.{node.op_type}".lstrip(".")] += 1
        try:
            operators += cost(node, graph, fused)
        except KeyError:
            if not is_unknown(node):
                unknown[f"{node.op_type} of unknown shape"] += 1
    notes = [f"{kind} ({count}): counted as moving its bytes at most" for kind, count in sorted(unknown.items())]
    used = {name for node in graph.nodes for name in node.input}
    stored = {name: tensor for name, tensor in graph.tensors.items() if tensor.weight and name in used}
    return Workload(
        name=name,
        batch=max(graph.batch, 1),
        parameters=sum(t.elements for t in stored.values() if t.dtype.startswith(("fp", "bf", "int8", "int4"))),
        operators=tuple(operators),
        peak_bytes=_peak(graph, inside, shown, fused),
        stored_bytes=sum(tensor.bytes for tensor in stored.values()),
        notes=(*graph.notes, *(note if note.isprintable() else repr(note) for note in notes)),
    )


@dataclass
class _Links:
    """Who makes a tensor and who reads it, by positions in `graph.nodes`."""

    maker: dict[str, int] = field(default_factory=dict)
    readers: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def of(cls, graph: Graph) -> _Links:
        links = cls()
        for at, node in enumerate(graph.nodes):
            for name in node.output:
                links.maker[name] = at
            for name in dict.fromkeys(node.input):
                links.readers[name].append(at)
        return links


def _attentions(graph: Graph, links: _Links) -> tuple[dict[int, Operator], set[int]]:
    """Product, scale, mask, softmax, product: at the second product's place one attention; the nodes it replaces."""
    found: dict[int, Operator] = {}
    inside: set[int] = set()
    for at, node in enumerate(graph.nodes):
        if node.op_type != "Softmax":
            continue
        scores, before = _back(graph, links, node.input[0])
        last, after = _forward(graph, links, node.output[0])
        if scores is None or last is None:
            continue
        try:
            operator = _one_attention(graph, graph.nodes[scores], graph.nodes[last])
        except (KeyError, IndexError):
            continue
        if operator:
            found[last] = operator
            inside |= {scores, at, *before, *after}
    return found, inside - found.keys()


def _back(graph: Graph, links: _Links, name: str) -> tuple[int | None, list[int]]:
    """From a softmax's input back to the product it comes from, through scale and mask."""
    passed: list[int] = []
    for _ in range(8):
        at = links.maker.get(name)
        if at is None or len(links.readers[name]) > 1:
            return None, []
        node = graph.nodes[at]
        if node.op_type == "MatMul":
            return at, passed
        if node.op_type not in BETWEEN:
            return None, []
        passed.append(at)
        made = [one for one in node.input if one in links.maker and not graph.tensors[one].constant]
        made = [one for one in made if _shape(graph, one) == _shape(graph, node.output[0])]
        if not made:
            return None, []
        name = made[0]
    return None, []


def _forward(graph: Graph, links: _Links, name: str) -> tuple[int | None, list[int]]:
    """From a softmax's output on to the product with the values."""
    passed: list[int] = []
    for _ in range(4):
        readers = links.readers[name]
        products = [at for at in readers if graph.nodes[at].op_type == "MatMul"]
        if len(products) == 1 and len(readers) == 1:
            return (products[0], passed) if graph.nodes[products[0]].input[0] == name else (None, [])
        through = [at for at in readers if graph.nodes[at].op_type in BETWEEN]
        if len(through) != len(readers) or not through:
            return None, []
        # a mask's guard reads the softmax twice: IsNaN(p), then Where(isnan, 0, p)
        passed += through
        name = graph.nodes[through[-1]].output[0]
    return None, []


def _one_attention(graph: Graph, first: Any, second: Any) -> Operator | None:
    q, k = (graph.tensors[name] for name in first.input)
    v, made = graph.tensors[second.input[1]], graph.tensors[second.output[0]]
    if q.constant or k.constant or v.constant or min(len(q.shape), len(k.shape), len(v.shape)) < 3:
        return None
    heads = q.shape[1] if len(q.shape) > 3 else 1
    count = 1
    for size in made.shape[:-2]:
        count *= size
    shape = Attention(
        batch=max(count // max(heads, 1), 1),
        heads=heads,
        kv_heads=k.shape[1] if len(k.shape) > 3 else 1,
        queries=q.shape[-2],
        keys=k.shape[-1],
        head_dim=q.shape[-1],
        value_dim=v.shape[-1],
    )
    dtype = made.dtype if made.dtype in ("fp64", "fp32", "fp16", "bf16") else "fp32"
    return Operator(
        name="scaled_dot_product_attention", flops=shape.flops, input_bytes=q.bytes + k.bytes + v.bytes,
        output_bytes=made.bytes, dtype=dtype, attention=shape,
    )  # fmt: skip


def _fused(graph: Graph, links: _Links) -> tuple[frozenset[str], dict[int, str]]:
    """Tensors that are never written as floats, and the activation functions that a quantized product does on the way.

    An operator is quantized when all its activations are: when they come from a DequantizeLinear, perhaps through
    operators that only select or move. Fills in what the graph says of quantized tensors.
    """
    for node in graph.nodes:
        if node.op_type == "DequantizeLinear" and node.input[0] in graph.tensors:
            graph.quantized[node.output[0]] = node.input[0]
    fused: set[str] = set()
    clipped: dict[int, str] = {}
    for node in graph.nodes:
        given = [name for name in node.input if name in graph.tensors and not graph.tensors[name].constant]
        if node.op_type in ("DequantizeLinear", "QuantizeLinear") or not given:
            continue
        if not all(name in graph.quantized for name in given):
            continue
        fused |= set(given)
        if node.op_type in SELECTS:
            for name in node.output:
                graph.quantized[name] = graph.requantized[name] = graph.quantized[given[0]]
                fused.add(name)
            continue
        answer = node.output[0]
        passed: list[int] = []
        readers = links.readers[answer]
        while len(readers) == 1 and graph.nodes[readers[0]].op_type in CLIPS and len(passed) < 2:
            passed.append(readers[0])
            readers = links.readers[graph.nodes[readers[0]].output[0]]
        last = graph.nodes[readers[0]] if len(readers) == 1 else node
        if last.op_type == "QuantizeLinear" and last.output[0] in graph.tensors:
            graph.requantized[answer] = last.output[0]
            fused |= {answer, last.input[0]}
            clipped |= dict.fromkeys(passed, answer)
    return frozenset(fused), clipped


def _absorbed(node: Any, graph: Graph, fused: frozenset[str]) -> bool:
    """Whether a quantization is part of its neighbour."""
    if node.op_type == "DequantizeLinear":
        return node.output[0] in fused or graph.tensors[node.output[0]].constant
    return node.op_type == "QuantizeLinear" and node.input[0] in fused


def _shown(graph: Graph, links: _Links, attention: Mapping[int, Operator]) -> dict[int, str]:
    """Nodes that a product does on the way -> the tensor they show: a bias added, operands or answers transposed."""
    products = {at for at, node in enumerate(graph.nodes) if node.op_type in PRODUCTS} | attention.keys()
    found: dict[int, str] = {}
    for at, node in enumerate(graph.nodes):
        given = [name for name in node.input if name in graph.tensors and not graph.tensors[name].constant]
        if len(given) != 1 or node.op_type not in ("Add", "Transpose"):
            continue
        maker, readers = links.maker.get(given[0]), links.readers[node.output[0]]
        made = maker in products and len(links.readers[given[0]]) == 1
        if node.op_type == "Add":
            wanted = made and maker not in attention and _shape(graph, node.output[0]) == _shape(graph, given[0])
        else:
            wanted = made or (bool(readers) and all(reader in products for reader in readers))
        if wanted:
            found[at] = given[0]
    return found


def _peak(graph: Graph, inside: set[int], shown: Mapping[int, str], fused: frozenset[str]) -> float:
    """Bytes alive at once: inputs throughout, every other tensor from its operator to its last reader.

    Views share the memory of what they show; what is fused away has none.
    """
    root: dict[str, str] = {}
    last: dict[str, int] = {}
    end = len(graph.nodes)
    for at, node in enumerate(graph.nodes):
        for name in node.input:
            last[root.get(name, name)] = at
        if at in shown or node.op_type in FREE or _absorbed(node, graph, fused):
            origin = shown.get(at) or (node.input[0] if node.input else "")
            for name in node.output:
                root[name] = root.get(origin, origin) or name
    last |= {root.get(name, name): end for name in graph.outputs}
    dying: dict[int, list[str]] = defaultdict(list)
    for name, at in last.items():
        dying[at].append(name)
    alive = sum(graph.tensors[name].bytes for name in graph.inputs if name in graph.tensors)
    sizes: dict[str, float] = {}
    peak = alive
    for at, node in enumerate(graph.nodes):
        for name in node.output:
            if name in root or at in inside or name not in graph.tensors or graph.tensors[name].constant:
                continue
            sizes[name] = graph.tensors[graph.requantized.get(name, name)].bytes
            alive += sizes[name]
        peak = max(peak, alive)
        alive -= sum(sizes.pop(name, 0.0) for name in dying[at])
        alive -= sum(sizes.pop(name, 0.0) for name in node.output if name not in last)
    return peak


def _shape(graph: Graph, name: str) -> tuple[int, ...]:
    return graph.tensors[name].shape if name in graph.tensors else ()
