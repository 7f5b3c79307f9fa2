"""Words, vocabulary, truncation, padding, and the text task on a few made-up reviews."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from netwright.core.error import UserError
from netwright.data import reviews
from netwright.data.encoder import FILE, PAD, SPECIAL, START, STEP, UNKNOWN, Encoder, words
from netwright.data.reviews import Config, TextTask


def test_words():
    assert words("It's <br /><br/>GREAT!  Don't-miss, naïve… e2e?") == [
        "it's", "great", "!", "don't", "miss", "naïve", "e2e", "?"
    ]  # fmt: skip
    assert words("'' <br> _ ") == []


@given(st.text(max_size=300))
def test_any_text_encodes(raw):
    encoder = Encoder(("a", "film"), 64)
    inputs = encoder([raw, ""])
    assert inputs["ids"].shape == inputs["mask"].shape
    assert inputs["ids"].shape[1] in (32, 64)
    assert torch.equal(inputs["mask"], inputs["ids"] != PAD)
    assert inputs["mask"].any(1).all()
    assert int(inputs["ids"].max()) < len(encoder)


def test_encoding_and_back():
    encoder = Encoder(("what", "a", "film"), 64)
    inputs = encoder(["What a bad film"])
    assert inputs["ids"][0, :6].tolist() == [START, 3, 4, UNKNOWN, 5, PAD]
    assert encoder.text(inputs["ids"][0, :5].tolist()) == ["<cls>", "what", "a", "<unk>", "film"]


def test_a_long_text_keeps_its_first_quarter_and_its_end():
    encoder = Encoder(tuple(f"w{n}" for n in range(100)), 41)
    ids = encoder([" ".join(f"w{n}" for n in range(100))])["ids"][0].tolist()
    assert len(ids) == 41
    assert encoder.text(ids) == ["<cls>", *(f"w{n}" for n in range(10)), *(f"w{n}" for n in range(70, 100))]
    assert encoder([" ".join(["w1"] * 40)])["ids"].shape == (1, 41)


@pytest.mark.parametrize(("longest", "width"), [(1, 32), (31, 32), (32, 64), (90, 96), (200, 100)])
def test_padding_is_to_a_multiple_of_32_and_no_more_than_the_room(longest, width):
    assert STEP == 32
    assert Encoder((), 100).pad([[UNKNOWN] * longest, []])["ids"].shape == (2, width)


def test_an_encoder_survives_its_folder(tmp_path):
    encoder = Encoder(("naïve", "film"), 128)
    encoder.write(tmp_path)
    again = Encoder.read(tmp_path, json.loads(json.dumps(encoder.description())))
    assert again == encoder
    assert torch.equal(again(["a naïve film"])["ids"], encoder(["a naïve film"])["ids"])


@pytest.mark.parametrize(
    ("change", "content"),
    [
        ({"max_tokens": 4}, b"a\n"),
        ({"max_tokens": "64"}, b"a\n"),
        ({"kind": "image"}, b"a\n"),
        ({"vocabulary": "../../etc/passwd"}, b"a\n"),
        ({"special": []}, b"a\n"),
        ({}, None),
        ({}, b"\xff\xfe"),
        ({}, b"a\na\n"),
        ({}, b"a\n\nb\n"),
    ],
)
def test_what_is_no_encoder(tmp_path, change, content):
    if content is not None:
        (tmp_path / FILE).write_bytes(content)
    with pytest.raises(UserError):
        Encoder.read(tmp_path, {**Encoder(("a",), 64).description(), **change})


@pytest.fixture
def corpus(tmp_path) -> dict[str, torch.Tensor]:
    raw = [{"t": f"{'good' if n % 2 else 'bad'} film number{n}" + " very" * (n % 7), "s": n % 2} for n in range(60)]
    raw[59]["t"] = "only the test says so"
    (tmp_path / "reviews.json").write_text(json.dumps(raw))
    return reviews._read(tmp_path)


SPLIT = "r" * 40 + "??" + "e" * 18


def test_splits_follow_the_map_and_the_unknown_are_left_out(corpus):
    task = TextTask(Config(validation=10), "source", corpus, SPLIT)
    assert [task.size(split) for split in ("train", "validation", "test")] == [30, 10, 18]
    assert task.rows["test"].tolist() == list(range(42, 60))
    assert set(task.rows["train"].tolist()) | set(task.rows["validation"].tolist()) == set(range(40))
    assert task.words("test", 17) == ["only", "the", "test", "says", "so"]
    assert task.batch("test", torch.tensor([0, 1])).labels_B.tolist() == [0, 1]


def test_the_vocabulary_is_of_the_training_split_and_most_frequent_first(corpus):
    task = TextTask(Config(validation=10), "source", corpus, SPLIT)
    assert set(task.encoder.vocabulary[:2]) == {"film", "very"}
    assert "only" not in task.encoder.vocabulary
    held = {word for n in range(10) for word in task.words("validation", n)} & {f"number{n}" for n in range(60)}
    assert held
    assert not held & set(task.encoder.vocabulary)
    small = TextTask(Config(validation=10, vocabulary=5), "source", corpus, SPLIT)
    assert len(small.encoder) == 5
    assert small.inputs["ids"].vocabulary == 5
    assert int(small.batch("train", torch.arange(30)).inputs["ids"].max()) < 5


def test_the_encoder_agrees_with_the_batches(corpus):
    task = TextTask(Config(validation=10), "source", corpus, SPLIT)
    batch = task.batch("train", torch.arange(5))
    again = task.encoder([" ".join(task.words("train", n)) for n in range(5)])
    assert torch.equal(batch.inputs["ids"], again["ids"])


def test_lengths_are_those_of_the_batches(corpus):
    task = TextTask(Config(validation=10, max_tokens=8), "source", corpus, SPLIT)
    for split in ("train", "validation", "test"):
        inputs = task.batch(split, torch.arange(task.size(split))).inputs
        assert torch.equal(task.lengths(split) + 1, inputs["mask"].sum(1)), "the start token is not counted"


def test_word_dropout_drops_words_only_and_repeats(corpus):
    task = TextTask(Config(validation=10, word_dropout=0.5), "source", corpus, SPLIT)
    rows = torch.arange(30)
    first, second = (task.batch("train", rows, torch.Generator().manual_seed(1)).inputs for _ in range(2))
    plain = task.batch("train", rows).inputs
    assert torch.equal(first["ids"], second["ids"])
    assert torch.equal(first["mask"], plain["mask"])
    changed = first["ids"] != plain["ids"]
    assert (first["ids"][changed] == UNKNOWN).all()
    assert (plain["ids"][changed] >= len(SPECIAL)).all()
    assert 0.3 < changed.sum() / (plain["ids"] >= len(SPECIAL)).sum() < 0.7
    assert torch.equal(task.batch("train", rows).inputs["ids"], plain["ids"])


def test_settings_change_the_digest(corpus):
    digest = TextTask(Config(validation=10), "source", corpus, SPLIT).digest
    for change in ({"seed": 1}, {"vocabulary": 9}, {"max_tokens": 9}, {"word_dropout": 0.1}, {"limit": 3}):
        assert TextTask(Config(**{"validation": 10, **change}), "source", corpus, SPLIT).digest != digest
    assert TextTask(Config(validation=10), "other", corpus, SPLIT).digest != digest
    assert TextTask(Config(validation=10), "source", corpus, SPLIT.replace("?", "e")).digest != digest


def test_a_map_of_another_source_is_refused(corpus):
    with pytest.raises(UserError, match="split map"):
        TextTask(Config(), "source", corpus, "re")
    with pytest.raises(UserError, match=r"task\.validation"):
        TextTask(Config(validation=40), "source", corpus, SPLIT)


def test_the_shipped_map_has_the_official_sizes():
    split = (Path(reviews.__file__).parent / "splits" / "imdb_official_split.txt").read_text().strip()
    assert {mark: split.count(mark) for mark in "re?"} == {"r": 24996, "e": 24996, "?": 8}
    assert len(split) == 50_000
