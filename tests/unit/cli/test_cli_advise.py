"""Advice as a person reads it."""

import json

import pytest

from netwright import cli
from netwright.hardware import catalog
from netwright.predict import learned

FEW = ("h100", "l4", "t4", "rtx4090", "mi300x", "v100")


@pytest.fixture(autouse=True)
def _few_devices(monkeypatch):
    few = tuple(catalog.find(name) for name in FEW)
    monkeypatch.setattr(learned, "check", lambda: None)
    monkeypatch.setattr(learned, "rows", lambda *_: None)
    monkeypatch.setattr(catalog, "all", lambda *_: few)


def run(capsys, *words):
    code = cli.main(["hardware", "advise", *map(str, words)])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_choices_and_what_is_none(capsys):
    code, out, _ = run(capsys, "Qwen3-8B", "--max-per-token", "0.03", "--devices", "1", "--objective", "latency")
    assert code == 0
    assert "bf16" in out
    assert "batch 1" in out
    assert "time per output token above 30 ms:" in out
    assert "NVIDIA H100" in out
    assert max(map(len, out.splitlines())) <= 80


def test_for_programs(capsys):
    code, out, _ = run(
        capsys, "Qwen3-8B", "--objective", "energy", "--precision", "bf16", "--precision", "fp8", "--json"
    )
    told = json.loads(out)
    assert code == 0
    assert {one["precision"] for one in told["choices"]} == {"bf16", "fp8"}
    values = [one["objective"]["value"] for one in told["choices"]]
    assert values == sorted(values)
    assert {one["device"] for one in told["choices"]} <= {catalog.find(name).name for name in FEW}


def test_nothing_keeps_the_limits(capsys):
    code, out, _ = run(capsys, "Qwen3-8B", "--max-per-token", "0.000001")
    assert code == 0
    assert "No device of the catalogue keeps these limits" in out
    assert "time per output token above 1 µs" in out


def test_prices_and_how_they_are_paid(capsys, tmp_path):
    prices = tmp_path / "mine.csv"
    prices.write_text("accelerator,usd_per_hour\nL4,0.5\n")
    code, out, _ = run(capsys, "gpt2", "--price-file", prices)
    assert code == 0
    assert "NVIDIA L4" in out
    assert "no on-demand price is known" in out
    code, out, _ = run(capsys, "gpt2", "--price", "owned", "--electricity", "0.1", "--max-hourly", "1")
    assert code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("Qwen3-8B", "--objective", "speed"), "allowed: cost"),
        (("Qwen3-8B", "--max-latency", "-1"), "above 0"),
        (("Qwen3-8B", "--max-cost", "nan"), "above 0"),
        (("Qwen3-8B", "--precision", "fp3"), "fp8"),
        (("Qwen3-8B", "--devices", "0"), "from 1 to 1,024"),
        (("nothing-at-all",), "language model"),
    ],
)
def test_wrong_requests_lead_on(capsys, words, said):
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    assert said in err
    assert "Next: " in err


@pytest.mark.parametrize("objective", ["cost", "latency"])
def test_a_figure(capsys, tmp_path, objective):
    path = tmp_path / "front.svg"
    code, _, _ = run(capsys, "Qwen3-8B", "--objective", objective, "--plot", path)
    assert code == 0
    assert path.read_text().startswith("<svg")
    assert run(capsys, "Qwen3-8B", "--plot", "front.pdf")[0] == 2


def test_a_dry_run(capsys):
    assert run(capsys, "Qwen3-8B", "--dry-run")[1].strip() == "would rank 6 devices for Qwen3-8B"
