"""The predict verb on small artifacts."""

import json

import pytest

from netwright import cli
from netwright.core import artifact, workload
from netwright.core.workload import Operator, Workload
from netwright.hardware import catalog
from netwright.predict import learned

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


@pytest.fixture(autouse=True)
def _roofline_alone(monkeypatch):
    monkeypatch.setattr(learned, "check", lambda: None)
    monkeypatch.setattr(learned, "rows", lambda *_: None)


def test_one_device_in_full(capsys, folder):
    code, out, _ = run(capsys, folder, "--device", "h100")
    assert code == 0
    assert "NVIDIA H100 SXM" in out
    for said in ("latency", "throughput", "memory", "max batch", "power", "energy of an item", "million items"):
        assert said in out
    assert "by uncalibrated roofline" in out
    assert "on-demand offers" in out
    assert "Predicted, not measured; [low–high] is meant to hold 90 % of cases." in out
    assert "fp32; at best TF32" in out


def test_many_devices_in_a_table(capsys, folder):
    code, out, _ = run(capsys, folder, "--device", "h100", "--device", "l4")
    assert code == 0
    assert out.index("NVIDIA H100 SXM") < out.index("NVIDIA L4")
    assert "USD / M items" in out


@pytest.mark.parametrize(
    "words",
    [
        ("--device", "h100"),
        ("--device", "h100", "--device", "pro6000maxq", "--why"),
        ("--all",),
        ("--device", "b200", "--devices", "4", "--parallel", "tp=2", "--training", "--batch", "8"),
    ],
    ids=" ".join,
)
def test_it_fits_eighty_columns(capsys, folder, monkeypatch, words):
    monkeypatch.setenv("COLUMNS", "80")
    for model in (folder, "Qwen3-8B"):
        code, out, err = run(capsys, model, *words)
        if model == folder or "--training" not in words:
            assert code == 0, err
        assert max(map(len, out.splitlines()), default=0) <= 80


def test_for_programs(capsys, folder):
    code, out, _ = run(capsys, folder, "--device", "h100", "--batch", "32", "--dtype", "bf16", "--json")
    told = json.loads(out)
    assert code == 0
    assert told["question"]["batch"] == 32
    found = {one["quantity"]: one for one in told["predictions"]}
    latency = found["latency"]
    assert latency["source"] == "predicted"
    assert latency["conditions"]["dtype"] == "bf16"
    assert latency["low"] < latency["value"] < latency["high"]
    assert found["throughput"]["value"] == pytest.approx(32 / latency["value"])


def test_a_language_model(capsys):
    code, out, _ = run(
        capsys, "Qwen3-8B", "--device", "l40s", "--batch", "4", "--seq", "512", "--output", "64", "--json"
    )
    found = {one["quantity"]: one for one in json.loads(out)["predictions"]}
    assert code == 0
    assert {"time_to_first_token", "time_per_output_token", "token_cost", "max_context"} <= found.keys()
    assert found["latency"]["conditions"]["sequence"] == 512


def test_every_device(capsys, folder):
    code, out, _ = run(capsys, folder, "--all", "--json")
    told = json.loads(out)
    devices = {one["device"] for one in told["predictions"]} | {one["device"] for one in told["refused"]}
    assert code == 0
    assert devices == {device.name for device in catalog.all()}


def test_what_does_not_fit_is_listed_among_all_and_refused_alone(capsys, tmp_path):
    large = make(tmp_path / "large", Workload(name="large", batch=1, parameters=10**10, operators=NET.operators)).folder
    code, out, _ = run(capsys, large, "--all", "--json")
    refused = {one["device"] for one in json.loads(out)["refused"]}
    assert code == 0
    assert "NVIDIA L4" in refused
    assert "NVIDIA H200 SXM" not in refused
    code, out, err = run(capsys, large, "--device", "l4")
    assert (code, out) == (2, "")
    assert "the model needs" in err
    for words in (["--all"], ["--device", "l4", "--device", "h200"]):
        code, out, _ = run(capsys, large, *words)
        assert code == 0
        assert "not predicted:" in out


def test_why_and_a_figure(capsys, folder, tmp_path):
    code, out, _ = run(capsys, folder, "--device", "h100", "--why", "--plot", tmp_path / "roof.svg")
    assert code == 0
    assert "bound by" in out
    assert "convolution" in out
    assert f"Plot: {tmp_path / 'roof.svg'}" in out
    assert (tmp_path / "roof.svg").read_text().startswith("<svg")
    code, out, _ = run(capsys, folder, "--device", "h100", "--device", "l4", "--plot", tmp_path / "times.png")
    assert (tmp_path / "times.png").read_bytes().startswith(b"\x89PNG")
    code, out, _ = run(capsys, folder, "--device", "h100", "--why", "--json")
    assert json.loads(out)["why"][0]["parts"][0]["share"] > 0.5


