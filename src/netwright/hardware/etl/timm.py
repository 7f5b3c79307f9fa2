"""timm's benchmark results (Apache-2.0): throughput of vision models by device, one CSV file a device and mode.

The device, the precision, the memory layout and the compiler stand in the file's name, such as
benchmark-infer-amp-nchw-pt240-cu124-rtx3090-dynamo.csv; a file named otherwise is left out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from netwright.core.error import UserError
from netwright.hardware.etl import read
from netwright.hardware.etl.row import Result, Row
from netwright.hardware.etl.write import SourceRow

if TYPE_CHECKING:
    from netwright.hardware.etl import Importer

FILE = re.compile(
    r"benchmark-(?P<work>infer|train)-(?P<precision>[a-z0-9_]+)-(?P<layout>nchw|nhwc)-(?P<torch>pt\d+)-"
    r"(?P<runtime>cu\d+|cpu)-(?P<device>\w+?)(?P<compiler>-dynamo)?\.csv"
)
DTYPES = {"fp32": "fp32", "amp": "fp16", "bf16": "bf16", "amp_bf16": "bf16"}
"""What a file's precision computes in: `amp` alone is with fp16."""


def rows(folder: Path, key: str, importer: Importer) -> tuple[SourceRow, Iterator[Row | tuple[str, str]]]:
    """The results of all files of a folder, or of one file. Raises UserError where there is none."""
    paths = sorted(folder.glob("benchmark-*.csv")) if folder.is_dir() else [folder]
    contents = {path: read.content(path) for path in paths if FILE.fullmatch(path.name)}
    if not contents:
        raise UserError("path", str(folder), "a folder of files named benchmark-infer-amp-nchw-...csv", "ls")
    digest = hashlib.sha256()
    for path, data in contents.items():
        digest.update(path.name.encode() + hashlib.sha256(data).digest())
    about = SourceRow(
        key, importer.title, importer.address, importer.licence, importer.date, digest.hexdigest(), importer.priority
    )
    return about, _rows(paths, contents)


def _rows(paths: list[Path], contents: dict[Path, bytes]) -> Iterator[Row | tuple[str, str]]:
    for path in paths:
        told = FILE.fullmatch(path.name)
        if told is None:
            yield path.name, "its name does not say what was run on which device"
            continue
        about = {name: told[name] for name in ("work", "precision", "layout", "torch", "runtime")}
        about["compiler"] = "dynamo" if told["compiler"] else ""
        if about["precision"] not in DTYPES:
            yield path.name, f"the precision {about['precision']!r} is not known"
            continue
        columns = ("model", *(f"{told['work']}_{name}" for name in ("samples_per_sec", "batch_size", "img_size")))
        for line, cells in read.table(contents[path], columns, path.name):
            at = f"{path.name} {line}"
            yield (at, cells) if isinstance(cells, str) else _row(at, cells, columns, told["device"], about)


def _row(
    at: str, cells: read.Cells, columns: tuple[str, ...], device: str, about: dict[str, str]
) -> Row | tuple[str, str]:
    model, speed, batch, size = (
        read.number(cells[column]) if column != "model" else cells[column] for column in columns
    )
    if not model or not isinstance(speed, float) or not isinstance(batch, float) or not isinstance(size, float):
        return at, "it lacks the model, its speed, batch or image size"
    if not (1 <= batch <= 1e6 and 1 <= size <= 1e5):
        return at, f"batch {batch:g}, image size {size:g}"
    work = "" if about["work"] == "infer" else ", training step"
    result = Result(
        row=at, workload=f"timm/{model} at {size:g}{work}", quantity="throughput", value=speed, unit="items/s",
        dtype=DTYPES[about["precision"]], batch=int(batch), conditions=about,
    )  # fmt: skip
    category = "CPU" if about["runtime"] == "cpu" else "GPU"
    return Row(at, device, {}, "NVIDIA" if about["runtime"].startswith("cu") else "", category, (), (result,))
