"""ONNX Runtime's own quantizers, for ONNX graphs: INT8, static and dynamic, and weights in INT8 or INT4."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from netwright.core.table import extra
from netwright.export.trace import quiet

if TYPE_CHECKING:
    from netwright.compress.calibration import Examples
    from netwright.compress.quantize import Config

MAKES: Mapping[str, tuple[str, ...]] = {"onnx": ("int8", "int8-dynamic", "int8-weights", "int4-weights")}
PACKAGE = "onnxruntime"


def quantized(graph: Any, config: Config, examples: Examples | None, keep: tuple[str, ...]) -> Any:
    """The graph, quantized; nodes that `keep` names stay as they are."""
    onnx, tools = extra("onnx", "the format onnx"), extra("onnxruntime.quantization", "quantization by ONNX Runtime")
    left = {"nodes_to_exclude": list(keep)}
    if config.to.endswith("-weights"):
        with quiet():
            return _weights(graph, 8 if config.to == "int8-weights" else 4, config.group, left)
    with tempfile.TemporaryDirectory() as folder, quiet():  # its functions read and write files
        before, after = Path(folder) / "before.onnx", Path(folder) / "after.onnx"
        onnx.save_model(graph, before)
        weights = {"per_channel": True, "weight_type": tools.QuantType.QInt8, **left}
        if examples is None:
            tools.quantize_dynamic(before, after, **weights)
        else:
            tools.quantize_static(
                before,
                after,
                _Reader(iter(examples)),
                quant_format=tools.QuantFormat.QDQ,
                activation_type=tools.QuantType.QUInt8,
                **weights,
            )
        return onnx.load_model(after)


def _weights(graph: Any, bits: int, group: int, left: Mapping[str, Any]) -> Any:
    """Weights of matrix products in groups; the head of a language model, and its embedding, have 8 bits."""
    nbits = extra("onnxruntime.quantization.matmul_nbits_quantizer", "quantization by ONNX Runtime")

    def made(graph: Any, bits: int, **chosen: Any) -> Any:
        quantizer = nbits.MatMulNBitsQuantizer(
            graph, bits=bits, block_size=group, is_symmetric=False, accuracy_level=4, **{**left, **chosen}
        )
        quantizer.process()
        return quantizer.model.model

    head = _untied(graph)
    if head:
        others = [node.name for node in graph.graph.node if node.op_type == "MatMul" and node.name != head]
        graph = made(graph, 8, nodes_to_exclude=[*others, *left["nodes_to_exclude"]])
    return made(graph, bits)


def _untied(graph: Any) -> str:
    """The name of a language model's head, or nothing. It gets a matrix of its own, and the embedding rows of 8 bits:

    a product of integers needs its matrix the other way round, and both together are smaller than the one was.
    """
    onnx = extra("onnx", "the format onnx")
    nodes, constants = graph.graph.node, {x.name: x for x in graph.graph.initializer}
    if "past_key_values.0.key" not in [port.name for port in graph.graph.input]:
        return ""
    producers = {name: node for node in nodes for name in node.output}
    head = producers["logits"]
    turned = producers.get(head.input[1])
    if turned is not None and turned.op_type == "Transpose" and turned.input[0] in constants:
        matrix_DV = onnx.numpy_helper.to_array(constants[turned.input[0]]).T.copy()
        head.input[1] = f"{head.name}.turned"
        graph.graph.initializer.append(onnx.numpy_helper.from_array(matrix_DV, head.input[1]))
        nodes.remove(turned)
    for node in list(nodes):
        if node.op_type == "Gather" and node.input[0] in constants and node.input[1] == "input_ids":
            _narrow_rows(onnx, graph, node, constants[node.input[0]])
    return str(head.name)


def _narrow_rows(onnx: Any, graph: Any, gather: Any, table: Any) -> None:
    """A table in INT8, each row with a step of its own."""
    rows_VD = onnx.numpy_helper.to_array(table)
    steps_V1 = np.maximum(np.abs(rows_VD).max(1, keepdims=True), 1e-30).astype(np.float32) / 127
    name, answer, make = table.name, gather.output[0], onnx.helper.make_node
    levels_VD = np.rint(rows_VD / steps_V1).astype(np.int8)
    for part, x in (("int8", levels_VD), ("steps", steps_V1)):
        graph.graph.initializer.append(onnx.numpy_helper.from_array(x, f"{name}.{part}"))
    made = [
        make("Gather", [f"{name}.int8", "input_ids"], [f"{name}.levels"]),
        make("Cast", [f"{name}.levels"], [f"{name}.numbers"], to=onnx.TensorProto.FLOAT),
        make("Gather", [f"{name}.steps", "input_ids"], [f"{name}.step"]),
        make("Mul", [f"{name}.numbers", f"{name}.step"], [answer]),
    ]
    at = list(graph.graph.node).index(gather)
    graph.graph.node.remove(gather)
    for offset, node in enumerate(made):
        graph.graph.node.insert(at + offset, node)
    if not any(name in node.input for node in graph.graph.node):
        graph.graph.initializer.remove(table)


class _Reader:
    """Examples as ONNX Runtime asks for them: one after another, then None."""

    def __init__(self, examples: Iterator[Mapping[str, Any]]) -> None:
        self._examples = examples

    def get_next(self) -> Mapping[str, Any] | None:
        return next(self._examples, None)
