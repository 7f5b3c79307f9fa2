"""From bytes on disk to characters, lines and JSON values, holding only a little at a time.

Reads gzip, byte order marks, UTF-8, UTF-16, UTF-32, and whatever else as cp1252, byte by byte. This file does
not know what a record is.
"""

from __future__ import annotations

import codecs
import gzip
import json
import re
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from netwright.data.text import Tally

CHUNK = 1 << 20
BOMB_RATIO, BOMB_FLOOR = 200, 1 << 28
"""Text packs 3 to 10 times, logs up to 50. More than 200 times, and more than 256 MB, is refused."""
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark begins the same
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_local = threading.local()


class BrokenError(Exception):
    """What is wrong with one record, in words that go on "file:line: "."""


class UnreadableError(Exception):
    """The rest of a file cannot be read: (line, why, what to do)."""

    def __init__(self, line: int, why: str, next: str) -> None:
        super().__init__(why)
        self.line, self.why, self.next = line, why, next


def _as_cp1252(fault: UnicodeError) -> tuple[str, int]:
    """A codec error handler: the bytes that are wrong as cp1252, and where that has no letter as latin-1."""
    wrong = cast(UnicodeDecodeError, fault)
    taken = wrong.object[wrong.start : wrong.end]
    _local.count = getattr(_local, "count", 0) + len(taken)
    try:
        return taken.decode("cp1252"), wrong.end
    except UnicodeDecodeError:
        return taken.decode("latin-1"), wrong.end


codecs.register_error("netwright-cp1252", _as_cp1252)


def chunks(path: Path) -> Iterator[bytes]:
    """The bytes of a file, unpacked where it is gzip whatever its name says."""
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        if not packed:
            yield from iter(lambda: raw.read(CHUNK), b"")
            return
        done = 0
        with gzip.GzipFile(fileobj=raw) as unpacked:
            while part := _unpack(unpacked):
                done += len(part)
                if done > BOMB_FLOOR and done > BOMB_RATIO * raw.tell():
                    why = f"unpacks to more than {BOMB_RATIO} times its size: a gzip bomb, or not text"
                    raise UnreadableError(0, why, "unpack it yourself if you trust it")
                yield part


def _unpack(unpacked: gzip.GzipFile) -> bytes:
    try:
        return unpacked.read(CHUNK)
    except (EOFError, OSError, zlib.error) as fault:
        raise UnreadableError(0, f"the gzip file is cut off or damaged: {fault}", "fetch it again") from None


def decoded(parts: Iterator[bytes], tally: Tally) -> Iterator[str]:
    """Bytes as characters. Raises BrokenError for what is no text at all."""
    first = next(parts, b"")
    mark, encoding = next(((mark, name) for mark, name in _MARKS if first.startswith(mark)), (b"", ""))
    if not mark:
        encoding = _guess(first[:65536])
    errors = "netwright-cp1252" if encoding == "utf-8" else "replace"
    if encoding != "utf-8":
        tally.repaired[f"file in {encoding.upper()}"] += 1
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    before = getattr(_local, "count", 0)
    part: bytes | None = first[len(mark) :]
    while part is not None:
        text = decoder.decode(part)
        yield from _counted(text, before, tally)
        before = getattr(_local, "count", 0)
        part = next(parts, None)
    yield from _counted(decoder.decode(b"", True), before, tally)


def _counted(text: str, before: int, tally: Tally) -> Iterator[str]:
    wrong = getattr(_local, "count", 0) - before
    if wrong:
        tally.repaired["byte read as cp1252"] += wrong
    if text:
        yield text


