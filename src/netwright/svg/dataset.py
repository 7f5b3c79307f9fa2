"""The data set of a predictor: images traced with many settings, drawn, compared and counted. Real traces, no formula.

    folder = build(Config(images=4000))         # images.parquet, rows.parquet, provenance.json, images/*.png
    data = load(folder)                         # data.images, data.rows: pandas frames
    train = data.rows[data.rows["image"].isin(splits(data)["train"])]

It is cached under the digest of all that determines it. Each image is done whole by one process of a crew, so that
what crashes costs one image; finished images are kept in parts of PART, and a build that was killed goes on from
there. Images come in random order: the parts of an unfinished build are a fair sample, and `load` reads them.
Knows no predictor.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from netwright.core import artifact, recipe
from netwright.core.error import UserError
from netwright.core.run import console, progress
from netwright.core.table import need
from netwright.data.sources import cache_folder, fetch
from netwright.data.tasks import Split
from netwright.svg import crew, setting
from netwright.svg.collection import Family, Original, families, originals, select
from netwright.svg.foreign import ForeignError
from netwright.svg.measured import Subject
from netwright.svg.picture import EmptyError, make
from netwright.svg.raster import Raster, from_pixels, open_raster
from netwright.svg.render import RenderError
from netwright.svg.setting import DEFAULT, MENU, Outline, Setting
from netwright.svg.tracer import TraceError, Tracer, version

if TYPE_CHECKING:
    import pandas as pd

VERSION = 2
"""Raised when other rows come of the same config."""
PART = 32
"""Images that are written together."""
FIXED = (DEFAULT, MENU["polygon"])
"""Settings that every image is traced with, before those drawn for it."""
MODES: tuple[Outline, ...] = (*("spline",) * 11, *("polygon",) * 7, *("none",) * 2)
"""Shares of the modes among the settings drawn: 55 %, 35 %, 10 %."""
SHARES: Mapping[Split, float] = {"train": 0.76, "validation": 0.08, "test": 0.16}
"""Of the splits, by groups of images."""
MEASURES = (
    "ssim", "ssim_active", "bytes", "tracer_bytes", "paths", "nodes", "curved", "kinks", "corners", "trace_s",
    "compare_s",
)  # fmt: skip
PARAMETERS = ("mode", *setting.RANGES)
Made = tuple[dict[str, Any], list[dict[str, Any]]]
"""An image's line, and the lines of its traces."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What determines a data set. `families` is empty for all."""

    images: int = 4000
    settings: int = 14
    seed: int = 0
    families: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, least, most in (("images", 1, 1_000_000), ("settings", len(FIXED), 4096), ("seed", 0, 2**31)):
            if not least <= getattr(self, name) <= most:
                raise UserError(name, getattr(self, name), f"{least} to {most:,}", "netwright svg data --help")


@dataclass(frozen=True)
class Job:
    """One image to be made and traced."""

    id: str
    original: Original
    settings: int
    seed: int
    file: str


@dataclass(frozen=True, eq=False)
class Data:
    """A data set, or what there is of one yet: one line an image, one line a trace."""

    folder: Path
    images: pd.DataFrame
    rows: pd.DataFrame


def digest(config: Config) -> str:
    """What a data set is cached under: its config, the bytes of its sources, the tracer."""
    seals = {family.name: family.source.sha256 for family in select(config.families)}
    return recipe.digest({"config": asdict(config), "sources": seals, "tracer": version(), "version": VERSION})


