"""Distillation: losses are what their papers say, students of every kind learn, and kills lose nothing."""

import pytest
import torch
from torch.nn import functional

from netwright.compress import distill
from netwright.core import workload
from netwright.core.error import UserError
from netwright.core.run import Run
from netwright.models.load import open_model
from netwright.train import loop
from netwright.train.step import Config as Training


def test_softened_is_the_divergence_times_the_temperature_squared():
    got, want = torch.randn(5, 7), torch.randn(5, 7)
    expected = 9 * functional.kl_div((got / 3).log_softmax(1), (want / 3).softmax(1), reduction="batchmean")
    torch.testing.assert_close(distill.softened(got, want, 3.0), expected)
    assert float(distill.softened(want + 4, want, 3.0)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("shape", [(4, 6, 5, 5), (4, 9, 6)])
def test_relations_do_not_depend_on_width_or_scale(shape):
    x = torch.randn(shape)
    torch.testing.assert_close(distill.alike(3 * x), distill.alike(x))
    torch.testing.assert_close(distill.where(3 * x), distill.where(x))
    wide = torch.cat([x, x], 1 if len(shape) == 4 else 2)
    torch.testing.assert_close(distill.where(wide), distill.where(x))
    assert distill.alike(x).shape == (4, 4)


def test_in_evaluation_the_loss_is_the_tasks_own(tiny):
    task, source = tiny["image"]
    model, teacher = open_model(source), open_model(source)
    taught = distill.taught(task, teacher, Training())
    batch = task.batch("train", torch.arange(8))
    assert torch.equal(taught.loss(model.eval(), batch), task.loss(model, batch))
    assert taught.size("train") == task.size("train")
    teacher.head.bias.data += 5 * torch.arange(3)
    assert taught.loss(model.train(), batch) > task.loss(model, batch)


@pytest.mark.parametrize(
    ("settings", "flops"),
    [
        ({"student": ("width=4",)}, 0.4),
        ({"start": "coarse"}, 0.6),
        ({"keep": 0.4, "hidden": 1.0, "attention": 1.0}, 0.4),
        ({"student": ("name=mlp", "width=16")}, 0.4),
    ],
)
def test_students_of_every_kind(settings, flops, tiny, tmp_path):
    task, source = tiny["image"]
    made = distill.apply(source, task, distill.Config(epochs=2, lr=0.01, threads=1, **settings), tmp_path / "made")
    assert workload.read(made.folder).flops <= flops * workload.read(source.folder).flops
    assert made.made_by["compared"] == ([] if "hidden" not in settings else made.made_by["compared"])
    logits = open_model(made)(**task.example(3))
    assert torch.isfinite(logits).all()
    if "name=mlp" in settings.get("student", ()):
        assert made.model["name"] == "mlp"


def test_a_student_that_was_killed_ends_with_the_same_weights(tiny, tmp_path, monkeypatch):
    task, source = tiny["image"]
    config = distill.Config(student=("width=4",), epochs=2, lr=0.01, threads=1)
    whole = open_model(distill.apply(source, task, config, tmp_path / "whole")).state_dict()
    real = loop.fit
    monkeypatch.setattr(
        loop, "fit", lambda *a, **k: real(*a, **k, stop_after=9) and (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt), Run.start(tmp_path, "compress", {}) as run:
        distill.apply(source, task, config, tmp_path / "killed", run)
    monkeypatch.setattr(loop, "fit", real)
    with Run.start(tmp_path, "compress", {}) as run:
        again = open_model(distill.apply(source, task, config, tmp_path / "killed", run)).state_dict()
    assert all(torch.equal(value, whole[name]) for name, value in again.items())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"student": ("width",)}, "key=value"),
        ({"student": ("widht=4",)}, 'did you mean "width"'),
        ({"student": ("name=cnnn",)}, 'did you mean "cnn"'),
        ({"hidden": 1.0, "layers": ("nowhere",)}, "a layer of teacher and student"),
    ],
)
def test_a_student_that_cannot_be_is_refused(settings, said, tiny, tmp_path):
    task, source = tiny["image"]
    with pytest.raises(UserError) as refusal:
        distill.apply(source, task, distill.Config(**settings), tmp_path / "made")
    assert said in str(refusal.value)
    assert not (tmp_path / "made").exists()
