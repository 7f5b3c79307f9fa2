"""Fetching by name: order of places, pins, the cache, two processes at once, kills."""

import io
import multiprocessing
import random
import re
import tarfile
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from netwright.core.artifact import describe
from netwright.core.error import UserError
from netwright.data import places, sources
from netwright.data.archives import Take
from netwright.data.catalog import SOURCES
from netwright.data.places import PlaceFailedError
from netwright.data.sources import Debian, Hub, Npm, Source, fetch, seal

FILES = {"a.txt": b"alpha", "b.bin": bytes(range(200))}


@pytest.fixture
def shelf(tmp_path, monkeypatch) -> Path:
    """A folder of one's own for cache and archives; no place is set."""
    monkeypatch.setenv("NETWRIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NETWRIGHT_DATA", raising=False)
    return tmp_path


def thing(shelf: Path, *, content: dict[str, bytes] | None = None) -> tuple[Source, Path]:
    """A source with one npm place, and the archive that the place serves."""
    (shelf / "plain").mkdir(exist_ok=True)
    for name, data in FILES.items():
        (shelf / "plain" / name).write_bytes(data)
    archive = shelf / "thing-1.tgz"
    with tarfile.open(archive, "w:gz") as bundle:
        for name, data in (content or FILES).items():
            about = tarfile.TarInfo(f"package/{name}")
            about.size = len(data)
            bundle.addfile(about, io.BytesIO(data))
    stated = describe(archive)
    source = Source(
        name="thing",
        title="Thing",
        licence="CC0",
        takes=(Take("package/*.txt"), Take("package/b.bin")),
        sha256=seal(shelf / "plain"),
        size=sum(map(len, FILES.values())),
        places=(Npm("thing", "1", stated.sha256, stated.size),),
    )
    return source, archive


def serve(monkeypatch, archive: Path) -> list[str]:
    """Let npm answer with a file: URL; returns the list of what was asked for."""
    asked: list[str] = []

    def npm(package: str, version: str) -> str:
        asked.append(f"{package}@{version}")
        return archive.as_uri()

    monkeypatch.setattr(places, "npm", npm)
    return asked


def test_fetches_once_and_checks_each_time(shelf, monkeypatch):
    source, archive = thing(shelf)
    asked = serve(monkeypatch, archive)
    folder = fetch(source)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == FILES
    assert fetch(source) == folder
    assert asked == ["thing@1"]
    (folder / "a.txt").write_bytes(b"ALPHA")  # same size, other bytes
    assert (fetch(source) / "a.txt").read_bytes() == b"alpha"
    assert asked == ["thing@1"] * 2
    assert [p.name for p in (shelf / "cache" / "data").iterdir()] == [folder.name]
    assert not list((shelf / "cache" / "downloads").glob("*.part"))


def test_a_place_that_serves_other_bytes_is_passed_over(shelf, monkeypatch):
    source, archive = thing(shelf, content={"a.txt": b"evil!", "b.bin": FILES["b.bin"]})
    serve(monkeypatch, archive)
    with pytest.raises(UserError, match=r"\(1\) npm thing@1: its files are others"):
        fetch(source)
    assert list((shelf / "cache" / "data").iterdir()) == []
    lying = replace(source, places=(replace(source.places[0], sha256="0" * 64),))
    with pytest.raises(UserError, match=r"serves other bytes: sha256 [0-9a-f]{12}\.\.\., pinned 000000000000"):
        fetch(lying)


def test_a_damaged_part_costs_one_fresh_start(shelf, monkeypatch):
    source, archive = thing(shelf)
    serve(monkeypatch, archive)
    seen = []

    def download(url, part, limit, advance):
        seen.append(part.read_bytes() if part.exists() else b"")
        part.write_bytes(archive.read_bytes() if not seen[-1] else seen[-1] + b"rest")

    monkeypatch.setattr(places, "download", download)
    with pytest.raises(UserError):
        fetch(replace(source, sha256="0" * 64))
    next_part = shelf / "cache" / "downloads"
    part = next_part / f"{sources.hashlib.sha256(b'npm thing@1').hexdigest()[:16]}.part"
    part.write_bytes(b"damaged")
    seen.clear()
    fetch(source)
    assert seen == [b"damaged", b""]


def test_the_persons_own_folder_comes_first(shelf, monkeypatch):
    source, archive = thing(shelf)
    asked = serve(monkeypatch, archive)
    for own in ("plain", "archives"):
        (shelf / "archives").mkdir(exist_ok=True)
        (shelf / "archives" / "as-npm-packs-it.tgz").write_bytes(archive.read_bytes())
        monkeypatch.setenv("NETWRIGHT_DATA", str(shelf / own))
        monkeypatch.setenv("NETWRIGHT_CACHE", str(shelf / f"cache-{own}"))
        assert {p.name: p.read_bytes() for p in fetch(source).iterdir()} == FILES
    assert asked == []


