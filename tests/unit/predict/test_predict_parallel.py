"""A step on several processes from one process's step, against sums by hand."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netwright.core.measurement import Measurement
from netwright.core.workload import Operator, Workload
from netwright.predict import parallel, scale

ALONE = Measurement(quantity="training_step", value=0.1, low=0.09, high=0.12, n=20)
PRODUCT = Operator(name="mm", flops=1e6, output_bytes=1e6)
WORK = Workload(name="net", batch=8, parameters=1_000_000, operators=(PRODUCT, PRODUCT))
START, RATE = 1e-4, 1e9


def messages(processes=2, off=(1.0, 1.0, 1.0)):
    sizes = (1e3, 1e5, 1e7)
    share = 2 * (processes - 1) / processes
    return [(size, by * (START + share * size / RATE)) for size, by in zip(sizes, off, strict=True)]


def step(kind, processes=2, micro=4, **changes):
    work = dataclasses.replace(WORK, **changes)
    return parallel.step(
        ALONE, work, kind=kind, processes=processes, microbatches=micro, messages=messages(processes)
    )  # fmt: skip


def test_a_wire_is_what_its_messages_say():
    wire = scale.measured(messages(), 2)
    assert (wire.start, wire.rate) == (pytest.approx(START), pytest.approx(RATE))
    assert wire.around == (pytest.approx(1), pytest.approx(1))
    found = scale.all_reduce(1e6, 4, wire)
    assert found.value == pytest.approx(START + 1.5e6 / RATE)
    assert scale.send(1e6, wire).value == pytest.approx(START + 1e6 / RATE)


def test_messages_that_scatter_widen_its_bounds():
    low, high = scale.measured(messages(off=(0.8, 1.3, 0.9)), 2).around
    assert low < 0.95
    assert high > 1.1


@given(st.lists(st.floats(1e-7, 10), min_size=2, max_size=6))
def test_any_times_make_a_wire(seconds):
    wire = scale.measured([(4.0**at, one) for at, one in enumerate(seconds)], 2)
    found = wire.message(1, 1e3)
    assert 0 < found.low <= found.value <= found.high


def test_gradients_are_exchanged_among_replicas():
    wire = START + 4e6 / RATE
    found = step("ddp")
    assert found.value == pytest.approx(0.1 + 0.25 * wire)
    assert (found.low, found.high) == (pytest.approx(0.1 + 0.25 * wire, rel=0.15), pytest.approx(0.12 + wire))
    assert step("fsdp2", micro=4).high == pytest.approx(0.12 + START + 4.5 * 4e6 / RATE)


def test_layers_are_divided_and_summed():
    # of two products one is summed, forward and backward, in each of four micro-batches
    assert step("tensor").value == pytest.approx(0.1 / 2 + 4 * 2 * (START + 1e6 / RATE))


def test_a_pipeline_waits_while_it_fills_and_drains():
    sent = 2 * (4 + 2 - 2) * (START + 1e6 / RATE)
    assert step("pipeline").value == pytest.approx(0.1 / 2 * 5 / 4 + sent)


@pytest.mark.parametrize("kind", ["ddp", "fsdp2", "tensor", "pipeline"])
def test_it_says_what_it_comes_from(kind):
    found = step(kind, processes=4)
    assert found.source == "predicted"
    assert found.conditions["processes"] == 4
    assert "100 ms alone; messages take 100 µs and 1 GB/s" in found.conditions["basis"]
