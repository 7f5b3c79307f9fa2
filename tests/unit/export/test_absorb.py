"""Batch normalization behind integer weights becomes part of them, and answers stay."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from netwright.export.absorb import absorb


def network(bias=True, gamma=(1.5, -0.7, 0.0, 1e-9), read_twice=False):
    """Image on a grid -> convolution with integer weights -> batch normalization."""
    generator = np.random.default_rng(0)
    constants = {
        "step": np.float32(0.02), "zero": np.uint8(128), "levels": generator.integers(-127, 128, (4, 3, 3, 3), np.int8),
        "steps": np.float32([-0.01, 0.02, 0.03, 1e-12]), "zeros": np.zeros(4, np.int8), "gamma": np.float32(gamma),
        "beta": np.float32([0.1, -0.2, 0.3, 5.0]), "mean": generator.normal(size=4).astype(np.float32),
        "variance": np.float32([0.5, 1, 2, 1e-3]),
    }  # fmt: skip
    constants |= {"bias": generator.normal(size=4).astype(np.float32)} if bias else {}
    nodes = [
        helper.make_node("QuantizeLinear", ["image", "step", "zero"], ["on_grid"]),
        helper.make_node("DequantizeLinear", ["on_grid", "step", "zero"], ["input"]),
        helper.make_node("DequantizeLinear", ["levels", "steps", "zeros"], ["weight"], axis=0),
        helper.make_node("Conv", ["input", "weight", *(["bias"] if bias else [])], ["sums"]),
        helper.make_node("BatchNormalization", ["sums", "gamma", "beta", "mean", "variance"], ["normal"], epsilon=1e-3),
        helper.make_node("Add", ["normal", "sums"], ["answer"]) if read_twice
        else helper.make_node("Relu", ["normal"], ["answer"]),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes, "network",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [None, 3, 8, 8])],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, [None, 4, 6, 6])],
        [numpy_helper.from_array(np.asarray(x), name) for name, x in constants.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def answers(model):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    image = np.random.default_rng(1).normal(size=(5, 3, 8, 8)).astype(np.float32)
    return session.run(None, {"image": image})[0]


@pytest.mark.parametrize("bias", [True, False])
def test_answers_stay_with_steps_and_factors_that_are_negative_or_nothing(bias):
    model = network(bias)
    before = answers(model)
    absorb(model)
    onnx.checker.check_model(model, full_check=True)
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    np.testing.assert_allclose(answers(model), before, atol=1e-5)


def test_a_bias_fits_into_the_integers_it_is_added_as():
    model = network()
    absorb(model)
    stored = {x.name: numpy_helper.to_array(x) for x in model.graph.initializer}
    assert (np.abs(stored["beta"]) / (stored["step"] * stored["steps"]) <= 2**30 * (1 + 1e-6)).all()


def test_what_somebody_else_reads_too_is_left_alone():
    model = network(read_twice=True)
    before = model.SerializeToString()
    absorb(model)
    assert model.SerializeToString() == before
