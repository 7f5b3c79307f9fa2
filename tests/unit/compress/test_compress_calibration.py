"""How many examples are enough: as many as it takes for answers to stand still, and no more than there are."""

import numpy as np
import pytest

from netwright.compress import calibration
from netwright.core.error import UserError
from netwright.data import synthetic
from netwright.hardware import detect

TASK = synthetic.open(synthetic.Config(examples=200))


def reference(inputs):
    return inputs["image"].reshape(len(inputs["image"]), -1)[:, :3]


def quantizer(wander):
    """Something whose answers are off by 10 %, and by `wander(count)` up and down in turn."""
    counts = []

    def make(count):
        counts.append(count)
        factor = 1.1 + wander(count) * (-1) ** len(counts)
        return count, lambda inputs: reference(inputs) * factor

    return make, counts


def test_steady_answers_end_the_search_at_once():
    make, counts = quantizer(lambda count: 0.0)
    made, trials = calibration.settle(make, reference, TASK)
    assert made == 2 * calibration.FEWEST
    assert counts == [trial.samples for trial in trials] == [32, 64]
    assert [trial.steady for trial in trials] == [False, True]
    assert trials[1].error == pytest.approx(0.1, rel=1e-3)


def test_answers_that_wander_take_more_and_at_last_all():
    make, counts = quantizer(lambda count: 2 / count)
    _, trials = calibration.settle(make, reference, TASK)
    assert counts == [32, 64, 128]
    assert [trial.steady for trial in trials] == [False, False, True]
    make, counts = quantizer(lambda count: 0.5)
    made, trials = calibration.settle(make, reference, TASK)
    assert made == counts[-1] == 200 == TASK.size("train")
    assert not trials[-1].steady


def test_an_answer_that_is_not_finite_is_never_steady():
    def make(count):
        return count, lambda inputs: reference(inputs) * np.nan

    made, trials = calibration.settle(make, reference, TASK)
    assert made == 200
    assert not any(trial.steady for trial in trials)


def test_memory_that_is_not_there_is_said_before(tiny, monkeypatch):
    source = tiny["image"].artifact
    planned = calibration.memory(source)
    assert planned.low < planned.value < planned.high
    calibration.check_memory(source)

    class Small:
        memory_available = 1e6

    monkeypatch.setattr(detect, "detect", lambda: Small)
    with pytest.raises(UserError, match="are free"):
        calibration.check_memory(source)
