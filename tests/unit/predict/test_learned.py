"""What a fitted predictor says, and how a few measured rows of the device move it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from toy import DEVICES, columns, suite

from netwright.core.error import UserError
from netwright.hardware import catalog
from netwright.predict import learned
from netwright.predict.learning import hybrid, store
from netwright.predict.learning.table import take

DEVICE = DEVICES["d1"]
OWN = columns(90, names=("d1",), seed=7)
MEASURED, ASKED = take(OWN, slice(0, 30)), take(OWN, slice(30, None))


@pytest.fixture(scope="module")
def fitted():
    made = columns(3000)
    return hybrid.fit(suite, take(made, made["device"] != "d1"), DEVICES, quick=True)


@pytest.fixture
def in_place(monkeypatch, fitted):
    monkeypatch.setattr(store, "current", lambda: ({"toy": fitted}, {}))
    monkeypatch.setattr(store, "in_place", lambda: Path(__file__))
    monkeypatch.setattr(store, "suite", lambda name: suite)
    monkeypatch.setattr(catalog, "find", lambda name: DEVICES[name])
    learned._measured.cache_clear()


def test_what_a_suite_says(in_place, fitted):
    told = learned.rows("toy", ASKED, DEVICE)
    assert (told.suite, told.devices, told.shots, told.notes) == ("toy", 5, None, ())
    assert np.array_equal(told.value, fitted.predict(suite, ASKED, DEVICES).value)
    assert learned.rows("another", ASKED, DEVICE) is None


def test_rows_of_the_device_calibrate(in_place, tmp_path):
    pd.DataFrame(MEASURED).to_csv(tmp_path / "toy.csv", index=False)
    before, after = learned.rows("toy", ASKED, DEVICE), learned.rows("toy", ASKED, DEVICE, tmp_path)

    def error(told):
        return np.median(np.abs(told.value / ASKED["value"] - 1))

    assert error(after) < 0.7 * error(before)
    assert np.median(after.high / after.low) < np.median(before.high / before.low)
    assert after.notes == ("suite toy: calibrated by 30 measured rows of this device",)


def test_rows_of_other_devices_do_not(in_place, tmp_path):
    pd.DataFrame(columns(30, names=("a1",))).to_csv(tmp_path / "toy.csv", index=False)
    told = learned.rows("toy", ASKED, DEVICE, tmp_path)
    assert told.notes == ("suite toy: not calibrated: no row",)
    assert np.array_equal(told.value, learned.rows("toy", ASKED, DEVICE).value)


def test_a_predictor_fitted_for_another_version(in_place, monkeypatch, fitted):
    other = replace(fitted, names=("compute_bound", "something_else"))
    monkeypatch.setattr(store, "current", lambda: ({"toy": other}, {}))
    with pytest.raises(UserError, match="other features"):
        learned.rows("toy", ASKED, DEVICE)


def test_a_folder_that_is_none(in_place, tmp_path):
    with pytest.raises(UserError, match="a folder with"):
        learned.rows("toy", ASKED, DEVICE, tmp_path / "absent")


def test_no_predictor_in_place_is_no_fault(monkeypatch, tmp_path):
    monkeypatch.setattr(store, "in_place", lambda: tmp_path / "absent.npz")
    store.current.cache_clear()
    assert learned.rows("timm", ASKED, DEVICE) is None
    (tmp_path / "absent.npz").write_text("broken")
    with pytest.raises(UserError, match="no fitted predictor"):
        learned.rows("timm", ASKED, DEVICE)
    store.current.cache_clear()
