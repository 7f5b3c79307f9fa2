import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netwright.predict.learning import interval

SCORES = st.lists(st.floats(0, 100), min_size=1, max_size=60).map(np.array)


@given(SCORES, st.floats(0.5, 0.95))
def test_it_is_the_split_conformal_quantile(scores, level):
    rank = min(int(np.ceil(level * (len(scores) + 1))), len(scores))
    found = interval.quantile(scores, level)
    assert found in (np.sort(scores)[rank - 1], np.sort(scores)[min(rank, len(scores) - 1)])


def test_new_cases_of_the_same_kind_are_held_as_often_as_promised():
    rng = np.random.default_rng(0)
    held = [
        np.mean(np.abs(rng.normal(size=200)) <= interval.quantile(np.abs(rng.normal(size=30)), 0.9)) for _ in range(400)
    ]
    assert 0.89 <= np.mean(held) <= 0.93


def test_few_scores_lean_on_earlier_ones():
    earlier = np.linspace(0, 2, 200)
    alone = interval.quantile(np.array([0.1, 0.2, 0.3]), 0.9)
    leaning = interval.quantile(np.array([0.1, 0.2, 0.3]), 0.9, prior=earlier, pseudo=25)
    assert alone == 0.3
    assert leaning == pytest.approx(1.85, abs=0.1)


def test_each_group_counts_alike():
    scores = np.r_[np.zeros(1000), np.ones(10)]
    groups = np.r_[np.zeros(1000), np.ones(10)]
    assert np.mean(interval.grid(scores, groups)) == pytest.approx(0.5, abs=0.01)
    assert np.mean(interval.grid(scores)) == pytest.approx(0.01, abs=0.01)


def test_no_scores_are_refused():
    with pytest.raises(ValueError, match="no scores"):
        interval.quantile(np.zeros(0), 0.9)
