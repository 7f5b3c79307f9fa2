"""The predict verb on small artifacts."""

import json

import pytest

from netwright import cli
from netwright.core import artifact, workload
from netwright.core.workload import Operator, Workload
from netwright.hardware import catalog

NET = Workload(
    name="net",
    batch=1,
    parameters=1_000_000,
    operators=(
        Operator(name="convolution", flops=4e9, weight_bytes=4e6, input_bytes=8e6, output_bytes=3e7),
        Operator(name="relu", flops=8e6, input_bytes=3e7, output_bytes=3e7),
    ),
)


def make(folder, work=NET):
    about = {"format": "torch", "precision": "fp32", "inputs": {}, "task": {"name": "mnist"}, "model": {"name": "cnn"}}
    fill = (lambda draft: workload.write(work, draft)) if work else (lambda draft: (draft / "note").write_text("x"))
    return artifact.create(folder, fill, **about)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    return make(tmp_path / "a").folder


def run(capsys, *words):
    code = cli.main(["predict", *map(str, words)])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_a_table_that_says_what_it_is(capsys, folder):
    code, out, _ = run(capsys, folder, "--device", "h100", "--device", "l4")
    assert code == 0
    assert "NVIDIA H100 SXM" in out
    assert "NVIDIA L4" in out
    assert "uncalibrated roofline, not measured" in out
    assert "[low–high] is meant to hold 90 %" in out
    assert "[1] fp32; at best TF32" in out


def test_for_programs(capsys, folder):
    code, out, _ = run(capsys, folder, "--device", "h100", "--batch", "32", "--dtype", "bf16", "--json")
    told = json.loads(out)
    assert code == 0
    assert told["calibrated"] is False
    assert told["batch"] == 32
    latency, throughput = told["predictions"]
    assert latency["source"] == "predicted"
    assert latency["conditions"]["dtype"] == "bf16"
    assert latency["low"] < latency["value"] < latency["high"]
    assert throughput["value"] == pytest.approx(32 / latency["value"])


def test_every_device(capsys, folder):
    code, out, _ = run(capsys, folder, "--all", "--json")
    assert code == 0
    assert len(json.loads(out)["predictions"]) == 2 * len(catalog.all())


def test_what_does_not_fit_is_listed_among_all_and_refused_alone(capsys, tmp_path):
    large = make(tmp_path / "large", Workload(name="large", batch=1, parameters=10**10, operators=NET.operators)).folder
    code, out, _ = run(capsys, large, "--all", "--json")
    told = json.loads(out)
    refused = {one["device"] for one in told["refused"]}
    assert code == 0
    assert "NVIDIA L4" in refused
    assert "NVIDIA H200 SXM" not in refused
    code, out, err = run(capsys, large, "--device", "l4")
    assert (code, out) == (2, "")
    assert "the model needs" in err


def test_a_dry_run_names_the_devices(capsys, folder):
    code, out, _ = run(capsys, folder, "--device", "h100", "--dry-run")
    assert (code, out.strip()) == (0, "would predict: NVIDIA H100 SXM")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "a device of `netwright hardware list`"),
        (("--device", "rtx 9090"), "device = 'rtx 9090'"),
        (("--device", "h100", "--batch", "0"), ">= 1"),
        (("--device", "h100", "--dtype", "bf_16"), 'did you mean "bf16"'),
        (("--device", "h100", "--dtype", "fp64", "--batch", "2"), None),
    ],
)
def test_wrong_requests_lead_on(capsys, folder, words, said):
    code, out, err = run(capsys, folder, *words)
    if said is None:  # a dtype that the device does have
        assert code == 0
    else:
        assert (code, out) == (2, "")
        assert said in err
        assert "Next: " in err


def test_an_artifact_that_was_not_traced(capsys, tmp_path):
    code, _, err = run(capsys, make(tmp_path / "bare", None).folder, "--device", "h100")
    assert code == 2
    assert "has no file workload.json" in err


def test_no_artifact(capsys, tmp_path):
    code, _, err = run(capsys, tmp_path / "absent", "--device", "h100")
    assert code == 2
    assert "no artifact" in err


@pytest.mark.parametrize(
    "values",
    [
        [],
        {},
        {"name": "x", "batch": 0, "parameters": 1, "operators": []},
        {"name": "x", "batch": 1, "parameters": 1, "operators": []},
        {"name": "x", "batch": 1, "parameters": 1, "operators": [{"name": "mm", "flops": -1.0}]},
        {"name": "x", "batch": 1, "parameters": 1, "operators": [{"name": "mm", "flops": 1.0, "dtype": "fp7"}]},
        {"name": "x", "batch": 1, "parameters": 1, "operators": [{"name": "mm", "flops": "many"}]},
        {"name": "x", "batch": 1, "parameters": 1, "operators": 3},
        {"name": "x", "batch": 1, "parameters": 1, "surprise": 1, "operators": []},
    ],
)
def test_a_workload_that_is_none(capsys, tmp_path, values):
    about = {"format": "torch", "precision": "fp32", "inputs": {}, "task": {"name": "mnist"}, "model": {"name": "cnn"}}
    made = artifact.create(tmp_path / "odd", lambda draft: artifact.write_json(draft / workload.FILE, values), **about)
    code, out, err = run(capsys, made.folder, "--device", "h100")
    assert (code, out) == (2, "")
    assert "workload" in err
