import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.predict.learning import residual


def made(n=3000, seed=0, missing=0.05):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4))
    x[:, :3][rng.random((n, 3)) < missing] = np.nan
    return x, np.sin(2 * np.nan_to_num(x[:, 0])) + np.nan_to_num(x[:, 1]) + x[:, 3]


@pytest.mark.parametrize("missing", [0.0, 0.05])
def test_the_arrays_answer_as_lightgbm_does(missing):
    x, y = made(missing=missing)
    trees = residual.fit(x, y, monotone=(0, 1, 0, 1))
    settings = {**residual.PARAMS, "verbosity": -1, "num_threads": 1, "seed": 0, "deterministic": True}
    settings |= {"force_row_wise": True, "monotone_constraints": [0, 1, 0, 1]}
    settings["monotone_constraints_method"] = "intermediate"
    theirs = lightgbm.train(settings, lightgbm.Dataset(x, y - np.median(y)))
    np.testing.assert_allclose(trees.predict(x), theirs.predict(x) + np.median(y), atol=1e-5)


def test_it_learns_and_keeps_a_promised_direction():
    x, y = made()
    trees = residual.fit(x, y, monotone=(0, 0, 0, 1))
    assert np.mean((trees.predict(x) - y) ** 2) < 0.1 * np.var(y)
    steps = np.repeat(x[:1], 50, axis=0)
    steps[:, 3] = np.linspace(-3, 3, 50)
    assert (np.diff(trees.predict(steps)) >= -1e-6).all()


def test_it_survives_a_round_trip_through_arrays():
    x, y = made(500)
    trees = residual.fit(x, y)
    again = residual.Trees.from_arrays(trees.arrays("one"), "one")
    np.testing.assert_array_equal(again.predict(x), trees.predict(x))


def test_a_value_that_was_never_missing_in_training_may_be_missing_later():
    x, y = made(2000, missing=0.0)
    trees = residual.fit(x, y)
    middle = np.median(x, axis=0)[None]
    assert trees.predict(np.full((1, 4), np.nan)) == pytest.approx(trees.predict(middle), abs=1e-9)


def test_too_few_rows_are_answered_by_their_median():
    x, y = made(30)
    assert residual.fit(x, y).predict(x) == pytest.approx(np.full(30, np.median(y)), abs=1e-6)
    assert residual.fit(x[:0], y[:0]).predict(x[:2]) == pytest.approx(np.zeros(2))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=4, max_size=4))
def test_any_number_has_a_finite_answer(values):
    assert np.isfinite(TREES.predict(np.array([values]))).all()


TREES = residual.fit(*made(1000))
