"""A card between cards: exact where a law holds, honest about the rest, refused far outside."""

import pytest

from netwright.core.error import UserError
from netwright.hardware import synthetic
from netwright.hardware.device import Device


def card(units: int, architecture: str = "Grid", **more) -> Device:
    """A card whose units do 1024 FLOP in 16 bits a cycle at 2 GHz."""
    about = {"rates": {"fp32": units * 256 * 2e9, "bf16": units * 1024 * 2e9}, "clock": 2e9, "power": units * 3.0}
    return Device(
        name=f"{architecture} {units}", manufacturer="X", kind="gpu", architecture=architecture, units=units,
        bandwidth=units * 1e10, memory=units * 1e9, **(about | more),
    )  # fmt: skip


GRID = [card(units) for units in range(20, 140, 8)]


def test_between_cards_of_one_law_the_law_holds():
    made = synthetic.device("grid", units=64, bandwidth=7e11, memory=64e9, devices=GRID)
    assert made.device.rates["bf16"] == pytest.approx(64 * 1024 * 2e9)
    assert made.device.power == pytest.approx(192)
    low, high = made.intervals["rates.bf16"]
    assert low == pytest.approx(high)  # every card is foretold exactly by the others
    assert made.errors["rates.bf16"] == len(GRID)
    assert "bandwidth" not in made.intervals


def test_noise_widens_the_interval():
    noisy = [card(units, power=units * (2.0 if at % 2 else 4.0)) for at, units in enumerate(range(20, 140, 8))]
    made = synthetic.device("Grid", units=60, bandwidth=6e11, memory=60e9, devices=noisy)
    low, high = made.intervals["power"]
    assert low < made.device.power < high
    assert high / low > 1.5


def test_what_is_given_is_exact():
    made = synthetic.device("Grid", 60, 6e11, 60e9, clock=1e9, power=99.0, devices=GRID)
    assert (made.device.clock, made.device.power) == (1e9, 99.0)
    assert made.device.rates["fp32"] == pytest.approx(60 * 256 * 1e9)
    assert not {"clock", "power"} & made.intervals.keys()


def test_it_says_that_it_is_none():
    made = synthetic.device("Grid", 60, 6e11, 60e9, devices=GRID)
    assert made.device.name.startswith("Synthetic Grid")
    assert "no such device" in made.device.note
    assert made.device.sources[0].where.startswith("interpolated between Grid")
    assert made.device.sources[0].licence == "derived"


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (("Gird", 60, 6e11, 60e9), "Grid"),
        (("Grid", 0, 6e11, 60e9), "positive"),
        (("Grid", 600, 6e11, 60e9), "10 to 264"),
        (("Grid", 60, 6e13, 60e9), "bandwidth"),
        (("Grid", 60, float("nan"), 60e9), "positive"),
        (("Lonely", 60, 6e11, 60e9), "2 devices"),
    ],
)
def test_what_cannot_be_said_is_refused(wanted, said):
    with pytest.raises(UserError, match=said):
        synthetic.device(*wanted, devices=[*GRID, card(60, "Lonely")])


def test_without_enough_errors_there_is_no_guess():
    with pytest.raises(UserError, match="rates scale"):
        synthetic.device("Grid", 30, 3e11, 30e9, devices=GRID[:3])
