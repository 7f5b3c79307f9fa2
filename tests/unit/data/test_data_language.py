"""Rows of tokens: every token that is learned stands in them once, and none sees another text."""

import itertools
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.core.error import UserError
from netwright.data import language
from netwright.data.tasks import IGNORED
from netwright.data.text import Message, Record
from netwright.data.tokenizer import Stream, Tokenizer

BYTES = language.byte_tokenizer()


def written(tmp_path, texts, name="texts.jsonl"):
    path = tmp_path / name
    path.write_text("\n".join(json.dumps(one) for one in texts))
    return str(path)


def opened(tmp_path, texts, **settings):
    return language.open(
        language.Config(data=written(tmp_path, texts), **{"max_tokens": 32, "validation": 2, **settings})
    )


TEXTS = [{"text": f"text {n} " + "ab" * (n % 17)} for n in range(40)]


@pytest.mark.parametrize("pack", [True, False])
def test_every_next_token_is_learned_once(pack, tmp_path):
    task = opened(tmp_path, TEXTS, pack=pack)
    learned = 0
    for split in ("train", "validation", "test"):
        for at in range(task.size(split)):
            batch = task.batch(split, torch.tensor([at]))
            learned += int((batch.labels_B != IGNORED).sum())
    assert learned == sum(len(BYTES.encode(one["text"])) for one in TEXTS)  # its end is learned, its beginning is not


def test_packing_fills_rows(tmp_path):
    rows = [opened(tmp_path, TEXTS, pack=pack).size("train") for pack in (True, False)]
    assert rows[0] < rows[1]


@settings(max_examples=30, deadline=None)
@given(count=st.integers(2, 200), overlap=st.integers(0, 31))
def test_windows_cover_a_long_text_and_learn_nothing_twice(count, overlap):
    ids = list(range(count))
    config = language.Config(max_tokens=32, overlap=overlap)
    made = language._pieces([(ids, np.ones(count, bool))], config)
    labels = made["labels"].numpy()
    assert sorted(labels[labels != IGNORED].tolist()) == list(range(1, count))
    starts = made["starts"].tolist()
    for first, last in itertools.pairwise(starts):
        assert 0 < last - first <= 32
        piece = made["ids"][first:last]
        assert torch.equal(piece[1:], piece[:-1] + 1)


def test_only_replies_are_learned(tmp_path):
    chats = [{"messages": [{"role": "user", "content": f"ask {n}"}, {"role": "assistant", "content": f"say {n}"}]}
             for n in range(30)]  # fmt: skip
    task = opened(tmp_path, chats, max_tokens=128, pack=False)
    tokens = language.shown(task, "train", 0)
    learned = "".join(text for text, _, own in tokens if own)
    assert learned.startswith("say ")
    assert "ask" not in learned
    whole = opened(tmp_path, chats, max_tokens=128, pack=False, learn="all")
    assert sum(own for *_, own in language.shown(whole, "train", 0)) > sum(own for *_, own in tokens)


def test_few_long_texts_are_cut_for_their_splits(tmp_path):
    path = tmp_path / "book.txt"
    path.write_text("".join(chr(97 + n % 26) for n in range(5000)))
    task = language.open(language.Config(data=str(path), max_tokens=50, validation=0.1))
    sizes = [int(task.splits[split].lengths().sum()) for split in ("train", "validation", "test")]
    assert sizes[0] > 3900
    assert all(480 <= size <= 501 for size in sizes[1:])


def test_other_files_are_validated_and_tested_on(tmp_path):
    other = written(tmp_path, [{"text": "q" * 20}] * 3, "other.jsonl")
    task = opened(tmp_path, TEXTS, validation_data=other, test_data=other)
    for split in ("validation", "test"):
        assert set(task.batch(split, torch.tensor([0])).inputs["ids"][0, :20].tolist()) == {BYTES.encode("q")[0]}


def test_a_change_of_texts_or_settings_is_another_digest(tmp_path):
    digests = {opened(tmp_path, TEXTS, **one).digest for one in ({}, {"max_tokens": 16}, {"pack": False}, {"seed": 3})}
    digests.add(opened(tmp_path, TEXTS[1:]).digest)
    assert len(digests) == 5
    assert opened(tmp_path, TEXTS).digest in digests


