"""Copies of a run's folder elsewhere while it works: in any folder, or at any URL that fsspec knows.

    [run]
    copy_to = "/content/drive/MyDrive/netwright"       # or "s3://bucket/runs", "memory://runs"

    run.copy_to(config.copy_to)     # from then on after each checkpoint, in a thread; the last one when the run closes
    restored(Path("runs"), config.copy_to, "train", key)     # on a fresh machine, before `Run.start`

Only files that changed are copied, each under another name first, and `run.json` and the last checkpoint after what
they rely on: a copy that a kill cut short restores to a state that was. A copy that fails says so once, is tried again
at the next checkpoint, and never stops the work. What is at the other end is never removed. Knows no verb.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from netwright.core.error import UserError

CHUNK = 1 << 20
LATE = ("checkpoints/last.safetensors", "checkpoints/spent.json", "run.json")
"""Copied after all others, in this order."""
PATIENCE_S = 600.0
"""How long the end of a run waits for a copy that hangs."""
LEFT_OUT = (".lock",)
Stamp = tuple[int, int]
"""When a file was changed, and its size."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """The [run] section: what becomes of the folder of a run."""

    copy_to: str = ""
    """A folder or an fsspec URL that the run is copied to while it works, and restored from where it is not here."""


class Copy:
    """A folder's copy elsewhere; `tell` takes what a person should know."""

    def __init__(self, folder: Path, url: str, tell: Callable[[str], object]) -> None:
        self.folder, self._tell, self._failed = folder, tell, False
        self.system, root = opened(url)
        self.root = f"{root}/{folder.name}"
        self._there: dict[str, Stamp] = {}
        self._worker: threading.Thread | None = None

    def update(self) -> None:
        """Begin to copy what has changed, unless the last copying still goes on: then the next call does."""
        if self._worker is not None and self._worker.is_alive():
            return
        changed = list(self._changed())
        self._worker = threading.Thread(target=self._send, args=(changed,), daemon=True)
        self._worker.start()

    def close(self) -> None:
        """Wait for what is under way, then copy what has changed since."""
        end = time.monotonic() + PATIENCE_S
        for last in (False, True):
            if self._worker is not None:
                self._worker.join(max(0.0, end - time.monotonic()))
                if self._worker.is_alive():
                    self._tell(f"The copy at {self.root} hangs and is left unfinished.")
                    return
            if not last:
                self.update()

    def _changed(self) -> Iterator[tuple[str, Stamp, IO[bytes]]]:
        """Files that are not there as they are here, open: a file replaced meanwhile is then sent as it was."""
        for name in _in_order(self.folder):
            with contextlib.suppress(OSError):
                handle = (self.folder / name).open("rb")
                about = os.fstat(handle.fileno())
                stamp = about.st_mtime_ns, about.st_size
                if self._there.get(name) == stamp:
                    handle.close()
                else:
                    yield name, stamp, handle

    def _send(self, changed: list[tuple[str, Stamp, IO[bytes]]]) -> None:
        try:
            for name, stamp, handle in changed:
                _write(self.system, f"{self.root}/{name}", handle)
                self._there[name] = stamp
            if self._failed:
                self._tell(f"The copy at {self.root} is up to date again.")
            self._failed = False
        except Exception as fault:
            if not self._failed:
                self._tell(f"The copy at {self.root} failed ({fault}). The run goes on, and will try again.")
            self._failed = True
        finally:
            for _, _, handle in changed:
                handle.close()


def opened(url: str) -> tuple[Any, str]:
    """The file system of a URL or folder, and the path in it. Raises UserError for a URL that nothing knows."""
    import fsspec

    try:
        system, root = fsspec.core.url_to_fs(url if "://" in url else Path(url).expanduser().absolute().as_uri())
    except Exception as fault:  # a package that is missing, an unknown protocol, a name that cannot be resolved
        why = str(fault) or type(fault).__name__
        next = 'run.copy_to="FOLDER", or install what fsspec names'
        raise UserError("run.copy_to", url, f"a folder or a URL that fsspec opens ({why[:160]})", next) from None
    return system, str(root).rstrip("/")


def restored(runs: Path, url: str, pattern: str) -> Path | None:
    """Bring back the run whose name matches `pattern`, where there is a copy of it and none here; its folder.

    Whole or not at all. Raises UserError where a copy is there and cannot be read.
    """
    if runs.is_dir() and any(runs.glob(pattern)):
        return None
    system, root = opened(url)
    system.invalidate_cache()
    found = sorted(str(path) for path in system.glob(f"{root}/{pattern}") if system.exists(f"{path}/run.json"))
    if not found:
        return None
    there, name = found[-1], PurePosixPath(found[-1]).name
    runs.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{name}-", suffix=".draft", dir=runs))
    try:
        for path in system.find(there):
            inside = PurePosixPath(str(path)[str(path).index(f"/{name}/") + len(name) + 2 :])
            if ".." in inside.parts or _unfinished(inside.name):
                continue
            (draft / inside).parent.mkdir(parents=True, exist_ok=True)
            with system.open(path, "rb") as source, (draft / inside).open("wb") as target:
                shutil.copyfileobj(source, target, CHUNK)
        draft.chmod(0o755)
        os.replace(draft, runs / name)
    except OSError as fault:
        raise UserError(
            "run.copy_to", url, f"the copy of {name} cannot be brought back ({fault})", 'run.copy_to="" begins anew'
        ) from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return runs / name


def _in_order(folder: Path) -> list[str]:
    """Names of a run's files; those that rely on others come last."""
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
    kept = [name for name in names if not any(_hidden(part) for part in name.split("/"))]
    return sorted(kept, key=lambda name: (LATE.index(name) + 1 if name in LATE else 0, name))


def _hidden(part: str) -> bool:
    return part in LEFT_OUT or part.endswith(".draft")


def _unfinished(name: str) -> bool:
    return name.startswith(".") and name.endswith(".part")


def _write(system: Any, path: str, handle: IO[bytes]) -> None:
    folder, _, name = path.rpartition("/")
    draft = f"{folder}/.{name}.part"
    system.makedirs(folder, exist_ok=True)
    handle.seek(0)
    with system.open(draft, "wb") as target:
        shutil.copyfileobj(handle, target, CHUNK)
    system.mv(draft, path)
