"""netwright svg serve says what it would do, and refuses what cannot be before anything is opened."""

import json
import socket
import threading
import webbrowser

import pytest

from netwright import cli
from netwright.core import web
from netwright.svg.server import listening


@pytest.fixture(autouse=True)
def _clean(monkeypatch):
    monkeypatch.delenv(web.KEY, raising=False)


def test_what_would_be_served(capsys):
    assert cli.main(["svg", "serve", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"address": "http://127.0.0.1:8078", "key": False}
    assert cli.main(["svg", "serve", "--dry-run", "--host", "::1", "--port", "0"]) == 0
    assert "http://[::1]:0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--host", "0.0.0.0"], "without a key"),
        (["--host", "example.org"], "without a key"),
        (["--key", "short"], "at least 8"),
        (["--port", "99999"], "0 to 65535"),
        (["picture.png"], "drop them on the page"),
    ],
)
def test_what_cannot_be_is_refused(words, told, capsys):
    assert cli.main(["svg", "serve", "--dry-run", *words]) == 2
    assert told in capsys.readouterr().err


def test_an_action_that_is_none(capsys):
    assert cli.main(["svg", "serv"]) == 2
    assert 'did you mean "serve"' in capsys.readouterr().err


def test_a_key_opens_it_to_others(capsys, monkeypatch):
    assert cli.main(["svg", "serve", "--dry-run", "--json", "--host", "0.0.0.0", "--key", "a-long-key"]) == 0
    monkeypatch.setenv(web.KEY, "another-key")
    assert cli.main(["svg", "serve", "--dry-run", "--json", "--host", "0.0.0.0"]) == 0
    assert "a-long-key" not in capsys.readouterr().out


def test_an_address_that_is_taken(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert cli.main(["svg", "serve", "--port", str(taken.getsockname()[1])]) == 2
    assert "this address is taken" in capsys.readouterr().err


def test_the_page_is_opened_once_it_is_there(monkeypatch, capsys):
    opened, servers = [], []

    class Short(listening.Listening):
        """Ends as soon as it has begun."""

        def __init__(self, *given):
            super().__init__(*given)
            servers.append(self)

    def open_(address):
        opened.append(address)
        threading.Timer(0.05, lambda: setattr(servers[0], "should_exit", True)).start()

    monkeypatch.setattr(listening, "Listening", Short)
    monkeypatch.setattr(webbrowser, "open", open_)
    assert cli.main(["svg", "serve", "--port", "0", "--open"]) == 0
    assert opened[0].startswith("http://127.0.0.1:")
    assert f"Open {opened[0]} in a browser" in capsys.readouterr().err
