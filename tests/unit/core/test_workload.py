"""Workloads on disk, at other batches and in other dtypes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netwright.core import recipe, workload
from netwright.core.error import UserError
from netwright.core.workload import Attention, Matrix, Operator, Workload

PRODUCT = Operator(
    name="mm", flops=2 * 6 * 5 * 4, weight_bytes=80, input_bytes=96, output_bytes=120, matrix=Matrix(m=6, n=5, k=4)
)
ATTENTION = Attention(batch=2, heads=4, kv_heads=2, queries=3, keys=5, head_dim=8, value_dim=8, causal=True)
FUSED = Operator(name="attention", flops=ATTENTION.flops, input_bytes=1000, output_bytes=768, attention=ATTENTION)
WORK = Workload(
    name="net", batch=2, parameters=20, operators=(PRODUCT, FUSED), peak_bytes=1768, stored_bytes=80, notes=("a note",)
)


def test_there_and_back(tmp_path):
    workload.write(WORK, tmp_path)
    assert workload.read(tmp_path) == WORK


def test_what_older_versions_wrote_is_read(tmp_path):
    """Name, batch, parameters and six counts an operator were all there was; the digest is still the same."""
    old = {
        "name": "net",
        "batch": 1,
        "parameters": 3,
        "operators": [
            {"name": "mm", "flops": 6.0, "weight_bytes": 12.0, "input_bytes": 4.0, "output_bytes": 8.0, "dtype": "fp32"}
        ],
    }
    (tmp_path / workload.FILE).write_text(json.dumps(old))
    found = workload.read(tmp_path)
    assert (found.kind, found.peak_bytes, found.notes, found.operators[0].matrix) == ("inference", 0, (), None)
    assert found.digest == recipe.digest(old)


def test_what_a_product_is_does_not_change_the_digest():
    bare = Workload(name="net", batch=2, parameters=20, operators=tuple(_bare(o) for o in WORK.operators))
    assert bare.digest == WORK.digest
    assert WORK.at_batch(4).digest != WORK.digest


def _bare(one):
    return Operator(**{**vars(one), "matrix": None, "attention": None})


def test_shapes_are_flops():
    assert PRODUCT.matrix.flops == PRODUCT.flops
    assert ATTENTION.flops == 2 * (2 * 2 * 4 * 3 * 5 * 8)


def test_activations_by_hand():
    assert PRODUCT.activations == 30
    assert FUSED.activations == 768 / 4 + 2 * 4 * 3 * 5
    assert WORK.activations == PRODUCT.activations + FUSED.activations
    wide = Operator(name="mm", flops=1, output_bytes=120, dtype="int8", matrix=PRODUCT.matrix)
    assert wide.activations == 30  # 32-bit sums of 8-bit products


def test_the_cache_of_a_token():
    assert WORK.kv_bytes_per_token == 4 * 2 * 16
    assert WORK.at_dtype("bf16").kv_bytes_per_token == 2 * 2 * 16


def test_a_batch_grows_what_it_multiplies():
    product, fused = WORK.at_batch(6).operators
    assert (product.matrix.m, product.flops, product.weight_bytes, product.input_bytes) == (18, 720, 80, 288)
    assert fused.attention.batch == 6
    assert fused.attention.flops == fused.flops
    update = Operator(name="adamw", flops=7, weight_bytes=9)
    assert Workload(name="n", batch=1, parameters=1, operators=(update,)).at_batch(5).operators == (update,)


@given(
    by=st.integers(1, 64), axis=st.sampled_from(["m", "n", "k", "count"]),
    sizes=st.tuples(*[st.integers(1, 100)] * 4),
)  # fmt: skip
def test_a_grown_product_is_still_its_flops(by, axis, sizes):
    m, n, k, count = sizes
    matrix = Matrix(m=m, n=n, k=k, count=count, grows=axis)
    one = Operator(name="mm", flops=matrix.flops, input_bytes=1, matrix=matrix)
    (grown,) = Workload(name="n", batch=1, parameters=1, operators=(one,)).at_batch(by).operators
    assert grown.matrix.flops == pytest.approx(grown.flops)


def test_a_dtype_narrows_every_operator_from_its_own():
    mixed = Workload(
        name="n",
        batch=1,
        parameters=1,
        peak_bytes=100,
        stored_bytes=8,
        operators=(
            Operator(name="mm", flops=1, weight_bytes=8, dtype="bf16"),
            Operator(name="add", flops=1, input_bytes=8),
        ),
    )
    narrow = mixed.at_dtype("int8")
    assert [(o.weight_bytes, o.input_bytes, o.dtype) for o in narrow.operators] == [(4, 0, "int8"), (0, 2, "int8")]
    assert (narrow.peak_bytes, narrow.stored_bytes) == (25, 2)


def test_a_training_step_keeps_its_dtypes():
    step = Workload(name="n", batch=1, parameters=1, operators=(PRODUCT,), kind="training", peak_bytes=2, kept_bytes=1)
    assert step.at_dtype("fp32") == step
    with pytest.raises(UserError, match="autocast"):
        step.at_dtype("bf16")


def test_another_length_needs_another_trace():
    known = Workload(name="n", batch=1, parameters=1, operators=(), sequence=128)
    assert known.at_sequence(128) is known
    with pytest.raises(UserError, match="traced with"):
        known.at_sequence(256)


@pytest.mark.parametrize("wrong", [{"kept_bytes": 2.0}, {"batch": 0}, {"peak_bytes": -1.0}, {"parameters": -1}])
def test_impossible_workloads(wrong):
    with pytest.raises(ValueError, match="n:"):
        Workload(**{"name": "n", "batch": 1, "parameters": 1, "operators": (), "peak_bytes": 1.0, **wrong})
