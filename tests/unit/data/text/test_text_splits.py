"""Splits stay when files grow or are reordered, and leaks between them are found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netwright.core.error import UserError
from netwright.data.text import Message, Record
from netwright.data.text.splits import Config, leaks, split_of


def test_shares_are_about_what_was_asked():
    found = [split_of(f"text {n}", Config(validation=0.1, test=0.2)) for n in range(5000)]
    assert 0.08 < found.count("validation") / 5000 < 0.12
    assert 0.18 < found.count("test") / 5000 < 0.22


@given(st.text(), st.integers(0, 3))
def test_a_split_depends_on_the_content_alone(text, seed):
    config = Config(validation=0.3, test=0.3, seed=seed)
    assert split_of(Record(text=text, place="a:1"), config) == split_of(Record(text=f" {text}\n", place="b:2"), config)
    grown = Config(validation=0.3, test=0.4, seed=seed)
    if split_of(text, config) == "test":
        assert split_of(text, grown) == "test", "a larger share only takes more"


def test_the_seed_chooses_and_chats_are_split_too():
    texts = [f"text {n}" for n in range(200)]
    assert [split_of(text, Config(seed=1)) for text in texts] != [split_of(text, Config(seed=2)) for text in texts]
    chat = Record(messages=(Message("user", "a"), Message("assistant", "b")))
    assert split_of(chat) == split_of("a\nb")


def test_nothing_left_to_train_on():
    with pytest.raises(UserError, match="takes 1.1 of all"):
        split_of("a", Config(validation=0.5, test=0.6))


def test_leaks_are_told_with_their_places():
    long = "A fairly long text that is told in two places, with a small change somewhere in the middle of it all. " * 2
    train = ["quite another text altogether", long]
    found = leaks({"train": train, "validation": ["unrelated words"], "test": ["x", long.replace("small", "tiny", 1)]})
    assert [(one.held_out, one.index, one.other, one.other_index) for one in found] == [("test", 1, "train", 1)]
    assert 0.8 <= found[0].similarity < 1
    assert leaks({}) == []
    assert leaks({"train": train, "test": []}) == []
