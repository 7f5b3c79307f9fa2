"""What every task of the table keeps, whoever wrote it, on its real data."""

import atexit
import json
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

import small_svg
from netwright.core import recipe, table
from netwright.core.error import UserError
from netwright.data import TASKS, sources
from netwright.data.regression import is_number
from netwright.data.tasks import IGNORED, Split, Task, open_task

SPLITS = get_args(Split)
DTYPES = {"float32": torch.float32, "int64": torch.int64, "bool": torch.bool}


def number(task: Task) -> bool:
    """Whether a label is a number and no class."""
    return is_number(task.classes)


def by_token(task: Task) -> bool:
    """Whether every token has a label: a task of language, which has no classes."""
    return not task.classes


@cache
def opened(name: str) -> Task:
    return open_task(config_of(name))


def config_of(name: str) -> Any:
    """What a [task] section that says only the name becomes."""
    section = {"name": name, **({"folder": str(traced())} if name == "svg-quality" else {})}
    return recipe.parse({"task": section}, {"task": TASKS})["task"]


@cache
def traced() -> Path:
    """A small data set: the one of svg-quality takes hours to build."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return small_svg.write(folder / "data", sources.cache_folder(), images=200, settings=12)


@pytest.fixture(params=sorted(TASKS))
def name(request) -> str:
    try:
        opened(request.param)
    except UserError as fault:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(fault))
    return request.param


@pytest.fixture
def task(name) -> Task:
    return opened(name)


@pytest.mark.parametrize("split", SPLITS)
def test_batches_are_as_the_inputs_say(task, split):
    last = task.size(split) - 1
    batch = task.batch(split, torch.tensor([0, last, last // 2, 0]))
    assert list(batch.inputs) == list(task.inputs)
    for name, stated in task.inputs.items():
        x = batch.inputs[name]
        assert x.dtype == DTYPES[stated.dtype]
        assert x.is_contiguous()
        assert x.shape[0] == 4
        assert x.dim() == 1 + len(stated.shape)
        assert all(want in (None, have) for want, have in zip(stated.shape, x.shape[1:], strict=True))
        assert not stated.vocabulary or 0 <= int(x.min()) <= int(x.max()) < stated.vocabulary
        assert x.dtype == torch.bool or torch.isfinite(x).all()
        assert torch.equal(x[0], x[3])
    assert batch.labels_B.dtype == (torch.float32 if number(task) else torch.int64)
    assert batch.labels_B.shape == (batch.inputs["ids"].shape if by_token(task) else (4,))


def test_a_batch_does_not_depend_on_who_stands_next_to_it(task):
    rows = torch.tensor([5, 2, 9])
    together, alone = task.batch("train", rows), task.batch("train", rows[1:2])
    for name, x in together.inputs.items():
        one = alone.inputs[name][0]
        assert torch.equal(x[1][: len(one)], one) if x.dim() == 2 else torch.equal(x[1], one)
    ours, theirs = together.labels_B[1].flatten(), alone.labels_B[0].flatten()
    assert torch.equal(ours[: len(theirs)], theirs)
    assert (ours[len(theirs) :] == IGNORED).all()


def test_labels_are_classes_and_every_class_is_learned(task):
    if by_token(task):
        batch = task.batch("train", torch.arange(4))
        within = batch.inputs["positions"][:, 1:] > 0  # the next token is of the same text
        label, following = batch.labels_B[:, :-1][within], batch.inputs["ids"][:, 1:][within]
        assert ((label == following) | (label == IGNORED)).all()
        return
    if number(task):
        for split in SPLITS:
            labels = task.batch(split, torch.arange(task.size(split))).labels_B
            assert ((labels >= 0) & (labels <= 1)).all()
            assert labels.std() > 0
            assert len(task.groups(split)) == task.size(split)
        return
    for split in SPLITS:
        labels = torch.cat([task.batch(split, part).labels_B for part in torch.arange(task.size(split)).split(2000)])
        assert len(labels) == task.size(split)
        known, seen = set(range(len(task.classes))), set(labels.unique().tolist())
        assert seen <= known if task.name == "photographs" else seen == known  # of ImageNet's, crops show some


def test_augmentation_is_the_generators_alone(task):
    rows = torch.arange(16)
    torch.manual_seed(0)
    first = task.batch("train", rows, torch.Generator().manual_seed(7))
    torch.manual_seed(1)
    generator = torch.Generator().manual_seed(7)
    second = task.batch("train", rows, generator)
    third = task.batch("train", rows, generator)
    for name, x in first.inputs.items():
        assert torch.equal(x, second.inputs[name])
        assert x.shape == third.inputs[name].shape
    assert torch.equal(first.labels_B, task.batch("train", rows).labels_B)


def test_a_batch_may_be_changed_by_its_reader(task):
    rows = torch.arange(3)
    before = {name: x.clone() for name, x in task.batch("train", rows).inputs.items()}
    batch = task.batch("train", rows)
    for x in batch.inputs.values():
        x.zero_()
    batch.labels_B.fill_(-1)
    again = task.batch("train", rows)
    assert all(torch.equal(x, again.inputs[name]) for name, x in before.items())
    assert (again.labels_B != -1).all()


def test_no_example_stands_in_two_splits(name, task):
    """By place where a task knows it, by content where it is made from a seed; IMDB itself leaks copies."""
    rows = getattr(task, "rows", None)
    if rows is None:
        seen = [
            {x.numpy().tobytes() for x in task.batch(s, torch.arange(task.size(s))).inputs[next(iter(task.inputs))]}
            for s in SPLITS
        ]
    else:
        seen = [set(rows[split].tolist()) for split in SPLITS]
    assert [len(part) for part in seen] == [task.size(split) for split in SPLITS]
    assert len(set.union(*seen)) == sum(map(len, seen))


def test_opening_again_gives_the_same_data_and_digest(name, task):
    again = open_task(config_of(name))
    assert again is not task
    assert again.digest == task.digest
    assert len(task.digest) == 64
    rows = torch.arange(0, task.size("train"), max(1, task.size("train") // 50))
    first, second = task.batch("train", rows), again.batch("train", rows)
    assert torch.equal(first.labels_B, second.labels_B)
    assert all(torch.equal(x, second.inputs[key]) for key, x in first.inputs.items())


def test_evaluate_counts_what_predict_gets_right(task):
    if by_token(task):
        words = task.inputs["ids"].vocabulary
        found = task.evaluate(lambda inputs: np.eye(words, dtype=np.float32)[np.full_like(inputs["ids"], 1)], "test")
        labels = [task.batch("test", torch.tensor([at])).labels_B for at in range(task.size("test"))]
        counted = torch.cat([one[one != IGNORED] for one in labels])
        assert len(found.correct_N) == len(found.loss_N) == len(found.text_N) == len(counted)
        assert found.accuracy().value == pytest.approx(float((counted == 1).double().mean()))
        assert found.perplexity().value == pytest.approx(np.exp(found.loss_N.mean()), rel=1e-5)
        return
    labels = torch.cat([task.batch("test", part).labels_B for part in torch.arange(task.size("test")).split(2000)])
    sizes = []
    if number(task):
        found = task.evaluate(lambda inputs: np.full((len(next(iter(inputs.values()))), 1), 0.5, np.float32), "test")
        np.testing.assert_allclose(found.loss_N, (labels - 0.5) ** 2, rtol=1e-6)
        assert found.absolute_error().value == pytest.approx(float((labels - 0.5).abs().double().mean()), rel=1e-6)
        assert found.correlation().value == 0  # of what does not vary
        return

    def predict(inputs):
        assert set(inputs) == set(task.inputs)
        sizes.append(len(next(iter(inputs.values()))))
        logits = np.zeros((sizes[-1], len(task.classes)), np.float32)
        logits[:, 1] = 1.0
        return logits

    found = task.evaluate(predict, "test", batch=700)
    assert sum(sizes) == task.size("test")
    assert np.array_equal(found.correct_N, (labels == 1).numpy())
    assert found.accuracy().value == pytest.approx(float((labels == 1).double().mean()))
    assert np.isfinite(found.loss_N).all()


def test_loss_is_a_mean_that_can_be_smoothed(task):
    class Constant(torch.nn.Module):
        def forward(self, **inputs):
            first = next(iter(inputs.values()))
            shape = (*first.shape, task.inputs["ids"].vocabulary) if by_token(task) else (len(first), len(task.classes))
            logits = torch.zeros(shape)
            logits[..., 0] = 2.0
            return logits

    batch = task.batch("train", torch.arange(8))
    logits = Constant()(**batch.inputs)
    if number(task):
        torch.testing.assert_close(task.loss(Constant(), batch), (logits[:, 0] - batch.labels_B).square().mean())
        with pytest.raises(UserError, match="smoothing"):
            task.loss(Constant(), batch, 0.1)
        return
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, -2), batch.labels_B.flatten(), ignore_index=IGNORED)
    assert torch.equal(task.loss(Constant(), batch), expected)
    assert task.loss(Constant(), batch, 0.1) != task.loss(Constant(), batch)


@pytest.mark.parametrize("batch", [1, 3])
def test_an_example_is_real_and_of_the_size_asked_for(task, batch):
    example = task.example(batch)
    real = task.batch("validation", torch.arange(batch)).inputs
    assert list(example) == list(task.inputs)
    assert all(torch.equal(x, real[name]) for name, x in example.items())


def test_the_processor_is_plain_data_whose_files_are_written(task, tmp_path):
    task.write_processor(tmp_path)
    text = json.dumps(recipe.plain(task.processor))
    assert all(file.name in text for file in tmp_path.iterdir())
    assert len(text) < 100_000


def test_a_misspelt_setting_is_refused(name):
    with pytest.raises(UserError, match="validatoin"):
        recipe.parse({"task": {"name": name, "validatoin": 10}}, {"task": TASKS})


def test_the_table_resolves_to_modules_that_can_be_opened():
    for name in TASKS:
        module = table.resolve(TASKS, name, "task.name")
        assert callable(module.open)
        assert isinstance(config_of(name), module.Config)
