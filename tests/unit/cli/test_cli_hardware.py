"""The hardware verb: tables for people, JSON for programs, refusals that lead on."""

import json

import pytest

from netwright import cli
from netwright.hardware import catalog, probe


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NETWRIGHT_CACHE", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")


def run(capsys, *words: str):
    code = cli.main(["hardware", *words])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_list_names_every_device(capsys):
    code, out, _ = run(capsys, "list")
    assert code == 0
    assert all(device.name in out for device in catalog.all())
    assert "Epoch AI" in out


def test_the_list_for_programs(capsys):
    code, out, _ = run(capsys, "list", "--json")
    devices = json.loads(out)["devices"]
    assert code == 0
    assert [device["name"] for device in devices] == [device.name for device in catalog.all()]
    assert devices[0]["rates"]["bf16"] == 9.89e14


def test_one_device_with_its_sources(capsys):
    code, out, _ = run(capsys, "show", "4090")
    assert code == 0
    assert "330 TFLOP/s" in out
    assert "row NVIDIA GeForce RTX 4090" in out
    assert "predictions use half" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("show", "h10"), "did you mean h100"),
        (("shwo", "h100"), 'did you mean "show"'),
        (("show",), "a device for show"),
        (("list", "h100"), "none for list and probe"),
        (("probe", "--seconds", "900"), "1 to 60 seconds"),
    ],
)
def test_wrong_requests_lead_on(capsys, words, said):
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    assert said in err
    assert "Next: netwright hardware" in err


def test_a_dry_probe_measures_nothing(capsys, tmp_path):
    code, out, _ = run(capsys, "probe", "--dry-run")
    assert code == 0
    assert "would measure" in out
    assert list(tmp_path.iterdir()) == []


def test_this_machine_before_and_after_a_probe(capsys, monkeypatch):
    assert "not measured yet" in run(capsys, "show", "this-machine")[1]
    lines = [
        {"quantity": "bandwidth", "dtype": "", "library": "numpy", "rates": [1e10] * 3},
        {"quantity": "gemm_rate", "dtype": "fp32", "library": "numpy", "rates": [1e11] * 3},
    ]

    def measure(seconds, here):
        found = [probe.measurement(line, here) for line in lines]
        probe.cache_folder().mkdir()
        probe.artifact.write_json(probe._path(here), {"measurements": found})
        return found

    monkeypatch.setattr(probe, "probe", measure)
    code, out, _ = run(capsys, "probe", "--json")
    assert code == 0
    assert json.loads(out)["measurements"][1]["value"] == 1e11
    shown = run(capsys, "show", "this-machine")[1]
    assert "100 GFLOP/s" in shown
    assert "measured here" in shown
