"""Advice: limits keep out what misses them, ranks follow intervals, counts and batches are chosen."""

import dataclasses

import pytest
from asked import GPU, NET
from asked import SMALL as TINY

from netwright.core.error import UserError
from netwright.core.measurement import Measurement
from netwright.predict import advise, cost, learned
from netwright.predict.advise import Limits
from netwright.predict.question import Question

FAST = dataclasses.replace(GPU, name="NVIDIA H100 SXM", rates={"bf16": 1e15, "fp8": 2e15}, bandwidth=1e13, power=700.0)
SLOW = dataclasses.replace(GPU, name="NVIDIA T4", rates={"bf16": 1e12}, bandwidth=1e11, memory=1.6e10, power=70.0)
SMALL = dataclasses.replace(TINY, hidden=4096, heads=32, kv_heads=8, head_dim=128, inter=14336)
UNKNOWN = dataclasses.replace(GPU, name="Nobody's")
DEVICES = (GPU, FAST, SLOW)


@pytest.fixture(autouse=True)
def _roofline_alone(monkeypatch):
    monkeypatch.setattr(learned, "check", lambda: None)
    monkeypatch.setattr(learned, "rows", lambda *_: None)


def rank(model=SMALL, limits=None, objective="latency", devices=DEVICES, question=None, precisions=(), most=1, **told):
    return advise.rank(
        model,
        question or Question(),
        limits or Limits(),
        objective,
        devices=devices,
        precisions=precisions,
        most=most,
        **told,
    )


def names(advice):
    return [choice.device for choice in advice.choices]


def test_the_fastest_stands_first_and_beyond_doubt_ranks_first():
    found = rank()
    assert names(found) == ["NVIDIA H100 SXM", "NVIDIA L4", "NVIDIA T4"]
    assert [choice.rank for choice in found.choices] == [1, 2, 3]
    assert found.excluded == []


def test_overlapping_intervals_share_a_place():
    near = dataclasses.replace(GPU, name="NVIDIA L40S", rates={"bf16": 1.1e14}, bandwidth=1.1e12)
    assert [choice.rank for choice in rank(devices=(GPU, near)).choices] == [1, 1]


@pytest.mark.parametrize("objective", ["cost", "energy", "latency", "throughput"])
@pytest.mark.parametrize("model", [NET, SMALL], ids=lambda model: model.name)
def test_every_objective_is_sorted_by_itself(model, objective):
    values = [choice.objective.value for choice in rank(model, objective=objective).choices]
    assert len(values) == 3
    assert values == sorted(values, reverse=objective == "throughput")


def test_limits_keep_out_and_say_which():
    best = {choice.device: choice for choice in rank().choices}
    limit = 2 * best["NVIDIA L4"].objective.value
    found = rank(limits=Limits(max_latency=limit))
    assert names(found) == ["NVIDIA H100 SXM", "NVIDIA L4"]
    assert [device for device, _ in found.excluded] == ["NVIDIA T4"]
    assert found.excluded[0][1].startswith("latency above")
    assert {choice.device: choice.sure for choice in found.choices} == {"NVIDIA H100 SXM": True, "NVIDIA L4": False}


@pytest.mark.parametrize(
    ("limits", "left"),
    [
        (Limits(max_power=100), ["NVIDIA T4"]),
        (Limits(min_memory=20), ["NVIDIA H100 SXM", "NVIDIA L4"]),
        (Limits(max_hourly=1.0), ["NVIDIA L4", "NVIDIA T4"]),
        (Limits(max_per_token=1e-3), ["NVIDIA H100 SXM"]),
        (Limits(max_first_token=1e-9), []),
        (Limits(max_cost=1e-9), []),
        (Limits(min_throughput=1e12), []),
    ],
    ids=lambda value: str(value)[:60],
)
def test_each_limit(limits, left):
    found = rank(limits=limits)
    assert names(found) == left
    assert len(found.excluded) == 3 - len(left)
    assert all(why for _, why in found.excluded)


def test_the_batch_is_chosen_unless_it_is_given():
    cheap, quick = rank(objective="cost"), rank(objective="latency")
    assert max(choice.batch for choice in cheap.choices) > 16
    assert {choice.batch for choice in quick.choices} == {1}
    assert {choice.batch for choice in rank(objective="cost", question=Question(batch=4)).choices} == {4}


def test_devices_are_added_until_it_fits():
    large = dataclasses.replace(SMALL, layers=64, hidden=8192, heads=64, kv_heads=8, inter=28672)
    found = {choice.device: choice.split.devices for choice in rank(large, devices=(GPU, FAST), most=8).choices}
    assert found == {"NVIDIA L4": 2, "NVIDIA H100 SXM": 2}
    alone = rank(large, devices=(GPU,))
    assert not alone.choices
    assert "needs" in alone.excluded[0][1]


def test_each_precision_is_a_choice():
    found = rank(objective="throughput", precisions=("bf16", "fp8"), devices=(FAST,))
    assert {choice.precision for choice in found.choices} == {"bf16", "fp8"}


def test_without_a_price_there_is_no_cost():
    assert rank(objective="cost", devices=(UNKNOWN,)).excluded == [
        ("Nobody's", "no on-demand price of Nobody's is known")
    ]
    owned = Question(terms=cost.Terms(kind="owned", electricity=0.1))
    assert names(rank(objective="cost", devices=(UNKNOWN,), question=owned)) == ["Nobody's"]


@pytest.mark.parametrize("wrong", [{"max_latency": 0}, {"max_cost": -1}, {"min_throughput": float("nan")}])
def test_limits_that_are_none(wrong):
    with pytest.raises(UserError, match="above 0"):
        Limits(**wrong)


def test_an_objective_that_is_none():
    with pytest.raises(UserError, match='did you mean "latency"'):
        rank(objective="latencies")


def test_for_json():
    told = advise.plain(rank(limits=Limits(max_power=100)))
    assert told["choices"][0]["device"] == "NVIDIA T4"
    assert isinstance(told["choices"][0]["objective"], Measurement)
    assert {one["device"] for one in told["excluded"]} == {"NVIDIA L4", "NVIDIA H100 SXM"}


def test_every_device_is_told_of():
    told = []

    def advance(note):
        told.append(note)

    rank(advance=advance)
    assert told == [device.name for device in DEVICES]
