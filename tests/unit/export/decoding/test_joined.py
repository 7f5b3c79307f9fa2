"""Products that are put together answer as before, in whatever their weights are stored."""

import numpy as np
import pytest

pytest.importorskip("openvino")

import openvino as ov
from hypothesis import given, settings
from hypothesis import strategies as st
from openvino import opset13 as op

from netwright.export.decoding.joined import join
from netwright.export.openvino import core

KINDS = ["float32", "float16", "uint8", "int8", "uint4"]


def matrix(generator, kind, rows, columns):
    """Weights as they are stored, and the steps that make numbers of them."""
    if kind == "float32":
        return op.constant(generator.normal(size=(rows, columns)).astype(np.float32))
    if kind == "float16":
        return op.convert(op.constant(generator.normal(size=(rows, columns)).astype(np.float16)), "f32")
    scale = op.constant(generator.uniform(0.01, 0.1, (rows, 1)).astype(np.float32))
    if kind == "int8":
        levels = op.constant(generator.integers(-127, 128, (rows, columns)).astype(np.int8))
        return op.multiply(op.convert(levels, "f32"), scale)
    types = {"uint8": (256, ov.Type.u8), "uint4": (16, ov.Type.u4)}
    most, stored = types[kind]
    levels = op.constant(generator.integers(0, most, (rows, columns)).astype(np.uint8), dtype=stored)
    zero = op.constant(generator.integers(0, most, (rows, 1)).astype(np.uint8), dtype=stored)
    return op.multiply(op.subtract(op.convert(levels, "f32"), op.convert(zero, "f32")), scale)


def network(seed, kinds, rows, columns=6):
    generator = np.random.default_rng(seed)
    x = op.parameter(ov.PartialShape([-1, columns]), ov.Type.f32, name="x")
    features = op.relu(x)
    made = [op.matmul(features, matrix(generator, kind, count, columns), False, True)
            for kind, count in zip(kinds, rows, strict=True)]  # fmt: skip
    alone = op.matmul(x, matrix(generator, kinds[0], 3, columns), False, True)
    return ov.Model([op.relu(one) for one in [*made, alone]], [x])


def answers(model, x):
    compiled = core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return list(compiled(x).values())


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    kinds=st.one_of(
        st.tuples(st.sampled_from(KINDS), st.integers(2, 4)).map(lambda one: [one[0]] * one[1]),
        st.lists(st.sampled_from(KINDS), min_size=2, max_size=4),
    ),
    data=st.data(),
)
def test_answers_are_the_same(seed, kinds, data):
    rows = data.draw(st.lists(st.integers(1, 9), min_size=len(kinds), max_size=len(kinds)))
    x = np.random.default_rng(seed).normal(size=(data.draw(st.integers(1, 5)), 6)).astype(np.float32)
    want = answers(network(seed, kinds, rows), x)
    model = network(seed, kinds, rows)
    count = join(model)
    assert count == (len(set(kinds)) == 1 and kinds[0] != "uint4"), "INT4 and what is stored otherwise stay apart"
    products = [node for node in model.get_ordered_ops() if node.get_type_name() == "MatMul"]
    assert len(products) == (2 if count else len(kinds) + 1)
    for a, b in zip(want, answers(model, x), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_a_decoder_has_one_product_for_queries_keys_and_values_and_one_for_both_gates(written):
    from netwright.export import openvino as plain
    from netwright.export.decoding import openvino as stateful

    artifact = written[1]["openvino"]
    before, after = plain.load(artifact), stateful.opened(artifact)
    count = [sum(node.get_type_name() == "MatMul" for node in model.get_ops()) for model in (before, after)]
    depth = artifact.model["depth"]
    assert count[0] - count[1] == (3 * depth if artifact.model["name"] == "llama" else 0), "GPT-2 has them as one"
