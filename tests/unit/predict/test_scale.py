"""Splits in words, collectives against sums by hand and against measured ones, the bubble, the replicas."""

import contextlib
import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netwright.core.error import UserError
from netwright.core.workload import Attention, Matrix, Operator, Workload
from netwright.hardware.device import Device
from netwright.predict import learned, scale
from netwright.predict.learned import Told
from netwright.predict.scale import Split
from netwright.predict.spread import Spread

GPU = Device(
    name="Maker One", manufacturer="Maker", kind="gpu", rates={"bf16": 1e14}, bandwidth=1e12, memory=8e10,
    link=3e11, host_link=3e10, network=2.5e10,
)  # fmt: skip


@pytest.fixture(autouse=True)
def _formulas_alone(monkeypatch):
    monkeypatch.setattr(learned, "rows", lambda *_: None)


@pytest.mark.parametrize(
    ("text", "devices", "split"),
    [
        (None, None, Split()),
        (None, 8, Split(data=8)),
        ("tp=4", 8, Split(data=2, tensor=4)),
        ("tp=4,pp=2", None, Split(tensor=4, pipeline=2)),
        ("dp=2, tp=2", 4, Split(data=2, tensor=2)),
        ("pp=4,micro=16", 8, Split(data=2, pipeline=4, microbatches=16)),
    ],
)
def test_splits_in_words(text, devices, split):
    assert scale.parse(text, devices) == split
    assert split.devices == (devices or split.devices)


@pytest.mark.parametrize(
    ("text", "devices", "said"),
    [
        ("tq=4", None, "allowed: dp, micro, pp, tp"),
        ("tp", None, "whole number"),
        ("tp=0", None, "whole number"),
        ("tp=-2", None, "whole number"),
        ("tp=1.5", None, "whole number"),
        ("tp=99999999", None, "whole number"),
        ("tp=4", 6, "multiple of 4"),
        ("dp=2", 8, "multiple of 2"),
        (None, 0, "from 1"),
        (None, 10**9, "1,000,000"),
    ],
)
def test_splits_that_are_none(text, devices, said):
    with pytest.raises(UserError, match=said):
        scale.parse(text, devices)


@given(st.text(max_size=30), st.integers(-5, 5000))
def test_whatever_is_said_is_a_split_or_refused(text, devices):
    with contextlib.suppress(UserError):
        assert scale.parse(text, devices).devices == devices


def test_an_all_reduce_by_hand():
    found = scale.all_reduce(8e6, 4, GPU)
    by_hand = scale.START + 6 * scale.HOP + 2 * 3 / 4 * 8e6 / (scale.SHARE * 3e11)
    assert found.value == pytest.approx(by_hand)
    assert found.low < found.value < found.high


# (link, devices, bytes, seconds): medians of NCCL's all-reduce in aiconfigurator's database, 16-bit numbers
MEASURED = [
    (3e11, 8, 2 * 4194304, 128.0e-6),
    (3e11, 2, 2 * 16384, 11.54e-6),
]


@pytest.mark.parametrize(("link", "devices", "size", "seconds"), MEASURED)
def test_measured_all_reduces_lie_inside(link, devices, size, seconds):
    found = scale.all_reduce(size, devices, dataclasses.replace(GPU, link=link))
    assert found.low <= seconds <= found.high


def test_a_suite_tells_what_it_knows_within_a_node(monkeypatch):
    asked = []

    def rows(suite, columns, device):
        asked.append((suite, columns["gpus"][0], columns["bytes"][0], columns["steps"][0]))
        one = {"value": 1e-3, "low": 5e-4, "high": 2e-3, "in_range": True, "refused": size < 0, "why": ""}
        return Told(**{name: np.array([x]) for name, x in one.items()}, level=0.9, suite=suite, devices=7)

    size = 8e6
    monkeypatch.setattr(learned, "rows", rows)
    assert scale.all_reduce(8e6, 4, GPU) == Spread(1e-3, 5e-4, 2e-3)
    assert scale.all_reduce(8e6, 16, GPU) != Spread(1e-3, 5e-4, 2e-3)
    size = -1
    assert scale.all_reduce(8e6, 4, GPU) != Spread(1e-3, 5e-4, 2e-3)
    assert asked == [("collective", 4, 1.2e7, 6)] * 2


@given(st.floats(1, 1e10), st.integers(2, 8), st.floats(1.01, 10))
def test_more_bytes_and_more_devices_take_longer(size, devices, more):
    once = scale.all_reduce(size, devices, GPU).value
    assert scale.all_reduce(size * more, devices, GPU).value > once
    assert scale.all_reduce(size, devices + 1, GPU).value > once


def test_beyond_a_node_messages_take_the_network():
    inside, outside = (scale.all_reduce(1e9, n, GPU).value for n in (8, 9))
    assert outside > 5 * inside


def test_a_device_whose_links_nobody_states():
    lonely = dataclasses.replace(GPU, link=None, host_link=None, network=None)
    with pytest.raises(UserError, match="link within a node"):
        scale.all_reduce(1e6, 2, lonely)
    with pytest.raises(UserError, match="network"):
        scale.all_reduce(1e6, 16, dataclasses.replace(GPU, network=None))
    assert scale.rate(dataclasses.replace(GPU, link=None), 2) == 3e10


def test_the_bubble():
    assert scale.bubble(1, 4) == 0
    assert scale.bubble(4, 16) == pytest.approx(3 / 19)


def test_replicas_lose_what_mlperfs_eight_lose():
    eight = scale.replicas(8)
    assert (eight.value / 8, eight.low / 8, eight.high) == pytest.approx((0.96, 0.87, 8))
    assert scale.replicas(1).value == 1


def test_a_shard_divides_weights_arithmetic_and_shapes():
    product = Operator(
        name="mm", flops=8e9, weight_bytes=4e6, input_bytes=2e6, output_bytes=2e6, matrix=Matrix(m=1000, n=2000, k=2000)
    )
    attends = Operator(
        name="attention", flops=1e9, input_bytes=1e6,
        attention=Attention(batch=1, heads=8, kv_heads=2, queries=9, keys=9, head_dim=64, value_dim=64),
    )  # fmt: skip
    whole = Workload(name="net", batch=1, parameters=1_000_001, operators=(product, attends))
    part = scale.shard(whole, 4)
    assert part.parameters == 250_001
    assert part.operators[0].flops == 2e9
    assert part.operators[0].weight_bytes == 1e6
    assert part.operators[0].input_bytes == pytest.approx(2e6 * 0.625)
    assert part.operators[0].matrix.n == 500
    assert (part.operators[1].attention.heads, part.operators[1].attention.kv_heads) == (2, 1)
    assert scale.shard(whole, 1) is whole


def test_every_second_product_is_reduced():
    product = Operator(name="mm", flops=1e9, output_bytes=1e6)
    work = Workload(name="net", batch=1, parameters=1, operators=(product,) * 4)
    assert scale.reduced(work, 2, GPU).value == pytest.approx(2 * scale.all_reduce(1e6, 2, GPU).value)
    assert scale.reduced(dataclasses.replace(work, operators=()), 2, GPU).value > 0
