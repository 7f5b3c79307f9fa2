"""Texts as a reader sees them: letters that only look different become the same, and each keeps its place.

    folded = fold("Ｓｈ\u200bіt")          # full-width letters, a zero-width space, a Cyrillic i
    folded.text, folded.span(0, 4)      # "shit", (0, 5)

Invisible characters and marks above or below letters go, compatibility forms and look-alikes of other alphabets
become Latin letters. It works character by character, in linear time. A text in Cyrillic or Greek is changed
all the same, so it is for matching only, never for showing.
"""

from __future__ import annotations

import functools
import unicodedata
from dataclasses import dataclass

_ALIKE = dict(
    zip(
        "абвгеёзикмнорстухѕіјһԁԛԝьѵѡӏαβγεζηικνορτυχωϲⅼııøłđħŧəɑɡʀʏɴ",
        "abbree3ukmhopctyxsijhdqwbvwlabyeznikvoptuxwcliioldhteagryn",
        strict=True,
    )
)
"""What looks like a Latin letter, in lower case (after Unicode's confusables.txt, the most frequent of them)."""
_OF_CAPITALS = {"В": "b", "Н": "h", "Р": "p", "С": "c", "Η": "h", "Ρ": "p", "Υ": "y", "Ν": "n", "Χ": "x"}
"""Capitals that look like another letter than their small ones."""
_CACHE = 1 << 16


@dataclass(frozen=True, slots=True)
class Folded:
    """A folded text; `places[n]` is where its n-th character stands in the text that was folded."""

    text: str
    places: tuple[int, ...]
    length: int
    """Characters of the text that was folded."""

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where the folded text[start:end] stands in the other, with what is invisible in between."""
        return self.places[start], self.places[end - 1] + 1


@functools.lru_cache(_CACHE)
def letter(one: str) -> str:
    """A character in lower case without marks, "" where there is nothing to see of it."""
    if one.isascii():
        return one.lower()
    if one in _OF_CAPITALS:
        return _OF_CAPITALS[one]
    return "".join(_ALIKE.get(part, part) for part in visible(one).casefold() if not _mark(part))


@functools.lru_cache(_CACHE)
def visible(one: str) -> str:
    """A character in its usual form (full-width, superscript and ligatures as plain ones), "" where it is invisible."""
    if one.isascii():
        return one
    kind = unicodedata.category(one)
    if kind in ("Cf", "Mn", "Me") or one in "\u115f\u1160\u3164\uffa0\u2800":
        return ""
    plain = unicodedata.normalize("NFKD", one)
    if plain.isspace() or unicodedata.category(plain[0]) == "Zs":
        return " "
    if kind == "Pd":
        return "-"
    if kind == "Nd":
        return str(unicodedata.digit(one))
    return "".join(part for part in plain if not _mark(part))


def fold(text: str, form: object = letter) -> Folded:
    """A text folded by `letter`, or by `visible`, which keeps capitals and alphabets."""
    of = visible if form is visible else letter
    if text.isascii():
        return Folded(text if of is visible else text.lower(), tuple(range(len(text))), len(text))
    parts: list[str] = []
    places: list[int] = []
    for at, one in enumerate(text):
        seen = of(one)
        parts.append(seen)
        places.extend([at] * len(seen))
    return Folded("".join(parts), tuple(places), len(text))


def _mark(one: str) -> bool:
    return unicodedata.category(one) in ("Mn", "Me", "Cf")
