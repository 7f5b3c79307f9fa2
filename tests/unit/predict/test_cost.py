"""Prices: those that ship, a person's own, owned devices, and files that are wrong."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netwright.core.error import UserError
from netwright.hardware import catalog
from netwright.hardware.device import Device
from netwright.predict import cost
from netwright.predict.cost import Terms
from netwright.predict.spread import Spread

L4 = catalog.find("l4")


def file(folder, text, name="prices.csv"):
    path = folder / name
    path.write_text(text)
    return path


def test_prices_that_ship_are_each_of_one_device_with_a_source():
    found = cost.offers()
    assert len(found) > 150
    assert all(0.01 < offer.hourly < 50 and offer.source and offer.provider for offer in found)
    assert len({offer.device for offer in found}) > 40


def test_an_instance_of_eight_is_priced_for_one():
    offer = next(o for o in cost.offers() if o.provider == "aws" and o.device == "NVIDIA H100 SXM" and not o.spot)
    assert offer.hourly == pytest.approx(98.32 / 8)


def test_the_median_between_least_and_most():
    price = cost.hour(L4, Terms())
    listed = sorted(o.hourly for o in cost.offers() if o.device == L4.name and not o.spot)
    assert (price.hourly.low, price.hourly.high) == (listed[0], listed[-1])
    assert "offers" in price.source
    assert "gcp (host extra)" in price.source
    assert cost.hour(L4, Terms(kind="spot")).hourly.value < price.hourly.value
    assert cost.hour(L4, Terms(provider="AWS")).hourly == Spread(0.8048, 0.8048, 0.8048)


def test_ones_own_file(tmp_path):
    path = file(tmp_path, "\ufeffaccelerator,usd_per_hour,count\nL4,2.0,4\nNVIDIA L4,0.6,\n")
    assert cost.hour(L4, Terms(file=path)).hourly == Spread(0.55, 0.5, 0.6)
    assert "prices" in cost.hour(L4, Terms(file=path)).source


def test_an_owned_device_costs_its_price_over_its_years_and_electricity():
    card = Device(
        name="Card", manufacturer="M", kind="gpu", rates={"bf16": 1e14}, bandwidth=1e12, memory=8e9, price=8766.0
    )
    price = cost.hour(card, Terms(kind="owned", electricity=0.2, years=2))
    assert price.hourly.value == pytest.approx(0.5)
    assert price.hour(Spread(500, 400, 600)) == Spread(0.6, 0.58, 0.62)
    assert "over 2 years" in price.source
    with pytest.raises(UserError, match="USD per kWh"):
        cost.hour(card, Terms(kind="owned"))
    with pytest.raises(UserError, match="no release price"):
        cost.hour(Device(**{**vars(card), "price": None}), Terms(kind="owned", electricity=0.1))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "rented"}, "on-demand"),
        ({"electricity": -0.1}, "12 cents are 0.12"),
        ({"electricity": 12}, "12 cents are 0.12"),
        ({"years": 0}, "years"),
        ({"years": -3}, "years"),
    ],
)
def test_terms_that_are_none(changes, said):
    with pytest.raises(UserError, match=said):
        Terms(**changes)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "accelerator"),
        ("name,price\nL4,1\n", "there is no accelerator, usd_per_hour"),
        ("accelerator,usd_per_hour\nL4,-1\n", "line 2: usd_per_hour = '-1'"),
        ("accelerator,usd_per_hour\nL4,0\n", "line 2"),
        ("accelerator,usd_per_hour\nL4,free\n", "line 2"),
        ("accelerator,usd_per_hour\nL4,nan\n", "line 2"),
        ("accelerator,usd_per_hour\nL4,$0.50\n", "line 2"),
        ("accelerator,usd_per_hour,count\nL4,1,0\n", "count = '0'"),
        ("accelerator,usd_per_hour\nL4,1\nL44,1\n", "line 3: device = 'L44'"),
        ("accelerator,usd_per_hour\n,1\n", "line 2"),
    ],
)
def test_files_that_are_wrong_say_where(tmp_path, text, said):
    with pytest.raises(UserError) as caught:
        cost.offers(file(tmp_path, text))
    assert said in caught.value.allowed


def test_a_file_that_is_not_there(tmp_path):
    for path in (tmp_path / "absent.csv", tmp_path):
        with pytest.raises(UserError, match="not readable"):
            cost.offers(path)
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00accelerator")
    with pytest.raises(UserError, match="not readable"):
        cost.offers(tmp_path / "binary.csv")


def test_a_device_that_nobody_prices(tmp_path):
    path = file(tmp_path, "accelerator,usd_per_hour\nH100,2\n")
    with pytest.raises(UserError, match="no on-demand price of NVIDIA L4") as caught:
        cost.hour(L4, Terms(file=path))
    assert "--price-file" in caught.value.next
    with pytest.raises(UserError, match="known from"):
        cost.hour(L4, Terms(provider="nobody"))


@given(st.binary(max_size=200))
def test_any_bytes_are_prices_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("fuzz") / "prices.csv"
    path.write_bytes(b"accelerator,usd_per_hour,count\n" + content)
    with contextlib.suppress(UserError):
        assert all(offer.hourly > 0 for offer in cost.offers(path))
