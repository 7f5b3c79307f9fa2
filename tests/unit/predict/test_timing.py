"""Which method times what, and what a method says of itself."""

import dataclasses

import numpy as np
import pytest
from asked import GPU, NET

from netwright.core.workload import Matrix, Operator
from netwright.predict import learned, operators, roofline, timing
from netwright.predict.learned import Told


def told(suite, value, why="", refused=False):
    """An answer of n rows with bounds of half and twice the value."""
    values = np.atleast_1d(np.asarray(value, dtype=float))
    n = len(values)
    return Told(
        value=values, low=values / 2, high=values * 2, level=0.9, in_range=np.full(n, not why), suite=suite, devices=5,
        refused=np.full(n, refused), why=np.full(n, why, dtype=object),
    )  # fmt: skip


LSTM = Operator(name="lstm_recurrence", flops=1e9, dtype="bf16")


def use(monkeypatch, **answers):
    """Suites answer so; a function is given the columns."""

    def rows(suite, columns, device, measured=None):
        found = answers.get(suite)
        return found(columns) if callable(found) else found

    monkeypatch.setattr(learned, "rows", rows)


def named(name, net=NET):
    return dataclasses.replace(
        net, operators=tuple(dataclasses.replace(o, name=name, matrix=None) for o in net.operators)
    )


def test_without_a_predictor_the_roofline_answers(monkeypatch):
    use(monkeypatch)
    found = timing.call(NET, GPU)
    low, value, high = roofline.call(NET, GPU)[0]
    assert (found.seconds.low, found.seconds.value, found.seconds.high) == (low, value, high)
    assert found.method == timing.METHOD
    assert found.in_range


def test_a_whole_network_is_a_rate_turned_round(monkeypatch):
    use(monkeypatch, timm=told("timm", 1000.0))
    found = timing.call(NET, GPU)
    assert (found.seconds.low, found.seconds.value, found.seconds.high) == pytest.approx((8 / 2000, 8 / 1000, 8 / 500))
    assert "whole" in found.method
    assert found.n == 5
    assert found.notes == ("eager, as PyTorch runs it",)
    assert timing.call(NET, GPU, compiled=True).notes == ("compiled, as PyTorch runs it",)


def test_the_method_follows_what_the_work_is_made_of(monkeypatch):
    use(
        monkeypatch,
        timm=told("timm", 1000.0, "linear is outside"),
        gemm=lambda c: told("gemm", np.full(len(c["m"]), 1e-3)),
    )
    for name in ("convolution", "mm", "scaled_dot_product_attention"):
        found = timing.call(named(name), GPU)
        assert "whole" in found.method
        assert found.outside == ("linear is outside",)
        assert not found.in_range
    assert "alone" in timing.call(dataclasses.replace(NET, operators=(*NET.operators, LSTM)), GPU).method
    assert timing.call(named("relu"), GPU).method == timing.METHOD


def test_what_is_refused_is_asked_elsewhere(monkeypatch):
    use(monkeypatch, timm=told("timm", np.nan, "no rate", refused=True))
    assert timing.call(NET, GPU).method == timing.METHOD


def test_products_are_summed_and_the_rest_is_the_rooflines(monkeypatch):
    """Without a suite of whole networks."""
    seen = []

    def gemm(columns):
        seen.append({name: list(columns[name]) for name in ("m", "n", "k", "gemm_dtype")})
        return told("gemm", np.full(len(columns["m"]), 1e-3), "waves is outside")

    use(monkeypatch, gemm=gemm)
    found = timing.call(NET, GPU)
    assert seen == [{"m": [8000], "n": [1000], "k": [500], "gemm_dtype": ["bfloat16"]}]
    rest = [operator for operator in NET.operators if operator.name != "mm"]
    known = roofline.prior("gpu")
    least, likely, most = roofline.seconds(rest, GPU, {"bf16": GPU.rate("bf16")}, known)
    assert found.seconds.value == pytest.approx(2e-3 + likely)
    assert found.seconds.low == pytest.approx(1e-3 + least)
    assert found.seconds.high == pytest.approx(4e-3 + most + 2 * known.floor[2])
    assert found.outside == ("waves is outside",)


def test_work_that_is_hardly_products_is_the_rooflines(monkeypatch):
    use(monkeypatch, gemm=lambda columns: pytest.fail("asked"))
    little = Operator(name="mm", flops=1e6, dtype="bf16", matrix=Matrix(m=10, n=10, k=10))
    looked_up = Operator(name="embedding", flops=0.0, input_bytes=1e9, output_bytes=1e9, dtype="bf16")
    assert operators.timed(dataclasses.replace(NET, operators=(little, looked_up)), GPU) is None


def test_a_step_is_the_suites_or_three_passes(monkeypatch):
    use(monkeypatch, timm=told("timm", 100.0))
    assert timing.step(NET, GPU).seconds.value == pytest.approx(0.08)
    use(monkeypatch)
    forward, step = timing.call(NET, GPU), timing.step(NET, GPU)
    assert step.seconds.value > 3 * forward.seconds.value
    assert any("two forward passes" in note for note in step.notes)
