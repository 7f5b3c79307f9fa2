"""Memory by hand, what it must keep whatever the sizes, and that its counts agree with its sums."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netwright.core.error import UserError
from netwright.core.workload import Attention, Operator, Workload
from netwright.hardware.device import Device
from netwright.predict import memory
from netwright.predict.scale import Split
from netwright.predict.spread import Spread

GPU = Device(name="Maker One", manufacturer="Maker", kind="gpu", rates={"bf16": 1e14}, bandwidth=1e12, memory=8e9)
OVERHEAD = memory.OVERHEAD["gpu"]

FORWARD = Workload(
    name="net",
    batch=2,
    parameters=1_000_000,
    peak_bytes=6e6,
    stored_bytes=4e6,
    operators=(
        Operator(name="mm", flops=1e9, weight_bytes=4e6, input_bytes=1e6, output_bytes=3e6),
        Operator(name="relu", flops=1e6, input_bytes=3e6, output_bytes=3e6),
    ),
)
STEP = Workload(
    name="net",
    batch=2,
    parameters=1_000_000,
    kind="training",
    peak_bytes=9e6,
    kept_bytes=8e6,
    stored_bytes=4e6,
    operators=(*FORWARD.operators, Operator(name="adamw", flops=1.4e7, weight_bytes=2.8e7)),
)


def test_inference_by_hand():
    """4 MB of weights; an item takes 2 to 3 MB: half of what ReLU reads and writes, half of the traced peak."""
    demand = memory.of_workload(FORWARD)
    assert (demand.weights, demand.gradients, demand.optimizer, demand.token) == (4e6, 0, 0, 0)
    assert demand.item == Spread(3e6, 3e6, 1.25 * 3e6)
    held = demand.held(batch=10)
    assert held.value == pytest.approx(OVERHEAD.value + 4e6 + 30e6)
    assert held.low == pytest.approx(OVERHEAD.low + 4e6 + 30e6)


def test_training_by_hand():
    """AdamW: 4 bytes of weight, 4 of gradient, 8 of moments for each parameter; of the peak, 8 MB are kept anyway."""
    demand = memory.of_workload(STEP)
    assert (demand.weights, demand.gradients, demand.optimizer) == (4e6, 4e6, 8e6)
    assert demand.item == Spread(4.5e6, 4e6, 1.25 * 4.5e6)
    assert memory.of_workload(STEP, optimizer="sgd").optimizer == 0


def test_training_of_what_was_traced_as_inference_is_a_wider_guess():
    demand = memory.of_workload(FORWARD, optimizer="adamw")
    assert demand.optimizer == 8e6
    assert demand.item.high / demand.item.low > 2


def test_only_what_is_trained_has_gradients():
    frozen = Workload(
        **{**vars(STEP), "operators": (*FORWARD.operators, Operator(name="adamw", flops=1.4e4, weight_bytes=2.8e4))}
    )
    demand = memory.of_workload(frozen)
    assert (demand.weights, demand.gradients, demand.optimizer) == (4e6, 4e3, 8e3)


def test_an_old_workload_without_a_peak():
    old = Workload(name="net", batch=2, parameters=1_000_000, operators=FORWARD.operators)
    demand = memory.of_workload(old)
    assert demand.weights == 4e6
    assert demand.item.low == 3e6
    assert demand.item.high == 6e6


def test_splits_by_hand():
    assert memory.of_workload(FORWARD, Split(tensor=4)).weights == 1e6
    assert memory.of_workload(FORWARD, Split(pipeline=2, tensor=2)).weights == 1e6
    assert memory.of_workload(FORWARD, Split(data=4)).weights == 4e6
    stages = [memory.of_workload(STEP, Split(data=4), sharded=stage) for stage in (0, 1, 2, 3)]
    assert [(d.optimizer, d.gradients, d.weights) for d in stages] == [
        (8e6, 4e6, 4e6),
        (2e6, 4e6, 4e6),
        (2e6, 1e6, 4e6),
        (2e6, 1e6, 1e6),
    ]
    one, two = (memory.of_workload(STEP, Split(pipeline=p, microbatches=8)) for p in (1, 2))
    assert two.item.value == pytest.approx(one.item.value * 2 / 8 / 2)


def test_a_language_model_by_hand():
    """7 GB of weights, 0.5 MB a token: of 8 GB, half a GB is left after an overhead of half a GB."""
    demand = memory.of_language_model(7e9, 0.5e6)
    found = memory.max_context(demand, GPU)
    assert (found.quantity, found.value) == ("max_context", 1000)
    assert (found.low, found.high) == (0, 1400)
    assert memory.max_batch(demand, GPU, context=100).value == 10
    wide = memory.of_language_model(7e9, 0.5e6, split=Split(tensor=8), kv_heads=2)
    assert (wide.weights, wide.token) == (7e9 / 8, 0.25e6)


def test_the_cache_of_a_traced_decoder():
    attention = Attention(batch=1, heads=4, kv_heads=2, queries=8, keys=8, head_dim=16, value_dim=16, causal=True)
    work = Workload(
        name="lm",
        batch=1,
        parameters=10,
        operators=(Operator(name="attention", flops=attention.flops, output_bytes=10, attention=attention),),
    )
    assert memory.of_workload(work).token == 4 * 2 * 32


def test_fits_knows_when_it_does_not_know():
    demand = memory.Demand(weights=7e9)
    assert memory.fits(demand, GPU) is None  # 7.3 to 8.2 GB of 8
    assert memory.fits(memory.Demand(weights=1e9), GPU) is True
    assert memory.fits(memory.Demand(weights=9e9), GPU) is False


def test_what_cannot_fit_is_refused_with_the_next_try():
    demand = memory.of_workload(FORWARD)
    memory.check(demand, GPU, batch=1000)
    with pytest.raises(UserError, match="has 8 GB") as refusal:
        memory.check(demand, GPU, batch=100_000)
    batch = int(refusal.value.next.split()[-1])
    assert memory.fits(demand, GPU, batch) is not False
    assert memory.fits(demand, GPU, batch + 1) is False
    with pytest.raises(UserError) as refusal:
        memory.check(memory.Demand(weights=9e9, token=1.0), GPU, context=5)
    assert "int8" in refusal.value.next


def test_the_measurement_says_what_it_holds():
    found = memory.needed(memory.of_workload(STEP), GPU, batch=4, workload="digest")
    parts = found.conditions["parts"]
    assert (found.quantity, found.source, found.device, found.workload) == (
        "device_memory",
        "predicted",
        "Maker One",
        "digest",
    )
    assert sum(parts.values()) == pytest.approx(found.value)
    assert parts["activations"] == 4 * 4.5e6
    assert found.conditions["batch"] == 4


@pytest.mark.parametrize(
    ("call", "setting"),
    [
        (lambda: memory.of_workload(STEP, optimizer="adma"), "optimizer"),
        (lambda: memory.of_workload(STEP, sharded=4), "sharded"),
        (lambda: memory.max_context(memory.of_workload(FORWARD), GPU), "context"),
        (lambda: memory.max_batch(memory.Demand(weights=1e6), GPU), "batch"),
    ],
)
def test_refusals(call, setting):
    with pytest.raises(UserError) as refusal:
        call()
    assert refusal.value.setting == setting


SIZES = st.floats(1e3, 1e10)


@given(weights=SIZES, item=SIZES, token=SIZES, context=st.integers(0, 100_000))
def test_the_largest_batch_is_the_largest_that_fits(weights, item, token, context):
    demand = memory.Demand(weights=weights, item=Spread(item, item / 2, item * 2), token=token)
    found = memory.max_batch(demand, GPU, context)
    assert found.low <= found.value <= found.high
    if found.low:
        assert demand.held(int(found.low), context).high <= GPU.memory * (1 + 1e-9)
    assert demand.held(int(found.high) + 1, context).low > GPU.memory * (1 - 1e-9)
    assert demand.held(int(found.value) + 1, context).value > GPU.memory * (1 - 1e-9)


@given(weights=SIZES, token=SIZES, batch=st.integers(1, 1000))
def test_the_longest_context_is_the_longest_that_fits(weights, token, batch):
    demand = memory.Demand(weights=weights, token=token)
    found = memory.max_context(demand, GPU, batch)
    if found.value:
        assert demand.held(batch, int(found.value)).value <= GPU.memory * (1 + 1e-9)
    assert demand.held(batch, int(found.value) + 1).value > GPU.memory * (1 - 1e-9)


@given(tensor=st.integers(1, 8), pipeline=st.integers(1, 8), data=st.integers(1, 8), sharded=st.integers(0, 3))
def test_more_devices_never_take_more_memory_each(tensor, pipeline, data, sharded):
    alone = memory.of_workload(STEP)
    part = memory.of_workload(STEP, Split(tensor=tensor, pipeline=pipeline, data=data), sharded=sharded)
    assert part.fixed <= alone.fixed
    assert part.item.value <= alone.item.value
