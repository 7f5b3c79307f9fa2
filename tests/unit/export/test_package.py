"""A deployment package: the same bytes always, and answers where nothing but its runtime is installed."""

import json
import os
import subprocess
import sysconfig
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest

from netwright import cli, export
from netwright.compress import quantize
from netwright.core.error import UserError
from netwright.export import package

RUNTIME = {"onnx": ("onnxruntime",), "openvino": ("openvino",)}
"""Format -> packages, of those installed here, that a clean environment gets beside NumPy."""


@pytest.fixture(scope="module")
def made(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("packages")
    task, source = tiny["image"]
    plain = {name: export.write(source, name, task, folder / name, n=30) for name in RUNTIME}
    config = quantize.Config(samples=16, examples=30)
    return {**plain, "openvino int8": quantize.apply(plain["openvino"], task, config, folder / "int8")}


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """Format -> a Python that knows NumPy and the runtime of that format, and nothing else that is installed here."""
    found = {}
    for format, packages in RUNTIME.items():
        folder = tmp_path_factory.mktemp("clean")
        venv.create(folder, symlinks=True)
        here = Path(sysconfig.get_paths()["purelib"])
        there = next((folder / "lib").glob("python*/site-packages"))
        for name in ("numpy", "numpy.libs", *packages):
            if (here / name).exists():
                (there / name).symlink_to(here / name)
        found[format] = folder / "bin" / "python"
    return found


def unpacked(path, folder):
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    return folder / path.stem


def answered(python, folder, *words):
    done = subprocess.run(
        [str(python), "-I", str(folder / "run.py"), *map(str, words)], capture_output=True, text=True, check=False,
        cwd="/", env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


@pytest.mark.parametrize("name", ["onnx", "openvino", "openvino int8"])
def test_it_answers_where_only_its_runtime_is_installed(name, made, clean, tiny, tmp_path):
    artifact, task = made[name], tiny["image"].task
    folder = unpacked(package.pack(artifact, tmp_path / "model.zip"), tmp_path)
    inputs = {key: x.numpy() for key, x in task.example(5).items()}
    np.savez(tmp_path / "inputs.npz", **inputs)
    python = clean[artifact.format]
    assert subprocess.run([python, "-I", "-c", "import torch"], capture_output=True, check=False).returncode
    code, rows, said = answered(python, folder, tmp_path / "inputs.npz")
    assert code == 0, said
    logits_BK = export.open(artifact)(inputs)
    np.testing.assert_allclose([row["logits"] for row in rows], logits_BK, atol=1e-4)
    assert [row["class"] for row in rows] == [task.classes[k] for k in logits_BK.argmax(1)]
    assert len(answered(python, folder)[1]) == 1, "without a file it answers to zeros"
    assert len((folder / "run.py").read_text().splitlines()) <= 30


def test_a_file_that_was_changed_is_refused(made, clean, tmp_path):
    folder = unpacked(package.pack(made["onnx"], tmp_path / "model.zip"), tmp_path)
    with (folder / "model.onnx").open("ab") as file:
        file.write(b"x")
    code, rows, said = answered(clean["onnx"], folder)
    assert (code, rows) == (1, [])
    assert "not the file that was certified" in said


def test_the_same_artifact_is_packed_to_the_same_bytes(made, tmp_path):
    first = package.pack(made["onnx"], tmp_path / "a" / "model.zip").read_bytes()
    assert package.pack(made["onnx"], tmp_path / "b" / "model.zip").read_bytes() == first
    names = zipfile.ZipFile(tmp_path / "a" / "model.zip").namelist()
    assert names == [f"model/{name}" for name in (
        "artifact.json", "card.md", "certificate.json", "model.onnx", "requirements.txt", "run.py")]  # fmt: skip


def test_the_card_says_what_it_is_and_how_equal(made):
    text = made["openvino int8"].path("card.md").read_text()
    assert "weights in int8" in text
    assert "executed in int8" in text
    assert all(parent in text for parent in made["openvino int8"].parents)
    assert "| image | [1, 8, 8] | float32 |" in text


def test_what_has_no_loader_is_refused(tiny, tmp_path):
    with pytest.raises(UserError, match="packages hold the formats onnx, openvino"):
        package.pack(tiny["image"].artifact, tmp_path / "model.zip")
    assert not list(tmp_path.iterdir())


def test_the_verb_packs_what_it_exports_and_what_was_quantized(made, tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    source = str(tiny["image"].artifact.folder)
    assert cli.main(["export", source, "--format", "onnx", "--package", "export.examples=20"]) == 0
    assert "Package: " in capsys.readouterr().out
    (path,) = (tmp_path / "runs").rglob("*.zip")
    assert path.name == "synthetic-cnn-fp32-onnx.zip"
    words = ["export", str(made["openvino int8"].folder), "--format", "openvino", "--package", "--folder", "out"]
    assert cli.main(words) == 0
    assert (tmp_path / "out" / "synthetic-cnn-int8-openvino.zip").is_file()
    assert cli.main(["export", source, "--format", "program", "--package"]) == 2


def test_the_sheet_of_tensorrt_names_every_input_and_opens_dimensions(tiny, tmp_path):
    task, source = tiny["text"]
    made = export.write(source, "tensorrt", task, tmp_path / "made", n=20)
    text = (made.folder / "tensorrt.md").read_text()
    assert "--minShapes=ids:1x1,mask:1x1" in text
    assert "--maxShapes=ids:64x512,mask:64x512" in text
    assert "--onnx=model.onnx" in text
    assert (made.folder / "model.onnx").is_file()


def test_a_dry_run_packs_nothing(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["export", str(made["openvino int8"].folder), "--format", "openvino", "--package", "--folder", "out"]
    assert cli.main([*words, "--dry-run"]) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_number_is_answered_by_its_name(tmp_path, clean):
    from types import MappingProxyType

    import torch

    from netwright.core import artifact, recipe
    from netwright.data.regression import Regression
    from netwright.data.tasks import Batch, Input
    from netwright.models import facts, load, regressor

    class Numbers(Regression):
        name, classes, digest = "numbers", ("ssim",), "0" * 64
        inputs = MappingProxyType({"features": Input((12,), "float32")})
        processor = MappingProxyType({"kind": "none"})

        def size(self, split):
            return 40

        def groups(self, split):
            return np.arange(40) // 4

        def batch(self, split, indices_B, generator=None):
            x = torch.rand(40, 12, generator=torch.Generator().manual_seed(0))[indices_B]
            return Batch({"features": x}, x.mean(1))

        def write_processor(self, folder):
            pass

    task, config = Numbers(), regressor.Config(widths=(4,))
    model = regressor.build(config, task.inputs, 1).eval()
    source = artifact.create(
        tmp_path / "source", lambda draft: load.save(model, task, facts.trace(model, task.example(1)), draft),
        format="torch", precision="fp32", task={"name": "numbers", "classes": ["ssim"]}, model=recipe.plain(config),
        inputs=recipe.plain(task.inputs), processor=dict(task.processor),
    )  # fmt: skip
    made = export.write(source, "onnx", task, tmp_path / "onnx", n=30)
    assert "a number: ssim" in (made.folder / "card.md").read_text()
    folder = unpacked(package.pack(made, tmp_path / "m.zip"), tmp_path / "at")
    inputs = {"features": task.batch("test", torch.arange(3)).inputs["features"].numpy()}
    np.savez(tmp_path / "inputs.npz", **inputs)
    code, rows, _ = answered(clean["onnx"], folder, tmp_path / "inputs.npz")
    assert code == 0
    np.testing.assert_allclose([row["ssim"] for row in rows], export.open(source)(inputs)[:, 0], atol=1e-5)