def test_a_device_of_ones_own(capsys, folder, tmp_path):
    card = tmp_path / "my_card.yaml"
    card.write_text(
        "gpu:\n  mem_bw: 1.0e12\n  mem_capacity: 2.4e10\n  bfloat16_tc_flops: 1.0e14\n  power: 200\n"
        "node:\n  num_gpus_per_node: 8\n  intra_node_bw: 3.2e10\n  inter_node_bw: 2.5e10\n  pcie_bw: 3.2e10\n"
    )
    code, out, err = run(capsys, folder, "--specs", card, "--dtype", "bf16", "--json")
    assert code == 0, err
    assert {one["device"] for one in json.loads(out)["predictions"]} == {"my_card"}


def test_prices_of_ones_own(capsys, folder, tmp_path):
    prices = tmp_path / "mine.csv"
    prices.write_text("accelerator,usd_per_hour\nH100,3.6\n")
    code, out, _ = run(capsys, folder, "--device", "h100", "--price-file", prices, "--json")
    cost = next(one for one in json.loads(out)["predictions"] if one["quantity"] == "cost")
    assert code == 0
    assert cost["conditions"]["hourly"] == 3.6
    prices.write_text("accelerator,usd_per_hour\nH100,-3.6\n")
    code, _, err = run(capsys, folder, "--device", "h100", "--price-file", prices)
    assert code == 2
    assert "line 2" in err


def test_a_dry_run_names_the_devices(capsys, folder):
    code, out, _ = run(capsys, folder, "--device", "h100", "--dry-run")
    assert (code, out.strip()) == (0, f"would predict {folder} on NVIDIA H100 SXM")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "a device of `netwright hardware list`"),
        (("--device", "rtx 9090"), "device = 'rtx 9090'"),
        (("--device", "h100", "--batch", "0"), ">= 1"),
        (("--device", "h100", "--dtype", "bf_16"), 'did you mean "bf16"'),
        (("--device", "h100", "--devices", "0"), "from 1"),
        (("--device", "h100", "--parallel", "tp=2,tp"), "whole number"),
        (("--device", "h100", "--plot", "roof.pdf"), ".png or .svg"),
        (("--device", "h100", "--price", "cheap"), "on-demand"),
        (("--device", "h100", "--electricity", "12"), "12 cents are 0.12"),
        (("--device", "h100", "--seq", "100"), "language models only"),
        (("another", "--device", "h100"), "one model"),
    ],
)
def test_wrong_requests_lead_on(capsys, folder, words, said):
    code, out, err = run(capsys, folder, *words)
    assert (code, out) == (2, "")
    assert said in err
    assert "Next: " in err


def test_fp64_is_computed_where_there_is_a_rate(capsys, folder):
    assert run(capsys, folder, "--device", "h100", "--dtype", "fp64", "--batch", "2")[0] == 0


@pytest.mark.parametrize("action", ["fit", "validate", "backtest", "promote"])
def test_an_action_takes_one_path(capsys, action, tmp_path):
    code, _, err = run(capsys, action, "one", "two")
    assert code == 2
    assert f"netwright predict {action} PATH" in err
    code, out, _ = run(capsys, action, tmp_path, "--dry-run")
    assert (code, out.strip()) == (0, f"would {action} {tmp_path}")


@pytest.mark.parametrize("action", ["fit", "validate", "backtest"])
def test_without_a_folder_it_is_the_sample_that_ships(capsys, action):
    code, out, _ = run(capsys, action, "--dry-run")
    assert code == 0
    assert out.replace("\n", "").strip().endswith("sample")


def test_promotion_wants_a_file(capsys):
    assert run(capsys, "promote")[0] == 2


@pytest.mark.parametrize("action", ["fit", "validate", "backtest"])
def test_a_folder_without_rows_is_refused(capsys, action, tmp_path):
    code, out, err = run(capsys, action, tmp_path, f"runs={tmp_path / 'runs'}")
    assert (code, out) == (2, "")
    assert "Next: " in err


def test_serving_says_where(capsys, tmp_path):
    code, out, _ = run(capsys, "serve", "--dry-run", "--port", "8099")
    assert (code, out.strip()) == (0, "would serve predictions at http://127.0.0.1:8099")
    for words in (("--port", "70000"), ("--root", tmp_path / "absent")):
        assert run(capsys, "serve", "--dry-run", *words)[0] == 2


def test_an_artifact_that_was_not_traced(capsys, tmp_path):
    code, _, err = run(capsys, make(tmp_path / "bare", None).folder, "--device", "h100")
    assert code == 2
    assert "has no file workload.json" in err


def test_no_model(capsys, tmp_path):
    code, _, err = run(capsys, tmp_path / "absent", "--device", "h100")
    assert code == 2
    assert "a language model's name" in err


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
