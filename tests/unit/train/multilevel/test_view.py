"""What people see of levels: numbers that add up, pictures that are written, a training that no picture stops."""

import pytest
import torch
from torch import nn

from netwright.data import synthetic
from netwright.models import cnn, transformer
from netwright.train.multilevel import schedules, view
from netwright.train.multilevel.hierarchy import Hierarchy


def mlp():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(10, 32), nn.GELU(), nn.Linear(32, 16), nn.Tanh(), nn.Linear(16, 3))


def test_a_summary_counts_every_level():
    found = view.summary(Hierarchy.build(mlp(), torch.randn(4, 10), 3))
    expected = [10 * a + a + a * b + b + b * 3 + 3 for a, b in ((32, 16), (16, 8), (8, 4))]
    assert list(found.parameters) == expected
    assert found.flops[0] == 1 > found.flops[1] > found.flops[2] > 0
    assert {row.sizes for row in found.coarsened} == {(32, 16, 8), (16, 8, 4)}
    assert all(-1 <= value <= 1 for row in found.coarsened for value in row.similarity)
    (kept,) = found.frozen
    assert kept.sizes == (3, 3, 3)
    assert "output" in kept.frozen


def test_fixed_pairs_have_no_similarity():
    found = view.summary(Hierarchy.build(mlp(), torch.randn(4, 10), matching="fixed"))
    assert {row.similarity for row in found.coarsened} == {(None,)}


@pytest.mark.parametrize(
    "example", [torch.randn(2, 10), (torch.randn(2, 10),), {"input": torch.randn(2, 10)}], ids=["one", "tuple", "named"]
)
def test_flops_are_counted_however_the_example_is_given(example):
    found = view.summary(Hierarchy.build(mlp(), example))
    assert found.flops[1] == pytest.approx(0.35, abs=0.05)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["a.0.up", "a.1.up", "a.2.up"], "a.0–2.up"),
        (["a.0.up", "a.4.up"], "a.0,4.up"),
        (["a.0.1", "a.1.0", "a.2.2"], "a.0.1 … a.2.2"),
        (["heads: a.0.1", "heads: a.1.0"], "heads: a.0.1 … a.1.0"),
        (["only"], "only"),
    ],
)
def test_alike_names_are_told_as_one(names, told):
    rows = [view.Row(name, "unit", (4, 2), (at / 10,), "", (name,)) for at, name in enumerate(names)]
    (row,) = view._alike(rows)
    assert (row.name, row.count, row.names) == (told, len(names), tuple(names))
    assert row.similarity == pytest.approx((sum(range(len(names))) / 10 / len(names),))


def test_names_of_other_sizes_or_kinds_stay_apart():
    rows = [
        view.Row(f"a.{at}", kind, (size, 2), (None,), "", (f"a.{at}",))
        for at, (kind, size) in enumerate((("unit", 4), ("unit", 8), ("head", 4), ("unit", 4)))
    ]
    assert sorted(row.count for row in view._alike(rows)) == [1, 1, 2]


def test_restricting_for_a_picture_leaves_the_levels_alone():
    found = Hierarchy.build(mlp(), torch.randn(4, 10))
    before = [{name: x.clone() for name, x in level.model.state_dict().items()} for level in found.levels]
    two = view.restricted(found)
    weight = found.levels[0].model[0].weight
    assert torch.equal(two.levels[1].model[0].weight, found.levels[0].transfer.restrict("0.weight", weight))
    for level, state in zip(found.levels, before, strict=True):
        assert all(torch.equal(x, state[name]) for name, x in level.model.state_dict().items())


ROWS = [
    {"step": 0, "work": 0.0, "to_level": 1},
    {"step": 10, "loss": 2.0, "work": 2.5, "level": 1},
    {"step": 20, "loss": 1.0, "work": 5.0, "level": 1},
    {"step": 20, "validation_loss": 1.0, "work": 5.0, "level": 1},
    {"step": 20, "work": 6.0, "to_level": 0},
    {"step": 30, "loss": 0.5, "work": 20.0, "level": 0},
]


