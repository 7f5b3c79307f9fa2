"""A whole study on made-up data: what it leaves, what it finds again, what it refuses before any work."""

import json
import sys

import pytest

from netwright.core import artifact, recipe
from netwright.core.error import UserError
from netwright.measure import memory
from netwright.study import report
from netwright.study.study import SECTIONS, study

TINY = """
[task]
name = "synthetic"
[model]
name = "cnn"
width = 4
[train]
epochs = 2
batch = 50
lr = 0.02
threads = 1
[quantize]
samples = 20
examples = 100
[bench]
batch = [1, 4]
threads = 1
seconds = 0.05
rounds = 6
[study]
chains = ["int8"]
formats = ["onnx", "openvino"]
devices = ["NVIDIA H100 SXM", "NVIDIA L4"]
"""
LABELS = ["PyTorch FP32", "ONNX Runtime FP32", "ONNX Runtime INT8", "OpenVINO FP32", "OpenVINO INT8"]


def parsed(folder, *overrides, text=TINY):
    path = folder / "tiny.toml"
    path.write_text(text)
    return recipe.load(path, overrides, SECTIONS)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a finished study in runs/; the memory of fresh processes is made up."""
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "peak", lambda artifact, batches, threads: {"import": 1e6, "1": 2e6, "4": 3e6})
        yield folder, study(parsed(folder), folder / "runs")


def listing(folder):
    """Every file and when it was written; the database is told of each run, and locks are opened by each reader."""
    kept = [path for path in folder.rglob("*") if path.is_file()]
    files = [path for path in kept if path.name != ".lock" and not path.name.startswith("netwright.db")]
    return {path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in files}


def measured(summary):
    """The figures of each candidate; that of a change is worked out for each report."""
    figures = {row["artifact"]: dict(row["figures"]) for row in summary["candidates"]}
    for each in figures.values():
        each.pop("accuracy_change")
    return figures


def runs_of(folder, verb):
    return sorted(path.name for path in folder.glob(f"*-{verb}-*"))


def test_all_files_are_there(place):
    folder, found = place
    assert not found.reused
    runs = folder / "runs"
    counts = {verb: len(runs_of(runs, verb)) for verb in ("train", "export", "compress", "evaluate", "bench", "study")}
    assert counts == {"train": 1, "export": 2, "compress": 2, "evaluate": 5, "bench": 1, "study": 1}
    names = {path.relative_to(found.folder).as_posix() for path in found.folder.rglob("*") if path.is_file()}
    plots = {f"plots/{name}.svg" for name in ("front", "devices", "everywhere", "training", "plan")}
    assert names == {
        ".lock", "run.json", "recipe.toml", "environment.json", "report.html", "report.md", "report.json", *plots
    }  # fmt: skip
    assert not list(runs.rglob("*.draft"))
    for manifest in artifact.manifests(runs):
        artifact.open(manifest.parent)


def test_the_summary_holds_what_was_asked_for(place):
    _, found = place
    summary = found.summary
    assert [row["label"] for row in summary["candidates"]] == LABELS
    assert set(summary["front"]) <= set(LABELS)
    assert summary["front"]
    assert [row["device"] for row in summary["predictions"]] == ["NVIDIA H100 SXM", "NVIDIA L4"] * 2
    assert all(row["measurements"] for row in summary["predictions"])
    assert all(row["certificate"]["faults"] == [] for row in summary["candidates"][1:])
    reference = summary["candidates"][0]
    assert (reference["certificate"], reference["within_limit"]) == (None, True)
    assert reference["figures"]["accuracy_change"]["low"] == reference["figures"]["accuracy_change"]["high"] == 0
    assert "PyTorch FP32" not in summary["verdict"][-1]
    assert json.loads((found.folder / "report.json").read_text()) == summary


def test_again_does_nothing(place):
    folder, found = place
    before = listing(folder / "runs")
    again = study(parsed(folder), folder / "runs")
    assert again.reused
    assert again.folder == found.folder
    assert again.summary == found.summary
    assert listing(folder / "runs") == before


def test_a_comment_or_a_default_written_out_changes_nothing(place):
    folder, _ = place
    text = "# a remark\n" + TINY.replace("[train]", "[train]\noptimizer = 'adamw'")
    assert study(parsed(folder, text=text), folder / "runs").reused


def test_other_devices_use_what_was_measured(place):
    folder, found = place
    runs = folder / "runs"
    before = listing(runs)
    other = study(parsed(folder, 'study.devices=["a100"]'), runs)
    assert not other.reused
    assert other.folder != found.folder
    added = {name.split("/")[0] for name in listing(runs).keys() - before.keys()}
    assert added == {other.folder.name}
    assert {name: time for name, time in listing(runs).items() if name in before} == before
    assert [row["device"] for row in other.summary["predictions"]] == ["NVIDIA A100 SXM 80GB"] * 2
    assert measured(other.summary) == measured(found.summary)


def test_a_study_whose_report_is_lost_writes_it_again(place):
    folder, found = place
    for name in (report.HTML, report.JSON):
        (found.folder / name).unlink()
        again = study(parsed(folder), folder / "runs")
        assert not again.reused
        assert again.folder == found.folder
        assert again.report.is_file()
        assert measured(json.loads((found.folder / report.JSON).read_text())) == measured(found.summary)


def test_the_verbs_find_what_the_study_made(place, capsys):
    from netwright import cli

    folder, found = place
    runs = folder / "runs"
    before = listing(runs)
    trained = runs / runs_of(runs, "train")[0]
    assert cli.main(["export", str(trained), "--format", "onnx", "--format", "openvino", f"runs={runs}", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    of = {row["label"]: row for row in found.summary["candidates"]}
    assert [one["digest"] for one in shown["artifacts"]] == [
        of[f"{n} FP32"]["artifact"] for n in ("ONNX Runtime", "OpenVINO")
    ]
    source = runs / of["OpenVINO FP32"]["folder"]
    settings = ["compress.samples=20", "compress.examples=100"]
    assert cli.main(["compress", str(source), *settings, f"runs={runs}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["artifacts"][0]["digest"] == of["OpenVINO INT8"]["artifact"]
    assert listing(runs) == before


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ('study.devices=["NVIDIA H100 SMX"]', "study.devices = 'NVIDIA H100 SMX': did you mean"),
        ('study.devices=["h100", "NVIDIA H100 SXM"]', "each once"),
        ('study.formats=["onyx"]', 'did you mean "onnx"?'),
        ("study.formats=[]", "one or more, each once"),
        ('study.formats=["onnx", "onnx"]', "one or more, each once"),
        ('study.objectives=["latency"]', "accuracy and others"),
        ('study.objectives=["accuracy", "speed"]', "study.objectives[1] = 'speed'"),
        ('study.objectives=["accuracy", "latency", "latency"]', "each once"),
        ("study.max_drop=2", "a number 0 to 1"),
        ("study.batches=[]", "one or more"),
        ("study.predictor=crystal-ball", "allowed: learned, roofline"),
        ('study.chains=["int9"]', 'did you mean "int8"?'),
        ('study.chains=["prune kep=0.5"]', 'did you mean "keep"?'),
        ('study.chains=["int8 > prune"]', "int8 comes last"),
        ("study.strategy=road", "Allowed: grid, roadmap, search"),
        (["study.strategy=search", 'study.networks=["prun"]'], 'did you mean "prune"?'),
        ("bench.batch=[]", "one or more"),
        ("bench.batch=[4, 4]", "each once"),
        ("train.batch=2000", "at most the 1000 training examples"),
        ("train.parallel=ddp", "in one process"),
        ('study.formats=["program"]', "onnx or openvino among them"),
        (['study.chains=["bf16"]', 'study.formats=["onnx"]'], "bf16 makes a file"),
        ('train.alerts=["mail"]', 'allowed: "log"'),
        ('train.alerts=["command:echo \'half"]', "not a command"),
        ('train.alerts=["command:"]', "a command after the colon"),
        (["task.side=4", "model.name=resnet9", "model.width=8"], "does not fit the task synthetic"),
        ("model.widht=3", 'did you mean "width"?'),
        ("train.device=cuda", "this machine has cpu"),
        ("model.name=transformer", "takes token ids"),
    ],
)
def test_what_cannot_be_done_stops_before_anything_is_written(override, said, tmp_path):
    with pytest.raises(UserError) as refusal:
        study(parsed(tmp_path, *([override] if isinstance(override, str) else override)), tmp_path / "runs")
    assert said in str(refusal.value)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("package", ["openvino", "onnx", "onnxscript", "onnxruntime", "nncf", "matplotlib"])
def test_a_missing_extra_stops_before_anything_is_written(package, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match="pip install 'netwright") as refusal:
        study(parsed(tmp_path), tmp_path / "runs")
    assert refusal.value.setting == "extra"
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("package", ["mlflow", "tensorboard"])
def test_a_missing_mirror_stops_before_anything_is_written(package, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match="pip install 'netwright"):
        study(parsed(tmp_path, f'train.mirrors=["{package}"]'), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_chain_that_makes_another_network_is_predicted_as_its_own_work(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "peak", lambda artifact, batches, threads: {"import": 1e6, "1": 2e6, "4": 3e6})
    words = ['study.chains=["int8", "prune keep=0.5 > int8"]', 'study.formats=["openvino"]', 'study.devices=["l4"]']
    summary = study(parsed(tmp_path, "model.width=16", *words), tmp_path / "runs").summary
    named = [row["precision"] for row in summary["predictions"]]
    assert named == ["fp32", "int8", "prune keep=0.5 > int8"]
    assert summary["candidates"][-1]["chain"] == "prune keep=0.5 > int8"
    assert (tmp_path / "runs" / summary["folder"] / "report.md").read_text().count("prune keep=0.5 > int8") >= 3
