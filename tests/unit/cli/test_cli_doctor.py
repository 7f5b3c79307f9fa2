"""The doctor looks and changes nothing; what it says is true of this machine."""

import importlib.metadata
import json
import socket
import tomllib
from pathlib import Path

import pytest

from netwright import cli
from netwright.cli import doctor


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NETWRIGHT_CACHE", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("NETWRIGHT_DATABASE_URL", raising=False)


def findings(capsys, *words):
    assert cli.main(["doctor", "--json", *words]) == 0
    return {one["topic"]: one for one in json.loads(capsys.readouterr().out)["findings"]}


def test_it_looks_at_everything(capsys, tmp_path):
    told = findings(capsys)
    topics = {"Python", "torch", "CPU", "int8 on CPU", "bf16 on CPU", "memory", "disk", "energy of CPU"}
    topics |= {"measured rates", "database", "browser", "cache", *(f"extra {extra}" for extra in doctor.EXTRAS)}
    assert topics <= told.keys()
    assert importlib.metadata.version("torch") in told["torch"]["seen"]
    assert told["measured rates"]["next"] == "netwright hardware probe"
    assert not any(topic.startswith("place") for topic in told)
    assert list(tmp_path.iterdir()) == []


def test_for_a_person(capsys):
    assert cli.main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "threads usable" in out
    assert "extra openvino" in out


def test_every_extra_of_the_package_is_known_to_it():
    project = Path(__file__).parents[3] / "pyproject.toml"
    extras = tomllib.loads(project.read_text())["project"]["optional-dependencies"]
    bringing = {extra for extra, packages in extras.items() if packages} - {"all", "dev"}
    assert doctor.EXTRAS.keys() == bringing


def test_a_missing_package_names_the_command(capsys, monkeypatch):
    def version(package):
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(doctor.importlib.metadata, "version", version)
    told = findings(capsys)
    assert told["extra onnx"]["state"] == "no"
    assert told["extra onnx"]["next"] == "pip install 'netwright[onnx]'"
    assert told["torch"]["state"] == "no"


def test_a_database_that_answers(capsys, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setenv("NETWRIGHT_DATABASE_URL", f"postgresql://ann:secret@127.0.0.1:{port}/db")
        told = findings(capsys)
    assert told["database"]["state"] == "yes"
    assert "secret" not in json.dumps(told)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://ann:secret@127.0.0.1:1/db", "does not answer"),
        ("mysql://ann:secret@127.0.0.1/db", "not postgresql://"),
        ("postgresql://ann:secret@127.0.0.1:99999999/db", "no URL"),
        ("secret", "begins with nothing"),
    ],
)
def test_a_database_that_does_not(capsys, monkeypatch, url, said):
    monkeypatch.setenv("NETWRIGHT_DATABASE_URL", url)
    told = findings(capsys)
    assert told["database"]["state"] == "no"
    assert said in told["database"]["seen"]
    assert "secret" not in json.dumps(told)


def test_places_are_asked_only_when_told_to(capsys, monkeypatch):
    from netwright.data import places

    def refuse(*args):
        raise places.PlaceFailedError("does not answer (refused)")

    for name in ("pypi", "debian", "hub"):
        monkeypatch.setattr(places, name, refuse)
    monkeypatch.setattr(places, "npm", lambda *args: "an address")
    told = findings(capsys, "--online")
    assert told["place Npm"]["state"] == "yes"
    assert "does not answer" in told["place Debian"]["seen"]


def test_a_dry_run_looks_at_nothing(capsys):
    assert cli.main(["doctor", "--dry-run"]) == 0
    assert "would look" in capsys.readouterr().out
