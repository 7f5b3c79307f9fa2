"""Which split a record is in, by a hash of what it says, and whether one split leaks into another.

    split_of(record)                        # "train", "validation" or "test", today and when the file has grown

The order of records, and records that are added, move nothing. Equal texts fall into one split; near duplicates
may not, and `leaks` finds them. This file does not know how records are read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np

from netwright.core.error import UserError
from netwright.core.recipe import Range
from netwright.data.text import Record, content
from netwright.data.text.duplicates import near, normalised, signature

Split = Literal["train", "validation", "test"]


@dataclass(frozen=True, kw_only=True)
class Config:
    """Shares of the splits; what is left is the training split."""

    validation: Annotated[float, Range(0, 0.9)] = 0.05
    test: Annotated[float, Range(0, 0.9)] = 0.05
    seed: int = 0
    """Chooses which records."""


@dataclass(frozen=True)
class Leak:
    """A record of a held-out split that stands, nearly the same, in another; places are indices in each."""

    held_out: str
    index: int
    other: str
    other_index: int
    similarity: float


def split_of(record: Record | str, config: Config | None = None) -> Split:
    """The split of a record or text. Raises UserError for shares that leave nothing to train on."""
    config = config or Config()
    if config.validation + config.test >= 1:
        share = config.validation + config.test
        raise UserError("test", config.test, f"with validation it takes {share:g} of all", "shares below 1 together")
    said = record if isinstance(record, str) else content(record)
    key = f"{config.seed}\n{normalised(said)}".encode("utf-8", "surrogatepass")
    share = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") / 2**64
    if share < config.test:
        return "test"
    return "validation" if share < config.test + config.validation else "train"


def leaks(splits: Mapping[str, Sequence[str]], threshold: float = 0.8) -> list[Leak]:
    """Near duplicates across splits, the most similar first. The first split in the mapping is what is trained on."""
    names = [name for name, texts in splits.items() for _ in texts]
    indices = [n for texts in splits.values() for n in range(len(texts))]
    order = list(splits)
    if not names:
        return []
    found = []
    signatures = np.stack([signature(text) for texts in splits.values() for text in texts])
    for a, b, alike in near(signatures, threshold):
        if names[a] != names[b]:
            held, other = (b, a) if order.index(names[a]) < order.index(names[b]) else (a, b)
            found.append(Leak(names[held], indices[held], names[other], indices[other], alike))
    return sorted(found, key=lambda leak: (-leak.similarity, leak.held_out, leak.index))
