"""What candidates can be ranked by: what an hour costs, and what nothing here can tell."""

import pytest

from netwright.core import recipe
from netwright.core.error import UserError
from netwright.core.measurement import Measurement, better
from netwright.hardware import power
from netwright.study.study import SECTIONS, check, cost


def asked(objective, **settings):
    return recipe.parse(
        {"study": {"objectives": ["accuracy", objective], "formats": ["program"], **settings}}, SECTIONS
    )


def rate(value):
    return Measurement(quantity="throughput", value=value, low=0.9 * value, high=1.2 * value, n=20)


def test_an_hour_at_a_price_costs_that_price():
    found = cost(rate(1000.0), price=3.6)  # a million examples take 1,000 s
    assert found.value == pytest.approx(1.0)
    assert (found.low, found.high) == (pytest.approx(1 / 1.2), pytest.approx(1 / 0.9))
    assert (found.quantity, found.unit, found.conditions["price_an_hour"]) == ("cost", "USD", 3.6)
    assert better(cost(rate(3000.0), price=3.6), found) is True


def test_cost_wants_a_price(tmp_path):
    with pytest.raises(UserError, match="the price of an hour"):
        check(asked("cost"), tmp_path)
    assert check(asked("cost", price=0.5), tmp_path) == []


def test_energy_wants_a_counter(tmp_path, monkeypatch):
    monkeypatch.setattr(power, "readers", lambda: {"CPU": "absent: no RAPL in /sys"})
    with pytest.raises(UserError, match="no counter of energy"):
        check(asked("energy"), tmp_path)
    monkeypatch.setattr(power, "readers", lambda: {"CPU": "reads"})
    assert check(asked("energy"), tmp_path) == []


def test_memory_wants_to_be_measured(tmp_path):
    sections = {
        "study": {"objectives": ["accuracy", "peak_memory"], "formats": ["program"]},
        "bench": {"memory": False},
    }
    with pytest.raises(UserError, match="memory is not measured"):
        check(recipe.parse(sections, SECTIONS), tmp_path)
