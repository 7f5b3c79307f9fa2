"""Many images: which files, where their SVGs go, and what was done, kept so that a second call goes on.

    images, failed = find([Path("icons"), Path("logo.png")])
    for done in trace_all(place(images, Path("out")), Asked(Wish()), predictor):
        ...

What is done of a batch stands in one file of lines, KEPT: an image is passed over where its SVG is there, newer than
the image, unchanged, and made by the same wish. A file that fails is told, and the others go on. An SVG is written
aside and renamed; an image is never written over, nor an SVG that this batch did not make unless it is asked for.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import hashlib
import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from netwright.core import artifact, recipe
from netwright.core.error import UserError
from netwright.svg import tracer as tracing
from netwright.svg.choose import Choice, How, Predictor, Tried, choose
from netwright.svg.raster import open_raster
from netwright.svg.tracer import Tracer
from netwright.svg.wish import Wish, preset_of

KEPT = "netwright-svg.jsonl"
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".ico", ".tga", ".avif"}
"""What is taken from a folder; a file that is named itself is opened whatever its name."""
OVERWRITE = "another --out, or --overwrite"


@dataclass(frozen=True)
class Image:
    """A file, and where it stands below the folder that was named."""

    source: Path
    below: Path


@dataclass(frozen=True)
class Job:
    """An image, and the SVG that is to be made of it."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Failed:
    """An image or folder of which nothing came, and why."""

    image: str
    why: str


@dataclass(frozen=True)
class Done:
    """An image whose SVG is there: all that is kept of it, and whether an earlier call made it."""

    job: Job
    row: Mapping[str, Any]
    earlier: bool = False


@dataclass(frozen=True)
class Asked:
    """What is done with every image of a batch."""

    wish: Wish
    traces: int = 6
    quick: bool = False
    how: How = "auto"
    overwrite: bool = False
    workers: int = 1

    def key(self, predictor: Predictor | None) -> str:
        """What an SVG's making depends on beside the image."""
        about = [asdict(self.wish), self.traces, self.quick, self.how, tracing.version()]
        return recipe.digest([*about, getattr(predictor, "digest", predictor is not None)])[:16]


def find(paths: Sequence[Path]) -> tuple[list[Image], list[Failed]]:
    """The files named, and all images below the folders named, in order; and the folders that cannot be read."""
    images: dict[Path, Image] = {}
    failed: list[Failed] = []

    def unreadable(fault: OSError) -> None:
        failed.append(Failed(str(fault.filename), f"this folder cannot be read ({fault.strerror})"))

    for path in paths:
        if not path.is_dir():
            images.setdefault(_real(path), Image(path, Path(path.name)))
            continue
        count = len(images) + len(failed)
        for folder, inner, names in os.walk(path, onerror=unreadable):
            inner[:] = sorted(name for name in inner if not name.startswith("."))
            for name in sorted(names):
                if Path(name).suffix.lower() in SUFFIXES and not name.startswith("."):
                    one = Path(folder, name)
                    images.setdefault(_real(one), Image(one, one.relative_to(path)))
        if len(images) + len(failed) == count:
            failed.append(Failed(str(path), f"no image is in this folder (of {', '.join(sorted(SUFFIXES))})"))
    return list(images.values()), failed


def place(images: Sequence[Image], out: Path | None) -> list[Job]:
    """Where each SVG goes: beside its image, below the folder `out`, or into the file `out`. Raises UserError."""
    if out is not None and out.suffix.lower() == ".svg" and not out.is_dir():
        if len(images) != 1:
            raise UserError("--out", str(out), f"a folder: {len(images)} images cannot become one file", "--out FOLDER")
        return [Job(images[0].source, out)]
    if out is not None and out.exists() and not out.is_dir():
        raise UserError("--out", str(out), "a folder, or a file that ends in .svg", "--out FOLDER")
    plain = [(one.source.parent / one.source.name if out is None else out / one.below) for one in images]
    counts = Counter(_real(one.with_suffix(".svg")) for one in plain)
    return [
        Job(image.source, one.with_suffix(".svg") if counts[_real(one.with_suffix(".svg"))] == 1
            else one.with_name(one.name + ".svg"))
        for image, one in zip(images, plain, strict=True)
    ]  # fmt: skip


