"""The verbs export, compress and bench, from the words of a person to what is printed."""

import json

import pytest

from netwright import cli
from netwright.core import artifact as artifacts
from netwright.measure import memory


@pytest.fixture(autouse=True)
def own_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def answer(capsys, *words):
    """Exit code, JSON from standard output, standard error."""
    code = cli.main([*map(str, words), "--json"])
    seen = capsys.readouterr()
    return code, json.loads(seen.out) if seen.out else None, seen.err


def test_export_writes_each_format_and_reuses_it(tiny, tmp_path, capsys):
    source = tiny["image"].artifact.folder
    words = ("export", source, "runs=r", "export.examples=40", "--format", "onnx", "--format", "torch")
    code, data, _ = answer(capsys, *words)
    assert code == 0
    assert [one["format"] for one in data["artifacts"]] == ["onnx", "torch"]
    assert all(one["passed"] and one["certificate"]["n"] == 40 for one in data["artifacts"])
    made = [artifacts.open(one["artifact"]) for one in data["artifacts"]]
    assert [one.digest for one in made] == [one["digest"] for one in data["artifacts"]]
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "r").rglob("model.onnx")}
    assert len(before) == 1
    assert answer(capsys, *words)[1] == data
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "r").rglob("model.onnx")} == before


def test_export_copies_to_a_folder_and_never_over_what_is_no_artifact(tiny, tmp_path, capsys):
    words = ("export", tiny["image"].artifact.folder, "runs=r", "--format", "torch", "--folder", "out")
    assert answer(capsys, *words)[0] == 0
    assert artifacts.open(tmp_path / "out" / "torch").format == "torch"
    assert answer(capsys, *words)[0] == 0  # an artifact is replaced
    mine = tmp_path / "mine" / "torch"
    mine.mkdir(parents=True)
    (mine / "thesis.txt").write_text("precious")
    code, data, said = answer(capsys, *words[:-1], "mine")
    assert (code, data) == (2, None)
    assert "exists and is no artifact" in said
    assert (mine / "thesis.txt").read_text() == "precious"


def test_compress_prints_what_it_cost(tiny, capsys):
    words = ("compress", tiny["image"].artifact.folder, "compress.format=onnx", "compress.samples=20", "runs=r")
    code, data, _ = answer(capsys, *words)
    assert code == 0
    one = data["artifacts"][0]
    assert (one["format"], one["precision"], one["certificate"]["executed"]) == ("onnx", "int8", "int8")
    assert cli.main([str(word) for word in words]) == 0
    shown = capsys.readouterr().out
    assert "int8 onnx" in shown
    assert "Next: netwright bench" in shown


def test_bench_measures_and_reuses(tiny, capsys, monkeypatch):
    monkeypatch.setattr(memory, "peak", lambda artifact, batches, threads: {"import": 1e6, "1": 2e6, "4": 3e6})
    source = tiny["image"].artifact.folder
    settings = ("bench.threads=1", "bench.seconds=0.06", "bench.rounds=6", "runs=r", "--batch", "1", "--batch", "4")
    code, data, _ = answer(capsys, "bench", source, source, *settings)
    assert code == 0
    latencies = [one for one in data["measurements"] if one["quantity"] == "latency"]
    assert [(one["conditions"]["place"], one["conditions"]["batch"]) for one in latencies] == [
        (0, 1), (0, 4), (1, 1), (1, 4),
    ]  # fmt: skip
    assert answer(capsys, "bench", source, source, *settings)[1] == data
    assert cli.main([str(word) for word in ("bench", source, source, *settings)]) == 0
    shown = capsys.readouterr().out
    assert "Batch 1" in shown
    assert "Batch 4" in shown
    assert "time over" in shown
    assert "memory" in shown
    words = ("bench", source, "--batch", "1", *settings[:4], "bench.memory=false")
    assert cli.main([str(word) for word in words]) == 0
    assert "memory" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["export", "ARTIFACT", "--format", "onyx"], 'did you mean "onnx"?'),
        (["export", "ARTIFACT", "export.example=3"], 'did you mean "examples"?'),
        (["export", "ARTIFACT", "export.examples=0"], "a whole number 1 to"),
        (["export", "nowhere"], "no artifact"),
        (["compress", "ARTIFACT", "--method", "int9"], 'did you mean "int8"?'),
        (["compress", "ARTIFACT", "compress.samples=many"], "a whole number 0 to"),
        (["compress", "ARTIFACT", "compress.format=program"], "allowed: onnx, openvino"),
        (["bench", "ARTIFACT", "--batch", "0"], "a whole number 1 to"),
        (["bench", "ARTIFACT", "bench.rounds=2"], "6 to 10000"),
        (["bench", "bench.rounds=8"], "one artifact or more"),
        (["bench", "ARTIFACT", "TEXT"], "of another task"),
        (["bench", "ARTIFACT", "nowhere"], "no artifact"),
    ],
)
def test_what_cannot_be_done_stops_with_code_2_before_any_work(words, said, tiny, tmp_path, capsys):
    names = {"ARTIFACT": str(tiny["image"].artifact.folder), "TEXT": str(tiny["text"].artifact.folder)}
    code, data, error = answer(capsys, *[names.get(word, word) for word in words])
    assert (code, data) == (2, None)
    assert said in error
    assert "Next: " in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["export", "compress", "bench"])
def test_a_dry_run_does_nothing(verb, tiny, tmp_path, capsys):
    code, data, _ = answer(capsys, verb, tiny["image"].artifact.folder, "--dry-run")
    assert code == 0
    assert data
    assert list(tmp_path.iterdir()) == []


def test_a_missing_extra_is_named_before_any_work(tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    code, _, error = answer(capsys, "export", tiny["image"].artifact.folder, "--format", "onnx")
    assert code == 2
    assert "pip install 'netwright[onnx]'" in error
    assert list(tmp_path.iterdir()) == []
