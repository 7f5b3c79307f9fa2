"""Intel Neural Compressor: an engine that quantizes the network itself, of which any format is written afterwards."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from netwright import export
from netwright.compress import calibration, quantize
from netwright.core import artifact
from netwright.core.error import UserError
from netwright.export import verify
from netwright.study import stages

NAME = "neural-compressor"


pytestmark = pytest.mark.usefixtures("neural_compressor")


@pytest.mark.parametrize("kind", ["image", "text"])
@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_a_network_becomes_a_certified_file_of_integers(format, kind, tiny, tmp_path, capfd):
    task, source = tiny[kind]
    config = quantize.Config(engine=NAME, format=format, samples=40, examples=100)
    made = quantize.apply(source, task, config, tmp_path / "made")
    beside = verify.read(made)
    assert (made.format, made.precision, made.made_by["engine"]) == (format, "int8", NAME)
    assert beside is not None
    assert [fault for fault in beside.faults if "executed" not in fault] == []
    assert beside.layers["int8"] > 0
    assert capfd.readouterr().out == ""
    accuracies = [task.evaluate(export.open(one), "test").correct_N.mean() for one in (source, made)]
    assert accuracies[1] > accuracies[0] - 0.1


def test_calibration_is_on_the_examples_of_every_other_engine(tiny, monkeypatch, tmp_path):
    task, source = tiny["image"]
    asked = []
    batch = task.batch
    monkeypatch.setattr(task, "batch", lambda *given: asked.append(given) or batch(*given), raising=False)
    quantize.apply(source, task, quantize.Config(engine=NAME, samples=40, examples=10), tmp_path / "made")
    seen = torch.cat(
        [indices for split, indices, *generator in asked if split == "train" and generator in ([], [None])]
    )
    assert torch.equal(seen, calibration.Examples(task, 0, 40).indices())


def test_layers_that_are_kept_stay_in_floating_point(tiny, tmp_path):
    task, source = tiny["image"]
    config = quantize.Config(engine=NAME, samples=40, examples=10)
    layers = []
    for at, keep in enumerate([(), ("head",)]):
        made = quantize.apply(source, task, replace(config, keep=keep), tmp_path / str(at))
        layers.append(export.open(made).layers)
    assert layers[0].get("fp32", 0) + 1 == layers[1]["fp32"]
    assert layers[0]["int8"] - 1 == layers[1]["int8"]


def test_how_many_examples_is_settled_for_it_too(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(calibration, "MOST", 64)
    task, source = tiny["image"]
    made = quantize.apply(source, task, quantize.Config(engine=NAME, examples=10), tmp_path / "made")
    assert [trial["samples"] for trial in made.made_by["calibration"]] == [32, 64]


def test_a_chain_gives_it_the_network_and_keeps_the_file_it_is_compared_with(tiny, tmp_path):
    task, source = tiny["image"]
    step = quantize.Config(engine=NAME, samples=20, examples=20, format="onnx")
    made = stages.carried_out(tmp_path, source, [step])
    plain = made.folder.with_name(f"{made.folder.name}-fp32")
    assert made.parents == (artifact.open(plain).digest,)
    assert stages.carried_out(tmp_path, source, [step]).digest == made.digest
    assert np.isfinite(export.open(made)({"image": task.example(2)["image"].numpy()})).all()


def test_a_file_and_what_it_does_not_make_are_refused_before_any_work(tiny, tmp_path):
    task, source = tiny["image"]
    file = export.write(source, "onnx", task, tmp_path / "file", n=10)
    with pytest.raises(UserError, match="quantizes networks of torch"):
        quantize.apply(file, task, quantize.Config(engine=NAME), tmp_path / "made")
    with pytest.raises(UserError, match="int8-dynamic of format onnx is made by onnxruntime"):
        quantize.apply(source, task, quantize.Config(to="int8-dynamic", engine=NAME, format="onnx"), tmp_path / "made")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_where_it_is_not_installed_one_line_says_what_to_install(tiny, tmp_path, monkeypatch):
    task, source = tiny["image"]
    monkeypatch.setitem(sys.modules, "neural_compressor", None)
    with pytest.raises(UserError, match=r"pip install 'netwright\[neural-compressor\]'"):
        quantize.apply(source, task, quantize.Config(engine=NAME), tmp_path / "made")
    assert list(tmp_path.iterdir()) == []