def trace_all(
    jobs: Sequence[Job], asked: Asked, predictor: Predictor | None = None, kept: Path | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> Generator[Done | Failed, None, None]:  # fmt: skip
    """Trace every image; yields each as it is done, in any order. `kept` is the file of what was done, or None."""
    earlier, key = read(kept), asked.key(predictor)
    todo: list[Job] = []
    for job in jobs:
        row = earlier.get(_named(job.target, kept)) if kept is not None else None
        if row is not None and row.get("key") == key and _unchanged(job, row):
            yield Done(job, row, earlier=True)
        elif (why := _refused(job, asked, row, key)) is not None:
            yield Failed(str(job.source), why)
        else:
            todo.append(job)
    if not todo:
        return
    stop = threading.Event()
    own = threading.local()
    tracers: list[Tracer] = []
    writing = threading.Lock()

    def said(what: str) -> None:
        if stop.is_set():
            raise _StoppedError
        note(what)

    def work(job: Job) -> Done | Failed:
        if not hasattr(own, "tracer"):
            own.tracer = Tracer()
            tracers.append(own.tracer)
        try:
            row = _one(job, asked, predictor, own.tracer, said) | {"key": key, "svg": _named(job.target, kept)}
        except UserError as refusal:
            return Failed(str(job.source), told(refusal, job.source))
        except MemoryError:
            return Failed(str(job.source), "does not fit into memory")
        if kept is not None:
            with writing:
                _append(kept, row)
        return Done(job, row)

    with contextlib.ExitStack() as ended:
        ended.callback(_close, tracers)
        if asked.workers == 1 or len(todo) == 1:
            yield from map(work, todo)
            return
        pool = concurrent.futures.ThreadPoolExecutor(min(asked.workers, len(todo)), "svg")
        ended.callback(pool.shutdown, wait=True, cancel_futures=True)
        ended.callback(_close, tracers)  # what is being traced when it is interrupted
        ended.callback(stop.set)
        for future in concurrent.futures.as_completed([pool.submit(work, job) for job in todo]):
            yield future.result()


def told(refusal: UserError, path: Path) -> str:
    """A refusal as a line that already stands beside the file's name."""
    return refusal.allowed if refusal.setting == "image" else str(refusal).removeprefix(f"image = {path}: ")


def _one(
    job: Job, asked: Asked, predictor: Predictor | None, tracer: Tracer, note: Callable[[str], None]
) -> dict[str, Any]:
    raster = open_raster(job.source)
    choice = choose(
        raster, asked.wish, tracer, predictor, asked.traces, quick=asked.quick, how=asked.how, note=note
    )  # fmt: skip
    svg = choice.best.traced.svg
    try:
        job.target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise artifact.disk_error(fault, job.target.parent) from fault
    artifact.replace_file(job.target, lambda draft: draft.write_bytes(svg.encode()))
    about = {"image": str(job.source), "width": raster.size[0], "height": raster.size[1], "notes": list(raster.notes)}
    return {**about, "transparent": raster.transparent, "sha256": _sha(svg.encode()), **row_of(choice, asked.wish)}


def row_of(choice: Choice, wish: Wish) -> dict[str, Any]:
    """A choice as plain values, without its SVG."""
    best, traced = tried_row(choice.best), tried_row(choice.best.made_of or choice.best)
    return {
        "wish": asdict(wish),
        "wished": wish.words(),
        "granted": choice.granted,
        "needed": choice.needed,
        **best,
        "traced": {name: traced[name] for name in ("ssim", "bytes", "paths", "expected")},
        "default": None if choice.default is None else _figures(choice.default),
        "tried": [tried_row(one) for one in choice.tried],
        "predicted": [{"setting": setting.plain(), "expected": asdict(one)} for setting, one in choice.predicted],
        "decisions": choice.decisions,
        "unfamiliar": choice.unfamiliar,
        "guided": choice.guided,
        "seconds": choice.seconds,
        "tracer": tracing.version(),
    }


def tried_row(one: Tried) -> dict[str, Any]:
    """One trace as plain values, without its SVG."""
    return {
        "setting": one.traced.setting.plain(),
        "preset": preset_of(one.traced.setting),
        "why": one.why,
        **_figures(one.traced),
        "expected": None if one.expected is None else asdict(one.expected),
        "verified": one.verified,
    }


def _figures(traced: Any) -> dict[str, Any]:
    names = (
        "ssim", "ssim_active", "bytes", "tracer_bytes", "paths", "nodes", "curved", "kinks", "grid", "trace_s",
        "compare_s",
    )  # fmt: skip
    return {name: getattr(traced, name) for name in names}


def read(kept: Path | None) -> dict[str, dict[str, Any]]:
    """What was done before, the last line of each SVG; a line that a kill cut short is passed over."""
    found: dict[str, dict[str, Any]] = {}
    if kept is None or not kept.is_file():
        return found
    with kept.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            with contextlib.suppress(ValueError):
                row = json.loads(line)
                if isinstance(row, dict) and isinstance(row.get("svg"), str):
                    found[row["svg"]] = row
    return found


def _append(kept: Path, row: Mapping[str, Any]) -> None:
    line = json.dumps(recipe.plain(row), allow_nan=False) + "\n"
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with kept.open("ab") as file:
            if file.tell() and not _ends_a_line(kept):
                file.write(b"\n")
            file.write(line.encode())
    except OSError as fault:
        raise artifact.disk_error(fault, kept) from fault


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"


def _unchanged(job: Job, row: Mapping[str, Any]) -> bool:
    """Whether the SVG is there as it was made, and newer than the image."""
    try:
        return (
            job.target.stat().st_mtime_ns >= job.source.stat().st_mtime_ns
            and _sha(job.target.read_bytes()) == row.get("sha256")
            and row.get("image") == str(job.source)
        )
    except OSError:
        return False


def _refused(job: Job, asked: Asked, row: Mapping[str, Any] | None, key: str) -> str | None:
    """Why an SVG may not be written, if so."""
    if _real(job.target) == _real(job.source):
        return "is the image itself: it is never written over"
    if not job.target.exists() or asked.overwrite:
        return "its SVG's name is that of a folder" if job.target.is_dir() else None
    try:
        ours = row is not None and _sha(job.target.read_bytes()) == row.get("sha256")
    except OSError:
        ours = False
    if ours and row is not None and row.get("key") == key and row.get("image") == str(job.source):
        return None  # the image has changed since
    made = "was made by another wish or of another image" if ours else "is there already"
    return f"{job.target} {made}: {OVERWRITE}"


def _named(target: Path, kept: Path | None) -> str:
    return str(target) if kept is None else os.path.relpath(target, kept.parent)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _close(tracers: Sequence[Tracer]) -> None:
    for one in tracers:
        one.close()


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class _StoppedError(Exception):
    """The batch was ended."""
