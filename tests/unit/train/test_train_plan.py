"""The plan touches nothing, and its figures are those of the training that follows."""

import json

import pytest
import torch

from netwright.core.measurement import Measurement, exact
from netwright.data import synthetic
from netwright.models import cnn
from netwright.train import plan as planning
from netwright.train.parallel.data import DataParallel
from netwright.train.step import Config

TASK = synthetic.open(synthetic.Config(examples=200))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return cnn.build(cnn.Config(width=8), TASK.inputs, 4)


def test_a_plan_changes_neither_weights_nor_random_state(model, monkeypatch):
    monkeypatch.setattr(planning, "PROBE_SECONDS", 0.05)
    before = {name: x.clone() for name, x in model.state_dict().items()}
    state = torch.get_rng_state()
    planned = {m.quantity: m for m in planning.plan(model, TASK, Config(batch=50, threads=1))}
    assert all(torch.equal(x, before[name]) for name, x in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert planned["parameters"].value == sum(p.numel() for p in model.parameters())
    assert set(planned) == {"parameters", "flops", "training_memory", "training_time", "training_energy"}
    assert all(m.source == "predicted" and m.low <= m.value <= m.high for m in planned.values())
    assert planned["training_time"].low < planned["training_time"].high


def test_checkpointing_is_planned_with_its_second_forward_pass(model, monkeypatch):
    monkeypatch.setattr(planning, "PROBE_SECONDS", 0.05)
    flops = [planning.plan(model, TASK, Config(batch=50, threads=1, checkpointing=on))[1].value for on in (False, True)]
    assert 1.2 < flops[1] / flops[0] < 4 / 3


def test_finished_runs_set_the_interval_of_time(tmp_path):
    assert planning.drift(None) == (*planning.DRIFT, 0)
    for at in range(10):
        folder = tmp_path / f"2026-train-{at}"
        folder.mkdir()
        (folder / "run.json").write_text(json.dumps({"result": {"time_over_plan": 1.0 + at / 10}}))
    low, high, known = planning.drift(tmp_path)
    assert known == 10
    assert 1.0 <= low < 1.1
    assert 1.8 < high <= 1.9


def test_plan_against_actual_says_whether_the_interval_held():
    planned = [exact("parameters", 10), exact("flops", 5)]
    rows = planning.against(planned, [exact("parameters", 11)])
    assert rows == [
        {
            "quantity": "parameters",
            "planned": 10,
            "low": 10,
            "high": 10,
            "actual": 11,
            "ratio": 1.1,
            "held": False,
            "unit": "1",
        }
    ]


def test_what_fits_into_no_device_alone_is_counted_and_not_tried(model, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(planning, "_probe", full)
    assert [m.quantity for m in planning.plan(model, TASK, Config(batch=50))] == ["parameters", "flops"]


def test_a_team_plans_its_share_of_the_steps_and_what_they_take_together(model, monkeypatch):
    monkeypatch.setattr(planning, "PROBE_SECONDS", 0.05)
    team = DataParallel("ddp", 1, 2, torch.device("cpu"))
    asked = []

    def scaled(alone, work):
        asked.append(work.batch)
        return Measurement(quantity="training_step", value=2.0, low=1.0, high=3.0, n=alone.n, source="predicted")

    planned = {m.quantity: m for m in planning.plan(model, TASK, Config(batch=50, threads=1), None, team, scaled)}
    assert asked == [50]
    assert (planned["training_step"].low, planned["training_step"].high) == (0.85, pytest.approx(4.2))
    assert planned["training_time"].value == pytest.approx(3 * 4 * 2.0, rel=0.1)  # three epochs of four steps
