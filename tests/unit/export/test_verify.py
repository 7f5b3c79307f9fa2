"""The certificate must fail where it should: a certificate that cannot fail is worth nothing."""

import dataclasses

import numpy as np
import pytest
import torch

from netwright import export
from netwright.core import artifact as artifacts
from netwright.core.error import UserError
from netwright.export import eager, verify
from netwright.models.load import open_model, save_model


@pytest.fixture(scope="module")
def onnx(tiny, tmp_path_factory):
    task, source = tiny["image"]
    return export.write(source, "onnx", task, tmp_path_factory.mktemp("exported") / "onnx", n=30)


def spoiled(by):
    """A `write` of the format torch that changes the weights a little."""

    def write(artifact, task, draft):
        model = open_model(artifact)
        with torch.no_grad():
            model.head.weight += by * model.head.weight.std() * torch.randn(model.head.weight.shape)
        save_model(model, draft)

    return write


def test_an_export_that_differs_is_refused_and_leaves_nothing(tiny, tmp_path, monkeypatch):
    torch.manual_seed(0)
    monkeypatch.setattr(eager, "write", spoiled(0.01))
    with pytest.raises(UserError, match=r"relative error .* is above 0\.0001"):
        export.write(tiny["image"].artifact, "torch", tiny["image"].task, tmp_path / "made", n=50)
    assert list(tmp_path.iterdir()) == []


def test_an_error_within_the_tolerance_is_stated_not_hidden(tiny, tmp_path, monkeypatch):
    torch.manual_seed(0)
    monkeypatch.setattr(eager, "write", spoiled(1e-6))
    made = export.write(tiny["image"].artifact, "torch", tiny["image"].task, tmp_path / "made", n=50)
    certificate = verify.read(made)
    assert 1e-9 < certificate.relative_error < 1e-4
    assert certificate.max_absolute_error > 0


def test_an_answer_that_is_not_finite_fails(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(eager, "write", spoiled(float("nan")))
    with pytest.raises(UserError, match="not finite"):
        export.write(tiny["image"].artifact, "torch", tiny["image"].task, tmp_path / "made", n=20)


def test_a_file_that_runs_in_another_precision_than_it_says_fails(tiny, onnx):
    claims = dataclasses.replace(onnx, precision="int8")
    certificate = verify.verify(claims, tiny["image"].artifact, tiny["image"].task, n=20)
    assert certificate.faults == ("it is executed in fp32, not in int8",)
    assert not certificate.passed


def test_lower_precision_that_fails_is_kept_with_its_verdict(tiny, onnx, tmp_path):
    task = tiny["image"].task

    def fill(draft):
        (draft / "model.onnx").write_bytes(onnx.path("model.onnx").read_bytes())

    made = verify.certified(
        tmp_path / "made", fill, onnx, task, n=20, threads=1, format="onnx", precision="int8", made_by={"verb": "test"}
    )
    assert not verify.read(artifacts.open(tmp_path / "made")).passed
    assert made.parents == (onnx.digest,)


class Fixed:
    """A runner that answers what it is told, row by row of a picture's first pixel."""

    def __init__(self, answers):
        self.answers, self.precision, self.layers = answers, "int8", {"int8": 1}

    def __call__(self, inputs):
        return np.stack([self.answers(row) for row in inputs["image"]])


@pytest.mark.parametrize(("wrong", "passed"), [(0, True), (9, True), (11, False)])
def test_agreement_is_counted_over_examples_and_judged_by_the_limit(wrong, passed, tiny, onnx, monkeypatch):
    task = tiny["image"].task
    pictures = task.batch("validation", torch.arange(200)).inputs["image"].numpy()
    other = {row.tobytes() for row in pictures[:wrong]}
    right = np.array([1.0, 0.9, 0.0], np.float32)
    runners = {
        "int8": Fixed(lambda row: right[[1, 0, 2]] if row.tobytes() in other else right),
        "fp32": Fixed(lambda row: right),
    }
    monkeypatch.setattr(export, "open", lambda artifact, threads: runners[artifact.precision])
    certificate = verify.verify(dataclasses.replace(onnx, precision="int8"), onnx, task, n=1000)
    assert certificate.n == 200
    assert certificate.agreement == pytest.approx(1 - wrong / 200)
    assert certificate.agreement_low < certificate.agreement or wrong == 0
    assert certificate.passed is passed
    assert sum(certificate.batches) < 200
    assert certificate.max_absolute_error == pytest.approx(0.1 if wrong else 0.0)


def test_what_a_parent_carries_goes_with_its_child(tiny, tmp_path):
    task, source = tiny["text"]
    about = {f.name: getattr(source, f.name) for f in dataclasses.fields(source) if f.name not in ("folder", "files")}

    def fill(draft):
        for name in source.files:
            (draft / name).write_bytes(source.path(name).read_bytes())
        (draft / "words").mkdir()
        (draft / "words" / "vocabulary.json").write_text("[]")
        (draft / "notes.txt").write_text("stays")

    rich = artifacts.create(
        tmp_path / "rich", fill, **{**about, "processor": {"files": {"vocabulary": "words/vocabulary.json"}}}
    )
    made = export.write(rich, "torch", task, tmp_path / "made", n=10)
    assert set(made.files) == {
        "weights.safetensors",
        "workload.json",
        "words/vocabulary.json",
        "certificate.json",
        "card.md",
    }
    assert made.processor == rich.processor


def test_a_trained_artifact_has_no_certificate_and_a_strange_one_is_refused(tiny, onnx, tmp_path):
    assert verify.read(tiny["image"].artifact) is None
    (tmp_path / "certificate.json").write_text('{"passed": true}')
    files = {"certificate.json": artifacts.describe(tmp_path / "certificate.json")}
    with pytest.raises(UserError, match="certificate"):
        verify.read(dataclasses.replace(onnx, folder=tmp_path, files=files))
