"""Noise is seeded, is about as much as was asked, and leaves replies alone."""

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from netwright.data.text import Message, Record
from netwright.data.text.augment import Config, augmented, noisy

TEXT = "The first sentence is here. The second one follows! Does the third ask? Yes, it does."


@given(st.text(), st.integers(0, 5))
def test_the_same_seed_gives_the_same_and_no_noise_gives_the_text(text, n):
    record = Record(text=text, place="a:1")
    loud = Config(case=0.5, space=0.3, typo=0.3, order=0.5)
    assert augmented(record, Config(), n) == record
    assert augmented(record, loud, n) == augmented(record, loud, n)
    assert augmented(record, loud, n).place == "a:1"
    assert bool(augmented(record, loud, n).text.strip()) == bool(text.strip())


def test_another_epoch_or_seed_gives_other_noise():
    record = Record(text=TEXT)
    made = {augmented(record, Config(typo=0.2, seed=seed), n).text for seed in range(3) for n in range(3)}
    assert len(made) == 9


def test_sentences_are_shuffled_within_a_paragraph():
    made = noisy(f"{TEXT}\n\nAlone.", Config(order=1), random.Random(1))
    first, second = made.split("\n\n")
    assert second == "Alone."
    assert first != TEXT
    assert Counter(first.replace(" ", "")) == Counter(TEXT.replace(" ", ""))


def test_as_much_as_was_asked():
    text = "abcdefgh " * 2000
    made = noisy(text, Config(space=0.5), random.Random(0))
    assert made.replace(" ", "") == text.replace(" ", "")
    lost = noisy(text, Config(typo=0.1), random.Random(0))
    assert 0.9 * len(text) < len(lost) < 1.1 * len(text)
    assert lost != text
    assert noisy("Mixed Case", Config(case=1), random.Random(0)).lower() == "mixed case"


def test_what_the_assistant_says_stays():
    chat = Record(messages=(Message("user", TEXT), Message("assistant", TEXT)))
    made = augmented(chat, Config(typo=0.3, case=1, space=0.5))
    assert made.messages[1] == chat.messages[1]
    assert made.messages[0] != chat.messages[0]