def build(config: Config, out: Path | None = None, workers: int = 1) -> Path:
    """Build a data set, or finish one, or find it built; returns its folder.

    A source that no place serves and an image that cannot be made are left out with a message. Raises UserError for
    a folder that holds another data set.
    """
    for package in ("vtracer", "skia", "resvg_py", "cv2"):
        need(package, "building a data set of traces")
    if not 1 <= workers <= 256:
        raise UserError("workers", workers, "1 to 256", "netwright svg data --workers 2")
    key = digest(config)
    folder = out or cache_folder() / "svg" / f"data-{key[:12]}"
    plan = folder / "plan.json"
    if plan.is_file():
        if artifact.read_json(plan).get("digest") != key:
            allowed = "a new folder: this one holds another data set"
            raise UserError("out", str(folder), allowed, "name another folder, or remove this one")
    else:
        if folder.exists() and any(folder.glob("*.parquet")):
            raise UserError("out", str(folder), "a new or empty folder", "name another folder")
        (folder / "images").mkdir(parents=True, exist_ok=True)
        (folder / "parts").mkdir(exist_ok=True)
        artifact.write_json(plan, {"digest": key, "config": asdict(config)})
    if (folder / "provenance.json").is_file():
        return folder
    chosen, lost = _fetched(select(config.families))
    jobs = planned(config, chosen)
    _trace(folder, jobs, workers)
    _finish(folder, config, key, chosen, lost)
    return folder


def _fetched(wanted: Sequence[Family]) -> tuple[dict[str, Path], dict[str, str]]:
    """Folders of the families that could be fetched, and why the others could not."""
    found: dict[str, Path] = {}
    lost: dict[str, str] = {}
    with progress("fetching sources", len(wanted)) as advance:
        for family in wanted:
            try:
                found[family.name] = fetch(family.source)
            except UserError as fault:
                if fault.setting != "data":
                    raise
                lost[family.name] = fault.allowed
                console.print(f"Left out: {family.name}: {fault.allowed}", highlight=False, markup=False)
            advance(1, family.name)
    if not found:
        raise UserError("families", ", ".join(lost), "no source could be fetched", "mend the network, or --families")
    return found, lost


def planned(config: Config, folders: Mapping[str, Path]) -> list[Job]:
    """The images in the random order in which they are made; a family's do not depend on which others there are."""
    wanted = select(config.families)
    whole = sum(family.count for family in wanted)
    jobs = []
    for family in wanted:
        if family.name not in folders:
            continue
        count = max(1, round(config.images * family.count / whole))
        for at, original in enumerate(originals(family, folders[family.name], count, config.seed)):
            id_ = f"{family.name}-{at:04}"
            seed = zlib.crc32(f"{config.seed} {id_}".encode())
            jobs.append(Job(id_, original, config.settings, seed, f"images/{id_}.png"))
    order = np.random.default_rng(config.seed).permutation(len(jobs))
    return [jobs[at] for at in order]


def drawn(count: int, seed: int) -> list[Setting]:
    """The settings of one image."""
    return [*FIXED, *setting.draw(count - len(FIXED), seed=seed, modes=MODES)] if count > len(FIXED) else [*FIXED]


@contextlib.contextmanager
def bench(folder: Path, seconds: float = 60.0) -> Iterator[Callable[[Job], Made]]:
    """What a process of the crew does jobs with: a tracer of its own."""
    with Tracer(seconds) as tracer:
        yield partial(_do, folder, tracer)


def _do(folder: Path, tracer: Tracer, job: Job) -> Made:
    from PIL import Image

    original = job.original
    about: dict[str, Any] = {
        "image": job.id, "family": original.family, "group": original.group, "name": original.name,
        "kind": original.kind, "width": 0, "height": 0, "change": "", "transparent": False, "file": "", "failed": "",
    }  # fmt: skip
    try:
        picture = make(original, np.random.default_rng(job.seed))
        raster = from_pixels(picture.pixels_HWC, job.id)
    except (EmptyError, ForeignError, OSError, UserError, ValueError) as fault:
        return {**about, "failed": f"{fault}"[:200]}, []
    path = folder / job.file
    artifact.replace_file(path, lambda draft: Image.fromarray(raster.pixels_HWC).save(draft, "PNG", compress_level=4))
    width, height = raster.size
    about |= {"width": width, "height": height, "change": picture.change, "transparent": raster.transparent}
    about["file"] = job.file
    subject = Subject(raster)
    rows = []
    for one in drawn(job.settings, job.seed):
        row: dict[str, Any] = {"image": job.id, **one.plain(), **dict.fromkeys(MEASURES), "failed": ""}
        try:
            traced = subject.measure(tracer, one)
            row |= {name: getattr(traced, name) for name in MEASURES}
        except (TraceError, RenderError, ValueError) as fault:
            row["failed"] = str(fault)[:200] or type(fault).__name__
        rows.append(row)
    return about, rows


