"""Text made clean: wrong encodings, control and invisible characters, white space, lines that every page repeats.

    done = Counter()
    text = clean("Itâ€™s  \r\n fine", done=done)        # "It’s\n fine", {"lines of mojibake": 1, ...}

Cleaning a clean text changes nothing. Nothing is done where it is not certain to be right: joiners that
scripts and emoji need stay, and a line is re-read as UTF-8 only if all of it can be. This file does not know
files.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Annotated

from netwright.core.recipe import Range
from netwright.data.text import Message, Record

KNOWN_LINES = 1_000_000
"""Distinct lines that are counted at once, 100 MB; beyond, those seen least are forgotten (Manku and Motwani 2002)."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is cleaned. All of it by default."""

    encoding: bool = True
    """UTF-8 that was read as cp1252 or latin-1."""
    control: bool = True
    """Control characters and terminal colours; every kind of line end becomes \\n."""
    invisible: bool = True
    """Zero-width spaces, byte order marks, soft hyphens, direction overrides, tags."""
    space: bool = True
    """Spaces of other widths, spaces at line ends, more than one empty line."""
    compose: bool = True
    """Unicode's normal form C."""
    boilerplate: Annotated[float, Range(0, 1)] = 0.3
    """Lines that stand in more than this share of the documents go; 1: none."""


_BYTE = {  # the characters that cp1252 has at 128 to 159, as the bytes they stand for
    ord(bytes([byte]).decode("cp1252")): byte
    for byte in range(0x80, 0xA0)
    if byte not in (0x81, 0x8D, 0x8F, 0x90, 0x9D)
}
_MORE = "".join(map(chr, _BYTE)) + "\x80-\xbf"
_MOJIBAKE = re.compile(f"[\xc2-\xf4][{_MORE}]")
_SURE = re.compile(f"[\xc2\xc3][{_MORE}]|\xe2[{_MORE}]{{2}}|\xf0\u0178[{_MORE}]{{2}}")
"""Beginnings that are nearly always mojibake: of Latin-1's letters, of quotation marks and dashes, of emoji."""
_TERMINAL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_ENDS = re.compile("\r\n?|[\v\f\x85\u2028\u2029]")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f]")
_INVISIBLE = re.compile("[\u00ad\u200b\u2060-\u2064\ufeff\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]")
_SPACES = re.compile("[\u00a0\u2000-\u200a\u202f\u205f]")
_TRAILING = re.compile("[ \t]+(?=\n|$)")
_EMPTY_LINES = re.compile("\n{3,}")


def clean(text: str, config: Config | None = None, done: Counter[str] | None = None) -> str:
    """The clean text; what was done is added to `done`."""
    config, done = config or Config(), Counter() if done is None else done
    while True:
        before = text
        text = _once(text, config, done)
        if text == before:  # one removal may bring together what another looks for
            return text


def _once(text: str, config: Config, done: Counter[str]) -> str:
    if config.encoding and not text.isascii():
        text = _repaired(text, done)
    if config.control:
        text = _counted(_TERMINAL, "", text, "terminal colours", done)
        text = _counted(_ENDS, "\n", text, "line ends", done)
        text = _counted(_CONTROL, "", text, "control characters", done)
    if config.invisible and not text.isascii():
        text = _counted(_INVISIBLE, "", text, "invisible characters", done)
    if config.compose and not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", text)
        done["texts composed"] += 1
    if config.space:
        text = _counted(_SPACES, " ", text, "spaces of other widths", done)
        text = _counted(_TRAILING, "", text, "spaces at line ends", done)
        text = _counted(_EMPTY_LINES, "\n\n", text, "empty lines", done)
        text = text.strip("\n").rstrip()
    return text


def _counted(pattern: re.Pattern[str], by: str, text: str, name: str, done: Counter[str]) -> str:
    text, count = pattern.subn(by, text)
    if count:
        done[name] += count
    return text


def _repaired(text: str, done: Counter[str]) -> str:
    if not _MOJIBAKE.search(text):
        return text
    lines = text.split("\n")
    for n, line in enumerate(lines):
        found = _MOJIBAKE.findall(line)
        # French writes an É and a hard space before an exclamation mark: one odd pair alone proves nothing
        if found and (len(found) >= 3 or _SURE.search(line)):
            try:
                lines[n] = line.translate(_BYTE).encode("latin-1").decode()
            except UnicodeError:
                continue
            done["lines of mojibake"] += 1
    return "\n".join(lines)


def clean_record(record: Record, config: Config | None = None, done: Counter[str] | None = None) -> Record:
    """A record with all it says cleaned."""
    if not record.messages:
        return replace(record, text=clean(record.text, config, done))
    said = tuple(Message(one.role, clean(one.content, config, done)) for one in record.messages)
    return replace(record, messages=said)


def repeated_lines(texts: Iterable[str], share: float = 0.3, least: int = 5) -> frozenset[str]:
    """Lines that stand in more than this share of the documents, and in at least so many: menus, licences, footers.

    Only lines of 3 letters or more are looked at: braces and rules repeat without being boilerplate.
    """
    seen: Counter[bytes] = Counter()
    example: dict[bytes, str] = {}
    documents = dropped = 0
    for text in texts:
        documents += 1
        for line in {line.strip() for line in text.split("\n")}:
            if sum(map(str.isalpha, line[:80])) >= 3:
                key = hashlib.blake2b(line.encode("utf-8", "replace"), digest_size=8).digest()
                seen[key] += 1
                if seen[key] == 2:
                    example[key] = line
        if len(seen) > KNOWN_LINES:
            dropped += 1
            seen = Counter({key: count for key, count in seen.items() if count > dropped})
            example = {key: line for key, line in example.items() if key in seen}
    enough = max(least, share * documents)
    return frozenset(example[key] for key, count in seen.items() if key in example and count >= enough and count > 1)


def without_lines(text: str, lines: frozenset[str], done: Counter[str] | None = None) -> str:
    """The text without these lines."""
    kept = [line for line in text.split("\n") if line.strip() not in lines]
    gone = text.count("\n") + 1 - len(kept)
    if done is not None and gone:
        done["lines of boilerplate"] += gone
    return "\n".join(kept) if gone else text


def cleaned(
    records: Iterable[Record],
    config: Config | None = None,
    done: Counter[str] | None = None,
    boilerplate: frozenset[str] = frozenset(),
) -> Iterator[Record]:
    """Records cleaned one by one, those of which nothing is left dropped and counted.

    `boilerplate` are lines to take out of texts (`repeated_lines` over a first reading). Conversations keep theirs:
    an instruction that every prompt repeats is meant.
    """  # fmt: skip
    done = Counter() if done is None else done
    for record in records:
        fewer = record
        if boilerplate and not record.messages:
            fewer = replace(record, text=without_lines(record.text, boilerplate, done))
        made = clean_record(fewer, config, done)
        if made.text.strip() or (made.messages and all(message.content.strip() for message in made.messages)):
            yield made
        else:
            done["records left empty"] += 1
