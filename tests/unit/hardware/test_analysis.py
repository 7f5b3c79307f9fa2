"""Correlations and trends: right where the truth is known, with ties, and silent where there is too little."""

import dataclasses

import numpy as np
import pytest

from netwright.hardware import analysis
from netwright.hardware.device import Device


def card(at: int, **more) -> Device:
    about = {"rates": {"bf16": 1e13 * 2.0**at}, "power": 100.0, "year": 2000 + at, "architecture": f"A{at // 5}"}
    return Device(name=f"C{at}", manufacturer="X", kind="gpu", bandwidth=1e11 * (at + 1), memory=1e9, **(about | more))


CARDS = [card(at) for at in range(20)]


def test_what_rises_together_correlates_fully():
    found = analysis.correlations(CARDS, ("year", "half", "bandwidth"))
    assert found.rho["year", "half"].value == pytest.approx(1.0)
    assert found.rho["half", "year"] == found.rho["year", "half"]
    assert found.rho["year", "half"].n == 20


def test_the_sign_and_the_interval():
    random = np.random.default_rng(3)
    devices = [dataclasses.replace(one, price=float(1e4 / (at + 1) * np.exp(0.5 * random.standard_normal())))
               for at, one in enumerate(CARDS)]  # fmt: skip
    one = analysis.correlations(devices, ("price", "bandwidth")).rho["price", "bandwidth"]
    assert -1 <= one.low < one.value < one.high < 0


def test_ties_share_their_rank():
    ranks = analysis._ranks(np.array([5.0, 1.0, 5.0, 9.0]), np.arange(4)[None])
    assert ranks.tolist() == [[2.5, 1.0, 2.5, 4.0]]


def test_resampled_ranks_are_those_of_the_resample():
    x, rows = np.array([3.0, 1.0, 2.0]), np.array([[0, 0, 1], [2, 1, 2]])
    assert analysis._ranks(x, rows).tolist() == [[2.5, 2.5, 1.0], [2.5, 1.0, 2.5]]


def test_columns_that_few_state_are_left_out():
    found = analysis.correlations(CARDS, ("year", "price", "half"))
    assert found.columns == ("year", "half")
    assert all("price" not in pair for pair in found.rho)


def test_a_doubling_every_year_is_found():
    found = analysis.trend(CARDS, "half_per_watt")
    assert found.yearly.value == pytest.approx(2.0)
    assert found.doubling == pytest.approx(1.0)
    assert [one.architecture for one in found.generations] == ["A0", "A1", "A2", "A3"]
    first = found.generations[0].value
    assert first.value == pytest.approx(4e11)
    assert first.low <= first.value <= first.high


def test_one_outlier_does_not_bend_the_trend():
    bent = [*CARDS[:-1], dataclasses.replace(CARDS[-1], rates={"bf16": 1e9})]
    assert analysis.trend(bent, "half_per_watt").yearly.value == pytest.approx(2.0, rel=0.05)


@pytest.mark.parametrize("devices", [[], CARDS[:5], [dataclasses.replace(one, year=2020) for one in CARDS]])
def test_too_little_is_no_trend(devices):
    with pytest.raises(ValueError, match="are needed"):
        analysis.trend(devices, "half_per_watt")
