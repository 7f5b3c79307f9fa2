import numpy as np
import pytest
from toy import DEVICES, columns, suite

from netwright.predict.learning import backtest, baselines, hybrid
from netwright.predict.learning.table import take


@pytest.fixture(scope="module")
def frame():
    return backtest.table(backtest.leave_out(suite, columns(1500), DEVICES, by="architecture", quick=True))


def test_every_device_is_judged_without_its_architecture(frame):
    ours = frame[(frame["method"] == "netwright") & (frame["stratum"] == "all")]
    assert set(ours["device"]) == set(DEVICES)
    assert set(ours["k"]) == set(hybrid.SHOTS)
    assert set(frame["method"]) == {backtest.OURS, backtest.WITHOUT, *baselines.METHODS}


def test_what_learns_more_is_off_less(frame):
    mean = frame[frame["stratum"] == "all"].groupby(["method", "k"])["error"].mean()
    assert mean["netwright", 30] < mean["netwright", 0] < mean["roofline", 0]
    assert mean["netwright", 30] < 0.12


def test_a_fold_never_learns_from_what_it_is_judged_on():
    made = columns(400)
    for by in ("device", "architecture", "time", "family", "random", "old to new"):
        names = []
        for name, train, test in backtest.splits(suite, made, DEVICES, by):
            assert not (train & test).any()
            assert train.any()
            assert test.any()
            names.append(name)
        assert len(names) == {"device": 6, "architecture": 4, "time": 1, "family": 2, "random": 5, "old to new": 1}[by]


def test_the_summary_tells_the_worst_device_too(frame):
    told = backtest.summary(frame)
    ours = told[(told["method"] == "netwright") & (told["k"] == 0)].iloc[0]
    own = frame[(frame["method"] == "netwright") & (frame["k"] == 0) & (frame["stratum"] == "all")]
    assert ours["error"] == pytest.approx(own["error"].mean())
    assert ours["least"] == own["coverage"].min()
    assert ours["devices"] == 6


def test_judging_by_hand():
    low, high, refused = np.array([1.0, 1.0, 9.0, 0.0]), np.array([3.0, 1.5, 9.9, 0.0]), np.array([False] * 3 + [True])
    found = backtest.judge(np.array([2.0, 1.2, 9.5, np.nan]), np.array([2.0, 2.4, 10.0, 1.0]), low, high, None, refused)
    assert found["error"] == pytest.approx(0.05)
    assert found["coverage"] == pytest.approx(1 / 3)
    assert found["refused"] == 1
    assert found["signed"] == pytest.approx(np.log(0.95))


def test_rows_that_are_all_refused_are_counted():
    made = columns(20, names=("a1",))
    made["flops"] = np.zeros(20)
    fitted = hybrid.fit(suite, columns(300), DEVICES, quick=True)
    (score,) = backtest.evaluate(suite, fitted, made, DEVICES, split="x", shots=(0,))
    assert score.refused == 20
    assert np.isnan(score.error)


def test_fewer_rows_than_calibration_asks_for_are_left_out():
    made = take(columns(5, names=("a1",)), slice(0, 5))
    fitted = hybrid.fit(suite, columns(300), DEVICES, quick=True)
    scores = backtest.evaluate(suite, fitted, made, DEVICES, split="x", shots=(0, 3, 10))
    assert [score.k for score in scores] == [0, 3]


def test_strata_are_decades_of_what_was_measured(frame):
    strata = frame[frame["stratum"] != "all"]
    assert set(strata["method"]) == {"netwright"}
    assert strata["n"].sum() == frame[(frame["method"] == "netwright") & (frame["k"] == 0)]["n"].sum() / 2


def test_bias_terms_draw_the_signed_error_to_zero():
    made = columns(1500)
    frame = backtest.table(backtest.leave_out(suite, made, DEVICES, by="device", quick=True, shots=(0, 30)))
    own = frame[frame["stratum"] == "all"]
    off = own.groupby(["method", "k"])["signed"].apply(lambda signed: signed.abs().mean())
    assert off["netwright", 30] < off["netwright", 0]


def test_what_is_faster_than_the_peak_is_counted(monkeypatch):
    made = columns(100, names=("a1", "b1"))
    monkeypatch.setattr(suite, "roofline", lambda c, specs: np.log(c["flops"] / specs.rate("bf16")), raising=False)
    made["value"] = np.exp(suite.roofline(made, suite._specs(made)))
    of = made["device"] == "a1"
    made["value"][of] *= 0.5
    made["value"][~of] *= 2.0
    told = backtest.faster_than_peak(suite, made, DEVICES).set_index("device")
    assert told["faster"].to_dict() == {"a1": 1.0, "b1": 0.0}
    assert told["most"]["a1"] == pytest.approx(2.0)
