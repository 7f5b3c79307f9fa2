"""Archives that want to write elsewhere, fill the disk, or are broken."""

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.data.archives import ArchiveError, Take, unpack

MB = 1 << 20


def tar(path: Path, members: dict[str, bytes], *, links: dict[str, str] | None = None) -> Path:
    with tarfile.open(path, "w:gz") as bundle:
        for name, content in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            bundle.addfile(about, io.BytesIO(content))
        for name, target in (links or {}).items():
            about = tarfile.TarInfo(name)
            about.type, about.linkname = tarfile.SYMTYPE, target
            bundle.addfile(about)
    return path


def wheel(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, content in members.items():
            bundle.writestr(name, content)
    return path


def folder(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.mark.parametrize("make", [tar, wheel])
def test_takes_what_is_wanted_renames_and_cuts(tmp_path, make):
    archive = make(
        tmp_path / "a", {"p/one.bin": b"0123456789", "p/two.txt": b"two", "p/other": b"no", "p/q/x.txt": b""}
    )
    out = folder(tmp_path)
    done = unpack(archive, (Take("p/one.bin", "part", 2, 5), Take("p/*.txt")), out, MB)
    assert sorted(done) == ["part", "two.txt"]
    assert {p.name: p.read_bytes() for p in out.iterdir()} == {"part": b"234", "two.txt": b"two"}


def test_tail_cut(tmp_path):
    out = folder(tmp_path)
    unpack(tar(tmp_path / "a", {"p/x": b"0123456789"}), (Take("p/x", "tail", 7),), out, MB)
    assert (out / "tail").read_bytes() == b"789"


@pytest.mark.parametrize("make", [tar, wheel])
@pytest.mark.parametrize("name", ["../x.txt", "/x.txt", "a/../../x.txt"])
def test_paths_that_lead_elsewhere_stay_inside(tmp_path, make, name):
    out = folder(tmp_path)
    unpack(make(tmp_path / "a", {name: b"evil"}), (Take(name.rpartition("/")[0] + "/*.txt"),), out, MB)
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == ["a", "x.txt"]
    assert (out / "x.txt").read_bytes() == b"evil"


def test_links_are_passed_over(tmp_path):
    archive = tar(tmp_path / "a", {"p/y.txt": b"y"}, links={"p/x.txt": "/etc/passwd"})
    unpack(archive, (Take("p/*.txt"),), folder(tmp_path), MB)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["y.txt"]
    with pytest.raises(ArchiveError, match=r"lacks p/x.txt"):
        unpack(archive, (Take("p/x.txt"),), tmp_path / "out", MB)


@pytest.mark.parametrize("make", [tar, wheel])
def test_a_bomb_ends_at_the_limit(tmp_path, make):
    archive = make(tmp_path / "a", {"p/x": bytes(20 * MB)})
    out = folder(tmp_path)
    with pytest.raises(ArchiveError, match="more than 4,194,304 bytes"):
        unpack(archive, (Take("p/x"),), out, 4 * MB)
    assert sum(p.stat().st_size for p in out.iterdir()) <= 4 * MB


def test_a_bomb_in_a_tar_header_ends_at_the_limit(tmp_path):
    header = tarfile.TarInfo("long")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 1 << 30
    with gzip.open(tmp_path / "a", "wb") as file:
        file.write(header.tobuf(tarfile.GNU_FORMAT))
        file.write(bytes(40 * MB))
    with pytest.raises(ArchiveError):
        unpack(tmp_path / "a", (Take("p/x"),), folder(tmp_path), 8 * MB)


def test_a_name_that_stands_twice_is_refused(tmp_path):
    archive = tar(tmp_path / "a", {"p/x.txt": b"1", "./p/x.txt": b"2"})
    with pytest.raises(ArchiveError, match="twice"):
        unpack(archive, (Take("p/*.txt"),), folder(tmp_path), MB)


def test_nothing_found_is_an_error(tmp_path):
    with pytest.raises(ArchiveError, match="lacks"):
        unpack(tar(tmp_path / "a", {"p/y": b""}), (Take("p/*.txt"),), folder(tmp_path), MB)


@pytest.mark.parametrize("make", [tar, wheel])
def test_a_cut_archive_is_broken(tmp_path, make):
    archive = make(tmp_path / "a", {"p/x": bytes(range(256)) * 4000})
    archive.write_bytes(archive.read_bytes()[:-200])
    with pytest.raises(ArchiveError):
        unpack(archive, (Take("p/x"),), folder(tmp_path), 8 * MB)


@settings(max_examples=60, deadline=None)
@given(junk=st.binary(max_size=300), magic=st.sampled_from([b"", b"\x1f\x8b\x08\x00", b"PK\x03\x04", b"!<arch>\n"]))
def test_junk_is_refused_and_nothing_else_is_raised(tmp_path_factory, junk, magic):
    place = tmp_path_factory.mktemp("junk")
    (place / "a").write_bytes(magic + junk)
    with pytest.raises(ArchiveError):
        unpack(place / "a", (Take("p/x"),), folder(place), MB)


@given(st.text(max_size=30))
def test_a_target_is_always_one_plain_name(member):
    name = Take("*").target(member)
    assert name is None or (Path("d") / name).parts == ("d", name)
