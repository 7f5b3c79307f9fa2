"""Artifact: a model at one stage of its life, as a folder.

    folder/
      artifact.json      the manifest: what it is, whence it comes, sha256 of each file
      weights.safetensors | model.onnx | model.xml + model.bin | model.pt2
      workload.json, processor.json, certificate.json, ...

`create` writes a folder aside and renames it into place, so that a kill leaves either nothing or a
whole artifact. `open` trusts nothing: names, sizes and hashes are checked before a file is used, and
nothing is ever unpickled. This file does not know torch, nor what is in the files.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from netwright.core import recipe
from netwright.core.error import UserError, show

MANIFEST = "artifact.json"
MAX_MANIFEST_BYTES = 4_000_000
MAX_FILES = 1000
SCHEMA = 1


@dataclass(frozen=True)
class File:
    """A file of an artifact, as its manifest states it."""

    sha256: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """The manifest, and the folder it was read from.

    `format` names what opens it ("torch", "onnx", ...), `precision` what its weights are stored in.
    `model` and `task` are the recipe sections that rebuild the network and its data. `parents` are
    digests of the artifacts this one was made from, `made_by` the verb and its settings.
    """

    folder: Path
    format: str
    precision: str
    task: Mapping[str, Any]
    model: Mapping[str, Any]
    inputs: Mapping[str, Any]
    processor: Mapping[str, Any] = field(default_factory=dict)
    parents: tuple[str, ...] = ()
    made_by: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, File] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """sha256 over the manifest, and so over the files' hashes and the lineage."""
        return recipe.digest(self._manifest())

    @property
    def name(self) -> str:
        """What a table prints: `mnist/cnn int8 openvino 3fa9c1d2`."""
        return f"{self.task['name']}/{self.model['name']} {self.precision} {self.format} {self.digest[:8]}"

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files.values())

    def path(self, file: str) -> Path:
        """Where a file of this artifact lies. Raises UserError when the manifest has no such file."""
        if file not in self.files:
            raise UserError("artifact", str(self.folder), f"has no file {file}", "netwright export --help")
        return self.folder / file

    def _manifest(self) -> dict[str, Any]:
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "folder"}
        return {"schema": SCHEMA, **recipe.plain(values)}


