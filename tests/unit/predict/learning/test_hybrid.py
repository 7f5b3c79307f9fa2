import numpy as np
import pytest
from toy import DEVICES, columns, device, suite

from netwright.predict.learning import hybrid
from netwright.predict.learning.table import take


@pytest.fixture(scope="module")
def fitted():
    made = columns(3000)
    return hybrid.fit(suite, take(made, made["device"] != "d1"), DEVICES, quick=True)


@pytest.fixture(scope="module")
def unseen():
    return columns(600, names=("d1",), seed=7)


def error(answer, value):
    return float(np.median(np.abs(answer.value / value - 1)))


def test_measurements_on_a_device_make_it_better_and_narrower(fitted, unseen):
    zero = fitted.predict(suite, unseen, DEVICES)
    rest, first = take(unseen, slice(30, None)), take(unseen, slice(0, 30))
    known = fitted.predict(suite, rest, DEVICES, calibrations=fitted.calibrate(suite, first, DEVICES))
    assert error(known, rest["value"]) < 0.12 < error(zero, unseen["value"])
    assert np.median(known.high / known.low) < np.median(zero.high / zero.low)


def test_intervals_hold_what_they_promise(fitted, unseen):
    zero = fitted.predict(suite, unseen, DEVICES)
    assert np.mean((zero.low <= unseen["value"]) & (unseen["value"] <= zero.high)) >= 0.75
    held = []
    for seed in range(10):
        order = np.random.default_rng(seed).permutation(600)
        known = fitted.calibrate(suite, take(unseen, order[:30]), DEVICES)
        rest = take(unseen, order[30:])
        answer = fitted.predict(suite, rest, DEVICES, calibrations=known)
        held.append(np.mean((answer.low <= rest["value"]) & (rest["value"] <= answer.high)))
    assert 0.86 <= np.mean(held) <= 0.96


def test_effects_of_mode_are_learned(fitted):
    one = {k: v[:1] for k, v in columns(1).items()}
    eager, compiled = ({**one, "mode": np.array([mode], dtype=object)} for mode in ("eager", "compiled"))
    ratio = fitted.predict(suite, eager, DEVICES).value / fitted.predict(suite, compiled, DEVICES).value
    assert np.log(ratio[0]) == pytest.approx(0.5, abs=0.1)


def test_refused_rows_get_no_number_and_a_reason(fitted):
    made = columns(5)
    made["flops"][2] = 0.0
    answer = fitted.predict(suite, made, DEVICES)
    assert answer.refused.tolist() == [False, False, True, False, False]
    assert np.isnan(answer.value[2])
    assert answer.why[2] == "no work"


def test_what_is_unlike_the_rows_learned_from_is_flagged(fitted):
    made = columns(2)
    made["flops"][1] = 1e19
    answer = fitted.predict(suite, made, DEVICES)
    assert answer.in_range.tolist() == [True, False]
    assert "outside" in answer.why[1]
    strange = fitted.predict(suite, take(made, [0]), {**DEVICES, made["device"][0]: device("x", manufacturer="Other")})
    assert "manufacturer" in strange.why[0]


def test_of_a_manufacturer_with_hardly_a_row_only_the_device_itself_is_known():
    foreign = {name: device(name, "F", manufacturer="Other") for name in ("f1", "f2")}
    made, few = columns(400, names=("a1", "b1", "c1")), columns(2, names=("a2",), seed=5)
    few["device"][:] = "f1"
    both = {name: np.concatenate([made[name], few[name]]) for name in made}
    fitted = hybrid.fit(suite, both, {**DEVICES, **foreign}, quick=True)
    assert fitted.manufacturers == ("Maker",)
    one = {name: np.repeat(values, 2) for name, values in take(made, [0]).items()}
    one["device"] = np.array(["f1", "f2"], dtype=object)
    answer = fitted.predict(suite, one, foreign)
    assert "manufacturer" not in answer.why[0]
    assert "hardly a row of this manufacturer" in answer.why[1]
    assert answer.high[1] / answer.low[1] > answer.high[0] / answer.low[0]


def test_a_single_device_is_enough_to_fit_and_its_interval_admits_that_others_differ():
    made = columns(800, names=("a1",))
    fitted = hybrid.fit(suite, made, DEVICES, quick=True)
    other = columns(300, names=("b2",), seed=3)
    answer = fitted.predict(suite, other, DEVICES)
    assert np.mean((answer.low <= other["value"]) & (other["value"] <= answer.high)) > 0.75


def test_nothing_to_learn_from_is_said():
    made = columns(10)
    made["value"] = np.full(10, np.nan)
    with pytest.raises(ValueError, match="no row"):
        hybrid.fit(suite, made, DEVICES, quick=True)
