"""Length and language decide what is kept, and why the rest is not is counted."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netwright.core.error import UserError
from netwright.data.text import Message, Record
from netwright.data.text.filters import Config, kept, language, refused

TEXTS = {
    "en": "The quick brown fox jumps over the lazy dog, and nobody knows why it would do such a thing.",
    "de": "Der schnelle braune Fuchs springt über den faulen Hund, und niemand weiß, warum er so etwas tut.",
    "fr": "Le renard brun et rapide saute par-dessus le chien paresseux, et personne ne sait pourquoi.",
    "fi": "Nopea ruskea kettu hyppää laiskan koiran yli, eikä kukaan tiedä, miksi se tekisi niin.",
    "ru": "Быстрая коричневая лиса прыгает через ленивую собаку, и никто не знает почему.",
    "zh": "敏捷的棕色狐狸跳过了懒狗，没有人知道它为什么要这样做。",
    "ja": "素早い茶色の狐は怠け者の犬を飛び越えますが、その理由は誰にもわかりません。",
}


@pytest.mark.parametrize(("code", "text"), TEXTS.items())
def test_languages_are_told(code, text):
    assert language(text)[0] == code
    assert language(text)[1] > 0.8


@pytest.mark.parametrize("text", ["", "12345 67890 !!! 12345 67890", "ok", "日本"])
def test_too_few_letters_are_no_language(text):
    assert language(text) == ("und", 0.0)


@given(st.text(max_size=200))
def test_any_text_has_a_language(text):
    code, probability = language(text)
    assert 2 <= len(code) <= 3
    assert 0 <= probability <= 1 + 1e-6


def test_what_is_kept_and_why_not():
    records = [Record(text=text) for text in TEXTS.values()] + [Record(text="short"), Record(text="x" * 999)]
    records.append(Record(messages=(Message("user", TEXTS["en"]), Message("assistant", TEXTS["en"]))))
    why = Counter()
    config = Config(shortest=10, longest=500, languages=("en", "de"))
    assert [one.text[:3] for one in kept(records, config, why)] == ["The", "Der", ""]
    assert why == {
        "language fr": 1, "language fi": 1, "language ru": 1, "language zh": 1, "language ja": 1,
        "shorter than 10 characters": 1, "longer than 500 characters": 1,
    }  # fmt: skip
    assert list(kept(records, Config())) == records


def test_a_language_that_is_not_known():
    with pytest.raises(UserError, match="languages = 'eng'"):
        refused(Record(text=TEXTS["en"]), Config(languages=("eng",)))


def test_without_the_extra_it_is_said_what_to_install(monkeypatch):
    from netwright.core import table
    from netwright.data.text import filters

    filters._identifier.cache_clear()
    monkeypatch.setattr(table.importlib, "import_module", _absent)
    with pytest.raises(UserError, match=r"netwright\[text\]"):
        language(TEXTS["en"])


def _absent(name):
    raise ModuleNotFoundError(name=name)
