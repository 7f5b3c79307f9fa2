"""A profile: layers by their names in every runtime, work that is counted, changes that make sense."""

import json

import pytest

from netwright import cli, export
from netwright.compress import quantize
from netwright.core.error import UserError
from netwright.hardware import detect
from netwright.hardware.device import Device
from netwright.measure import profile

HERE = Device(
    name="made up",
    manufacturer="x",
    kind="cpu",
    rates={"fp32": 1e11, "bf16": 4e11, "int8": 8e11},
    bandwidth=4e10,
    memory=1e10,
)


@pytest.fixture(autouse=True)
def made_up_machine(monkeypatch):
    monkeypatch.setattr(detect, "machine", lambda: HERE)


@pytest.fixture(scope="module")
def made(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("profiles")
    task, source = tiny["image"]
    plain = {name: export.write(source, name, task, folder / name, n=30) for name in ("onnx", "openvino", "program")}
    small = {
        f"{name} int8": quantize.apply(plain[name], task, quantize.Config(samples=16, examples=30), folder / f"{name}8")
        for name in ("onnx", "openvino")
    }
    return {"torch": source, **plain, **small}


@pytest.mark.parametrize("name", ["torch", "onnx", "openvino", "onnx int8", "openvino int8"])
def test_layers_have_the_networks_names_in_every_runtime(name, made, tiny):
    found = profile.profile(made[name], tiny["image"].task, profile.Config(calls=5))
    by_name = {row.name: row for row in found.layers}
    convolutions = {"features.0", "features.4", "features.8"}
    assert len(convolutions & by_name.keys()) >= 2
    for layer in convolutions & by_name.keys():
        assert by_name[layer].seconds > 0
        assert by_name[layer].bound in ("compute", "bandwidth", "neither")
    assert by_name["features.4"].flops == 2 * 4 * 4 * 16 * 8 * 9, "8 to 16 channels at 4 x 4"
    assert [row.seconds for row in found.layers] == sorted((row.seconds for row in found.layers), reverse=True)
    assert 1 <= len(found.changes) <= 3
    assert all(0 < one.seconds <= found.seconds for one in found.changes)


def test_text_is_profiled_too(tiny):
    task, source = tiny["text"]
    found = profile.profile(source, task, profile.Config(calls=3, batch=2))
    assert {"blocks.0.qkv", "blocks.0.up", "tokens"} <= {row.name for row in found.layers}


def layer(name, seconds, bound, precision="fp32", flops=1e6):
    return profile.Layer(name, "Conv2d", seconds, seconds / 10e-3, flops, 1e5, 1e4, precision, bound, 0.5)


def test_what_would_help_depends_on_what_binds(made):
    torch, onnx = made["torch"], made["onnx"]
    heavy = (layer("a", 8e-3, "compute"), layer("b", 1e-3, "bandwidth"), layer(profile.BETWEEN, 1e-3, "", "", 0))
    first, second, third = profile.changes(heavy, 10e-3, onnx, HERE, 1)[:2] + (None,)
    assert first.what == "netwright compress --method int8"
    assert first.seconds == pytest.approx(8e-3 * (1 - 1 / 8) + 1e-3 * 0.75)
    assert second.seconds == pytest.approx(4e-3)
    assert third is None
    idle = (layer("a", 1e-3, "neither"), layer(profile.BETWEEN, 9e-3, "", "", 0))
    assert [one.what.split()[1] for one in profile.changes(idle, 10e-3, torch, HERE, 1)][:2] == ["export", "items"]


def test_nothing_saves_more_than_a_call_takes(made):
    """Layers are timed beside the call, and add up to more than it where the machine was busy."""
    slow = (layer("a", 8e-3, "neither"), layer("b", 6e-3, "neither"))
    assert [one.seconds for one in profile.changes(slow, 10e-3, made["torch"], HERE, 1)] == [10e-3, 10e-3, 7e-3]


def test_a_format_without_counters_is_refused(made, tiny):
    with pytest.raises(UserError, match="profiles are of the formats torch, onnx, openvino"):
        profile.profile(made["program"], tiny["image"].task)


def test_the_verb(made, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    source, other = (str(made[name].folder) for name in ("torch", "openvino"))
    assert cli.main(["profile", source, "profile.calls=3", "--trace", "trace.json", "--plot", "roof.svg"]) == 0
    out = capsys.readouterr().out
    assert "features.0" in out
    assert "What would help most" in out
    assert "py-spy record" in out
    assert json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert "<svg" in (tmp_path / "roof.svg").read_text()
    assert cli.main(["profile", source, other, "profile.calls=3"]) == 0
    out = capsys.readouterr().out
    assert "a call" in out
    assert "compares them fairly" in " ".join(out.split())
    assert cli.main(["profile", source, "profile.calls=3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["profiles"][0]["layers"]
    assert cli.main(["profile", source, source, source]) == 2
    assert cli.main(["profile", source, "profile.batch=0"]) == 2
    assert cli.main(["profile", source, "--dry-run"]) == 0
