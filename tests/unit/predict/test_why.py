"""Why: shares that sum, bounds by hand, and a figure."""

import dataclasses

import pytest
from asked import GPU, NET, SMALL

from netwright.core.workload import Operator, Workload
from netwright.predict import roofline, why
from netwright.predict.question import Question

ASKED = Question()


def operator(**of):
    return Operator(name=next(iter(of)), dtype="bf16", **{"flops": 0.0, **of.pop(next(iter(of)))})


def test_each_operator_is_bound_by_the_slowest_of_three():
    launch = roofline.prior("gpu").floor[1]
    cases = {
        "compute": ({"flops": 1e12}, 1e-2),
        "bandwidth": ({"flops": 1.0, "input_bytes": 1e10}, 1e-2),
        "launches": ({"flops": 1.0}, launch),
    }
    for bound, (of, seconds) in cases.items():
        found = why.seconds(operator(mm=of), GPU)
        assert found == (pytest.approx(seconds), bound)


def test_shares_sum_and_the_largest_stands_first():
    found = why.shares(NET, GPU, ASKED)
    assert sum(part.share for part in found.parts) == pytest.approx(1)
    assert sum(found.bounds.values()) == pytest.approx(1)
    assert found.parts[0].share == max(part.share for part in found.parts)
    assert next(part for part in found.parts if part.name == "mm").count == 2
    assert found.ridge == 100
    assert found.headline.count("%") == len([share for share in found.bounds.values() if share >= 0.005])


def test_the_rest_is_one_line():
    many = tuple(Operator(name=f"op{i}", flops=1e9 * (i + 1), dtype="bf16") for i in range(30))
    found = why.shares(Workload(name="net", batch=1, parameters=1, operators=many), GPU, ASKED)
    assert len(found.parts) == why.MOST
    assert found.parts[-1].name == "the rest"
    assert sum(part.count for part in found.parts) == 30
    assert sum(part.share for part in found.parts) == pytest.approx(1)


def test_advice_follows_the_bound():
    heavy = {"flops": 1e13}
    assert "fp8" in why.shares(work(heavy), GPU, ASKED).advice
    assert "launches" in why.shares(work({"flops": 1.0}), GPU, ASKED).advice
    assert "reading weights" in why.shares(work({"flops": 1.0, "weight_bytes": 1e10}), GPU, ASKED).advice
    assert "moving activations" in why.shares(work({"flops": 1.0, "input_bytes": 1e10}), GPU, ASKED).advice
    assert why.shares(work(heavy), dataclasses.replace(GPU, rates={"bf16": 1e14}), ASKED).advice == "Mostly arithmetic."


def work(of):
    return Workload(name="net", batch=1, parameters=1, operators=(operator(mm=of),))


def test_a_language_model_is_told_by_one_token():
    few, many = (why.shares(SMALL, GPU, Question(batch=n)) for n in (1, 4096))
    assert few.bounds["bandwidth"] > few.bounds["compute"]
    assert many.bounds["compute"] > few.bounds["compute"]


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_figure_is_a_file(tmp_path, suffix):
    path = tmp_path / "plots" / f"roof{suffix}"
    why.draw(NET, GPU, ASKED, path)
    assert path.read_bytes()[:4] in (b"\x89PNG", b"<svg")
    if suffix == ".svg":
        assert "net on NVIDIA L4" in path.read_text()
    why.draw(SMALL, GPU, ASKED, path)