def _guess(sample: bytes) -> str:
    """UTF-16 without a mark has zeros at every second place; many control characters make no text."""
    zeros = sample.count(0)
    if zeros:
        even, odd = sample[::2].count(0), sample[1::2].count(0)
        half = max(1, len(sample) // 2)
        if odd > 0.4 * half and even < 0.1 * half:
            return "utf-16-le"
        if even > 0.4 * half and odd < 0.1 * half:
            return "utf-16-be"
    control = len(sample) - len(sample.translate(None, bytes([*range(9), *range(14, 27), *range(28, 32)])))
    if control > max(3, 0.05 * len(sample)):  # of random bytes a tenth
        raise BrokenError("binary, not text")
    return "utf-8"


def lines(parts: Iterator[str], longest: int) -> Iterator[tuple[int, str | None]]:
    """Numbered lines without their ends; None for one of more than `longest` characters, which is not held."""
    number, held, size = 1, list[str](), 0
    for part in parts:
        pieces = part.split("\n")
        for last, piece in enumerate(pieces, 1 - len(pieces)):
            size += len(piece)
            if size <= longest:
                held.append(piece)
            else:
                held.clear()
            if last < 0:
                yield number, None if size > longest else _line(held)
                number, size = number + 1, 0
                held.clear()
    if size:
        yield number, None if size > longest else _line(held)


def _line(held: list[str]) -> str:
    return "".join(held).removesuffix("\r").removeprefix("\ufeff")


def loads(text: str) -> Any:
    """A JSON value. Raises BrokenError, in one short sentence, for anything that is none."""
    try:
        return json.loads(text, strict=False)  # strict: control characters in a string; cleaning takes them out
    except json.JSONDecodeError as fault:
        raise BrokenError(_why(text, fault)) from None
    except RecursionError:
        raise BrokenError("broken JSON: nested thousands of levels deep") from None
    except ValueError:
        raise BrokenError("broken JSON: a number of thousands of digits") from None


def _why(text: str, fault: json.JSONDecodeError) -> str:
    if "\0" in text and not text.replace("\0", "").strip():
        return "nothing but NUL bytes"
    near = text[max(0, fault.pos - 15) : fault.pos + 15]
    return f"broken JSON: {fault.msg} at column {fault.colno}, near {near!r}"


_NUMBER = re.compile("[-+.eE0-9]*")
_SPACE = re.compile(r"[\s\ufeff]*")


class Values:
    """The JSON values of a stream, one at a time: the elements of an array, or values one after another.

    Memory is that of one value and a chunk: a value is parsed when it has come whole. While it has not, the
    buffer is doubled before it is tried again, so that the work stays linear.
    """

    def __init__(self, parts: Iterator[str], longest: int) -> None:
        self.parts, self.longest = parts, longest
        self.buffer, self.at, self.line, self.ended = "", 0, 1, False
        self.decoder = json.JSONDecoder(strict=False)

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        """(line, value). Raises UnreadableError at what is broken: where the next value begins is not known."""
        if self._peek() == "[":
            self._step(1)
            yield from self._elements()
            if self._peek():
                self._fail("something follows the end of the array")
            return
        while self._peek():
            yield self.line, self._value()

    def _elements(self) -> Iterator[tuple[int, Any]]:
        if self._peek() == "]":
            self._step(1)
            return
        while True:
            self._peek()
            yield self.line, self._value()
            mark = self._peek()
            if mark not in (",", "]"):
                self._fail("the array is cut off" if not mark else f"a comma is expected, not {mark!r}")
            self._step(1)
            if mark == "]":
                return

    def _peek(self) -> str:
        """The next character that is not white space, or nothing at the end."""
        while True:
            found = _SPACE.match(self.buffer, self.at)
            self._step((found.end() if found else self.at) - self.at)
            if self.at < len(self.buffer) or not self._more(CHUNK):
                return self.buffer[self.at : self.at + 1]

    def _step(self, count: int) -> None:
        self.line += self.buffer.count("\n", self.at, self.at + count)
        self.at += count

    def _more(self, size: int) -> bool:
        """Take in about so many characters more; False at the end."""
        held, taken = [self.buffer[self.at :]], 0
        while taken < size and not self.ended:
            part = next(self.parts, None)
            if part is None:
                self.ended = True
            else:
                held.append(part)
                taken += len(part)
        self.buffer, self.at = "".join(held), 0
        return taken > 0

    def _value(self) -> Any:
        while True:
            size = len(self.buffer) - self.at
            try:
                value, end = self.decoder.raw_decode(self.buffer, self.at)
            except json.JSONDecodeError as fault:
                # an unclosed string is told by its beginning, any other value that goes on by the buffer's end
                open_ended = fault.msg.startswith("Unterminated") or fault.pos >= len(self.buffer) - 16
                if not open_ended or self.ended or size > self.longest:
                    why = "longer than a record may be" if size > self.longest else fault.msg
                    self._step(min(fault.pos, len(self.buffer)) - self.at)
                    self._fail(f"broken JSON: {why}")
            except (RecursionError, ValueError):
                self._fail("broken JSON: nested too deep, or a number of thousands of digits")
            else:
                number = _NUMBER.match(self.buffer, end)  # what stands at the buffer's end may go on: 1, 1., 1.5e
                if self.ended or number is None or number.end() < len(self.buffer):
                    self._step(end - self.at)
                    return value
            self._more(max(CHUNK, size))

    def _fail(self, why: str) -> None:
        advice = "mend the file, or write it as jsonl, where a broken line costs only itself"
        raise UnreadableError(self.line, why, advice)


def whole(text: str, tally: Tally) -> str:
    """Text that can be written as UTF-8: halves of surrogate pairs, which JSON may carry, become U+FFFD."""
    if text.isascii():
        return text
    mended, count = _SURROGATE.subn("\ufffd", text)
    if count:
        tally.repaired["half of a character pair"] += count
    return mended
