"""netwright chat reads a pipe as a person, and refuses what cannot answer."""

import io
import json

import pytest

from netwright import cli
from netwright.chat.engine import Engine
from netwright.chat.history import History
from netwright.chat.scripted import Scripted
from netwright.data.language import byte_tokenizer
from netwright.data.template import DEFAULT
from small_language import LLAMA, language_artifact


def test_a_pipe_is_answered(tmp_path, monkeypatch, capsys):
    model = language_artifact(tmp_path / "a", LLAMA)
    tokenizer = byte_tokenizer()
    object.__setattr__(tokenizer, "template", DEFAULT)
    said = [*tokenizer.literal("Hello!"), tokenizer.stop[0]]
    begun = []

    def line(ids):
        begun[:] = begun or [len(ids)]
        return said[min(max(0, len(ids) - prompt), len(said) - 1)]

    from netwright.data import prompt as prompts
    from netwright.data.text import Message

    prompt = len(prompts.encoded(tokenizer, [Message("user", "Hi")]))
    engine = Engine(Scripted(line, len(tokenizer)), tokenizer)
    monkeypatch.setattr("netwright.chat.opening.opened", lambda *args, **settings: engine)
    monkeypatch.setattr("sys.stdin", io.StringIO("Hi\n/nonsense\n/exit\n"))
    assert cli.main(["chat", str(model.folder), "--threads", "1"]) == 0
    told = capsys.readouterr().out
    assert "Hello!\n" in told
    assert "/nonsense" in told


def test_a_model_without_a_template_and_json_are_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = str(language_artifact(tmp_path / "a", LLAMA).folder)
    assert cli.main(["chat", model, "--threads", "1"]) == 2
    assert "no chat template" in capsys.readouterr().err
    assert cli.main(["chat", model, "--json"]) == 2
    assert cli.main(["chat", "--dry-run"]) == 0
    assert not (tmp_path / "runs").exists()


@pytest.fixture
def chatting(tmp_path, monkeypatch, capsys):
    """Runs `netwright chat` with lines from a pipe over a model that says Hello!; gives code, output, errors."""
    model = language_artifact(tmp_path / "a", LLAMA)
    tokenizer = byte_tokenizer()
    object.__setattr__(tokenizer, "template", DEFAULT)
    said = [*tokenizer.literal("Hello!"), tokenizer.stop[0]]
    monkeypatch.setattr(
        "netwright.chat.opening.opened",
        lambda *args, **settings: Engine(Scripted(said, len(tokenizer)), tokenizer),
    )
    monkeypatch.delenv("NETWRIGHT_DATABASE_URL", raising=False)

    def run(lines, *words, named=True):
        monkeypatch.setattr("sys.stdin", io.StringIO(lines))
        first = [str(model.folder)] if named else []
        code = cli.main(["chat", *first, "--threads", "1", *words, f"runs={tmp_path / 'runs'}"])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def test_a_chat_is_kept_and_resumed_with_its_model(chatting, tmp_path):
    assert chatting("Hi\n", "--system", "Be kind.")[0] == 0
    assert chatting("Other\n")[0] == 0
    with History.open(tmp_path / "runs") as history:
        _, first = history.conversations()
        asked, reply = history.path(first.id)
        assert (asked.content, reply.content, first.system) == ("Hi", "Hello!", "Be kind.")
        (kept,) = reply.replies
        assert (kept.threads, kept.engine, kept.finish, len(kept.artifact)) == (1, "scripted", "stop", 64)
        assert (kept.model, len(kept.template)) == (str(tmp_path / "a"), 64)
    code, out, err = chatting("More\n", "--resume", named=False)
    assert code == 0, err
    assert "1 user: Other" in out
    code, out, _ = chatting("More\n", "--resume", first.id[:12], named=False)
    assert "1 user: Hi" in out
    with History.open(tmp_path / "runs") as history:
        assert [one.count for one in history.conversations()] == [4, 4]
    assert chatting("", "--resume", "zzz")[0] == 2


def test_nothing_is_kept_where_that_is_asked(chatting, tmp_path):
    assert chatting("Hi\n/again\n/history\n", "--no-history")[0] == 0
    assert not (tmp_path / "runs" / "chats.db").exists()
    assert chatting("", "--no-history", "--resume")[0] == 2
    code, _, err = chatting("", "--resume")
    assert code == 2
    assert "there is none" in err


def test_a_file_the_environment_and_words_say_what_is_set_and_the_later_wins(tmp_path, monkeypatch, capsys):
    path = tmp_path / "chat.toml"
    path.write_text('[chat]\nmodel = "from-file"\nthreads = 1\n[sampling]\ntemperature = 0.1\ntop_k = 5\n')
    told = ["chat", "--config", str(path), "--dry-run", "--json"]
    assert cli.main(told) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["model"], found["threads"], found["sampling"]["temperature"]) == ("from-file", 1, 0.1)
    monkeypatch.setenv("NETWRIGHT_CHAT_MODEL", "from-environment")
    monkeypatch.setenv("NETWRIGHT_SAMPLING_TEMPERATURE", "0.2")
    assert cli.main([*told, "sampling.temperature=0.3"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["model"], found["sampling"]["temperature"], found["sampling"]["top_k"]) == (
        "from-environment", 0.3, 5
    )  # fmt: skip
    assert cli.main(["chat", "from-words", "--config", str(path), "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == "from-words"
    monkeypatch.setenv("NETWRIGHT_CHAT_MODEL", "2024")
    monkeypatch.setenv("NETWRIGHT_CHAT_SYSTEM", 'two\nlines, and "signs"')
    assert cli.main(told) == 0
    assert json.loads(capsys.readouterr().out)["model"] == "2024"
    monkeypatch.setenv("NETWRIGHT_CHAT_MODLE", "x")
    assert cli.main(told) == 2
    assert "NETWRIGHT_CHAT_MODEL" in capsys.readouterr().err
    monkeypatch.delenv("NETWRIGHT_CHAT_MODLE")
    path.write_text("[chat]\nmodle = 1\n")
    assert cli.main(told) == 2
    assert "model" in capsys.readouterr().err
