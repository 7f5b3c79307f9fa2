"""What is in a source of texts, and what may be wrong with it: one reading, one report, plain data.

    found = report("chats.jsonl")
    found.shapes, found.broken, found.near_duplicates, found.private

Lengths, languages, private data and near duplicates are looked at in the first `Config.looked_at` records;
counts and exact duplicates are of all. This file does not know how a report is printed.
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np

from netwright.core.recipe import Range
from netwright.data.text import Config as Reading
from netwright.data.text import Record, Tally, cleaning, content, duplicates, filters, private, read, splits

QUANTILES = (0.0, 0.05, 0.5, 0.95, 1.0)
SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class Config:
    """How a source is read, split and looked at."""

    reading: Reading = field(default_factory=Reading)
    splits: splits.Config = field(default_factory=splits.Config)
    looked_at: Annotated[int, Range(1)] = 100_000
    """So many records are looked at closely: a signature of each takes 512 bytes."""
    similarity: Annotated[float, Range(0.5, 1)] = 0.8
    """From which estimated Jaccard similarity two texts are near duplicates."""
    shown: Annotated[int, Range(0)] = 3
    """So many first records are kept to be shown."""


@dataclass(frozen=True)
class Found:
    """One kind of thing that was found: how often, and where the first are."""

    kind: str
    count: int
    places: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """What a source holds. Counts are of records unless it is said otherwise."""

    source: str
    files: int
    records: int
    looked_at: int
    shapes: dict[str, int]
    broken: Found
    empty: int
    left_out: Found
    """Files that were not read."""
    repaired: dict[str, int]
    """Bytes and files in another encoding than UTF-8."""
    uncleaned: dict[str, int]
    """What cleaning would do."""
    characters: int
    lengths: dict[str, int]
    """Quantiles of the characters of a record."""
    turns: dict[str, int]
    """Quantiles of the messages of a conversation."""
    unanswered: int
    """Conversations that do not end with the assistant: nothing is learned from what comes last."""
    languages: dict[str, int]
    """Empty where the extra `text` is not installed."""
    exact_duplicates: Found
    """Records that say what an earlier one says."""
    near_duplicates: Found
    """Pairs, exact ones not counted."""
    private: tuple[Found, ...]
    """Occurrences that are sure or likely, by kind."""
    splits: dict[str, int]
    leaks: Found
    """Records of the validation and test splits with a near duplicate in another split."""
    first: tuple[Record, ...]


def report(source: str | Path, config: Config | None = None) -> Report:
    """Read a source once and tell what is in it. Raises UserError as `text.read` does."""
    config = config or Config()
    tally, look = Tally(), _Look(config)
    for record in read(source, config.reading, tally):
        look.at(record)
    return look.report(str(source), tally)


class _Look:
    """What is gathered while records go by."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.tells_languages = importlib.util.find_spec("py3langid") is not None
        self.first: list[Record] = []
        self.lengths: list[int] = []
        self.turns: list[int] = []
        self.places: list[str] = []
        self.signatures: list[duplicates.Signatures] = []
        self.members: list[splits.Split] = []
        self.prints: dict[bytes, str] = {}
        self.own_prints: list[bytes] = []
        self.same: list[str] = []
        self.same_count = self.unanswered = self.characters = 0
        self.languages: Counter[str] = Counter()
        self.uncleaned: Counter[str] = Counter()
        self.splits: Counter[str] = Counter()
        self.private: Counter[str] = Counter()
        self.private_places: dict[str, list[str]] = {}

    def at(self, record: Record) -> None:
        """Take in one record."""
        said = content(record)
        self.characters += len(said)
        if len(self.first) < self.config.shown:
            self.first.append(record)
        print_ = duplicates.fingerprint(said)
        earlier = self.prints.setdefault(print_, record.place)
        if earlier != record.place:
            self.same_count += 1
            if len(self.same) < SHOWN:
                self.same.append(f"{record.place} = {earlier}")
        member = splits.split_of(record, self.config.splits)
        self.splits[member] += 1
        if record.messages:
            self.unanswered += record.messages[-1].role != "assistant"
        if len(self.places) < self.config.looked_at:
            self._closely(record, said, print_, member)

    def _closely(self, record: Record, said: str, print_: bytes, member: splits.Split) -> None:
        self.places.append(record.place)
        self.own_prints.append(print_)
        self.members.append(member)
        self.lengths.append(len(said))
        if record.messages:
            self.turns.append(len(record.messages))
        self.signatures.append(duplicates.signature(said))
        cleaning.clean(said, done=self.uncleaned)
        if self.tells_languages:
            self.languages[filters.language(said)[0]] += 1
        for one in private.find(said):
            if one.certainty != "possible":
                self.private[one.kind] += 1
                shown = self.private_places.setdefault(one.kind, [])
                if len(shown) < SHOWN:
                    shown.append(f"{record.place} ({one.certainty})")

    def report(self, source: str, tally: Tally) -> Report:
        """All that was gathered."""
        pairs = duplicates.near(np.stack(self.signatures), self.config.similarity) if self.signatures else []
        near = [(a, b, alike) for a, b, alike in pairs if self.own_prints[a] != self.own_prints[b]]
        leaking: dict[int, str] = {}
        for a, b, alike in near:  # equal texts are in one split
            if self.members[a] != self.members[b]:
                out, other = (a, b) if self.members[b] == "train" or self.members[a] == "test" else (b, a)
                leaking.setdefault(out, f"{self._named(out)} ~ {self._named(other)} ({alike:.2f})")
        told = tuple(f"{self.places[b]} ~ {self.places[a]} ({alike:.2f})" for a, b, alike in near[:SHOWN])
        return Report(
            source=source,
            files=tally.files,
            records=tally.records,
            looked_at=len(self.places),
            shapes=dict(tally.shapes.most_common()),
            broken=Found("broken", tally.broken, tuple(tally.broken_places)),
            empty=tally.empty,
            left_out=Found("left out", tally.left_out_count, tuple(tally.left_out[:SHOWN])),
            repaired=dict(tally.repaired),
            uncleaned=dict(self.uncleaned.most_common()),
            characters=self.characters,
            lengths=_quantiles(self.lengths),
            turns=_quantiles(self.turns),
            unanswered=self.unanswered,
            languages=dict(self.languages.most_common()),
            exact_duplicates=Found("exact duplicates", self.same_count, tuple(self.same)),
            near_duplicates=Found("near duplicates", len(near), told),
            private=tuple(
                Found(kind, count, tuple(self.private_places[kind])) for kind, count in self.private.most_common()
            ),
            splits={name: self.splits[name] for name in ("train", "validation", "test")},
            leaks=Found("leaks", len(leaking), tuple(list(leaking.values())[:SHOWN])),
            first=tuple(self.first),
        )

    def _named(self, n: int) -> str:
        return f"{self.members[n]} {self.places[n]}"


def _quantiles(values: list[int]) -> dict[str, int]:
    if not values:
        return {}
    found = np.quantile(np.array(values), QUANTILES, method="nearest")
    return {f"{q:.0%}": int(value) for q, value in zip(QUANTILES, found, strict=True)}
