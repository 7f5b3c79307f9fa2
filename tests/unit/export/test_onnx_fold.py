"""Weights on a grid are stored as integers, however the converter writes the rounding."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from netwright.export.onnx import fold


@pytest.mark.parametrize("rows", [3, 20_000])
def test_a_table_whose_zero_points_are_cast_is_stored_in_a_byte_each(rows):
    table = np.random.default_rng(0).normal(size=(rows, 4)).astype(np.float32)
    step = np.abs(table).max(1) / 127
    constants = {"table": table, "step": step, "zeros": np.zeros(rows, np.int64), "low": np.int8(-127)}
    model = helper.make_model(
        helper.make_graph(
            [
                helper.make_node("Cast", ["zeros"], ["zero"], to=TensorProto.INT8),
                helper.make_node("QuantizeLinear", ["table", "step", "zero"], ["levels"], axis=0),
                helper.make_node("Clip", ["levels", "low"], ["clipped"]),
                helper.make_node("DequantizeLinear", ["clipped", "step", "zero"], ["rounded"], axis=0),
                helper.make_node("Gather", ["rounded", "ids"], ["answer"]),
            ],
            "network",
            [helper.make_tensor_value_info("ids", TensorProto.INT64, [None])],
            [helper.make_tensor_value_info("answer", TensorProto.FLOAT, [None, 4])],
            [numpy_helper.from_array(np.asarray(x), name) for name, x in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 20)],
    )
    fold(model)
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["DequantizeLinear", "Gather"]
    stored = {x.name: numpy_helper.to_array(x) for x in model.graph.initializer}
    assert {x.dtype for x in stored.values()} == {np.dtype(np.int8), np.dtype(np.float32)}
    np.testing.assert_array_equal(stored["clipped"], np.rint(table / step[:, None]))
