"""What becomes of a trained network: files for other runtimes, packages, and a report, as a recipe's [deliver] says.

    [deliver]
    formats = ["onnx", "torchscript", "program"]
    package = true
    report = true

    delivered = deliver(recipe, trained, Path("runs"))

Each export is a run of its own, found again where nothing has changed; packages and the report lie in the folder of a
run `deliver`, which is copied where [run] says. Reports belong to tasks: REPORTS. Trains nothing itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from netwright import export
from netwright.compress import chain
from netwright.core import copies, table
from netwright.core.artifact import Artifact
from netwright.core.error import UserError
from netwright.core.measurement import Measurement
from netwright.core.recipe import Recipe, Section, plain
from netwright.core.run import Run
from netwright.export import package
from netwright.hardware import detect
from netwright.study import stages
from netwright.train import training
from netwright.train.training import Trained

REPORTS = {"svg-quality": "netwright.svg.trained"}
"""Task name -> module with `check(recipe)`, which refuses before any work, and `write(recipe, trained, runs, run)`:

the path of a page in the run's folder, and measurements."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is made of a network once it is trained; nothing, where nothing is named."""

    formats: tuple[Literal["program", "torchscript", "onnx", "openvino", "tensorrt"], ...] = ()
    """program is torch's ExportedProgram (.pt2)."""
    package: bool = False
    """Also an archive of each file that a runtime alone opens: the model, its card, a loader."""
    report: bool = False
    """A page of figures and pictures, of a task that has one."""
    controls: bool = True
    """Of a report: also train what a claim has to beat."""
    whole: str = ""
    """Of a report: methods (`netwright compress --method`) by which the whole network, from raw examples on, is made
    smaller, then timed; empty leaves it out."""


SECTIONS: dict[str, Section] = {
    **training.SECTIONS,
    "run": copies.Config,
    "export": export.Config,
    "deliver": Config,
}
"""What the recipe of a training may hold."""


@dataclass(frozen=True)
class Delivered:
    """What was made: the run's folder, exported artifacts, archives, and the page."""

    folder: Path
    exported: tuple[Artifact, ...]
    packages: tuple[Path, ...]
    report: Path | None


def check(recipe: Recipe) -> None:
    """Refuse, before any work, what cannot be delivered."""
    config: Config = recipe["deliver"]
    for format in config.formats:
        for name in export.PACKAGES[format]:
            table.need(name, f'deliver.formats "{format}"')
    if config.package and not set(config.formats) & set(package.RUNTIMES):
        allowed = f"{' or '.join(package.RUNTIMES)} among deliver.formats"
        raise UserError("deliver.package", True, allowed, 'deliver.formats=["onnx"]')
    if recipe["run"].copy_to:
        copies.opened(recipe["run"].copy_to)
    chain.parse(config.whole or "int8", where="deliver.whole")
    if config.report:
        table.need("matplotlib", "the report")
        name = recipe["task"].name
        if name not in REPORTS:
            allowed = f"false: there are reports of {', '.join(REPORTS)}"
            raise UserError("deliver.report", True, allowed, "deliver.report=false")
        table.resolve(REPORTS, name, "deliver.report").check(recipe)


def deliver(recipe: Recipe, trained: Trained, runs: Path, fresh: bool = False) -> Delivered | None:
    """Make what a recipe asks for of a trained network, or find it made; None where it asks for nothing."""
    config: Config = recipe["deliver"]
    if not (config.formats or config.report):
        return None
    exported = tuple(
        stages.exported(runs, trained.artifact, format, recipe["export"], fresh) for format in config.formats
    )
    key: dict[str, Any] = {"artifact": trained.artifact.digest, "exported": [one.digest for one in exported]}
    key |= {"deliver": plain(config), "task": plain(recipe["task"])}
    key |= {"machine": detect.fingerprint()} if config.report else {}  # a report says how fast it is here
    away = recipe["run"].copy_to
    if away and not fresh:
        Run.restored(runs, "deliver", key, away)
    with Run.start(runs, "deliver", key, fresh) as run:
        result = run.result if run.done and _there(run) else None
        if result is None:
            if away:
                run.copy_to(away)
            packages = [
                package.pack(one, run.folder / f"{one.task['name']}-{one.model['name']}-{one.format}.zip")
                for one in exported
                if config.package and one.format in package.RUNTIMES
            ]
            page: Path | None = None
            measured: list[Measurement] = []
            if config.report:
                writer = table.resolve(REPORTS, recipe["task"].name, "deliver.report")
                page, measured = writer.write(recipe, trained, runs, run)
            result = run.finish({
                "packages": sorted(path.name for path in {*packages, *run.folder.glob("*.zip")}),
                "report": page.name if page else None, "measurements": plain(measured),
            })  # fmt: skip
        packages_there = tuple(run.folder / name for name in result["packages"])
        return Delivered(
            run.folder, exported, packages_there, run.folder / result["report"] if result["report"] else None
        )


def _there(run: Run) -> bool:
    names = [*run.result["packages"], *([run.result["report"]] if run.result["report"] else [])]
    return all((run.folder / name).is_file() for name in names)


def view(delivered: Delivered) -> list[str]:
    """What was made, a line each."""
    lines = [f"Exported: {one.folder} ({one.format})" for one in delivered.exported]
    lines += [f"Package: {path}" for path in delivered.packages]
    return lines + ([f"Report: {delivered.report}"] if delivered.report else [])