def test_every_place_and_its_reason_stand_in_the_error(shelf, monkeypatch):
    source, _ = thing(shelf)

    def refuse(*_: str) -> str:
        raise PlaceFailedError("does not answer (2.5 s)")

    for name in ("npm", "debian", "hub"):
        monkeypatch.setattr(places, name, refuse)
    monkeypatch.setenv("NETWRIGHT_DATA", str(shelf / "nowhere"))
    more = (*source.places, Debian("dataset-thing", "/no/such", 5), Hub("owner/thing", "main", (("x", "a.txt"),)))
    with pytest.raises(UserError) as caught:
        fetch(replace(source, places=more))
    said = str(caught.value)
    assert re.findall(r"\((\d)\) (\w+) ", said) == [("1", "folder"), ("2", "npm"), ("3", "Debian"), ("4", "hub")]
    assert said.count("does not answer") == 3
    assert "Next: " in said


def test_an_installed_debian_package_needs_no_download(shelf):
    source, _ = thing(shelf)
    assert fetch(replace(source, places=(Debian("dataset-thing", str(shelf / "plain"), 5),))).is_dir()


def test_the_hub_serves_single_files(shelf, monkeypatch):
    source, _ = thing(shelf)
    monkeypatch.setattr(places, "hub", lambda repo, revision, file: (shelf / "plain" / file).as_uri())
    hub = Hub("owner/thing", "main", (("a.txt", "a.txt"), ("b.bin", "b.bin")))
    assert {p.name: p.read_bytes() for p in fetch(replace(source, places=(hub,))).iterdir()} == FILES


def test_what_a_kill_left_is_swept(shelf, monkeypatch):
    source, archive = thing(shelf)
    serve(monkeypatch, archive)
    (shelf / "cache" / "data" / ".thing-half").mkdir(parents=True)
    folder = fetch(source)
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


def test_a_cache_that_cannot_be_written_is_said(shelf, monkeypatch):
    source, _ = thing(shelf)
    (shelf / "file").write_text("in the way")
    monkeypatch.setenv("NETWRIGHT_CACHE", str(shelf / "file" / "cache"))
    with pytest.raises(UserError, match=r"cache = .*NETWRIGHT_CACHE=FOLDER"):
        fetch(source)


def fetch_in_a_process(source, archive: Path, log: Path, start) -> None:
    def npm(*_: str) -> str:
        with log.open("a") as file:
            file.write("asked\n")
        start.wait(10)  # until the other process waits at the lock
        return archive.as_uri()

    places.npm = npm
    sources.console.print = lambda *_, **__: start.set()  # what a process does that finds the lock taken
    fetch(source)


def test_two_processes_download_once(shelf):
    (shelf / "own").mkdir()
    made = thing(shelf / "own")  # once: another second gives another archive
    spawn = multiprocessing.get_context("spawn")
    start = spawn.Event()
    running = [spawn.Process(target=fetch_in_a_process, args=(*made, shelf / "log", start)) for _ in range(2)]
    for process in running:
        process.start()
    for process in running:
        process.join()
    assert [process.exitcode for process in running] == [0, 0]
    assert (shelf / "log").read_text() == "asked\n"


def test_unknown_names_get_the_nearest():
    with pytest.raises(UserError, match='did you mean "mnist"'):
        fetch("mnits")


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_every_source_is_pinned(source):
    assert re.fullmatch("[0-9a-f]{64}", source.sha256)
    assert source.size > 0
    assert source.licence
    assert source.places
    for place in source.places:
        if not isinstance(place, Hub):
            assert place.size > 0
            assert re.fullmatch("[0-9a-f]{64}", place.sha256) or isinstance(place, Debian)
        assert not urlsplit(str(place)).netloc


def test_few_files_of_a_large_archive_are_taken(shelf, monkeypatch):
    large = bytes(65 * sources.MB) + random.Random(0).randbytes(20 * sources.MB)  # more than four times what is taken
    source, archive = thing(shelf, content={**FILES, "other.bin": large})
    serve(monkeypatch, archive)
    assert {p.name: p.read_bytes() for p in fetch(source).iterdir()} == FILES
    monkeypatch.setenv("NETWRIGHT_DATA", str(shelf))
    monkeypatch.setenv("NETWRIGHT_CACHE", str(shelf / "second"))
    monkeypatch.setattr(places, "npm", lambda *_: pytest.fail("the folder had it"))
    assert seal(fetch(source)) == source.sha256
