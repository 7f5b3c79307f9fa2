"""Matrices that read the same features become one: queries, keys and values, or the two gates of an MLP.

    count = join(model)                      # of an openvino.Model that is not compiled yet

A decoder multiplies one row by each of them, which is a call and a wait for all threads each time; 211 products of
SmolLM2 become 121. Weights stay as they are stored, so that nothing is rounded otherwise, and so does the file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from netwright.core.table import extra

_PLAIN = {"float32", "float16", "int8", "uint8"}
"""What NumPy can put together; of INT4 two share a byte."""


class _UnlikeError(Exception):
    """Matrices that are not stored alike."""


def join(model: Any) -> int:
    """Put products of the same features together; answers how many products there are now in the place of more."""
    openvino = extra("openvino", "the format openvino")
    from openvino import opset13

    readers: dict[tuple[str, int], list[Any]] = defaultdict(list)
    for node in model.get_ordered_ops():
        if node.get_type_name() == "MatMul" and node.get_attributes()["transpose_b"] and _matrix(node.input_value(1)):
            features = node.input_value(0)
            readers[features.get_node().get_name(), features.get_index()].append(node)
    count = 0
    for products in readers.values():
        if len(products) < 2 or any(node.get_attributes()["transpose_a"] for node in products):
            continue
        rows = [node.input_value(1).get_partial_shape()[0].get_length() for node in products]
        try:
            weights = _joined([node.input_value(1) for node in products], rows)
        except _UnlikeError:
            continue
        product = opset13.matmul(products[0].input_value(0), weights, False, True)
        product.set_friendly_name("+".join(node.get_friendly_name() for node in products))
        last = opset13.constant(-1, openvino.Type.i64)
        split = opset13.variadic_split(product, last, opset13.constant(np.array(rows, np.int64)))
        for at, node in enumerate(products):
            for port in list(node.output(0).get_target_inputs()):
                port.replace_source_output(split.output(at))
        count += 1
    model.validate_nodes_and_infer_types()
    return count


def _matrix(value: Any) -> bool:
    shape = value.get_partial_shape()
    return bool(shape.is_static and len(shape) == 2)


def _joined(values: Sequence[Any], rows: Sequence[int]) -> Any:
    """One value of all rows, made of constants and the steps that turn them into weights."""
    from openvino import opset13

    nodes = [value.get_node() for value in values]
    kinds = {node.get_type_name() for node in nodes}
    if kinds == {"Constant"}:
        return opset13.constant(_rows([node.get_data() for node in nodes], rows))
    inputs = {node.get_input_size() for node in nodes}
    if len(kinds) > 1 or len(inputs) > 1:
        raise _UnlikeError
    given = [_joined([node.input_value(at) for node in nodes], rows) for at in range(inputs.pop())]
    if kinds == {"Convert"}:
        return opset13.convert(given[0], nodes[0].get_element_type()).output(0)
    if kinds in ({"Subtract"}, {"Multiply"}):
        made = opset13.subtract if kinds == {"Subtract"} else opset13.multiply
        return made(*given).output(0)
    raise _UnlikeError


def _rows(arrays: Sequence[Any], rows: Sequence[int]) -> Any:
    """Constants one below the other; one that all have in common, once."""
    if any(str(array.dtype) not in _PLAIN for array in arrays) or len({array.dtype for array in arrays}) > 1:
        raise _UnlikeError
    if all(array.ndim == 2 and len(array) == count for array, count in zip(arrays, rows, strict=True)):
        return np.concatenate(arrays)
    if all(array.size == 1 and np.array_equal(array, arrays[0]) for array in arrays):
        return arrays[0]
    raise _UnlikeError
