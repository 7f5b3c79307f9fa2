"""Cleaning repairs what is certain, counts what it did, and leaves clean text alone."""

from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from netwright.data.text import Message, Record
from netwright.data.text.cleaning import Config, clean, clean_record, cleaned, repeated_lines, without_lines

CLEAN = [
    "", "Plain text.", "  indented\n    code", "É é è ß ø – “quotes” … €", "NÃO, AÇÃO, IRMÃ", "ÉTÉ !",
    "日本語のテキスト", "Привет, мир", "می\u200cخواهم", "👩\u200d👩\u200d👧", "a\tb", "Â", "Ã", "â",
    "x = {'a': [1, 2]}",
]  # fmt: skip


@pytest.mark.parametrize("text", CLEAN)
def test_clean_text_stays(text):
    done = Counter()
    assert clean(text, done=done) == text
    assert done == {}


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
@pytest.mark.parametrize(
    "text", ["It’s “fine” – really…", "café", "naïve Ärzte", "Привет, мир", "日本語", "5 € 😀", "ação"]
)
def test_utf8_that_was_read_as_something_else_is_repaired(text, encoding):
    raw = text.encode()
    broken = "".join(
        bytes([b]).decode(encoding) if encoding == "latin-1" or b not in (0x81, 0x8D, 0x8F, 0x90, 0x9D) else chr(b)
        for b in raw
    )
    done = Counter()
    assert clean(f"before\n{broken}\nafter", done=done) == f"before\n{text}\nafter"
    assert done["lines of mojibake"] == 1


def test_mojibake_of_mojibake():
    twice = "It’s".encode().decode("cp1252").encode().decode("cp1252")
    assert clean(twice) == "It’s"


@pytest.mark.parametrize("text", ["ÉTÉ\u00a0! ça", "à\u00a0«", "ETÉ\u00a0!", "Ô\u00a0rage", "cafÃ© né", "Ï€"])
def test_what_is_not_certain_is_left(text):
    assert clean(text, Config(space=False)) == text


@pytest.mark.parametrize(
    ("text", "made", "what"),
    [
        ("a\0b\x07c\x7f", "abc", {"control characters": 3}),
        ("\x1b[31mred\x1b[0m", "red", {"terminal colours": 2}),
        ("a\r\nb\rc\u2028d", "a\nb\nc\nd", {"line ends": 3}),
        ("zero\u200bwidth \ufeffsoft\u00adhyphen", "zerowidth softhyphen", {"invisible characters": 3}),
        ("ignore\U000e0069\U000e0067 me \u202eback", "ignore me back", {"invisible characters": 3}),
        ("a\u00a0b\u2003c", "a b c", {"spaces of other widths": 2}),
        ("a  \nb\t\n\n\n\nc\n", "a\nb\n\nc", {"spaces at line ends": 2, "empty lines": 1}),
        ("e\u0301", "é", {"texts composed": 1}),
    ],
)
def test_what_is_cleaned_is_counted(text, made, what):
    done = Counter()
    assert clean(text, done=done) == made
    assert done == what
    off = Config(encoding=False, control=False, invisible=False, space=False, compose=False)
    assert clean(text, off) == text


@given(st.text())
@example("Ã\x01©")
@example("Ã\u200b©\u00a0\n")
def test_cleaning_twice_is_cleaning_once(text):
    made = clean(text)
    done = Counter()
    assert clean(made, done=done) == made
    assert done == {}


@given(st.text(alphabet=st.characters(codec="latin-1")))
def test_ascii_is_never_lost(text):
    assert [c for c in clean(text) if c.isascii() and c.isalnum()] == [c for c in text if c.isascii() and c.isalnum()]


def test_boilerplate_is_found_across_documents_and_taken_out():
    footer = "Copyright Example Press. All rights reserved."
    pages = [f"Page {n} says\nthings of its own {n}\n}}\n{footer}" for n in range(20)]
    lines = repeated_lines(pages)
    assert lines == {footer}
    done = Counter()
    assert without_lines(pages[3], lines, done) == "Page 3 says\nthings of its own 3\n}"
    assert done == {"lines of boilerplate": 1}
    assert repeated_lines(pages[:4]) == frozenset(), "too few documents to tell"


def test_lines_that_are_seen_least_are_forgotten(monkeypatch):
    monkeypatch.setattr("netwright.data.text.cleaning.KNOWN_LINES", 50)
    pages = [f"the same footer\n{n} own words\n{n} more words" for n in range(300)]
    assert repeated_lines(pages) == {"the same footer"}


def test_records_are_cleaned_and_empty_ones_dropped():
    footer = "All rights reserved."
    records = [Record(text=f"a\0 {n}\n{footer}", place=str(n)) for n in range(2)]
    records += [Record(text=footer), Record(messages=(Message("user", footer), Message("assistant", "b\0")))]
    records += [Record(messages=(Message("user", "a"), Message("assistant", "\u200b")))]
    done = Counter()
    made = list(cleaned(records, done=done, boilerplate=frozenset({footer})))
    assert [one.text for one in made] == ["a 0", "a 1", ""]
    assert made[2].messages == (Message("user", footer), Message("assistant", "b"))
    assert made[0].place == "0"
    assert done["records left empty"] == 2
    assert done["lines of boilerplate"] == 3
    assert clean_record(records[3], Config(control=False)) == records[3]
