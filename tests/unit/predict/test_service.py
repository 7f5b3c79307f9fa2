"""Servings that were measured: what is asked of the suites, and what becomes of their answers."""

import dataclasses

import numpy as np
import pytest
from asked import GPU, SMALL

from netwright.predict import estimate, learned, llm, scale
from netwright.predict.learned import Told
from netwright.predict.question import Question

MODEL = llm.named("Qwen3-8B")


def told(suite, value, why="", refused=False):
    one = {"value": value, "low": value / 2, "high": 2 * value, "in_range": not why, "refused": refused, "why": why}
    return Told(**{name: np.array([x]) for name, x in one.items()}, level=0.9, suite=suite, devices=3)


@pytest.fixture
def suites(monkeypatch):
    """Answers by suite, and the rows that were asked."""
    answers = {"ttft": told("ttft", 0.1), "tpot": told("tpot", 0.01, "sequences a device is outside")}
    asked = {}

    def rows(suite, columns, device, measured=None):
        asked[suite] = {name: values[0] for name, values in columns.items()}
        return answers.get(suite)

    monkeypatch.setattr(learned, "rows", rows)
    return answers, asked


def ask(model=MODEL, **question):
    return {one.quantity: one for one in estimate.predict(model, GPU, Question(**question))}


def test_the_suites_tell_the_times(suites):
    found = ask(batch=16, sequence=2000, output=101)
    assert found["time_to_first_token"].value == pytest.approx(0.1)
    assert found["time_per_output_token"].value == pytest.approx(0.01)
    assert found["latency"].value == pytest.approx(0.1 + 100 * 0.01)
    assert found["throughput"].value == pytest.approx(16 / 1.1)
    assert found["token_throughput"].value == pytest.approx(101 * 16 / 1.1)
    assert "suite ttft" in found["time_to_first_token"].conditions["method"]
    each = found["time_per_output_token"].conditions
    assert (each["in_range"], each["outside"]) == (False, ["sequences a device is outside"])


def test_what_is_asked_of_them(suites):
    ask(batch=16, sequence=2000, output=100, split=scale.parse("tp=2"), precision="fp8")
    row = suites[1]["tpot"]
    assert (row["llm"].name, row["weights"], row["served"], row["device"]) == ("Qwen3-8B", "fp8", "agg", GPU.name)
    assert (row["isl"], row["osl"], row["concurrency"]) == (2000, 100, 16)
    assert (row["devices"], row["tensor"], row["data"], row["prefill_tensor"]) == (2, 2, 1, 2)


def test_the_power_of_a_load(suites):
    suites[0]["power"] = told("power", 150.0)
    found = ask(batch=8, output=50)
    assert found["power"].value == 150
    assert "suite power" in found["power"].conditions["method"]
    assert found["power"].high == GPU.power  # nothing draws more
    assert found["energy"].value == pytest.approx(150 / found["throughput"].value)
    row = suites[1]["power"]
    assert row["itl"] == pytest.approx(0.01)
    assert row["per_token"] == pytest.approx(8 / found["token_throughput"].value)


@pytest.mark.parametrize("missing", ["ttft", "tpot"])
def test_without_an_answer_a_pass_is_the_sum_of_its_operators(suites, missing):
    suites[0][missing] = None
    assert "roofline" in ask()["time_per_output_token"].conditions["method"]
    suites[0][missing] = told(missing, np.nan, "does not fit", refused=True)
    assert "roofline" in ask()["latency"].conditions["method"]


def test_any_shape_is_asked_as_it_is(suites):
    assert "suite tpot" in ask(SMALL)["latency"].conditions["method"]
    assert suites[1]["tpot"]["llm"] == SMALL
    other = dataclasses.replace(MODEL, name="another name")
    ask(other)
    assert suites[1]["tpot"]["family"] == "Qwen3-8B"


def test_stages_are_reckoned_by_operators(suites):
    assert "roofline" in ask(split=scale.parse("pp=2"))["latency"].conditions["method"]
