"""Duplicates that were planted are found, and what is merely alike is not; splits are stable and tell leaks."""

import random
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netwright.data.text import duplicates
from netwright.data.text.duplicates import distinct, exact, fingerprint, groups, near, signature, similarity

WORDS = [f"{a}{b}{c}" for a in ("ka", "lo", "mi", "ru", "te") for b in "nrstl" for c in ("a", "en", "or", "is")]


def made_up(generator, words=60):
    return " ".join(generator.choices(WORDS, k=words))


def changed(text, share, generator):
    return " ".join(generator.choice(WORDS) if generator.random() < share else word for word in text.split())


def jaccard(a, b):
    one, other = (
        {text[n : n + duplicates.SHINGLE] for n in range(len(text) - duplicates.SHINGLE + 1)} for text in (a, b)
    )
    return len(one & other) / len(one | other)


def test_precision_and_recall_on_planted_duplicates():
    generator = random.Random(0)
    texts = [made_up(generator) for _ in range(1500)]
    pairs = {}
    for n in range(300):  # from nearly equal to clearly another
        texts.append(changed(texts[n], generator.choice([0.01, 0.02, 0.03, 0.1, 0.2]), generator))
        pairs[n, len(texts) - 1] = jaccard(texts[n], texts[-1])
    found = {(a, b) for a, b, _ in near(np.stack([signature(text) for text in texts]), 0.8)}
    true = {pair for pair, alike in pairs.items() if alike >= 0.8}
    assert 50 < len(true) < 290
    sure = {pair for pair, alike in pairs.items() if alike >= 0.88}
    assert len(found & sure) / len(sure) >= 0.97, "recall, two standard deviations above the threshold"
    assert len(found & true) / len(true) >= 0.85
    close = {pair for pair, alike in pairs.items() if alike >= 0.72}
    assert len(found - close) / len(found) <= 0.03, "precision, two standard deviations below"


def test_an_estimate_is_near_the_true_similarity():
    generator = random.Random(1)
    errors = []
    for _ in range(60):
        a = made_up(generator, 100)
        b = changed(a, generator.random() * 0.3, generator)
        errors.append(similarity(signature(a), signature(b)) - jaccard(a, b))
    assert abs(np.mean(errors)) < 0.02
    assert np.std(errors) < 0.06


@given(st.text(), st.text())
def test_equal_texts_are_equal_and_normalised_alike(a, b):
    assert similarity(signature(a), signature(a)) == 1
    assert (fingerprint(a) == fingerprint(b)) == (duplicates.normalised(a) == duplicates.normalised(b))
    assert fingerprint(f"  {a}\n") == fingerprint(a)


def test_exact_duplicates_ignore_case_and_spaces():
    prints = [fingerprint(text) for text in ["A  b", "c", "a b\n", "ｃ", "d"]]
    assert exact(prints) == [[0, 2], [1, 3]]


def test_a_crowd_of_copies_is_one_group_and_costs_little():
    texts = ["the very same text, many times over"] * 5000 + ["another one that stands alone here"]
    begun = time.perf_counter()
    assert distinct(texts) == [0, 5000]
    assert time.perf_counter() - begun < 30


def test_groups_are_joined_by_chains():
    assert groups([(0, 2, 1.0), (2, 4, 1.0), (1, 3, 1.0)], 6) == [0, 1, 0, 1, 0, 5]
    assert distinct([]) == []
    assert near(np.zeros((0, duplicates.PERMUTATIONS), np.uint32)) == []


@pytest.mark.parametrize("text", ["", "a", "abcd", "abcde", "\ud800"])
def test_short_texts(text):
    assert signature(text).shape == (duplicates.PERMUTATIONS,)
    assert similarity(signature(text), signature("quite another text")) < 0.2
