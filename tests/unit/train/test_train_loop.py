"""fit(): the same bits however often it was stopped, and every option does what it says."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from netwright.core.error import UserError
from netwright.core.run import Run
from netwright.data import synthetic
from netwright.models import cnn, mlp, transformer
from netwright.train.loop import draw_curves, fit
from netwright.train.parallel import Team
from netwright.train.step import Config, Training, alike, choose_device, mix

IMAGES = synthetic.open(synthetic.Config(examples=200))
TEXTS = synthetic.open(synthetic.Config(name="synthetic-text", examples=200))
SHORT = {"epochs": 2, "batch": 40, "threads": 1, "lr": 0.01}


def network(module, task, **settings):
    torch.manual_seed(1)
    return module.build(module.Config(**settings), task.inputs, len(task.classes))


def trained(folder, task, module, stops=(None,), **settings):
    """Train, in as many pieces as there are stops, each with a new network as a new process has."""
    for stop in stops:
        model = network(module, task)
        with Run.start(folder, "train", {"test": 1}) as run:
            fitted = fit(model, task, Config(**{**SHORT, **settings}), run, stop_after=stop)
    return model.state_dict(), fitted


def assert_same(a, b):
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "sgd", "momentum": 0.9, "lr": 0.05},
        {"optimizer": "sgd", "momentum": 0.0},
        {"optimizer": "adam", "schedule": "step"},
        {"precision": "bf16", "average": 0.9, "schedule": "one-cycle"},
        {"precision": "fp16", "clip": 1.0, "accumulate": 3},
        {"checkpointing": True, "smoothing": 0.1, "schedule": "constant"},
        {"keep": "last", "monitor": "accuracy"},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
@pytest.mark.parametrize(("task", "module"), [(IMAGES, cnn), (TEXTS, transformer)], ids=["cnn", "transformer"])
def test_five_and_five_steps_are_ten_bit_for_bit(tmp_path, task, module, settings):
    whole, first = trained(tmp_path / "whole", task, module, **settings)
    pieces, second = trained(tmp_path / "pieces", task, module, stops=(5, None), **settings)
    assert first.step == second.step == first.total_steps == 10
    assert_same(whole, pieces)


def test_a_run_resumes_in_the_middle_of_any_epoch(tmp_path):
    whole, _ = trained(tmp_path / "whole", IMAGES, cnn)
    pieces, _ = trained(tmp_path / "pieces", IMAGES, cnn, stops=(1, 3, 4, 7, 9, None))
    assert_same(whole, pieces)


def test_metrics_of_a_resumed_run_are_those_of_one_that_was_not_stopped(tmp_path):
    rows = []
    for name, stops in (("whole", (None,)), ("pieces", (3, 8, None))):
        trained(tmp_path / name, IMAGES, cnn, stops=stops)
        with Run.start(tmp_path / name, "train", {"test": 1}) as run:
            rows.append(run.metrics())
    assert rows[0] == rows[1]
    assert [row["step"] for row in rows[0] if "validation_loss" in row] == [5, 10]


def test_gradient_checkpointing_changes_memory_and_no_bit(tmp_path):
    plain, _ = trained(tmp_path / "plain", IMAGES, cnn)
    saving, _ = trained(tmp_path / "saving", IMAGES, cnn, checkpointing=True)
    assert_same(plain, saving)


def test_accumulation_gives_the_gradient_of_the_whole_batch():
    states = []
    for parts in (1, 4):
        model = network(mlp, IMAGES)
        fit(model, IMAGES, Config(**SHORT, accumulate=parts, optimizer="sgd"))
        states.append(model.state_dict())
    for name in states[0]:
        torch.testing.assert_close(states[0][name], states[1][name], rtol=1e-4, atol=1e-5)


def test_it_learns(tmp_path):
    _, fitted = trained(tmp_path, IMAGES, cnn, epochs=6)
    with Run.start(tmp_path, "train", {"test": 1}) as run:
        accuracies = [row["validation_accuracy"] for row in run.metrics() if "validation_accuracy" in row]
    assert accuracies[-1] > 0.9
    assert fitted.seconds > 0
    draw_curves(run)
    assert (run.folder / "plots" / "training.svg").read_text().startswith("<svg")


def test_early_stopping_keeps_the_best_weights(tmp_path):
    state, fitted = trained(tmp_path, IMAGES, cnn, epochs=30, patience=1, lr=0.3, optimizer="sgd")
    assert fitted.step < fitted.total_steps
    assert "no better validation loss for 1 epochs" in fitted.stopped
    assert fitted.best_step == fitted.step - 5
    model = network(cnn, IMAGES)
    model.load_state_dict(state)
    import contextlib

    from netwright.train.step import predictor

    seen = IMAGES.evaluate(predictor(model, torch.device("cpu"), contextlib.nullcontext), "validation")
    assert float(seen.loss_N.mean()) == pytest.approx(-fitted.best, rel=1e-5)


def test_a_loss_that_is_not_finite_stops_and_leaves_the_last_good_checkpoint(tmp_path):
    with pytest.raises(FloatingPointError, match="lower train.lr"):
        trained(
            tmp_path, IMAGES, mlp, lr=1000.0, optimizer="sgd", momentum=0.0, schedule="constant", warmup=0.0, epochs=40
        )
    with Run.start(tmp_path, "train", {"test": 1}) as run:
        assert not run.done
        assert "nan" in (run.folder / "log.txt").read_text()
        from netwright.train import checkpoint

        saved = run.folder / "checkpoints" / "last.safetensors"
        if saved.is_file():
            tensors, _ = checkpoint.read(saved)
            assert all(
                math.isfinite(float(x.float().abs().max())) for n, x in tensors.items() if n.startswith("model.")
            )


def test_a_batch_larger_than_the_data_is_refused(tmp_path):
    with pytest.raises(UserError, match="at most the 200 training examples"):
        trained(tmp_path, IMAGES, cnn, batch=201)


@pytest.mark.parametrize("name", ["tpu", "cuda:99", "cpu:1", "", "CUDA", "xpu:x"])
def test_a_device_that_is_not_here_is_refused(name):
    with pytest.raises(UserError, match="this machine has"):
        choose_device(name)


def test_settings_of_the_process_are_put_back(tmp_path):
    torch.manual_seed(5)
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.get_rng_state()
    model = network(cnn, IMAGES)
    torch.manual_seed(5)
    fit(model, IMAGES, Config(**SHORT))
    assert torch.get_num_threads() == before[0]
    assert torch.are_deterministic_algorithms_enabled() == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])


def test_an_epoch_shows_every_example_once():
    training = Training(network(mlp, IMAGES), IMAGES, Config(**SHORT), Team("none", 0, 1, torch.device("cpu")))
    epochs = [torch.cat([training.batch_indices(e * 5 + at) for at in range(5)]) for e in range(2)]
    for order in epochs:
        assert sorted(order.tolist()) == list(range(200))
    assert not torch.equal(*epochs)


def test_texts_of_like_length_come_together():
    settings = Config(**SHORT | {"batch": 8})
    training = Training(network(transformer, TEXTS), TEXTS, settings, Team("none", 0, 1, torch.device("cpu")))
    lengths = TEXTS.lengths("train")
    epochs = [torch.cat([training.batch_indices(e * 25 + at) for at in range(25)]) for e in range(2)]
    for order in epochs:
        assert sorted(order.tolist()) == list(range(200))
        spread = torch.stack([lengths[batch].max() - lengths[batch].min() for batch in order.split(8)])
        assert spread.max() <= 2, "lengths are 8 to 16, in batches of all of them drawn by chance"
        assert order[:100].sort().values.tolist() != list(range(100))
    assert not torch.equal(*epochs)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=80), st.integers(1, 9), st.integers(0, 5))
def test_bringing_lengths_together_loses_no_example(lengths, batch, seed):
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(lengths), generator=generator)
    found = alike(order, torch.tensor(lengths), batch, generator)
    assert sorted(found.tolist()) == list(range(len(lengths)))


def test_seeds_differ_by_use_and_step():
    assert len({mix(seed, use, step) for seed in range(3) for use in ("order", "step") for step in range(50)}) == 300
    assert mix(0, "step", 1) == mix(0, "step", 1)


def test_the_running_average_is_what_is_evaluated_and_kept(tmp_path):
    averaged, _ = trained(tmp_path / "a", IMAGES, cnn, average=0.95, keep="last")
    plain, _ = trained(tmp_path / "b", IMAGES, cnn, keep="last")
    assert any(not torch.equal(averaged[name], plain[name]) for name in plain)
