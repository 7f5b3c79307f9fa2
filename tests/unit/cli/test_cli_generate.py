"""netwright generate: text to standard output, statistics to standard error, and a clean end."""

import io
import json
import os
import signal

import pytest

from netwright import cli
from netwright.chat.engine import Engine
from netwright.chat.scripted import Scripted
from netwright.data.language import byte_tokenizer
from small_language import LLAMA, language_artifact

TOKENIZER = byte_tokenizer()


@pytest.fixture
def model(tmp_path):
    return str(language_artifact(tmp_path / "a", LLAMA).folder)


@pytest.fixture
def scripted(monkeypatch):
    def use(text, act=lambda ids: None):
        def line(ids):
            act(ids)
            said = [*TOKENIZER.literal(text), TOKENIZER.stop[0]]
            return said[min(len(ids) - 2, len(said) - 1)]

        engine = Engine(Scripted(line, len(TOKENIZER)), TOKENIZER)
        monkeypatch.setattr("netwright.chat.opening.opened", lambda *args, **settings: engine)

    return use


def test_text_and_statistics_are_apart(model, scripted, capsys):
    scripted("Grüße!")
    assert cli.main(["generate", model, "--prompt", "ab", "--threads", "1"]) == 0
    told = capsys.readouterr()
    assert told.out == "Grüße!\n"
    assert "tokens" in told.err
    assert "ended by stop" in told.err


def test_json_and_settings(model, capsys):
    words = [
        "generate",
        model,
        "--prompt",
        "ab",
        "--threads",
        "1",
        "--json",
        "sampling.max_tokens=3",
        "sampling.seed=4",
    ]
    assert cli.main([*words, "sampling.ignore_end=true"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["finish"] == "length"
    assert told["statistics"]["tokens"] == 3
    assert told["sampling"]["seed"] == 4


def test_a_prompt_from_standard_input(model, scripted, monkeypatch, capsys):
    scripted("ok")
    monkeypatch.setattr("sys.stdin", io.StringIO("ab"))
    assert cli.main(["generate", model, "--threads", "1"]) == 0
    assert capsys.readouterr().out == "ok\n"


def test_ctrl_c_ends_the_reply_and_shows_what_was_said(model, scripted, capsys):
    scripted("abcdefgh", lambda ids: os.kill(os.getpid(), signal.SIGINT) if len(ids) == 5 else None)
    assert cli.main(["generate", model, "--prompt", "xy", "--threads", "1"]) == 130
    told = capsys.readouterr()
    assert told.out == "abcd\n"
    assert "ended by cancelled" in told.err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--prompt", " "], "--prompt = "),
        (["--prompt", "a", "sampling.top_p=2"], "sampling.top_p"),
        (["--prompt", "a", "sampling.hot=2"], "sampling.hot"),
        (["--prompt", "a", "--system", "b"], "--system"),
        (["--prompt", "x" * 500], "128 at most"),
    ],
)
def test_what_is_wrong_is_one_sentence(words, what, model, capsys):
    assert cli.main(["generate", model, "--threads", "1", *words]) == 2
    told = capsys.readouterr()
    assert what in told.err
    assert told.out == ""


def test_an_engine_that_nobody_chose_says_how_to_choose_one(model, scripted, tmp_path, capsys):
    scripted("ok")
    words = ["generate", model, "--prompt", "ab", f"runs={tmp_path / 'runs'}"]
    assert cli.main(words) == 0
    assert "--explain" in capsys.readouterr().err
    assert cli.main([*words, "--json"]) == 0
    assert "--explain" not in capsys.readouterr().err


def test_nothing_is_done_in_a_dry_run(model, capsys):
    assert cli.main(["generate", "--dry-run", "--prompt", "a"]) == 0
    assert "smollm2" in capsys.readouterr().out
