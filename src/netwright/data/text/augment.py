"""Noise for text: letter case, spaces, slips of the keyboard, the order of sentences. Seeded, and off by default.

    augmented(record, Config(typo=0.02, seed=1), n=17)

What the assistant says is left as it is: a model learns to write it. This file does not know tokens; dropout
of tokens is the task's.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, replace
from typing import Annotated

from netwright.core.recipe import Range
from netwright.data.text import Message, Record

_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_NEAR = {
    key: "".join({row[max(0, n - 1) : n + 2].replace(key, "") for row in (line,)})
    for line in _KEYS
    for n, key in enumerate(line)
}
_SENTENCE = re.compile(r"(?<=[.!?。！？])\s+")


@dataclass(frozen=True, kw_only=True)
class Config:
    """How much of each kind of noise; all zero by default."""

    case: Annotated[float, Range(0, 1)] = 0.0
    """Share of texts whose letters all become small, all capital, or each the other."""
    space: Annotated[float, Range(0, 1)] = 0.0
    """Share of spaces that are doubled or lost."""
    typo: Annotated[float, Range(0, 1)] = 0.0
    """Share of letters that are left out, doubled, swapped with the next, or hit beside."""
    order: Annotated[float, Range(0, 1)] = 0.0
    """Share of texts whose sentences are shuffled, within each paragraph."""
    seed: int = 0


def augmented(record: Record, config: Config, n: int = 0) -> Record:
    """A record with noise; `n`, the epoch or the example's number, chooses other noise from the same seed."""
    generator = random.Random(f"{config.seed} {n}")
    if not record.messages:
        return replace(record, text=noisy(record.text, config, generator))
    said = (
        one if one.role == "assistant" else Message(one.role, noisy(one.content, config, generator))
        for one in record.messages
    )
    return replace(record, messages=tuple(said))


def noisy(text: str, config: Config, generator: random.Random) -> str:
    """The text with noise; never empty where the text was not."""
    made = text
    if config.order and generator.random() < config.order:
        made = "\n\n".join(_shuffled(paragraph, generator) for paragraph in made.split("\n\n"))
    if config.case and generator.random() < config.case:
        made = generator.choice([str.lower, str.upper, str.swapcase])(made)
    if config.space or config.typo:
        made = _slips(made, config, generator)
    return made if made.strip() else text


def _shuffled(paragraph: str, generator: random.Random) -> str:
    sentences = _SENTENCE.split(paragraph)
    generator.shuffle(sentences)
    return " ".join(sentences) if len(sentences) > 1 else paragraph


def _slips(text: str, config: Config, generator: random.Random) -> str:
    made: list[str] = []
    for letter in text:
        if letter == " " and generator.random() < config.space:
            made.append(generator.choice(("", "  ")))
        elif letter.isalpha() and generator.random() < config.typo:
            kind = generator.randrange(4)
            if kind == 0 and made:  # swapped with the one before it
                made.insert(-1, letter)
            elif kind == 1:
                made.append(2 * letter)
            elif kind == 2 and letter.lower() in _NEAR:
                beside = generator.choice(_NEAR[letter.lower()])
                made.append(beside.upper() if letter.isupper() else beside)
            # else: left out
        else:
            made.append(letter)
    return "".join(made)
