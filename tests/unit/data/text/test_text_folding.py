"""Texts that only look different fold to the same, in linear time, and every character keeps its place."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netwright.data.text.folding import fold, letter, visible


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("Hello", "hello"),
        ("ＨｅｌＬｏ", "hello"),
        ("h\u200be\u00adl\u2060lo", "hello"),
        ("h\u0301e\u0336l\u0336lo", "hello"),
        ("Неӏӏо", "hello"),
        ("𝓱𝓮𝓵𝓵𝓸", "hello"),
        ("ⓗⓔⓛⓛⓞ", "hello"),
        ("ｈéＬlö", "hello"),
        ("ﬁne", "fine"),
        ("²", "2"),
        ("\u00a0", " "),
        ("", ""),
        ("\u200b\u0301", ""),
    ],
)
def test_what_looks_alike_is_alike(text, seen):
    assert fold(text).text == seen


def test_visible_keeps_capitals_and_alphabets():
    assert fold("ＤＥ８９ Ж ４١", visible).text == "DE89 Ж 41"


@given(st.text(max_size=60))
def test_places_are_those_of_the_text(text):
    for form in (letter, visible):
        folded = fold(text, form)
        assert folded.length == len(text)
        assert len(folded.places) == len(folded.text)
        assert list(folded.places) == sorted(folded.places)
        assert all(0 <= place < len(text) for place in folded.places)
        for at, one in enumerate(folded.text):
            assert one in form(text[folded.places[at]])
        if folded.text:
            start, end = folded.span(0, len(folded.text))
            assert fold(text[start:end], form).text == folded.text


@given(st.text(max_size=30), st.text(max_size=30))
def test_folding_goes_character_by_character(first, second):
    assert fold(first + second).text == fold(first).text + fold(second).text


@given(st.characters())
def test_nothing_invisible_is_left(one):
    assert not any(unicodedata.category(part) in ("Mn", "Me", "Cf") for part in letter(one) + visible(one))
    assert letter(one).casefold() == letter(one) or unicodedata.category(one).startswith("L")