def _trace(folder: Path, jobs: Sequence[Job], workers: int) -> None:
    done, number = _done(folder)
    left = [job for job in jobs if job.id not in done]
    images: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    missed = 0
    with progress("tracing images", len(jobs), done=len(jobs) - len(left)) as advance:
        for job, answer in crew.each(partial(bench, folder.resolve()), left, workers):
            if isinstance(answer, crew.Failed):
                original = job.original
                about = {"image": job.id, "family": original.family, "group": original.group, "failed": answer.why}
                images.append(about)
            else:
                images.append(answer[0])
                rows += answer[1]
            if images[-1]["failed"]:
                missed += 1
                console.print(f"Left out: {job.id} ({job.original.name}): {images[-1]['failed']}", highlight=False)
            if len(images) >= PART:
                number += 1
                _write_part(folder, number, images, rows)
                images, rows = [], []
            advance()
    if images:
        _write_part(folder, number + 1, images, rows)
    if missed:
        console.print(f"{missed} of {len(left)} images could not be made", highlight=False)


def _parts(folder: Path) -> list[Path]:
    return sorted((folder / "parts").glob("images-*.parquet"))


def _done(folder: Path) -> tuple[set[str], int]:
    import pandas as pd

    done: set[str] = set()
    number = 0
    for path in _parts(folder):
        done |= set(pd.read_parquet(path, columns=["image"])["image"])
        number = max(number, int(path.stem.removeprefix("images-")))
    return done, number


