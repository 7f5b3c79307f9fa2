"""What names a model: artifacts, language models, Python functions in a process of their own, and nothing else."""

import subprocess

import pytest

from netwright.core import artifact, workload
from netwright.core.error import UserError
from netwright.core.workload import Operator, Workload
from netwright.predict import model
from netwright.predict.llm import LLM

NET = Workload(name="net", batch=1, parameters=10, operators=(Operator(name="mm", flops=1e9),))

MODULE = """
import torch
def build(): return torch.nn.Linear(8, 2), torch.empty(4, 8)
def misfit(): return torch.nn.Linear(8, 2), torch.empty(1, 9)
"""


def test_an_artifact(tmp_path):
    about = {"format": "torch", "precision": "fp32", "inputs": {}, "task": {"name": "mnist"}, "model": {"name": "cnn"}}
    made = artifact.create(tmp_path / "a", lambda draft: workload.write(NET, draft), **about)
    assert model.open(str(made.folder)) == NET


@pytest.mark.parametrize("text", ["Qwen3-8B", "Qwen/Qwen3-8B", "layers=2,hidden=64,heads=4,inter=128,vocab=100"])
def test_a_language_model(text):
    assert isinstance(model.open(text), LLM)


def test_a_name_that_is_none():
    with pytest.raises(UserError, match='did you mean "Qwen3-8B"'):
        model.open("Qwen3-8Bb")
    for text in ("", "zzzzzz", "/nowhere/at/all", "a b c"):
        with pytest.raises(UserError, match=r"FILE\.onnx") as caught:
            model.open(text)
        assert len(str(caught.value)) < 400


def test_a_stranger_reads_no_file(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    for text in (".", "config.json", str(tmp_path)):
        with pytest.raises(UserError, match="language model"):
            model.language_model(text)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("functions")
    (folder / "asked_module.py").write_text(MODULE)
    return folder


def test_a_function_is_traced_elsewhere(place, monkeypatch):
    monkeypatch.chdir(place)
    found = model.open("asked_module:build")
    assert (found.name, found.batch, found.parameters) == ("Linear", 4, 18)
    assert found.operators[0].flops == 2 * 4 * 8 * 2


def test_a_function_that_gives_no_model(place, monkeypatch):
    monkeypatch.chdir(place)
    with pytest.raises(UserError, match="does not run on these inputs") as caught:
        model.open("asked_module:misfit")
    assert caught.value.value == "asked_module:misfit"


def test_a_function_that_never_ends(monkeypatch):
    def late(*_, **options):
        raise subprocess.TimeoutExpired("python", options["timeout"])

    monkeypatch.setattr(subprocess, "run", late)
    with pytest.raises(UserError, match="not traced within"):
        model.open("asked_module:build")
