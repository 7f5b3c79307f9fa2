"""Which records are kept: by length and by language.

    why = refused(record, Config(languages=("en",)))      # "", or "language fi"

Languages are told by py3langid (extra `text`): BSD-3, 139 languages, 5 MB, numpy alone, no network. lingua is
Apache-2.0 and more often right on single words, but 96 MB; fastText's model is CC BY-SA and comes by download.
This file does not know how records are read.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from netwright.core import table
from netwright.core.error import UserError, did_you_mean
from netwright.core.recipe import Range
from netwright.data.text import Record, content

UNKNOWN = "und"
LETTERS = 20
"""A text of fewer letters is in no certain language."""
LOOKED_AT = 2000
"""Characters that decide the language."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Which records are kept."""

    shortest: Annotated[int, Range(0)] = 1
    """Characters of all that is said."""
    longest: Annotated[int, Range(0)] = 0
    """0: any length."""
    languages: tuple[str, ...] = ()
    """ISO 639-1 codes; empty: all. Texts too short to tell are kept."""
    certainty: Annotated[float, Range(0, 1)] = 0.8
    """A text is refused for its language only if that is at least so probable."""


@functools.lru_cache(maxsize=1)
def _identifier() -> Any:
    table.extra("py3langid", "telling languages apart")
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def language(text: str) -> tuple[str, float]:
    """The language of a text and its probability; ("und", 0.0) where there are too few letters to tell.

    Raises UserError when the extra `text` is not installed.
    """
    sample = text[:LOOKED_AT]
    # a character of Chinese or Japanese says about as much as three letters
    weight = sum(3 if letter > "\u2e80" else 1 for letter in sample if letter.isalpha())
    if weight < LETTERS:
        return UNKNOWN, 0.0
    code, probability = _identifier().classify(sample.encode("utf-8", "replace").decode())
    return str(code), float(probability)


def refused(record: Record, config: Config) -> str:
    """Why a record is not kept; empty if it is."""
    said = content(record)
    if len(said) < config.shortest:
        return f"shorter than {config.shortest:,} characters"
    if config.longest and len(said) > config.longest:
        return f"longer than {config.longest:,} characters"
    if config.languages:
        _check(config.languages)
        code, probability = language(said)
        if code != UNKNOWN and code not in config.languages and probability >= config.certainty:
            return f"language {code}"
    return ""


def _check(languages: tuple[str, ...]) -> None:
    for code in languages:
        if code not in _identifier().labels:
            raise UserError("languages", code, did_you_mean(code, _identifier().labels), 'languages=["en"]')


def kept(records: Iterable[Record], config: Config, why: Counter[str] | None = None) -> Iterator[Record]:
    """The records that are not refused; the reasons of the others are counted in `why`."""
    for record in records:
        reason = refused(record, config)
        if not reason:
            yield record
        elif why is not None:
            why[reason] += 1
