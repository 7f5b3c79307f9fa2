from dataclasses import replace

import numpy as np
import pytest

from netwright.predict.learning import calibration
from netwright.predict.learning.calibration import Prior, calibrate

PRIOR = Prior(bias=0.3, slopes=(0.2,), bend=0.1, labels={"mode": 0.2}, noise=1.0)


def of(n, mode="a"):
    return {"mode": np.array([mode] * n, dtype=object)}


def test_without_measurements_it_is_the_prior():
    known = calibrate(PRIOR, np.zeros((0, 1)), of(0), np.zeros(0), np.zeros(0))
    shift, variance = known.at(np.array([[0.0], [2.0]]), of(2))
    assert shift.tolist() == [0.0, 0.0]
    assert variance == pytest.approx([0.09 + 0.01 + 0.04, 0.09 + 0.01 + 0.04 + 4 * 0.04])


def test_measurements_move_it_towards_them_and_narrow_it():
    x, spread = np.zeros((30, 1)), np.full(30, 0.1)
    known = calibrate(PRIOR, x, of(30), np.full(30, 0.5), spread)
    shift, variance = known.at(np.zeros((1, 1)), of(1))
    assert shift[0] == pytest.approx(0.5, abs=0.02)
    assert variance[0] < 0.01 * PRIOR.variance(np.zeros((1, 1)))[0]


def test_one_measurement_of_another_mode_says_less_than_one_of_the_same():
    known = calibrate(PRIOR, np.zeros((1, 1)), of(1, "a"), np.array([0.5]), np.array([0.1]))
    same, other = known.at(np.zeros((1, 1)), of(1, "a")), known.at(np.zeros((1, 1)), of(1, "b"))
    assert same[0][0] > other[0][0] > 0
    assert same[1][0] < other[1][0]


def test_an_outlier_does_not_decide():
    off = np.r_[np.full(9, 0.1), 3.0]
    known = calibrate(PRIOR, np.zeros((10, 1)), of(10), off, np.full(10, 0.1))
    assert known.at(np.zeros((1, 1)), of(1))[0][0] == pytest.approx(0.1, abs=0.08)


def test_rows_that_agree_are_believed_however_far_they_are_from_earlier_devices():
    tight = replace(PRIOR, bias=0.03)
    for k, share in ((3, 0.75), (10, 0.9), (30, 0.95)):
        rng = np.random.default_rng(k)
        known = calibrate(tight, np.zeros((k, 1)), of(k), 1.5 + rng.normal(0, 0.1, k), np.full(k, 0.1))
        assert known.at(np.zeros((1, 1)), of(1))[0][0] > share * 1.5
        assert np.abs(known.scores).max() < 4


def test_an_ordinary_device_leaves_the_prior_as_it_was():
    rng = np.random.default_rng(0)
    known = calibrate(PRIOR, np.zeros((10, 1)), of(10), 0.2 + rng.normal(0, 0.1, 10), np.full(10, 0.1))
    assert known.prior == PRIOR


def test_leave_one_out_scores_are_those_of_refitting_without_the_row():
    rng = np.random.default_rng(0)
    x, off, spread = rng.normal(size=(8, 1)), rng.normal(0, 0.1, 8), np.full(8, 0.2)
    known = calibrate(PRIOR, x, of(8), off, spread)
    for i in range(8):
        rest = np.arange(8) != i
        without = calibrate(PRIOR, x[rest], of(7), off[rest], spread[rest])
        shift, variance = without.at(x[i : i + 1], of(1))
        expected = (off[i] - shift[0]) / np.sqrt(variance[0] + 0.2**2)
        assert known.scores[i] == pytest.approx(expected, rel=1e-6)


def test_the_prior_is_found_again_from_devices_drawn_from_it():
    rng = np.random.default_rng(1)
    samples = []
    for _ in range(25):
        x, spread = rng.normal(size=(60, 1)), np.full(60, 0.1)
        labels = {"mode": rng.choice(np.array(["a", "b"], dtype=object), 60)}
        covariance = PRIOR.covariance(x, labels, x, labels) + np.diag(spread**2)
        samples.append((x, labels, rng.multivariate_normal(np.zeros(60), covariance), spread))
    found = calibration.fit_prior(samples, ["mode"])
    assert found.bias == pytest.approx(PRIOR.bias, rel=0.5)
    assert found.slopes[0] == pytest.approx(0.2, rel=0.4)
    assert found.labels["mode"] == pytest.approx(0.2, rel=0.5)
    assert found.noise == pytest.approx(1.0, rel=0.25)
