"""A network out of an artifact that may have been tampered with."""

import dataclasses
import json
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file

from netwright.core import artifact as artifacts
from netwright.core.error import UserError
from netwright.models.load import WEIGHTS, inputs_of, open_model, open_task, save_model


def forged(source, folder, weights=None, **about):
    """The same artifact with other weights or another manifest, its hashes in order."""
    fields = {f.name: getattr(source, f.name) for f in dataclasses.fields(source) if f.name not in ("folder", "files")}

    def fill(draft):
        if weights is None:
            (draft / WEIGHTS).write_bytes(source.path(WEIGHTS).read_bytes())
        elif isinstance(weights, bytes):
            (draft / WEIGHTS).write_bytes(weights)
        else:
            save_file(weights, draft / WEIGHTS)

    return artifacts.create(folder, fill, **{**fields, **about})


@pytest.mark.parametrize("kind", ["image", "text"])
def test_what_was_saved_is_opened_again(kind, tiny, tmp_path):
    task, source = tiny[kind]
    model = open_model(source)
    assert not model.training
    save_model(model, tmp_path)
    before, after = load_file(source.path(WEIGHTS)), load_file(tmp_path / WEIGHTS)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert inputs_of(source) == dict(task.inputs)
    with torch.no_grad():
        assert model(**task.example(3)).shape == (3, 3)


def test_opening_draws_no_random_numbers_of_the_caller(tiny):
    torch.manual_seed(7)
    first = torch.rand(3)
    torch.manual_seed(7)
    open_model(tiny["image"].artifact)
    assert torch.equal(first, torch.rand(3))


def test_saving_tied_tensors_and_views_keeps_their_values(tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    model[1].weight = model[0].weight
    save_model(model, tmp_path)
    assert torch.equal(load_file(tmp_path / WEIGHTS)["1.weight"], model[0].weight)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda w: w.pop("head.bias"), "head.bias is missing"),
        (lambda w: w.update(other=torch.zeros(2)), "other is not in the network"),
        (
            lambda w: w.update({"head.bias": torch.zeros(4)}),
            r"head.bias is float32 \[4\], the network's is float32 \[3\]",
        ),
        (lambda w: w.update({"head.bias": w["head.bias"].half()}), "head.bias is float16"),
        (lambda w: w.clear(), "and .* more"),
    ],
)
def test_other_tensors_than_the_networks_are_named(change, said, tiny, tmp_path):
    weights = load_file(tiny["image"].artifact.path(WEIGHTS))
    change(weights)
    with pytest.raises(UserError, match=said):
        open_model(forged(tiny["image"].artifact, tmp_path / "a", weights))


def huge_header():
    entry = {"head.bias": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}
    text = json.dumps(entry).encode()
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize("content", [b"", b"\x80\x04N.", b"\xff" * 100, struct.pack("<Q", 2**63), huge_header()])
def test_what_is_no_safetensors_is_refused(content, tiny, tmp_path):
    with pytest.raises(UserError, match="not safetensors"):
        open_model(forged(tiny["image"].artifact, tmp_path / "a", content))


def test_a_manifest_that_asks_for_a_giant_network_allocates_nothing(tiny, tmp_path):
    source = tiny["text"].artifact
    giant = {**source.model, "width": 8192, "depth": 200}  # 100 GB of weights
    with pytest.raises(UserError, match=r"and 24\d\d more"):
        open_model(forged(source, tmp_path / "a", model=giant))


@pytest.mark.parametrize(
    "about",
    [
        {"model": {"name": "nothing"}},
        {"model": {"name": "cnn", "widht": 8}},
        {"model": {"name": "cnn", "width": -1}},
        {"task": {"name": "synthetic"}},
        {"task": {"name": "synthetic", "classes": "abc"}},
        {"inputs": {"image": {"shape": [1, 8, -8], "dtype": "float32"}}},
        {"inputs": {"image": {"shape": "1", "dtype": "float32"}}},
        {"inputs": {"image": {"shape": [1, 8, 8], "dtype": "object"}}},
        {"inputs": {"image": {"shape": [1, 8, 8], "dtype": "float32", "vocabulary": True}}},
        {"inputs": {"image": [1, 8, 8]}},
        {"inputs": {"image": {"shape": [True, 8, 8], "dtype": "float32"}}},
        {"format": "onnx"},
    ],
)
def test_a_manifest_that_describes_no_network_is_refused(about, tiny, tmp_path):
    with pytest.raises(UserError):
        open_model(forged(tiny["image"].artifact, tmp_path / "a", **about))


def test_the_task_of_an_artifact_is_the_one_it_learned(tiny, tmp_path):
    task, source = tiny["image"]
    assert open_task(source).digest == task.digest
    other = {**source.task, "digest": "another"}
    with pytest.raises(UserError, match="no longer those"):
        open_task(forged(source, tmp_path / "a", task=other))
