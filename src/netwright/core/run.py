"""Run: one execution of a verb, as a folder that survives a kill.

    runs/20261120-train-3fa9c1d2/
      run.json            verb, key, status, result
      recipe.toml         resolved
      metrics.jsonl       a line a logged step; pace.jsonl has speed and memory
      environment.json    versions, machine, command
      log.txt             alerts and messages
      plots/ artifact/ checkpoints/

`Run.start` with the same verb and key finds the folder again: done -> reuse, unfinished -> resume. The
folder is the truth; trackers and the database mirror it. This file does not know what a verb does.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import math
import multiprocessing
import os
import platform
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from netwright import __version__
from netwright.core import artifact, copies, recipe
from netwright.core.error import UserError

console = Console(stderr=True, quiet=multiprocessing.parent_process() is not None)
"""People read this; what programs read goes to standard output. Workers of `map` leave talking to their parent."""


METRICS, PACE = "metrics.jsonl", "pace.jsonl"
BEGINNINGS = {".lock", "run.json", "environment.json", "recipe.toml", "plan.json"}
"""Files that a run has before it has done anything."""


def _taken(lock: IO[str]) -> bool:
    """Take the lock. A program that this process is just starting holds a copy until it has begun: ask for a while."""
    for _ in range(20):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.05)
    return False


@contextlib.contextmanager
def interrupted_later() -> Iterator[None]:
    """Within: Ctrl-C waits until the end, for code that would lose it; in the main thread, where it comes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: waiting.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if waiting:
        raise KeyboardInterrupt


