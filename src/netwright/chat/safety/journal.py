"""What filters decided, a line of JSON each, never more than a few files of a bounded size.

    with Journal(Config(file="safety.jsonl"), Path("chat")) as journal:
        journal.write(side="reply", filter="words", action="mask", kind="profanity", score=1.0, text="...")

Of a text a keyed digest is kept, so that the same one can be recognized; a plain hash of a phone number would be
found by trying them all. The key stands beside the file, for its owner alone. The text itself is kept where the
owner says so.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Annotated, Self

from netwright.core.artifact import disk_error
from netwright.core.error import UserError
from netwright.core.recipe import Range


@dataclass(frozen=True, kw_only=True)
class Config:
    """[safety.journal]: where decisions are written."""

    file: str = ""
    """A file, as safety.jsonl; empty: nothing is written."""
    text: bool = False
    """Whether the texts are kept too."""
    size: Annotated[int, Range(10_000, 1_000_000_000)] = 1_000_000
    """Bytes of a file; then another one is begun."""
    keep: Annotated[int, Range(0, 100)] = 3
    """Files before it that are kept, as safety.jsonl.1."""


class Journal:
    """The open file. Several threads may write; without a file nothing is written."""

    def __init__(self, config: Config, folder: Path = Path(), clock: Callable[[], float] = time.time) -> None:
        self._config, self._clock, self._lock = config, clock, threading.Lock()
        self._path = folder / config.file if config.file else None
        self._file: IO[bytes] | None = None
        self._key = b""
        if self._path:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._key = _key(self._path.with_name(self._path.name + ".key"))
                self._file = self._opened()
            except OSError as fault:
                raise self._refusal(fault) from None

    def write(self, *, side: str, filter: str, action: str, kind: str, score: float, text: str) -> None:
        """One decision about a text. Raises UserError where the disk takes nothing more."""
        if self._path is None:
            return
        row = {
            "time": round(self._clock(), 3), "side": side, "filter": filter, "action": action, "kind": kind,
            "score": round(score, 4), "characters": len(text), "digest": self.digest(text),
        }  # fmt: skip
        if self._config.text:
            row["text"] = text[: self._config.size // 16]
        line = json.dumps(row, ensure_ascii=True).encode() + b"\n"
        with self._lock:
            try:
                if self._file is None:
                    raise RuntimeError("this journal is closed")
                if self._file.tell() and self._file.tell() + len(line) > self._config.size:
                    self._turn()
                self._file.write(line)
                self._file.flush()
            except OSError as fault:
                raise self._refusal(fault) from None

    def digest(self, text: str) -> str:
        """What the journal knows a text by."""
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=self._key, digest_size=16).hexdigest()

    def close(self) -> None:
        """Nothing more is written."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _opened(self) -> IO[bytes]:
        assert self._path
        file = os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "ab")
        if file.tell():  # a line that a kill cut off is ended, so that the next one can be read
            with self._path.open("rb") as other:
                other.seek(-1, os.SEEK_END)
                if other.read(1) != b"\n":
                    file.write(b"\n")
        return file

    def _turn(self) -> None:
        assert self._path
        assert self._file
        self._file.close()
        names = [self._path, *(self._path.with_name(f"{self._path.name}.{n}") for n in range(1, self._config.keep + 1))]
        names[-1].unlink(missing_ok=True)
        for newer, older in zip(reversed(names[:-1]), reversed(names[1:]), strict=True):
            if newer.exists():
                newer.replace(older)
        self._file = self._opened()

    def _refusal(self, fault: OSError) -> Exception:
        assert self._path
        told = disk_error(fault, self._path.parent)
        if isinstance(told, UserError):
            return told
        return UserError("safety.journal.file", str(self._path), f"cannot be written: {fault.strerror}", "ls -l")


def _key(path: Path) -> bytes:
    """The key of digests, made once; whoever is second takes what the first one made."""
    for _ in range(100):
        try:
            key = path.read_bytes()
            if len(key) == 32:
                return key
            time.sleep(0.01)  # it is being written
        except FileNotFoundError:
            draft = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}")
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(secrets.token_bytes(32))
            try:
                os.link(draft, path)
            except FileExistsError:
                pass
            finally:
                draft.unlink()
    raise UserError("safety.journal.file", str(path), "a key of 32 bytes", f"remove {path}")