def create(folder: Path, fill: Callable[[Path], None], **about: Any) -> Artifact:
    """Make an artifact: `fill(draft)` writes its files, then the whole folder appears at once.

    An artifact that stands at `folder` already is replaced. Raises UserError on a full disk.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", suffix=".draft", dir=folder.parent))
    except OSError as fault:
        raise disk_error(fault, folder) from fault
    try:
        fill(draft)
        files = {p.relative_to(draft).as_posix(): describe(p) for p in sorted(draft.rglob("*")) if p.is_file()}
        artifact = Artifact(folder=folder, files=files, **about)
        write_json(draft / MANIFEST, artifact._manifest())
        draft.chmod(0o755)
        before = draft.with_name(f".before-{draft.name[1:]}")
        if folder.exists():  # aside first: removing gigabytes takes long enough to be killed in
            os.replace(folder, before)
        os.replace(draft, folder)
        shutil.rmtree(before, ignore_errors=True)
    except OSError as fault:
        raise disk_error(fault, folder) from fault
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return open(folder)


def open(folder: Path | str) -> Artifact:
    """Read an artifact and check every file. Raises UserError for whatever is not as stated."""
    folder = Path(folder)
    if folder.name == MANIFEST:
        folder = folder.parent
    if not (folder / MANIFEST).is_file():
        inner = folder / "artifact"
        if (inner / MANIFEST).is_file():
            return open(inner)
        raise UserError("artifact", str(folder), f"no artifact: it has no {MANIFEST}", "netwright runs list")
    artifact = read(folder)
    for name, stated in artifact.files.items():
        _check(folder, name, stated)
    return artifact


def read(folder: Path) -> Artifact:
    """What an artifact says it is; its files are not looked at. To use them, `open` it."""
    artifact = _from_manifest(folder, read_json(folder / MANIFEST, MAX_MANIFEST_BYTES))
    if len(artifact.files) > MAX_FILES:
        raise _broken(folder, f"lists {len(artifact.files)} files, more than {MAX_FILES}")
    return artifact


def manifests(folder: Path) -> list[Path]:
    """The manifests below a folder, in order; drafts that a kill left behind are none."""
    found = sorted(folder.rglob(MANIFEST))
    return [path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def sweep(folder: Path) -> None:
    """Remove the drafts that a kill left below a folder in which no one else works."""
    for draft in folder.rglob(".*.draft"):
        if draft.is_dir() and not draft.is_symlink():
            shutil.rmtree(draft, ignore_errors=True)
        else:
            draft.unlink(missing_ok=True)


def describe(path: Path) -> File:
    """Hash and size of a file."""
    with path.open("rb") as handle:
        return File(hashlib.file_digest(handle, "sha256").hexdigest(), path.stat().st_size)


def write_json(path: Path, value: Any) -> None:
    """Write aside, fsync, rename: a reader sees the old file or the new one, never half of one."""
    text = json.dumps(recipe.plain(value), indent=1, sort_keys=True, allow_nan=False)
    replace_file(path, lambda draft: draft.write_text(text + "\n", encoding="utf-8"))


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write(draft)` make a file next to `path`, then put it in place in one step."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        write(draft)
        with draft.open("rb+") as handle:
            os.fsync(handle.fileno())
        os.replace(draft, path)
    except OSError as fault:
        raise disk_error(fault, path) from fault
    except Exception as fault:  # safetensors tells a full disk by an exception of its own
        told = re.search(r"\(os error (\d+)\)", str(fault))
        if told is None:
            raise
        raise disk_error(OSError(int(told[1]), str(fault)), path) from fault
    finally:
        draft.unlink(missing_ok=True)


def read_json(path: Path, limit: int = MAX_MANIFEST_BYTES) -> Any:
    """JSON from a file of bounded size."""
    try:
        if path.stat().st_size > limit:
            raise UserError("file", str(path), f"larger than the {limit:,} bytes it may have", "fetch it again")
        if not path.is_file() and path.exists():
            raise UserError("file", str(path), "not a plain file", "ls -l")
        return json.loads(path.read_bytes(), parse_constant=_no_constant)
    except (ValueError, RecursionError) as fault:
        raise UserError("file", str(path), f"not JSON: {fault}", "make or fetch it again") from None
    except OSError as fault:
        raise UserError("file", str(path), f"cannot be read: {fault.strerror}", "ls -l") from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number in JSON")


def disk_error(fault: OSError, path: Path) -> Exception:
    """The message for a disk that is full or may not be written; any other fault as it was."""
    reasons = {
        errno.ENOSPC: "the disk is full",
        errno.EDQUOT: "the disk quota is used up",
        errno.EACCES: "this user may not write there",
        errno.EROFS: "the file system is read-only",
        errno.EFBIG: "the file is larger than this process may write",
        errno.ENOTDIR: "a part of its path is a file",
        errno.EEXIST: "a file of this name is there",
        errno.ENAMETOOLONG: "its name is too long",
    }
    if fault.errno not in reasons:
        return fault
    return UserError("disk", str(path), f"cannot be written: {reasons[fault.errno]}", "free space, or set runs=FOLDER")


def _from_manifest(folder: Path, manifest: Any) -> Artifact:
    kinds = {"format": str, "precision": str, "task": dict, "model": dict, "inputs": dict}
    kinds |= {"processor": dict, "parents": list, "made_by": dict, "files": dict}
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        raise _broken(folder, f"the manifest is not of schema {SCHEMA}")
    wrong = {key for key, kind in kinds.items() if not isinstance(manifest.get(key), kind)}
    if wrong or manifest.keys() - kinds.keys() - {"schema"}:
        raise _broken(folder, f"keys missing, unknown or wrong: {sorted(wrong | (manifest.keys() - kinds.keys()))}")
    try:
        files = {name: recipe.build(File, stated, f"files.{name}") for name, stated in manifest["files"].items()}
    except (UserError, AttributeError, TypeError) as fault:
        raise _broken(folder, str(fault)) from None
    if not all(isinstance(parent, str) for parent in manifest["parents"]):
        raise _broken(folder, "parents are digests")
    if not all(isinstance(manifest[part].get("name"), str) for part in ("task", "model")):
        raise _broken(folder, "task and model have a name")
    about = {key: manifest[key] for key in kinds if key not in ("files", "parents")}
    artifact = Artifact(folder=folder, files=files, parents=tuple(manifest["parents"]), **about)
    try:
        artifact.digest  # noqa: B018
    except ValueError as fault:  # 1e999 is JSON, and no number
        raise _broken(folder, str(fault)) from None
    return artifact


def _check(folder: Path, name: str, stated: File) -> None:
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\\" in name or "\0" in name or name in ("", ".", MANIFEST):
        raise _broken(folder, f"the file name {name!r} leads outside the folder")
    path = folder / pure
    try:
        plain = not path.is_symlink() and path.is_file() and path.resolve().is_relative_to(folder.resolve())
    except OSError:  # a name too long for the file system
        plain = False
    if not plain:
        raise _broken(folder, f"{show(name)} is missing or no plain file")
    if path.suffix in (".pkl", ".pickle", ".pth", ".ckpt"):
        raise _broken(folder, f"{name} is a pickle, which is never opened")
    if path.stat().st_size != stated.size:
        raise _broken(folder, f"{name} has {path.stat().st_size:,} bytes, the manifest says {stated.size:,}")
    if describe(path).sha256 != stated.sha256:
        raise _broken(folder, f"{name} has another sha256 than the manifest says")


def _broken(folder: Path, why: str) -> UserError:
    return UserError("artifact", str(folder), why, "make it again, or copy it again from where it was made")