class Run:
    """An open run folder, locked against a second process. Use as a context manager."""

    def __init__(self, folder: Path, verb: str, key: str, resumed: bool, lock: IO[str] | None) -> None:
        self.folder, self.verb, self.key, self.resumed = folder, verb, key, resumed
        self._lock = lock
        self._mirrors: list[Any] = []
        self._copies: list[copies.Copy] = []

    @classmethod
    def start(cls, runs: Path, verb: str, key: Mapping[str, Any], fresh: bool = False) -> Run:
        """Open the run of this verb and key, or make it.

        `key` is whatever determines the result: settings and digests of inputs. Raises UserError when
        another process holds the run, or the folder cannot be written.
        """
        if os.environ.get("NETWRIGHT_DATABASE_URL"):  # a server that is not there is said before any work
            from netwright.core import db

            db.engine(runs).dispose()
        digest = _digest(verb, key)
        known = sorted(runs.glob(_pattern(verb, digest))) if runs.is_dir() else []
        usable = [folder for folder in known if not (fresh and _status(folder) == "done")]
        day = datetime.datetime.now().strftime("%Y%m%d" if not known or usable else "%Y%m%d%H%M%S%f")
        folder = usable[-1] if usable else runs / f"{day}-{verb}-{digest[:10]}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = (folder / ".lock").open("w")
        except OSError as fault:
            raise artifact.disk_error(fault, folder) from fault
        if not _taken(lock):
            lock.close()
            raise UserError(
                "runs", str(folder), "another process is working on this run", "wait for it, or set runs=FOLDER"
            )
        run = cls(folder, verb, digest, resumed=(folder / "run.json").is_file(), lock=lock)
        if run.resumed:
            artifact.sweep(folder)
            run._mend()
        else:
            try:
                artifact.write_json(folder / "run.json", {"verb": verb, "key": digest, "status": "running", "of": key})
                artifact.write_json(folder / "environment.json", environment())
            except UserError as refusal:
                run.__exit__(type(refusal))
                raise
        return run

    def __enter__(self) -> Run:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        for mirror in self._mirrors:
            mirror.close("FINISHED" if kind is None else "KILLED" if kind is KeyboardInterrupt else "FAILED")
        self._mirrors = []
        for copy in self._copies:
            copy.close()
        self._copies = []
        if kind is UserError and not self.resumed:
            self._forget()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _forget(self) -> None:
        """Leave no folder of a run that was refused before it had done anything."""
        begun = {path.name for path in self.folder.iterdir()} - BEGINNINGS
        if not begun:
            shutil.rmtree(self.folder, ignore_errors=True)
            with contextlib.suppress(OSError):  # not empty: there are other runs
                self.folder.parent.rmdir()

    @property
    def done(self) -> bool:
        return _status(self.folder) == "done"

    @property
    def result(self) -> Any:
        """What `finish` was given, or None."""
        return artifact.read_json(self.folder / "run.json").get("result")

    def finish(self, result: Any) -> Any:
        """Mark the run done, with a JSON-like result. From now on the same key reuses it."""
        state = artifact.read_json(self.folder / "run.json")
        artifact.write_json(self.folder / "run.json", {**state, "status": "done", "result": result})
        from netwright.core import db

        try:
            db.mirror(self.folder)
        except UserError as refusal:
            self.note(f"The run is done; the database was not told of it. {refusal}")
        return self.result

    def mirror(self, *mirrors: Any) -> None:
        """Send every later `log` to these too (`core.mirror`)."""
        self._mirrors.extend(mirrors)

    @classmethod
    def restored(cls, runs: Path, verb: str, key: Mapping[str, Any], url: str) -> Path | None:
        """Bring back the run of this verb and key from its copy at `url`, where it is not here (`core.copies`)."""
        return copies.restored(runs, url, _pattern(verb, _digest(verb, key)))

    def copy_to(self, url: str) -> None:
        """Keep a copy of the folder at a URL or in another folder, up to date after each `saved` and at the end."""
        self._copies.append(copies.Copy(self.folder, url, self.note))
        self.saved()

    def saved(self) -> None:
        """Say that there is something new that a copy should have."""
        for copy in self._copies:
            copy.update()

    def log(self, step: int, **metrics: float) -> None:
        """Append one line to metrics.jsonl. Values that are not finite become null, and say so."""
        self._append(METRICS, step, metrics)

    def pace(self, step: int, **figures: float) -> None:
        """Append one line to pace.jsonl: speed and memory, which differ from one run to the next and so stand apart."""
        self._append(PACE, step, figures)

    def _append(self, name: str, step: int, figures: Mapping[str, float]) -> None:
        row = {"step": step, **{k: v if math.isfinite(v) else None for k, v in figures.items()}}
        try:
            with (self.folder / name).open("a", encoding="utf-8") as handle:
                handle.write(json.dumps(row) + "\n")
        except OSError as fault:
            raise artifact.disk_error(fault, self.folder) from fault
        for mirror in self._mirrors:
            mirror.log(step, {k: v for k, v in row.items() if k != "step" and v is not None})

    def metrics(self) -> list[dict[str, Any]]:
        """All rows of metrics.jsonl."""
        return read_metrics(self.folder)

    def rewind(self, step: int) -> None:
        """Forget metrics after `step`: a resumed run writes them again."""
        for name in (METRICS, PACE):
            if (self.folder / name).is_file() or name == METRICS:
                self._rewind(name, step)

    def _rewind(self, name: str, step: int) -> None:
        kept = [json.dumps(row) for row in read_metrics(self.folder, name) if row["step"] <= step]
        text = "".join(line + "\n" for line in kept)
        artifact.replace_file(self.folder / name, lambda draft: draft.write_text(text, encoding="utf-8"))

    def _mend(self) -> None:
        """Cut off a last line that a kill left without its end; the next row would be lost with it."""
        for name in (METRICS, PACE):
            path = self.folder / name
            if path.is_file() and not path.read_bytes().endswith(b"\n"):
                self._rewind(name, sys.maxsize)

    def note(self, message: str) -> None:
        """A message to the person and to log.txt."""
        console.print(message, highlight=False, soft_wrap=not console.is_terminal, markup=False)
        stamp = datetime.datetime.now().isoformat(timespec="seconds")
        try:
            with (self.folder / "log.txt").open("a", encoding="utf-8") as handle:
                handle.write(f"{stamp} {message}\n")
        except OSError as fault:
            raise artifact.disk_error(fault, self.folder) from fault


_showing: Progress | None = None


