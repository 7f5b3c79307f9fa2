"""What every format and every method keeps, on a task of images and on a task of text."""

from pathlib import Path

import numpy as np
import pytest

from netwright import export
from netwright.compress import METHODS
from netwright.core import artifact as artifacts
from netwright.core import table, workload
from netwright.export import FORMATS, verify
from netwright.models.load import inputs_of

KINDS = ("image", "text")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_format_writes_what_equals_its_source(name, kind, tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    task, source = tiny[kind]
    made = export.write(source, name, task, tmp_path / name, n=100)
    assert artifacts.open(made.folder).digest == made.digest
    assert (made.format, made.precision, made.parents) == (name, "fp32", (source.digest,))
    assert (made.task, made.model, made.inputs) == (source.task, source.model, source.inputs)
    assert workload.read(made.folder) == workload.read(source.folder)
    assert made.made_by["verb"] == "export"
    assert made.made_by["format"] == name

    certificate = verify.read(made)
    assert certificate is not None
    assert certificate.passed
    assert certificate.reference == source.digest
    assert certificate.n == 100
    assert certificate.relative_error < 1e-5
    assert (certificate.executed, certificate.reference_executed) == ("fp32", "fp32")
    assert certificate.layers.keys() == {"fp32"}
    assert {1, 2, 17} < set(certificate.batches)
    assert ({1, 2, 9, 16} if kind == "text" else set()) == set(certificate.lengths)

    content = b"".join(made.path(file).read_bytes() for file in made.files)
    example = task.example(2)["ids" if kind == "text" else "image"].numpy().tobytes()
    for secret in (str(tmp_path).encode(), str(Path(export.__file__).parents[1]).encode(), example):
        assert secret not in content  # neither where it was made, nor of what

    runner = export.open(made)
    inputs = {name: x.numpy() for name, x in task.example(5).items()}
    logits_BK = runner(inputs)
    assert logits_BK.shape == (5, len(task.classes))
    assert logits_BK.dtype == np.float32
    np.testing.assert_allclose(logits_BK, export.open(source)(inputs), atol=1e-4)
    kept = logits_BK.copy()
    runner({name: x[::-1] for name, x in inputs.items()})
    np.testing.assert_array_equal(logits_BK, kept)  # an answer is the caller's, the next call does not change it


RETRAINED = ("prune",)
"""Methods that make another network, which is trained on; the others make the same one cheaper."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", RETRAINED)
def test_every_method_that_trains_on_makes_an_ordinary_smaller_network(name, kind, tiny, tmp_path):
    task, source = tiny[kind]
    method = table.resolve(METHODS, name, "compress.name")
    made = method.apply(source, task, method.Config(epochs=2, lr=0.01, threads=1), tmp_path / "made")
    assert artifacts.open(made.folder).digest == made.digest
    assert (made.format, made.precision, made.parents) == ("torch", "fp32", (source.digest,))
    assert (made.task, made.inputs, made.processor) == (source.task, source.inputs, source.processor)
    before, after = (workload.read(one.folder) for one in (source, made))
    assert after.flops <= 0.5 * before.flops
    assert after.parameters < before.parameters
    seen = [task.evaluate(export.open(one), "test").correct_N.mean() for one in (source, made)]
    assert seen[1] > seen[0] - 0.1
    again = method.apply(made, task, method.Config(epochs=1, lr=0.01, threads=1), tmp_path / "again")
    assert workload.read(again.folder).flops <= 0.5 * after.flops
    for format in FORMATS:
        certificate = verify.read(export.write(again, format, task, tmp_path / format, n=50))
        assert certificate is not None
        assert certificate.passed


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("format", ["onnx", "openvino"])
@pytest.mark.parametrize("name", sorted(set(METHODS) - set(RETRAINED)))
def test_every_method_makes_it_cheaper_and_says_what_it_cost(name, format, kind, tiny, tmp_path):
    task, source = tiny[kind]
    method = table.resolve(METHODS, name, "compress.name")
    made = method.apply(source, task, method.Config(format=format, samples=64, examples=100), tmp_path / "made")
    parent = artifacts.open(tmp_path / "made-fp32")
    assert made.parents == (parent.digest,)
    assert parent.parents == (source.digest,)
    assert (made.format, made.precision) == (format, name)
    assert made.task == source.task
    assert {o.dtype for o in workload.read(made.folder).operators} == {"int8"}
    certificate = verify.read(made)
    assert certificate is not None
    assert certificate.passed
    assert certificate.reference == parent.digest
    assert certificate.executed == "int8"
    assert certificate.layers["int8"] >= 3
    assert certificate.relative_error > 1e-4  # it is another model, not the parent under another name
    before = task.evaluate(export.open(parent), "test")
    after = task.evaluate(export.open(made), "test")
    assert after.correct_N.mean() > before.correct_N.mean() - 0.05
    assert inputs_of(made) == dict(task.inputs)
