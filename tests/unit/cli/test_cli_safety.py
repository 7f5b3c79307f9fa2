"""netwright safety: texts, files and pipes, both sides, refusals, and an exit code that scripts can use."""

import io
import json
import types

import pytest

from netwright import cli

QUIET = '[safety.requests]\naction = "off"\n'


def test_a_text_a_file_and_a_pipe_are_checked_alike(tmp_path, capsys, monkeypatch):
    config = tmp_path / "chat.toml"
    config.write_text(QUIET)
    file = tmp_path / "text.txt"
    file.write_text("sh1t, ann@shop.org")
    monkeypatch.setattr("sys.stdin", types.SimpleNamespace(buffer=io.BytesIO(b"sh1t, ann@shop.org")))
    told = []
    for word in ("sh1t, ann@shop.org", str(file), "-"):
        assert cli.main(["safety", "check", word, "--config", str(config), "--reply", "--json"]) == 0
        told.append(json.loads(capsys.readouterr().out))
    assert told[0] == told[1] == told[2]
    assert told[0]["text"] == "[profanity], [e-mail]"
    assert [one["action"] for one in told[0]["findings"]] == ["mask", "mask"]
    assert cli.main(["safety", "check", str(file), "--config", str(config)]) == 0
    out = capsys.readouterr().out
    assert "profanity" in out
    assert "ann@shop.org" in out  # a person may say his own address


def test_what_is_blocked_ends_with_one(tmp_path, capsys):
    config = tmp_path / "chat.toml"
    config.write_text('[safety.words]\naction = "block"\n' + QUIET)
    assert cli.main(["safety", "check", "oh shit", "--config", str(config)]) == 1
    assert "blocked" in capsys.readouterr().out
    assert cli.main(["safety", "check", "oh well", "--config", str(config)]) == 0
    assert "Nothing was found" in capsys.readouterr().out


def test_filters_are_listed(capsys):
    assert cli.main(["safety", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["filters"]
    assert [row["filter"] for row in rows] == ["words", "personal", "requests"]
    assert rows[0]["entries"] > 40
    assert cli.main(["safety", "list"]) == 0
    assert "threshold" in capsys.readouterr().out


def test_markup_of_a_text_is_shown_as_it_is(tmp_path, capsys):
    config = tmp_path / "c.toml"
    config.write_text(QUIET)
    assert cli.main(["safety", "check", "[bold]sh1t[/bold] \x1b[31m", "--config", str(config)]) == 0
    assert "[bold]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["chekc", "x"], "check"),
        (["check"], "TEXT"),
        (["check", "a", "b"], "quote"),
        (["list", "x"], "TEXT"),
        (["check", "x", "--config", "nothing.toml"], "no such file"),
        (["check", "x", "--replies"], "--reply"),
    ],
)
def test_what_it_does_not_take_is_refused(words, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["safety", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_file_without_the_table_or_too_large_is_refused(tmp_path, capsys, monkeypatch):
    config = tmp_path / "c.toml"
    config.write_text("[server]\nport = 1\n")
    assert cli.main(["safety", "check", "x", "--config", str(config)]) == 2
    assert "[safety]" in capsys.readouterr().err
    monkeypatch.setattr("netwright.cli.safety.MOST", 3)
    config.write_text(QUIET)
    assert cli.main(["safety", "check", str(config), "--config", str(config)]) == 2
    assert "bytes" in capsys.readouterr().err


def test_a_dry_run_reads_nothing(capsys):
    assert cli.main(["safety", "check", "sh1t", "--dry-run"]) == 0
    assert "profanity" not in capsys.readouterr().out