def _write_part(folder: Path, number: int, images: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    """The rows first: an image that is listed has its rows."""
    _write(folder / "parts" / f"rows-{number:05}.parquet", _row_frame(rows))
    _write(folder / "parts" / f"images-{number:05}.parquet", _image_frame(images))


def _write(path: Path, frame: pd.DataFrame) -> None:
    artifact.replace_file(path, lambda draft: frame.to_parquet(draft, index=False))


def _row_frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    frame = pd.DataFrame(rows, columns=["image", *PARAMETERS, *MEASURES, "failed"])
    whole = [name for name in PARAMETERS if name not in ("mode", "length_threshold")]
    kinds: dict[str, Any] = {
        **dict.fromkeys(whole, "int16"), **dict.fromkeys(("length_threshold", *MEASURES), "float64"),
        **dict.fromkeys(("image", "mode", "failed"), "str"),
    }  # fmt: skip
    return frame.astype(kinds)


def _image_frame(images: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    lines = []
    for image in images:
        family = families()[image["family"]]
        blank = {"name": "", "width": 0, "height": 0, "change": "", "transparent": False, "file": ""}
        origin = {"source": family.item, "licence": family.source.licence}
        lines.append({"kind": family.kind, **blank, **image, **origin, "split": split_of(image["group"], family)})
    columns = [
        "image", "family", "group", "name", "source", "licence", "kind", "width", "height", "change", "transparent",
        "split", "file", "failed",
    ]  # fmt: skip
    return pd.DataFrame(lines, columns=columns).astype({"width": "int32", "height": "int32", "transparent": "bool"})


def _finish(folder: Path, config: Config, key: str, folders: Mapping[str, Path], lost: Mapping[str, str]) -> None:
    data = load(folder, whole=True)
    images = data.images.sort_values("image", ignore_index=True)
    rows = data.rows.sort_values("image", kind="stable", ignore_index=True)
    _write(folder / "images.parquet", images[images["failed"] == ""].drop(columns="failed"))
    _write(folder / "rows.parquet", rows)
    counts = images[images["failed"] == ""]["family"].value_counts().to_dict()
    sources = [
        {"family": family.name, "kind": family.kind, "item": family.item, "licence": family.source.licence,
         "title": family.source.title, "sha256": family.source.sha256, "images": int(counts.get(family.name, 0)),
         "test_only": family.test_only}
        for family in select(config.families) if family.name in folders
    ]  # fmt: skip
    about = {
        "digest": key, "config": asdict(config), "tracer": version(), "version": VERSION, "sources": sources,
        "lost_sources": dict(lost), "images": len(images[images["failed"] == ""]), "rows": len(rows),
        "failed_images": dict(zip(*(images[images["failed"] != ""][c] for c in ("image", "failed")), strict=True)),
        "failed_rows": int((rows["failed"] != "").sum()),
    }  # fmt: skip
    artifact.write_json(folder / "provenance.json", about)
    for path in (folder / "parts").glob("*.parquet"):
        path.unlink()


def split_of(group: str, family: Family | None = None) -> str:
    """The split of a group, by its hash: the same for every family and every build, but for families of tests alone."""
    if family is not None and family.test_only:
        return "test"
    place = zlib.crc32(f"split {group}".encode()) / 2**32
    for name, share in SHARES.items():
        place -= share
        if place < 0:
            return name
    return "test"


def load(folder: Path, whole: bool = False) -> Data:
    """A data set, or the parts of one that is not finished yet. `whole` keeps what failed."""
    import pandas as pd

    if (folder / "provenance.json").is_file():
        images = pd.read_parquet(folder / "images.parquet")
        rows = pd.read_parquet(folder / "rows.parquet")
    else:
        parts = _parts(folder)
        if not parts:
            raise UserError("data", str(folder), "holds no data set", f"netwright svg data --out {folder}")
        images = pd.concat([pd.read_parquet(path) for path in parts], ignore_index=True)
        beside = [path.with_name(path.name.replace("images-", "rows-")) for path in parts]
        rows = pd.concat([pd.read_parquet(path) for path in beside], ignore_index=True)
    if not whole:
        images = images[images["failed"] == ""].drop(columns="failed") if "failed" in images else images
        rows = rows[(rows["failed"] == "") & rows["image"].isin(images["image"])]
    return Data(folder, images.reset_index(drop=True), rows.reset_index(drop=True))


def read(data: Data, image: str) -> Raster:
    """The pixels of an image. Raises UserError for one that is not in the data set."""
    found = data.images[data.images["image"] == image]
    if found.empty:
        raise UserError("image", image, "is not in this data set", "read its images.parquet")
    return open_raster(data.folder / str(found.iloc[0]["file"]))


def splits(data: Data) -> dict[str, list[str]]:
    """The images of "train", "validation" and "test": no group stands in two."""
    return {name: data.images.loc[data.images["split"] == name, "image"].tolist() for name in SHARES}


def without_family(data: Data, family: str) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices of rows to fit and to judge when a family is held out whole. Images of other families that share a
    group with it stand in neither."""
    images = data.images.set_index("image")
    held = images["family"] == family
    if not held.any():
        raise UserError("family", family, f"one of {', '.join(sorted(set(images['family'])))}", "netwright svg data")
    shared = images["group"].isin(set(images.loc[held, "group"])) & ~held
    of_rows = data.rows["image"]
    judged = of_rows.map(held).to_numpy(bool)
    apart = [name for name, one in families().items() if one.test_only]
    kept_out = of_rows.map(shared | images["family"].isin(apart)).to_numpy(bool)
    return np.flatnonzero(~judged & ~kept_out), np.flatnonzero(judged)


def by_row(data: Data, share: float = 0.2, seed: int = 0) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices of rows split row by row: images stand on both sides. A leaky control, never a result."""
    order = np.random.default_rng(seed).permutation(len(data.rows))
    cut = round(share * len(order))
    return np.sort(order[cut:]), np.sort(order[:cut])
