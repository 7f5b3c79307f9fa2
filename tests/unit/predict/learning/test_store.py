import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy import DEVICES, columns, suite

from netwright.core.error import UserError
from netwright.predict.learning import hybrid, store


@pytest.fixture(scope="module")
def fitted():
    return hybrid.fit(suite, columns(900), DEVICES, quick=True)


def test_a_round_trip_answers_alike(fitted, tmp_path):
    version = store.save({"toy": fitted}, tmp_path / "one.npz", {"note": "x"})
    again, about = store.load(tmp_path / "one.npz")
    rows = columns(50, seed=5)
    for name in ("value", "low", "high", "in_range"):
        np.testing.assert_array_equal(
            getattr(again["toy"].predict(suite, rows, DEVICES), name),
            getattr(fitted.predict(suite, rows, DEVICES), name),
        )
    assert (about["version"], about["note"]) == (version, "x")


def test_the_version_is_that_of_the_content(fitted, tmp_path):
    first = store.save({"toy": fitted}, tmp_path / "one.npz")
    assert store.save({"toy": fitted}, tmp_path / "two.npz") == first


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="predict fit"):
        store.load(tmp_path / "none.npz")


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=400))
def test_any_other_bytes_are_refused(tmp_path, content):
    path = tmp_path / "wrong.npz"
    path.write_bytes(content)
    with pytest.raises(UserError):
        store.load(path)


def test_a_truncated_file_is_refused(fitted, tmp_path):
    path = tmp_path / "one.npz"
    store.save({"toy": fitted}, path)
    for share in (0.1, 0.5, 0.99):
        (tmp_path / "cut.npz").write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
        with pytest.raises(UserError):
            store.load(tmp_path / "cut.npz")


def test_an_unknown_suite_names_the_nearest():
    with pytest.raises(UserError, match="gemm"):
        store.suite("gem")
