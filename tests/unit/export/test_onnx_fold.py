"""Weights on a grid are stored as integers, however the converter writes the rounding."""

import numpy as np
import onnx
import onnxruntime
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


def test_convolutions_of_four_bits_are_stored_so_and_widened_by_the_runtime():
    generator = np.random.default_rng(0)
    levels = generator.integers(-7, 8, (6, 3, 3, 3))
    step = generator.uniform(0.01, 0.02, 6).astype(np.float32)
    constants = {"weight": (levels * step[:, None, None, None]).astype(np.float32), "step": step,
                 "zero": np.zeros(6, np.int8)}  # fmt: skip
    model = helper.make_model(
        helper.make_graph(
            [
                helper.make_node("QuantizeLinear", ["weight", "step", "zero"], ["levels"], axis=0),
                helper.make_node("DequantizeLinear", ["levels", "step", "zero"], ["rounded"], axis=0),
                helper.make_node("Conv", ["image", "rounded"], ["answer"]),
            ],
            "network",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 8, 8])],
            [helper.make_tensor_value_info("answer", TensorProto.FLOAT, [1, 6, 6, 6])],
            [numpy_helper.from_array(np.asarray(x), name) for name, x in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 21)],
        ir_version=10,
    )
    image = {"image": generator.normal(size=(1, 3, 8, 8)).astype(np.float32)}
    (before,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, image)
    fold(model)
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["Cast", "DequantizeLinear", "Conv"]
    stored = {x.name: x for x in model.graph.initializer}
    assert stored["levels"].data_type == TensorProto.INT4
    np.testing.assert_array_equal(numpy_helper.to_array(stored["levels"]).astype(int), levels)
    (after,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, image)
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-5)
