"""netwright serve says what it would do, refuses what cannot be, and makes keys."""

import json
import socket

import pytest

from netwright import cli
from netwright.chat.server import opening, settings
from netwright.core import web
from small_language import LLAMA, language_artifact


@pytest.fixture(autouse=True)
def _clean(monkeypatch, tmp_path):
    monkeypatch.delenv(web.KEY, raising=False)
    monkeypatch.chdir(tmp_path)


def test_what_would_be_served(capsys):
    assert cli.main(["serve", "--dry-run"]) == 0
    assert "would serve smollm2-135m-instruct at http://127.0.0.1:8000/v1" in capsys.readouterr().out
    words = ["serve", "a", "x=b", "--model", "y=c", "--port", "9", "--host", "0.0.0.0", "--key", "a-long-key"]
    assert cli.main([*words, "--dry-run", "--json"]) == 0
    told = capsys.readouterr().out
    assert json.loads(told) == {"address": "http://0.0.0.0:9/v1", "models": ["a", "x=b", "y=c"], "keys": ["main"]}


@pytest.mark.parametrize(
    ("words", "told"),
    [(["--host", "0.0.0.0"], "without a key"), (["--port", "99999"], "65535"), (["--key", "short"], "at least 8"),
     (["serve.prot=1"], "did you mean"), (["--config", "absent.toml"], "no such file"), (["a=b", "a=c"], "two models"),
     (["no such model!"], "ID=PLACE"), (["--threads", "9999"], "4096"), (["--model", "=x"], "ID=PLACE")],
)  # fmt: skip
def test_what_cannot_be(words, told, tmp_path, capsys, monkeypatch):
    for name in ("b", "c"):
        language_artifact(tmp_path / name, LLAMA)
    monkeypatch.setattr(opening, "exported", lambda artifact, runs: opening.Served(artifact.folder))
    assert cli.main(["serve", *words]) == 2
    assert told in capsys.readouterr().err


def test_a_taken_port_is_said(tmp_path, capsys, monkeypatch):
    model = language_artifact(tmp_path / "m", LLAMA)
    monkeypatch.setattr(opening, "exported", lambda artifact, runs: opening.Served(artifact.folder))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert cli.main(["serve", str(model.folder), "--port", str(taken.getsockname()[1])]) == 2
    assert "this address is taken" in capsys.readouterr().err


def test_a_new_key_fits_its_hash(capsys):
    assert cli.main(["serve", "--new-key", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    salt = made["hash"].split(":")[1]
    assert web.hashed(made["key"], salt) == made["hash"]
    assert settings.Key(hash=made["hash"])
