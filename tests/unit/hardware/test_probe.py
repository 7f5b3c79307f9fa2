"""The probe measures here, keeps what it found, and never trusts a kept file."""

import json

import pytest

from netwright.core.error import UserError
from netwright.hardware import detect, probe, rates


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NETWRIGHT_CACHE", str(tmp_path))


@pytest.fixture
def small(monkeypatch):
    """Work small enough for a test; the probe's own process gets it through a stand-in program."""
    monkeypatch.setattr(rates, "SIDE", 64)
    monkeypatch.setattr(rates, "STREAM_BYTES", 1 << 20)


def test_the_program_prints_a_line_a_quantity(small, capsys):
    rates.main(0.01, 1)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["quantity"], line["dtype"]) for line in lines][:2] == [("bandwidth", ""), ("gemm_rate", "fp32")]
    assert all(len(line["rates"]) >= 3 and min(line["rates"]) > 0 for line in lines)


def test_a_dtype_without_a_product_is_left_out(small, monkeypatch):
    import torch

    def refuse(*args):
        raise RuntimeError("not implemented for this CPU")

    monkeypatch.setattr(torch, "_int_mm", refuse)
    assert rates.torch_product("int8", 0.01, torch.get_num_threads()) == []


def row(quantity="gemm_rate", dtype="fp32", library="numpy", values=(1e9, 2e9, 3e9)):
    return {"quantity": quantity, "dtype": dtype, "library": library, "rates": list(values)}


def write(*rows):
    here = detect.detect()
    found = [probe.measurement(one, here) for one in rows]
    path = probe.cache_folder() / f"probe-{detect.fingerprint(here)}.json"
    path.parent.mkdir(parents=True)
    probe.artifact.write_json(path, {"measurements": found})
    return path


def test_a_line_becomes_a_measurement():
    one = probe.measurement(row(), detect.detect())
    assert (one.value, one.low, one.high, one.n, one.unit) == (2e9, 1e9, 3e9, 3, "FLOP/s")
    assert one.conditions["threads"] == detect.detect().threads


def test_the_best_of_what_was_kept_is_this_machine():
    write(
        row("bandwidth", "", "numpy", (1e10, 1e10, 1e10)),
        row(),
        row(library="torch", values=(5e9, 5e9, 5e9)),
        row(dtype="bf16"),
    )
    here = detect.machine()
    assert here.this_machine
    assert here.rates == {"fp32": 5e9, "bf16": 2e9}
    assert here.bandwidth == 1e10
    assert here.measured["rates.bf16"] == (1e9, 3e9)
    assert here.fingerprint == detect.fingerprint()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"measurements": [{"quantity": "gemm_rate"}]}', '{"measurements": [3]}']
)
def test_a_broken_file_counts_as_none(text):
    write(row()).write_text(text)
    assert probe.cached() is None


def test_nothing_kept():
    assert probe.cached() is None


@pytest.mark.parametrize("seconds", [0, -1, 61, float("nan")])
def test_impossible_times_are_refused_before_any_work(seconds):
    with pytest.raises(UserError, match="1 to 60 seconds"):
        probe.probe(seconds)
    assert not probe.cache_folder().exists()


def test_a_probe_that_dies_is_a_fault_and_keeps_nothing(monkeypatch):
    monkeypatch.setattr(probe.sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match="code 1"):
        probe.probe(1)
    assert probe.cached() is None


def test_a_real_probe_is_kept():
    found = probe.probe(1.0)
    assert probe.cached() == found
    assert {one.quantity for one in found} == {"bandwidth", "gemm_rate"}
