"""INT4 in a file: integers of half a byte that OpenVINO makes INT8 of where it multiplies integers."""

import numpy as np
import openvino
import pytest
from openvino import opset13

from netwright.export.openvino import widen


def graph(kind, rounds):
    """One layer with weights of 4 bits and steps of its channels."""
    generator = np.random.default_rng(0)
    shape, given = ((6, 3, 3, 3), [1, 3, 8, 8]) if kind == "Convolution" else ((6, 16), [4, 16])
    levels = openvino.Tensor(openvino.Type.i4, openvino.Shape(shape))
    levels.data[:] = generator.integers(0, 256, levels.data.shape, np.uint8)
    step = generator.uniform(0.01, 0.02, (6, *[1] * (len(shape) - 1))).astype(np.float32)
    weight = opset13.multiply(opset13.convert(opset13.constant(levels), "f32"), step)
    image = opset13.parameter(given, np.float32, name="image")
    low, high = np.float32(-3 * 128 / 127), np.float32(3)  # 0 is a level
    inside = opset13.fake_quantize(image, low, high, low, high, 256) if rounds else image
    if kind == "Convolution":
        return openvino.Model([opset13.convolution(inside, weight, [1, 1], [0, 0], [0, 0], [1, 1])], [image])
    return openvino.Model([opset13.matmul(inside, weight, False, True)], [image])


def answer(model):
    shape = model.inputs[0].shape
    x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    return openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([x])[0]


@pytest.mark.parametrize(
    ("kind", "rounds", "widened"),
    [("Convolution", True, True), ("Convolution", False, True), ("MatMul", True, True), ("MatMul", False, False)],
)
def test_what_multiplies_integers_gets_them_wide_and_the_file_keeps_half_a_byte(kind, rounds, widened, tmp_path):
    model = graph(kind, rounds)
    before = answer(model)
    widen(model)
    readers = [
        next(iter(op.output(0).get_target_inputs())).get_node()
        for op in model.get_ordered_ops()
        if op.get_type_name() == "Constant" and "int4" in str(op.get_element_type())
    ]
    assert [str(reader.get_element_type()) for reader in readers] == [
        "<Type: 'int8_t'>" if widened else "<Type: 'float32'>"
    ]
    np.testing.assert_allclose(answer(model), before, rtol=1e-3, atol=1e-3)
    openvino.save_model(model, tmp_path / "model.xml", compress_to_fp16=False)
    np.testing.assert_allclose(answer(openvino.Core().read_model(tmp_path / "model.xml")), before, rtol=1e-3, atol=1e-3)
    assert (tmp_path / "model.bin").stat().st_size < 6 * 27 / 2 + 200
