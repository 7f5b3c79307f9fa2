"""Grids before maxima: the same values, from a graph in which maxima are taken of integers."""

import numpy as np
import openvino
import pytest
from openvino import opset13

from netwright.export.openvino import round_before_pools


def graph(ends, others=()):
    """A maximum that grids of these ends read, and further readers of it."""
    image = opset13.parameter([1, 2, 8, 8], np.float32, name="image")
    pool = opset13.max_pool(image, [2, 2], [1, 1], [1, 1], [1, 1], [3, 3])
    grids = [opset13.fake_quantize(pool.output(0), *map(np.float32, (low, high, low, high)), 256) for low, high in ends]
    outputs = [opset13.multiply(grid, np.float32(at + 2)) for at, grid in enumerate(grids)]
    outputs += [opset13.add(pool.output(0), np.float32(one)) for one in others]
    return openvino.Model(outputs, [image])


def answers(model, image):
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return [np.array(x) for x in compiled([image]).values()]


def before_pools(model):
    return [op.input_value(0).get_node().get_type_name() for op in model.get_ops() if op.get_type_name() == "MaxPool"]


@pytest.mark.parametrize(
    ("ends", "others", "moved"),
    [
        ([(-1, 2)], (), True),
        ([(-1, 2), (-1, 2)], (), True),
        ([(-1, 2), (0, 2)], (), False),
        ([(-1, 2)], (1.0,), False),
        ([], (1.0,), False),
    ],
)
def test_answers_stay_what_they_were(ends, others, moved):
    image = np.random.default_rng(0).normal(size=(1, 2, 8, 8)).astype(np.float32)
    model = graph(ends, others)
    before = answers(model, image)
    round_before_pools(model)
    assert before_pools(model) == ["FakeQuantize" if moved else "Parameter"]
    for was, is_ in zip(before, answers(model, image), strict=True):
        np.testing.assert_allclose(was, is_, rtol=1e-6)  # levels are some 1e-2 apart
