"""INT8 quantization: what it is calibrated on, what it refuses, what it keeps to itself."""

import sys

import pytest
import torch

from netwright import export
from netwright.compress import quantize
from netwright.core.error import UserError


class Witness:
    """A task that remembers which batches it was asked for."""

    def __init__(self, task):
        self._task, self.asked = task, []

    def __getattr__(self, name):
        return getattr(self._task, name)

    def batch(self, split, indices_B, generator=None):
        self.asked.append((split, indices_B.tolist(), generator))
        return self._task.batch(split, indices_B, generator)


@pytest.fixture(scope="module")
def onnx(tiny, tmp_path_factory):
    task, source = tiny["image"]
    return export.write(source, "onnx", task, tmp_path_factory.mktemp("exported") / "onnx", n=30)


def calibration(onnx, task, folder, **settings):
    witness = Witness(task)
    quantize.apply(onnx, witness, quantize.Config(examples=10, **settings), folder)
    return [(indices, generator) for split, indices, generator in witness.asked if split == "train"]


def test_calibration_is_on_fixed_unaugmented_training_examples(onnx, tiny, tmp_path):
    first = calibration(onnx, tiny["image"].task, tmp_path / "a", samples=20)
    assert {generator for _, generator in first} == {None}
    seen = {indices[0] for indices, _ in first}
    assert len(seen) == 20
    assert calibration(onnx, tiny["image"].task, tmp_path / "b", samples=20) == first
    other = calibration(onnx, tiny["image"].task, tmp_path / "c", samples=20, seed=1)
    assert {indices[0] for indices, _ in other} != seen


def test_calibration_draws_no_random_numbers_of_the_caller(onnx, tiny, tmp_path):
    torch.manual_seed(3)
    first = torch.rand(2)
    torch.manual_seed(3)
    calibration(onnx, tiny["image"].task, tmp_path / "a", samples=2)
    assert torch.equal(first, torch.rand(2))


def test_more_samples_than_examples_are_all_examples(onnx, tiny, tmp_path):
    task = tiny["image"].task
    seen = {indices[0] for indices, _ in calibration(onnx, task, tmp_path / "a", samples=100_000)}
    assert seen == set(range(task.size("train")))


def test_it_prints_nothing_on_standard_output(onnx, tiny, tmp_path, capfd):
    quantize.apply(onnx, tiny["image"].task, quantize.Config(samples=5, examples=10), tmp_path / "a")
    assert capfd.readouterr().out == ""


def test_the_result_says_how_it_was_made_and_is_not_quantized_again(onnx, tiny, tmp_path):
    made = quantize.apply(onnx, tiny["image"].task, quantize.Config(samples=5, examples=10), tmp_path / "a")
    said = {
        "verb": "compress",
        "name": "quantize",
        "to": "int8",
        "format": "onnx",
        "samples": 5,
        "engine": "onnxruntime",
    }
    assert made.made_by.items() >= said.items()
    assert made.path("model.onnx").stat().st_size < 0.7 * onnx.path("model.onnx").stat().st_size
    with pytest.raises(UserError, match="takes an fp32 artifact"):
        quantize.apply(made, tiny["image"].task, quantize.Config(), tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_a_missing_extra_stops_before_any_work(onnx, tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "nncf", None)
    witness = Witness(tiny["image"].task)
    with pytest.raises(UserError, match=r"pip install 'netwright\[openvino\]'"):
        quantize.apply(onnx, witness, quantize.Config(engine="nncf"), tmp_path / "a")
    assert witness.asked == []
    assert list(tmp_path.iterdir()) == []
