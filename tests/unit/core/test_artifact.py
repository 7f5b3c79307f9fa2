"""An artifact is whole or not there; whatever was changed afterwards is refused."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netwright.core import artifact
from netwright.core.error import UserError

shared_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
ABOUT = {
    "format": "torch",
    "precision": "fp32",
    "task": {"name": "mnist", "digest": "d" * 64},
    "model": {"name": "cnn", "width": 8},
    "inputs": {"image": {"shape": [1, 28, 28], "dtype": "float32"}},
    "processor": {"mean": 0.13},
    "parents": ("a" * 64,),
    "made_by": {"verb": "train", "epochs": 3},
}
WEIGHTS = bytes(range(256)) * 4


def fill(draft: Path) -> None:
    (draft / "weights.safetensors").write_bytes(WEIGHTS)
    (draft / "extra").mkdir()
    (draft / "extra" / "vocabulary.txt").write_text("a\nb\n")


@pytest.fixture
def made(tmp_path):
    return artifact.create(tmp_path / "artifact", fill, **ABOUT)


def change(folder: Path, edit) -> None:
    path = folder / artifact.MANIFEST
    manifest = json.loads(path.read_text())
    edit(manifest)
    path.write_text(json.dumps(manifest))


def test_what_was_created_opens(made, tmp_path):
    for place in (made.folder, made.folder / artifact.MANIFEST, tmp_path, str(made.folder)):
        assert artifact.open(place) == made
    assert set(made.files) == {"weights.safetensors", "extra/vocabulary.txt"}
    assert made.size == len(WEIGHTS) + 4
    assert made.path("extra/vocabulary.txt").read_text() == "a\nb\n"
    assert made.name == f"mnist/cnn fp32 torch {made.digest[:8]}"
    assert artifact.read(made.folder) == made


def test_a_file_that_is_not_in_the_manifest_has_no_path(made):
    (made.folder / "later.bin").write_bytes(b"1")
    with pytest.raises(UserError, match="has no file"):
        made.path("later.bin")


def test_an_artifact_replaces_the_one_before(made):
    again = artifact.create(made.folder, lambda d: (d / "w").write_bytes(b"2"), **{**ABOUT, "precision": "int8"})
    assert again.digest != made.digest
    assert list(again.files) == ["w"]
    assert [path.name for path in made.folder.parent.iterdir()] == ["artifact"]


def test_lineage_and_settings_are_in_the_digest(tmp_path):
    digests = {
        artifact.create(tmp_path / str(at), fill, **{**ABOUT, **different}).digest
        for at, different in enumerate(({}, {"parents": ("b" * 64,)}, {"made_by": {}}, {"precision": "bf16"}))
    }
    assert len(digests) == 4
    assert artifact.create(tmp_path / "same", fill, **ABOUT).digest in digests


@shared_folder
@given(st.data())
def test_a_changed_file_is_refused(tmp_path, data):
    made = artifact.create(tmp_path / "artifact", fill, **ABOUT)
    name = data.draw(st.sampled_from(sorted(made.files)))
    path = made.folder / name
    before = path.read_bytes()
    at = data.draw(st.integers(0, len(before) - 1))
    kind = data.draw(st.sampled_from(["flip", "cut", "grow", "remove"]))
    if kind == "flip":
        path.write_bytes(before[:at] + bytes([before[at] ^ 1 << data.draw(st.integers(0, 7))]) + before[at + 1 :])
    elif kind == "cut":
        path.write_bytes(before[:at])
    elif kind == "grow":
        path.write_bytes(before + b"\0")
    else:
        path.unlink()
    with pytest.raises(UserError):
        artifact.open(made.folder)


@shared_folder
@given(st.data())
def test_changed_bytes_of_a_manifest_are_refused_or_seen_in_the_digest(tmp_path, data):
    made = artifact.create(tmp_path / "artifact", fill, **ABOUT)
    path = made.folder / artifact.MANIFEST
    before = path.read_bytes()
    at = data.draw(st.integers(0, len(before) - 1))
    put = data.draw(st.binary(max_size=4))
    cut = data.draw(st.integers(0, 4))
    path.write_bytes(before[:at] + put + before[at + cut :])
    try:
        opened = artifact.open(made.folder)
    except UserError:
        return
    assert opened == made or opened.digest != made.digest
    for name in opened.files:
        assert artifact.describe(opened.path(name)) == opened.files[name]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@shared_folder
@given(st.sampled_from(["schema", *ABOUT, "files", "more"]), json_values)
def test_any_value_in_a_manifest_is_refused_or_opens_as_it_stands(tmp_path, key, value):
    made = artifact.create(tmp_path / "artifact", fill, **ABOUT)
    change(made.folder, lambda manifest: manifest.update({key: value}))
    try:
        opened = artifact.open(made.folder)
    except UserError:
        return
    assert opened._manifest()[key] == json.loads((made.folder / artifact.MANIFEST).read_text())[key]
    assert len(opened.digest) == 64
    assert opened.name


@pytest.mark.parametrize(
    "name",
    [
        "../secret", "/etc/passwd", "a/../../secret", "..", ".", "", "a\\..\\b", "w\0", "artifact.json", "x" * 300,
        "\ud800", "nowhere", "extra",
    ],
)  # fmt: skip
def test_names_that_lead_elsewhere_are_refused(made, name):
    (made.folder.parent / "secret").write_bytes(b"1")
    stated = {"sha256": artifact.describe(made.folder.parent / "secret").sha256, "size": 1}
    change(made.folder, lambda manifest: manifest["files"].update({name: stated}))
    with pytest.raises(UserError):
        artifact.open(made.folder)


def test_links_are_refused_even_to_the_right_bytes(made, tmp_path):
    outside = tmp_path / "outside"
    outside.write_bytes(WEIGHTS)
    (made.folder / "weights.safetensors").unlink()
    (made.folder / "weights.safetensors").symlink_to(outside)
    with pytest.raises(UserError, match="no plain file"):
        artifact.open(made.folder)


def test_a_folder_that_is_a_link_outside_is_refused(made, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (made.folder / "extra" / "vocabulary.txt").rename(tmp_path / "elsewhere" / "vocabulary.txt")
    (made.folder / "extra").rmdir()
    (made.folder / "extra").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="no plain file"):
        artifact.open(made.folder)


@pytest.mark.parametrize("name", ["w.pkl", "w.pth", "w.ckpt", "w.pickle"])
def test_a_pickle_is_never_opened(tmp_path, name):
    with pytest.raises(UserError, match="pickle"):
        artifact.create(tmp_path / "artifact", lambda d: (d / name).write_bytes(b"1"), **ABOUT)


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, "9" * 5000, '{"schema": NaN}', "null", "[]", "", "\ufeff{}", '{"schema": 1}', '{"schema": 2}'],
)
def test_a_manifest_that_is_none_is_refused(made, text):
    (made.folder / artifact.MANIFEST).write_text(text)
    with pytest.raises(UserError):
        artifact.open(made.folder)


def test_numbers_that_are_none_are_refused(made):
    path = made.folder / artifact.MANIFEST
    path.write_text(path.read_text().replace("0.13", "1e999"))
    with pytest.raises(UserError):
        artifact.open(made.folder)


def test_a_huge_manifest_is_refused_unread(made):
    with (made.folder / artifact.MANIFEST).open("r+b") as handle:
        handle.truncate(10**12)  # a sparse file: reading it would take all memory
    with pytest.raises(UserError, match="larger than"):
        artifact.open(made.folder)


def test_too_many_files_are_refused(made):
    stated = {"sha256": "0" * 64, "size": 1}
    change(made.folder, lambda m: m["files"].update({str(i): stated for i in range(artifact.MAX_FILES)}))
    with pytest.raises(UserError, match="more than"):
        artifact.open(made.folder)


def test_no_artifact_is_said_so(tmp_path):
    with pytest.raises(UserError, match="no artifact"):
        artifact.open(tmp_path)
    os.mkfifo(tmp_path / artifact.MANIFEST)
    with pytest.raises(UserError, match="no artifact"):
        artifact.open(tmp_path)
    with pytest.raises(UserError, match="plain file"):
        artifact.read_json(tmp_path / artifact.MANIFEST)
    with pytest.raises(UserError, match="cannot be read"):
        artifact.read_json(tmp_path / "none")


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_fault_while_filling_leaves_nothing(tmp_path):
    def fails(draft):
        fill(draft)
        raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        artifact.create(tmp_path / "artifact", fails, **ABOUT)
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "may not write"),
    ],
)
def test_a_disk_that_takes_no_more_leaves_the_one_before(made, number, said):
    def full(draft):
        (draft / "w").write_bytes(b"1")
        raise OSError(number, os.strerror(number))

    with pytest.raises(UserError, match=said):
        artifact.create(made.folder, full, **ABOUT)
    assert artifact.open(made.folder) == made
    assert left(made.folder.parent) == ["artifact"]
    with pytest.raises(UserError, match=said):
        artifact.replace_file(made.folder.parent / "x.json", full_file(number))
    assert left(made.folder.parent) == ["artifact"]


def full_file(number):
    def write(path):
        path.write_bytes(b"half")
        raise OSError(number, os.strerror(number))

    return write


def test_a_real_limit_on_file_size_is_told(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(UserError, match="larger than this process may write"):
            artifact.create(tmp_path / "artifact", lambda d: (d / "w").write_bytes(b"0" * 10_000), **ABOUT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert left(tmp_path) == []


def test_a_parent_that_is_a_file_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"is a file|of this name"):
        artifact.create(tmp_path / "file" / "artifact", fill, **ABOUT)


def test_an_artifact_that_cannot_be_json_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        artifact.create(tmp_path / "artifact", fill, **{**ABOUT, "processor": {"mean": float("nan")}})
    assert left(tmp_path) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from netwright.core import artifact
def fill(draft):
    (draft / "w").write_bytes(b"2" * 100)
    if sys.argv[2] == "filling":
        os.kill(os.getpid(), signal.SIGKILL)
def replace(old, new, really=os.replace):
    if Path(old).is_dir() and sys.argv[2] == "replacing":
        os.kill(os.getpid(), signal.SIGKILL)
    really(old, new)
artifact.os.replace = replace
about = {"format": "torch", "precision": "int8", "task": {"name": "t"}, "model": {"name": "m"}, "inputs": {}}
artifact.create(Path(sys.argv[1]), fill, **about)
"""


@pytest.mark.parametrize("moment", ["filling", "replacing"])
def test_a_kill_leaves_the_one_before_or_nothing(made, moment):
    for target in (made.folder, made.folder.parent / "new"):
        ended = subprocess.run([sys.executable, "-c", KILLED, str(target), moment], check=False)
        assert ended.returncode == -signal.SIGKILL
    assert artifact.open(made.folder) == made
    assert not (made.folder.parent / "new").exists()
    assert artifact.manifests(made.folder.parent) == [made.folder / artifact.MANIFEST]
    artifact.sweep(made.folder.parent)
    assert left(made.folder.parent) == ["artifact"]


def test_a_file_is_replaced_in_one_step(tmp_path):
    path = tmp_path / "x.json"
    artifact.write_json(path, {"a": (1, 2)})
    assert artifact.read_json(path) == {"a": [1, 2]}
    with pytest.raises(ValueError, match="JSON"):
        artifact.write_json(path, {"a": float("nan")})
    assert artifact.read_json(path) == {"a": [1, 2]}
    assert left(tmp_path) == ["x.json"]
