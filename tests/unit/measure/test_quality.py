"""Accuracy and its change, in pairs."""

import numpy as np
import pytest
import torch

from netwright import export
from netwright.data.tasks import Evaluation
from netwright.measure.quality import accuracy_change, quality


def seen(correct):
    return Evaluation(np.asarray(correct, bool), np.zeros(len(correct), np.float32))


def test_quality_is_what_the_task_says_with_what_was_executed(tiny):
    task, source = tiny["image"]
    found, accuracy = quality(source, task, "validation")
    direct = task.evaluate(export.open(source), "validation")
    assert np.array_equal(found.correct_N, direct.correct_N)
    assert accuracy.value == pytest.approx(direct.correct_N.mean())
    assert accuracy.n == task.size("validation")
    assert accuracy.artifact == source.digest
    assert accuracy.conditions == {"split": "validation", "executed": "fp32", "format": "torch", "threads": 1}
    assert quality(source, task)[1].conditions["split"] == "test"


def test_the_change_counts_only_where_they_differ():
    change = accuracy_change(seen([1, 1, 0, 1, 0] * 20), seen([1, 0, 1, 1, 0] * 20))
    assert change.value == 0
    assert change.conditions == {"won": 20, "lost": 20}
    assert change.low < 0 < change.high
    worse = accuracy_change(seen([0] * 10 + [1] * 990), seen([1] * 1000))
    assert worse.value == pytest.approx(-0.01)
    assert -0.02 < worse.low < worse.value < worse.high < 0


def test_no_difference_seen_is_not_no_difference():
    change = accuracy_change(seen([1] * 10_000), seen([1] * 10_000))
    assert change.value == 0
    assert change.low < 0 < change.high
    assert change.high < 0.001


def test_extremes_stay_inside():
    change = accuracy_change(seen([0]), seen([1]))
    assert change.low == -1.0 == change.value
    assert change.high < 1


def test_examples_must_be_the_same():
    with pytest.raises(ValueError, match="cannot be paired"):
        accuracy_change(seen([1]), seen([1, 0]))


@pytest.mark.parametrize(("won", "lost"), [(0.002, 0.002), (0.001, 0.01), (0.05, 0.08)])
def test_the_interval_holds_the_truth_as_often_as_it_says(won, lost):
    random = torch.Generator().manual_seed(1)
    held = 0
    for _ in range(300):
        draw = torch.rand(1000, generator=random).numpy()
        candidate, reference = draw >= lost, (draw >= lost + won) | (draw < lost)
        change = accuracy_change(seen(candidate), seen(reference))
        held += change.low <= won - lost <= change.high
    assert held >= 275  # 95 % of 300 less two and a half standard errors
