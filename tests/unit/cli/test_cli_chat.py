"""netwright chat reads a pipe as a person, and refuses what cannot answer."""

import io

from netwright import cli
from netwright.chat.engine import Engine
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


def test_a_model_without_a_template_and_json_are_refused(tmp_path, capsys):
    model = str(language_artifact(tmp_path / "a", LLAMA).folder)
    assert cli.main(["chat", model, "--threads", "1"]) == 2
    assert "no chat template" in capsys.readouterr().err
    assert cli.main(["chat", model, "--json"]) == 2
    assert cli.main(["chat", "--dry-run"]) == 0
