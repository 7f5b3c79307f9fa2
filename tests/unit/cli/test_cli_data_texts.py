"""`netwright data show FILE`: the report as a table, the first records, and tokens with what is learned marked."""

import json

import pytest
from rich.console import Console

from netwright.cli import data, main

ROWS = [
    {"question": "What is 1 + 1?", "answer": "2\n#### 2"},
    {"question": "Write to jane@company.com.", "answer": "Done."},
]


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "texts.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)) + "\n{broken\n")
    return path


def test_a_file_of_texts_is_shown_with_its_report(texts, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["data", "show", str(texts)]) == 0
    said = capsys.readouterr().out
    assert "question/answer 2" in said
    assert f"{texts}:3: broken JSON" in said
    assert "private: e-mail" in said
    assert "user: What is 1 + 1?" in said
    assert "assistant: 2 #### 2" in said
    assert main(["data", "show", str(texts.parent), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["report"]["records"] == 2


def test_a_dry_run_reads_nothing(texts, capsys):
    assert main(["data", "show", str(texts), "--dry-run"]) == 0
    assert "would be read" in capsys.readouterr().out


def test_texts_as_tokens(texts, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["data", "show", str(texts), "--tokenizer", "bytes"]) == 0
    said = capsys.readouterr().out
    assert "^2^/17 ^⏎^/198" in said
    assert "are learned" in said


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["show", "no/such/file.jsonl"], "no such file or folder"),
        (["show", "synthetic", "--tokenizer", "bytes"], "only with a file or folder"),
    ],
)
def test_what_cannot_be_shown_is_said(words, why, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["data", *words]) == 2
    assert why in capsys.readouterr().err


def test_learned_tokens_are_marked_by_colour_and_by_a_character():
    tokens = ["<s>", "Hi", " there", "\n", "\x00"]
    shown = data.shown_tokens(tokens, [1, 2, 3, 4, 5], [False, True, True, False, False])
    assert shown.plain.startswith("<s>/1 ^Hi^/2 ^·there^/3 ⏎/4 \n\ufffd/5 \n5 tokens, 2 of them")
    assert {shown.plain[span.start : span.end] for span in shown.spans if "green" in str(span.style)} == {
        "^Hi^", "^·there^"
    }  # fmt: skip
    many = data.shown_tokens(["a"] * 1000, [1] * 1000, [False] * 1000, limit=10)
    assert "990 more tokens" in many.plain
    Console(quiet=True).print(shown)
