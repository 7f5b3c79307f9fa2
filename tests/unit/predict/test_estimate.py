"""A network's forecast: what is in it, how its parts hang together, and what is refused."""

import dataclasses

import pytest
from asked import BARE, GPU, NET

from netwright.core.error import UserError
from netwright.predict import cost, estimate, learned, scale
from netwright.predict.question import Question


@pytest.fixture(autouse=True)
def _roofline_alone(monkeypatch):
    monkeypatch.setattr(learned, "rows", lambda *_: None)


def ask(model=NET, device=GPU, **question):
    return {one.quantity: one for one in estimate.predict(model, device, Question(**question))}


def test_everything_that_a_person_asks():
    found = ask()
    assert list(found) == [
        "latency", "throughput", "device_memory", "max_batch", "utilisation", "power", "energy", "cost",
    ]  # fmt: skip
    for one in found.values():
        assert one.source == "predicted"
        assert one.device == GPU.name
        assert one.workload == NET.digest
        assert 0 < one.low <= one.value <= one.high
        assert {"method", "in_range", "outside", "notes", "left_out", "batch", "dtype"} <= one.conditions.keys()


def test_the_parts_agree_with_each_other():
    found = ask(batch=32)
    rate = found["throughput"].value
    assert rate == pytest.approx(32 / found["latency"].value)
    assert found["energy"].value == pytest.approx(found["power"].value / rate)
    hourly = found["cost"].conditions["hourly"]
    assert found["cost"].value == pytest.approx(hourly / 3600 / rate * 1e6)
    assert found["utilisation"].value == pytest.approx(4 * NET.flops / 1e14 / found["latency"].value)
    assert found["device_memory"].value < GPU.memory


def test_a_smaller_dtype_is_faster_and_takes_less_memory():
    whole, half = ask(precision="fp32"), ask(precision="bf16")
    assert half["latency"].value < whole["latency"].value
    assert half["device_memory"].value < whole["device_memory"].value
    assert half["max_batch"].value > whole["max_batch"].value


def test_what_is_not_known_is_left_out_and_why():
    found = ask(device=BARE)
    assert not found.keys() & {"power", "energy", "cost"}
    said = found["latency"].conditions["left_out"]
    assert said["power"] == "no design power of Bare is known"
    assert "no on-demand price of Bare" in said["cost"]


def test_a_price_that_was_asked_for_is_refused_instead():
    with pytest.raises(UserError, match="no on-demand price of Bare"):
        ask(device=BARE, terms=cost.Terms())
    found = ask(terms=cost.Terms(kind="owned", electricity=0.3))
    watts = found["power"].value
    assert found["cost"].conditions["hourly"] == pytest.approx(5000 / (3 * 8766) + 0.3 * watts / 1000)


def test_replicas_answer_more_and_no_sooner():
    one, eight = ask(), ask(split=scale.parse(None, 8))
    assert eight["latency"] == dataclasses.replace(
        one["latency"], conditions=eight["latency"].conditions, when=eight["latency"].when
    )
    assert eight["throughput"].value == pytest.approx(8 * 0.96 * one["throughput"].value)
    assert eight["energy"].value == pytest.approx(one["energy"].value / 0.96)


def test_tensor_parallelism_helps_large_work_and_not_small():
    large = dataclasses.replace(
        NET, operators=tuple(dataclasses.replace(o, flops=o.flops * 1e4) for o in NET.operators)
    )
    split = scale.parse("tp=4")
    assert ask(large, split=split)["latency"].value < 0.4 * ask(large)["latency"].value
    tiny = dataclasses.replace(NET.at_batch(1), operators=tuple(o for o in NET.at_batch(1).operators if o.name == "mm"))
    assert ask(tiny, split=split)["latency"].value > ask(tiny)["latency"].value


def test_stages_work_on_several_calls_at_once():
    one, two = ask(), ask(split=scale.parse("pp=2"))
    assert two["latency"].value > one["latency"].value
    assert 1.5 * one["throughput"].value < two["throughput"].value < 2 * one["throughput"].value
    assert two["device_memory"].value < one["device_memory"].value


def test_what_does_not_fit_is_refused_with_what_does():
    with pytest.raises(UserError, match="NVIDIA L4 has 80 GB, the model needs") as caught:
        ask(batch=1_000_000)
    most = int(caught.value.next.split()[-1])
    assert ask(batch=most)["max_batch"].value > 0


def test_a_length_is_for_language_models():
    for name in ("sequence", "output"):
        with pytest.raises(UserError, match="language models only"):
            ask(**{name: 7})


@pytest.mark.parametrize(
    "wrong",
    [{"batch": 0}, {"batch": -1}, {"batch": 1 << 40}, {"batch": 1.5}, {"precision": "fp7"}, {"sequence": 0}],
    ids=str,
)
def test_questions_that_are_none(wrong):
    with pytest.raises(UserError) as caught:
        Question(**wrong)
    assert caught.value.setting == next(iter(wrong))