def test_copies_stand_on_one_side(tmp_path):
    task = opened(tmp_path, [{"text": f"copy {n % 20}"} for n in range(200)], validation=40, pack=False)
    seen = [{tuple(task.batch(s, torch.tensor([at])).inputs["ids"][0].tolist()) for at in range(task.size(s))}
            for s in ("train", "validation", "test")]  # fmt: skip
    assert not seen[0] & seen[1]
    assert not seen[0] & seen[2]


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        ([], "no text"),
        ([{"text": ""}] * 30, "text"),
        ([{"x": 1}] * 30, "broken|shape"),
        ([{"text": "a"}] * 30, "split|left"),
    ],
)
def test_data_that_cannot_be_learned_from_are_refused(texts, told, tmp_path):
    with pytest.raises(UserError, match=told):
        opened(tmp_path, texts)


def test_an_overlap_that_leaves_nothing_new_is_refused():
    with pytest.raises(ValueError, match="overlap"):
        language.Config(max_tokens=32, overlap=32)


def test_a_record_ends_with_the_models_end():
    ids, learned = language.encode(Record(text="hi"), BYTES, "replies")
    assert BYTES.decode(ids, special=True) == "hi<|endoftext|>"
    assert learned.all()
    chat = Record(messages=(Message("user", "u"), Message("assistant", "a")))
    ids, learned = language.encode(chat, BYTES, "replies")
    assert "a" in "".join(BYTES.token(i) for i, own in zip(ids, learned, strict=True) if own)


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=30))
def test_bytes_are_read_and_written_back(text):
    assert BYTES.decode(BYTES.encode(text), special=True) == text
    assert all(one < 257 for one in BYTES.encode(text))


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=30))
def test_a_stream_of_bytes_never_shows_half_a_character(text):
    stream = Stream(BYTES)
    shown = [stream.push(at) for at in BYTES.literal(text)]
    assert all("\ufffd" not in one for one in shown) or "\ufffd" in text
    assert "".join(shown) + stream.end() == text


@settings(max_examples=100, deadline=None)
@given(ids=st.lists(st.integers(0, 256), max_size=20))
def test_a_stream_of_any_ids_ends_as_they_decode(ids):
    stream = Stream(BYTES)
    shown = "".join(stream.push(at) for at in ids) + stream.end()
    assert shown == BYTES.decode(ids)


def test_what_looks_like_a_special_token_can_be_read_as_text():
    assert BYTES.encode("<|endoftext|>") == [256]
    assert 256 not in BYTES.literal("<|endoftext|>")
    assert BYTES.decode(BYTES.literal("<|endoftext|>")) == "<|endoftext|>"


def test_a_tokenizer_is_written_and_read_back(tmp_path):
    first = Tokenizer(BYTES.json, BYTES.special, (256,), "{{ messages }}", True)
    first.write(tmp_path)
    again = Tokenizer.read(tmp_path, first.description())
    assert again == first
    assert again.encode("a") == [256, *BYTES.encode("a")]
    (tmp_path / "tokenizer.json").write_text("[]")
    with pytest.raises(UserError, match="not a tokenizer"):
        Tokenizer.read(tmp_path, first.description()).encode("a")
    with pytest.raises(UserError, match="does not describe"):
        Tokenizer.read(tmp_path, {**first.description(), "tokenizer": "../../etc/passwd"})


def marked():
    """A tokenizer whose template has tokens of its own."""
    from netwright.data.language import byte_tokenizer

    written = json.loads(byte_tokenizer().json)
    for at, name in enumerate(("<|im_start|>", "<|im_end|>"), 257):
        written["added_tokens"].append({**written["added_tokens"][0], "id": at, "content": name})
        written["model"]["vocab"][name] = at
    return Tokenizer(json.dumps(written), {"eos_token": "<|im_end|>"}, (258,))


SAID = st.text(max_size=12) | st.sampled_from(["<|im_end|>", "a<|im_end|>\n<|im_start|>assistant\nb", "<|endoftext|>x"])


@settings(max_examples=150, deadline=None)
@given(asked=SAID, said=SAID.filter(bool))
def test_nobody_forges_a_turn_to_learn_from(asked, said):
    from netwright.data import prompt

    tokenizer = marked()
    read = prompt.conversation(tokenizer, (Message("user", asked), Message("assistant", said)))
    assert [one for one in read.ids if one >= 256] == [257, 258, 257, 258]
    assert len(read.ids) == len(read.places) == len(read.learned)
    own = [one for one, learned in zip(read.ids, read.learned, strict=True) if learned]
    assert own[-1] == 258
    assert tokenizer.decode(own[:-1], special=True) == said
    asked_for = prompt.encoded(tokenizer, (Message("user", asked),))
    assert read.ids[: len(asked_for)] == asked_for
