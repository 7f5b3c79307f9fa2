"""Text for language models: records from files, folders and the hub, in whatever shape they come.

    tally = Tally()
    for record in read("chats.jsonl", tally=tally):
        print(record.place, record.messages)
    print(tally.shapes, tally.broken)

Everything streams: a file may be larger than memory. What cannot be read is counted and named in the
tally, and stops the reading when it is more than a small share. This file does not know tokens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from netwright.core.recipe import Range

NAMED = 20
"""So many broken places are kept by name; all are counted."""


@dataclass(frozen=True, slots=True)
class Message:
    """What one side of a conversation says; `role` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Record:
    """A text or a conversation, and where it stands ("file:line" or "file#row")."""

    text: str = ""
    messages: tuple[Message, ...] = ()
    place: str = ""


@dataclass(frozen=True, kw_only=True)
class Config:
    """How sources of text are read."""

    unit: Literal["file", "paragraph", "line"] = "file"
    """What one text is in .txt and .md."""
    column: str = ""
    """The field that holds the text; empty: found by its usual names, or a conversation by its shape."""
    strict: bool = False
    """Stop at the first broken record. Otherwise it is skipped, counted and named."""
    broken: Annotated[float, Range(0, 1)] = 0.05
    """Stop when more than ten records, and more than this share of those seen, are broken."""
    longest: Annotated[int, Range(1, 1 << 32)] = 1 << 28
    """Characters of one record; a longer one is broken, and is never held in memory whole."""
    subset: str = ""
    """Of a dataset on the hub: its configuration. Empty: the only one, or "default"."""
    split: str = "train"
    """Of a dataset on the hub: which split is read."""
    revision: str = ""
    """Of a dataset on the hub: branch, tag or commit. Empty: the parquet files that the hub makes of any dataset."""


@dataclass
class Tally:
    """What reading found, filled as the records go by."""

    records: int = 0
    files: int = 0
    shapes: Counter[str] = field(default_factory=Counter)
    broken: int = 0
    broken_places: list[str] = field(default_factory=list)
    """The first of them: "file:line: what is wrong"."""
    empty: int = 0
    """Texts of white space and chats without messages: skipped."""
    repaired: Counter[str] = field(default_factory=Counter)
    """Bytes that were no UTF-8 and were read as cp1252; characters that are half of a pair."""
    left_out: list[str] = field(default_factory=list)
    """Files of a folder that are of no known kind, or that another name led to already; the first hundred."""
    left_out_count: int = 0

    def skip(self, name: str) -> None:
        """Note a file that is not read."""
        self.left_out_count += 1
        if len(self.left_out) < 100:
            self.left_out.append(name)


def read(source: str | Path, config: Config | None = None, tally: Tally | None = None) -> Iterator[Record]:
    """The records of a file, a folder (sorted, with all below it) or a dataset on the hub ("org/name").

    Kinds: .txt .md .json .jsonl .ndjson .csv .tsv .parquet, and .gz of these. Raises UserError when the source
    is not there, when a record is broken and `config.strict`, and when too many are.
    """
    from netwright.data.text.reading import records

    return records(source, config or Config(), Tally() if tally is None else tally)


def content(record: Record) -> str:
    """All that is said in a record, a line a message: what is compared, counted and searched."""
    return record.text or "\n".join(message.content for message in record.messages)