def test_shares_of_work_are_of_all_work():
    assert view.shares(ROWS) == pytest.approx({0: 0.7, 1: 0.3})
    assert view.shares([{"step": 1, "loss": 2.0}]) == {}


def test_what_levels_did_is_a_sentence():
    made_by = {"train": {"multilevel": {"schedule": "cascade"}}}
    said = "Levels: cascade, 2 changes of level; share of work: level 0 70 %, level 1 30 %"
    assert view.told(ROWS, made_by) == said
    assert view.told(ROWS, {"train": {"multilevel": {"schedule": "single"}}}) == ""
    assert view.told(ROWS, {"train": {}}) == view.told([], made_by) == ""  # one made before there were levels


def test_steps_since_the_last_row_count_to_the_level_that_did_them():
    rows = []
    for cycle in range(30):  # four steps fine, forty of a quarter coarse; a row of loss only now and then
        rows += [{"work": 14.0 * cycle + 4, "to_level": 1}, {"work": 14.0 * cycle + 14, "to_level": 0}]
        rows += [{"work": 14.0 * cycle + 14, "loss": 1.0, "level": 0}] if cycle % 7 == 0 else []
    assert view.shares(rows) == pytest.approx({0: 4 / 14, 1: 10 / 14})


def test_a_change_that_a_resumed_run_wrote_twice_counts_once():
    again = [*ROWS[:5], ROWS[4], *ROWS[5:]]
    assert view.changes(again) == view.changes(ROWS) == 2
    assert view.shares(again) == view.shares(ROWS)


def test_a_network_whose_flops_cannot_be_counted_is_looked_at_all_the_same(monkeypatch):
    pytest.importorskip("matplotlib")
    found = Hierarchy.build(mlp(), torch.randn(4, 10))

    def uncounted(*about, **more):
        raise RuntimeError("not this one")

    monkeypatch.setattr(view.facts, "trace", uncounted)
    assert view.summary(found).flops == (None, None)
    assert view.hierarchy_figure(found).axes


def build(kind):
    text = kind == "text"
    task = synthetic.open(synthetic.Config(name="synthetic-text" if text else "synthetic", classes=3))
    config = transformer.Config(width=16, depth=1, heads=2, positions=32) if text else cnn.Config(width=8)
    return (transformer if text else cnn).build(config, task.inputs, 3), task


@pytest.mark.parametrize(("kind", "look"), [("image", "feature_maps"), ("text", "attention")])
def test_a_training_leaves_the_pictures_that_its_network_has(kind, look, tmp_path):
    pytest.importorskip("matplotlib")
    model, task = build(kind)
    config = schedules.Config(schedule="cascade", width=(1, 2))
    before = {name: x.clone() for name, x in model.state_dict().items()}
    paths = view.after_training(model, task, config, tmp_path, ROWS)
    assert {path.name for path in paths} == {"work.svg", "hierarchy.svg", f"{look}.svg"}
    assert all(path.read_text().startswith("<svg") for path in (tmp_path / "plots").iterdir())
    assert all(torch.equal(x, before[name]) for name, x in model.state_dict().items())


def test_levels_of_resolution_alone_have_no_hierarchy_to_draw(tmp_path):
    pytest.importorskip("matplotlib")
    model, task = build("image")
    config = schedules.Config(schedule="cascade", width=(1,), resolution=(1.0, 0.5))
    assert [path.name for path in view.after_training(model, task, config, tmp_path, ROWS)] == ["work.svg"]


def test_a_picture_that_fails_is_told_and_stops_nothing(tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    model, task = build("image")

    def broken(*about, **more):
        raise RuntimeError("no tracing today")

    monkeypatch.setattr(Hierarchy, "build", broken)
    paths = view.after_training(model, task, schedules.Config(schedule="cascade", width=(1, 2)), tmp_path, ROWS)
    assert [path.name for path in paths] == ["work.svg"]
    assert "no tracing today" in capsys.readouterr().err