@contextlib.contextmanager
def progress(title: str, total: int | None, done: int = 0, unit: str = "") -> Iterator[Any]:
    """A progress bar with time left. Yields `advance(n=1, note="")`.

    A bar within a bar stands below it, and above it once it has ended. Without a terminal (a log file, CI)
    it prints a line now and then instead of drawing.
    """
    global _showing
    title = title[:1].upper() + title[1:]
    if not console.is_terminal:
        yield from _plain_progress(title, total, done)
        return
    outer = _showing
    bar = outer or Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        _Count(),
        _Left(),
        TextColumn("{task.fields[note]}", markup=False),
        console=console,
        refresh_per_second=4,
    )
    task = bar.add_task(title, total=total, completed=done, note="", unit=unit)

    def advance(n: int = 1, note: str | None = None) -> None:
        bar.advance(task, n)
        if note is not None:
            bar.update(task, note=note)

    with bar if outer is None else contextlib.nullcontext():
        _showing = bar
        try:
            yield advance
            if total is None:  # it was not known how much there was; now it is all of it
                bar.update(task, total=max(1.0, bar.tasks[bar.task_ids.index(task)].completed))
        finally:
            _showing = outer
            if outer is not None:
                console.print(bar.make_tasks_table([bar.tasks[bar.task_ids.index(task)]]))
                bar.remove_task(task)


class _Count(ProgressColumn):
    """`17/20 steps`."""

    def render(self, task: Task) -> Text:
        total = "" if task.total is None else f"/{task.total:.0f}"
        return Text(f"{task.completed:.0f}{total} {task.fields['unit']}".rstrip(), style="progress.download")


class _Left(ProgressColumn):
    """The time left; the time it took once it is done."""

    max_refresh = 0.5  # seconds; the estimate would flicker otherwise

    def render(self, task: Task) -> Text:
        if task.finished:
            return Text(f"in {_clock(task.finished_time or 0.0)}", style="progress.elapsed")
        if task.time_remaining is None:
            return Text(f"{_clock(task.elapsed or 0.0)} so far", style="progress.elapsed")
        return Text(f"{_clock(task.time_remaining)} left", style="progress.remaining")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{rest:02}"
    return f"{minutes}:{rest:02}" if minutes else f"{rest} s"


def _plain_progress(title: str, total: int | None, done: int) -> Iterator[Any]:
    start = last = time.monotonic()
    count, first = done, done

    def advance(n: int = 1, note: str | None = None) -> None:
        nonlocal count, last
        count += n
        now = time.monotonic()
        if now - last >= 10 and count > first:
            last = now
            left = f"/{total}, {(now - start) * (total - count) / (count - first):.0f} s left" if total else ""
            console.print(f"{title}: {count}{left} {note or ''}".rstrip(), highlight=False, markup=False)

    yield advance


def environment() -> dict[str, Any]:
    """What one needs to know to run it again: versions, system, command. No names of machine or user."""
    import importlib.metadata

    packages = ("torch", "numpy", "openvino", "nncf", "onnx", "onnxruntime", "safetensors", "sqlalchemy")
    versions = {}
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return {
        "netwright": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": versions,
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "command": ["netwright", *sys.argv[1:]],
    }


def read_metrics(folder: Path, name: str = METRICS) -> list[dict[str, Any]]:
    """All rows of a run's metrics.jsonl, or pace.jsonl; a last line that a kill cut short is left out."""
    path = folder / name
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        with contextlib.suppress(ValueError):
            rows.append(json.loads(line))
    return rows


def state(folder: Path) -> dict[str, Any]:
    """What run.json says, with `status` as it is now: done, running, or unfinished where a kill ended it.

    Raises UserError where there is no run.json of ours.
    """
    told = artifact.read_json(folder / "run.json")
    texts = ("verb", "key", "status")
    if not isinstance(told, dict) or not all(isinstance(told.get(name), str) for name in texts):
        raise UserError("run", str(folder), "its run.json is not one of ours", "netwright runs list")
    if told["status"] != "done":
        told["status"] = "running" if _locked(folder) else "unfinished"
    return told


def _locked(folder: Path) -> bool:
    try:
        with (folder / ".lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _digest(verb: str, key: Mapping[str, Any]) -> str:
    return recipe.digest({"verb": verb, "version": __version__, **key})


def _pattern(verb: str, digest: str) -> str:
    """What the folder of a run is called, whatever its day."""
    return f"*-{verb}-{digest[:10]}"


def _status(folder: Path) -> str | None:
    if not (folder / "run.json").is_file():
        return None
    status: str | None = artifact.read_json(folder / "run.json").get("status")
    return status
