"""A training step: three passes and an update, replicas that exchange gradients, stages that wait."""

import dataclasses

import pytest
from asked import GPU, NET, SMALL

from netwright.core.error import UserError
from netwright.predict import estimate, learned, scale, timing, training
from netwright.predict.question import Question
from netwright.predict.spread import Spread


@pytest.fixture(autouse=True)
def _roofline_alone(monkeypatch):
    monkeypatch.setattr(learned, "rows", lambda *_: None)


def ask(model=NET, device=GPU, **question):
    return {one.quantity: one for one in estimate.predict(model, device, Question(training=True, **question))}


def test_a_step_is_three_passes_and_an_update():
    forward = estimate.predict(NET, GPU)[0].value
    step = ask()["training_step"].value
    assert step == pytest.approx(3 * forward + 1.4 * timing.UPDATE * NET.parameters / GPU.bandwidth)
    assert ask()["throughput"].value == pytest.approx(8 / step)


def test_work_traced_as_a_step_is_timed_as_it_is():
    traced = dataclasses.replace(NET, kind="training")
    found = {one.quantity: one for one in estimate.predict(traced, GPU)}
    assert found["training_step"].value == pytest.approx(estimate.predict(NET, GPU)[0].value)


def test_adam_holds_sixteen_bytes_a_parameter_or_more():
    assert ask()["device_memory"].low > 14 * NET.parameters
    assert ask()["device_memory"].value > 1.5 * {o.quantity: o for o in estimate.predict(NET, GPU)}["device_memory"].low


def test_replicas_share_the_batch_and_exchange_gradients():
    one, four = ask(batch=8), ask(batch=32, split=scale.parse(None, 4))
    assert four["training_step"].value > one["training_step"].value
    assert four["training_step"].high > one["training_step"].high
    assert four["throughput"].value > 2 * one["throughput"].value
    with pytest.raises(UserError, match="multiple of the 3 replicas") as caught:
        ask(batch=8, split=scale.parse(None, 3))
    assert caught.value.next == "--batch 6"


def test_an_exchange_hides_at_best():
    step = Spread(1.0, 0.8, 1.3)
    found = training.exchanged(step, 1e9, 8, GPU)
    wire = scale.all_reduce(2e9, 8, GPU)
    assert found.low == max(step.low, wire.low)
    assert found.value == pytest.approx(1.0 + 0.25 * wire.value)
    assert found.high == pytest.approx(1.3 + wire.high)
    assert training.exchanged(step, 1e9, 1, GPU) == step


def test_stages_wait_while_the_pipeline_fills():
    full, empty = (ask(split=scale.parse(f"pp=4,micro={n}"))["training_step"].value for n in (64, 1))
    assert empty == pytest.approx(full * 4 * 64 / 67, rel=1e-6)


def test_a_language_model_trains_on_sequences():
    one, many = (ask(SMALL, batch=batch, sequence=512)["training_step"].value for batch in (4, 16))
    assert 2 * one < many < 5 * one
    flops = 3 * SMALL.prefill(16, 512).flops
    assert 0.2 < flops / 1e14 / many < 1  # of the peak
    assert ask(SMALL, split=scale.parse(None, 4))["training_step"].conditions["batch"] == 4
