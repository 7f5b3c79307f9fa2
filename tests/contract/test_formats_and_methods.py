"""What every format and every method keeps, on a task of images and on a task of text."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from netwright import export
from netwright.compress import METHODS, qat, quantize
from netwright.core import artifact as artifacts
from netwright.core import table, workload
from netwright.core.error import UserError
from netwright.export import OF_LANGUAGE, verify
from netwright.models.load import inputs_of

KINDS = ("image", "text")
FORMATS = sorted(export.FORMATS.keys() - set(OF_LANGUAGE))
"""Formats of language alone have tests of their own: tests/unit/export/test_gguf.py."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FORMATS)
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


SMALLER = {"prune": {}, "distill": {"keep": 0.5}}
"""Methods that make another, smaller network, which is trained on, and settings that keep at most half of the work."""


def test_every_method_is_put_to_these_tests():
    assert METHODS.keys() == {"equalize", "quantize", "qat", *SMALLER}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SMALLER)
def test_every_method_that_trains_on_makes_an_ordinary_smaller_network(name, kind, tiny, tmp_path):
    task, source = tiny[kind]
    method = table.resolve(METHODS, name, "compress.name")
    settings = {"epochs": 2, "lr": 0.01, "threads": 1, **SMALLER[name]}
    made = method.apply(source, task, method.Config(**settings), tmp_path / "made")
    assert artifacts.open(made.folder).digest == made.digest
    assert (made.format, made.precision, made.parents) == ("torch", "fp32", (source.digest,))
    assert (made.task, made.inputs, made.processor) == (source.task, source.inputs, source.processor)
    before, after = (workload.read(one.folder) for one in (source, made))
    assert after.flops <= 0.5 * before.flops
    assert after.parameters < before.parameters
    seen = [task.evaluate(export.open(one), "test").correct_N.mean() for one in (source, made)]
    assert seen[1] > seen[0] - 0.1
    again = method.apply(made, task, method.Config(**settings), tmp_path / "again")
    assert workload.read(again.folder).flops <= 0.5 * after.flops
    for format in FORMATS:
        certificate = verify.read(export.write(again, format, task, tmp_path / format, n=50))
        assert certificate is not None
        assert certificate.passed


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("format", ["onnx", "openvino"])
@pytest.mark.parametrize("to", get_args(quantize.To))
def test_every_precision_makes_the_file_smaller_and_says_what_it_cost(to, format, kind, tiny, tmp_path):
    task, source = tiny[kind]
    config = quantize.Config(to=to, format=format, samples=64, examples=100)
    plain = export.write(source, format, task, tmp_path / "plain", n=20)
    if quantize.on_torch(config):
        grid = quantize.apply(source, task, config, tmp_path / "grid")
        assert (grid.format, grid.precision) == ("torch", "fp32")
        made = export.write(grid, format, task, tmp_path / "made", n=100)
    else:
        try:
            quantize.check_source(plain, config)
        except UserError as refusal:  # nobody makes it for this format
            assert f"{to} of format {format} is made by" in str(refusal)  # noqa: PT017
            assert (to, format) in {("bf16", "onnx"), ("int8-dynamic", "openvino")}
            return
        made = quantize.apply(plain, task, config, tmp_path / "made")
        assert made.parents == (plain.digest,)
    assert (made.format, made.precision, made.task) == (format, to, source.task)
    weights = {"onnx": "model.onnx", "openvino": "model.bin"}[format]
    if kind == "image":  # the network of texts has more names than weights
        assert made.files[weights].size < plain.files[weights].size
    certificate = verify.read(made)
    assert certificate is not None
    assert [fault for fault in certificate.faults if "executed" not in fault or format != "onnx"] == []
    assert certificate.executed == "int8" or format == "onnx" or not to.startswith("int8") or to == "int8-weights"
    before, after = (task.evaluate(export.open(one), "test").correct_N.mean() for one in (plain, made))
    assert after > before - 0.1
    assert inputs_of(made) == dict(task.inputs)
    work, whole = workload.read(made.folder), workload.read(source.folder)
    assert work.flops == whole.flops
    assert sum(o.weight_bytes for o in work.operators) < sum(o.weight_bytes for o in whole.operators)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("to", ["int4", "int8"])
def test_a_network_trained_on_its_grid_is_exported_as_integers(to, kind, tiny, tmp_path):
    task, source = tiny[kind]
    made = qat.apply(source, task, qat.Config(to=to, epochs=2, lr=0.003, threads=1), tmp_path / "made")
    assert (made.format, made.precision, made.parents) == ("torch", "fp32", (source.digest,))
    before, after = (task.evaluate(export.open(one), "test").correct_N.mean() for one in (source, made))
    assert after > before - 0.05
    for format in FORMATS:
        written = export.write(made, format, task, tmp_path / format, n=50)
        certificate = verify.read(written)
        assert certificate is not None
        told = format in ("onnx", "tensorrt")  # ONNX Runtime would want ranges of outputs, too
        slow = ["it is executed in fp32, not in int8"] if told else []
        assert [fault for fault in certificate.faults if fault not in slow] == []
        assert certificate.agreement == 1
        assert written.precision == ("fp32" if format in export.IN_TORCH else to)
    with pytest.raises(UserError, match="qat takes an fp32 artifact"):
        qat.apply(made, task, qat.Config(), tmp_path / "again")
