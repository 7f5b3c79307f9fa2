import numpy as np
import pytest

from netwright.predict.learning import effects


def labels(*names):
    return np.array(names, dtype=object)


def test_a_group_of_many_devices_is_believed_and_one_of_few_is_drawn_to_the_mean():
    rng = np.random.default_rng(0)
    many = [(f"m{i}", "many", 0.5) for i in range(30)]
    few = [("f0", "few", 0.5)]
    rest = [(f"r{i}", f"rest{i % 10}", 0.0) for i in range(60)]
    units, groups, centres = zip(*(many + few + rest), strict=True)
    residuals = np.array(centres) + rng.normal(0, 0.2, len(centres))
    residuals[30] = 0.5
    found = effects.fit(residuals, {"maker": labels(*groups)}, labels(*units)).tables["maker"]
    assert found["many"] == pytest.approx(0.5, abs=0.1)
    assert 0 < found["few"] < 0.8 * found["many"]


def test_rows_of_one_device_count_once():
    units = labels(*["one"] * 1000, "two", "three")
    groups = labels(*["a"] * 1001, "b")
    residuals = np.r_[np.full(1000, 1.0), 0.0, 0.0]
    found = effects.fit(residuals, {"level": groups}, units).tables["level"]
    assert found.get("a", 0.0) <= 0.5


def test_a_group_never_seen_has_no_effect():
    found = effects.Effects({"mode": {"eager": 0.3}})
    assert found.of({"mode": labels("eager", "other")}).tolist() == [0.3, 0.0]


def test_without_levels_there_is_nothing_to_add():
    assert effects.Effects({}).of({"mode": labels("a", "b")}).tolist() == [0.0, 0.0]


def test_an_effect_is_bounded():
    units = labels(*(f"u{i}" for i in range(40)))
    groups = labels(*(["wild", "calm"][i % 2] for i in range(40)))
    residuals = np.where(groups == "wild", 50.0, -50.0)
    assert max(map(abs, effects.fit(residuals, {"g": groups}, units).tables["g"].values())) == effects.LARGEST
