"""A language model's forecast: memory by hand, times that hang together, splits, and what does not fit."""

import dataclasses

import pytest
from asked import GPU, SMALL

from netwright.core.error import UserError
from netwright.predict import estimate, generation, learned, llm, scale
from netwright.predict.question import Question

BIG = llm.named("Llama-3.1-70B")


@pytest.fixture(autouse=True)
def _roofline_alone(monkeypatch):
    monkeypatch.setattr(learned, "rows", lambda *_: None)


def ask(model=SMALL, device=GPU, **question):
    return {one.quantity: one for one in estimate.predict(model, device, Question(**question))}


def test_everything_that_a_person_asks():
    found = ask(batch=4, sequence=512, output=100)
    assert list(found) == [
        "time_to_first_token", "time_per_output_token", "latency", "throughput", "token_throughput", "device_memory",
        "max_batch", "max_context", "utilisation", "power", "energy", "token_energy", "cost", "token_cost",
    ]  # fmt: skip
    assert found["latency"].conditions | {"batch": 4, "sequence": 512, "output": 100} == found["latency"].conditions


def test_the_parts_agree_with_each_other():
    found = {name: one.value for name, one in ask(batch=4, output=100).items()}
    first, each = found["time_to_first_token"], found["time_per_output_token"]
    assert found["latency"] == pytest.approx(first + 99 * each)
    assert found["throughput"] == pytest.approx(4 / (4 * first + 100 * each))
    assert found["token_throughput"] == pytest.approx(100 * found["throughput"])
    assert found["token_energy"] == pytest.approx(found["energy"] / 100)
    assert found["token_cost"] == pytest.approx(found["cost"] / 100)


def test_weights_and_cache_by_hand():
    demand = generation.demanded(SMALL, 1024, scale.Split())
    assert demand.weights == SMALL.weight_bytes
    assert demand.token == 4 * 2 * 2 * 64 * 2
    cut = generation.demanded(SMALL, 1024, scale.Split(tensor=8))
    assert cut.weights == SMALL.weight_bytes / 8
    assert cut.token == demand.token / 2  # two heads of keys: six of eight devices hold copies


def test_more_at_once_cost_less_each_and_longer_texts_more():
    few, many = ask(batch=1), ask(batch=64)
    assert many["time_per_output_token"].value > few["time_per_output_token"].value
    assert many["token_cost"].value < few["token_cost"].value
    assert ask(sequence=8000)["time_to_first_token"].value > few["time_to_first_token"].value
    assert ask(sequence=8000)["max_batch"].value < few["max_batch"].value


def test_smaller_weights_are_read_sooner():
    assert ask(BIG, dataclasses.replace(GPU, memory=3e11), precision="fp8")["time_per_output_token"].value < (
        0.7 * ask(BIG, dataclasses.replace(GPU, memory=3e11))["time_per_output_token"].value
    )


def test_what_does_not_fit_is_told_what_would():
    with pytest.raises(UserError, match=r"needs 14\d GB a device; NVIDIA L4 has 80 GB") as caught:
        ask(BIG)
    assert caught.value.next == "--parallel tp=2"
    assert ask(BIG, split=scale.parse("tp=2"))["max_context"].value > 1000
    with pytest.raises(UserError) as caught:
        ask(SMALL, batch=100_000)
    assert ask(SMALL, batch=int(caught.value.next.split()[-1]))


def test_tensor_parallelism_is_faster_and_pays_for_messages():
    two, eight = (ask(BIG, split=scale.parse(f"tp={n}"))["time_per_output_token"].value for n in (2, 8))
    assert two / 4 < eight < two


def test_a_window_bounds_the_cache():
    near = dataclasses.replace(SMALL, window=128, window_layers=4)
    assert "max_context" not in ask(near)
    assert ask(near)["max_batch"].value > ask(SMALL, sequence=100_000)["max_batch"].value


def test_a_shape_from_memory_says_so():
    model = dataclasses.replace(SMALL, confirmed=False)
    assert any("from memory" in note for note in ask(model)["latency"].conditions["notes"])
