"""The report of a training of svg-quality: how near its estimates are, what they have to beat, how fast the whole is.

    page, measured = write(recipe, trained, Path("runs"), run)     # report.html and report.json in the run's folder

Correlation of estimates with what was measured on images that were held out, of all and of each family; beside it the
controls, each the same training with another [task]: rows split one by one (which leaks), without the image, without
the settings. Then how many epochs it took, and speed and size of ResNet-50 with what was trained after it. Bars are
those of the reference: BARS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from netwright.compress import chain
from netwright.core import artifact, page, plot, stats, table
from netwright.core.artifact import Artifact
from netwright.core.error import UserError
from netwright.core.measurement import Measurement, readable, words
from netwright.core.recipe import Recipe, plain
from netwright.core.run import PACE, Run, environment, read_metrics
from netwright.data.regression import Estimates
from netwright.hardware import detect
from netwright.measure import bench
from netwright.study import stages
from netwright.svg import whole
from netwright.svg.task import SvgQuality, open
from netwright.train import training
from netwright.train.training import Trained

HTML, JSON = "report.html", "report.json"
CONTROLS: Mapping[str, Mapping[str, str]] = {
    "rows split one by one (leaks)": {"split": "row"},
    "image alone": {"use": "image"},
    "parameters alone": {"use": "parameters"},
}
"""What the estimates have to beat, and what flatters them: settings of [task]."""
BARS: Mapping[str, tuple[str, float]] = {
    "correlation": ("at least 0.90", 0.90),
    "epochs": ("below 10", 10),
    "latency": ("below 50 ms", 0.050),
    "size": ("below 100 MB", 100e6),
}
"""Bar -> as it is said, and its number; of the correlation the least, of the others what they stay below."""
CONVERGED = 1.02
"""Times the least validation loss at which a training has converged."""
FEW = 3
"""Images of a family below which no interval is told."""


@dataclass(frozen=True)
class Row:
    """One line of a table: what it is of, how many images and rows, and its figures by quantity."""

    name: str
    images: int
    rows: int
    figures: Mapping[str, Measurement]


def check(recipe: Recipe) -> None:
    """Refuse, before any work, what no report is made of."""
    if recipe["task"].see != "features":
        raise UserError("task.see", recipe["task"].see, "features, for a report", "task.see=features")
    steps = recipe["deliver"].whole
    if steps and chain.parse(steps, where="deliver.whole")[-1].name != "quantize":
        raise UserError("deliver.whole", steps, "methods that end with a file: int8, bf16, ...", "deliver.whole=int8")
    for package in ("openvino", "nncf") if steps else ():
        table.need(package, "deliver.whole")


def write(recipe: Recipe, trained: Trained, runs: Path, run: Run) -> tuple[Path, list[Measurement]]:
    """Measure and write; returns the page and what it says of the whole split."""
    config = recipe["deliver"]
    task = open(recipe["task"])
    seen = evaluated(runs, trained.artifact, task)
    rows = task.rows["test"].numpy()
    families = [str(one) for one in task.table["family"].to_numpy()[rows]]
    tables = {
        "all": [row("all of the test split", seen, np.ones(len(rows), bool))],
        "controls": [control(recipe, runs, name) for name in CONTROLS] if config.controls else [],
        "families": by(seen, families),
        "kinds": [*by(seen, task.table["kind"].to_numpy()[rows]), *by(seen, task.table["mode"].to_numpy()[rows])],
    }
    built = deployed(runs, trained, config.whole) if config.whole else {}
    judged = bars(tables["all"][0], epochs(read_metrics(trained.folder)), built)
    measured = [*tables["all"][0].figures.values(), *built.values()]
    curves = [*read_metrics(trained.folder), *read_metrics(trained.folder, PACE)]
    figures = {
        "estimates": plot.svg_text(plot.estimates(seen.measured_N, seen.predicted_N, families, task.classes[0])),
        "training": plot.svg_text(plot.curves(curves), "training curves"),
    }
    summary = {
        "title": f"{task.name}: {recipe['model'].name}", "target": task.classes[0], "bars": judged,
        "tables": {name: [plain(one) for one in rows] for name, rows in tables.items()},
        "built": plain(built), "whole": config.whole, "training": trained.folder.name,
        "data": about(task), "machine": detect.detect().cpu, "environment": environment(), "recipe": recipe.toml(),
    }  # fmt: skip
    artifact.write_json(run.folder / JSON, summary)
    (run.folder / "plots").mkdir(exist_ok=True)
    for name, svg in figures.items():
        _text(run.folder / "plots" / f"{name}.svg", svg)
    templates = page.templates("netwright.svg")
    templates.filters.update(words=words, readable=readable)
    shown = {name: Markup(svg) for name, svg in figures.items()}
    text = templates.get_template("quality_report.html").render(s=summary, tables=tables, built=built, plots=shown)
    _text(run.folder / HTML, text)
    return run.folder / HTML, measured


def evaluated(runs: Path, of: Artifact, task: SvgQuality) -> Estimates:
    """What an artifact estimates on the test split."""
    seen, _ = stages.evaluated(runs, of, task, detect.usable_threads())
    assert isinstance(seen, Estimates)
    return seen


def control(recipe: Recipe, runs: Path, name: str) -> Row:
    """The same training with another [task]; found again where nothing has changed."""
    other = replace(recipe["task"], **CONTROLS[name])
    sections = {key: value for key, value in recipe.sections.items() if key != "run"}
    trained = training.train(replace(recipe, sections={**sections, "task": other}), runs)
    assert trained is not None  # only a process of a team gets none
    seen = evaluated(runs, trained.artifact, open(other))
    return row(name, seen, np.ones(len(seen.loss_N), bool))


def row(name: str, seen: Estimates, where_N: Any) -> Row:
    """Figures of some of the examples."""
    part = Estimates.of(seen.predicted_N[where_N], seen.measured_N[where_N], seen.group_N[where_N])
    found = {one.quantity: one for one in part.judged()}
    return Row(name, len(np.unique(part.group_N)), len(part.loss_N), found)


def by(seen: Estimates, names: Any) -> list[Row]:
    """A row each name, those of FEW images or more."""
    names_N = np.asarray(names)
    found = [row(str(name), seen, names_N == name) for name in np.unique(names_N)]
    return [one for one in found if one.images >= FEW]


def epochs(rows: list[dict[str, Any]]) -> int:
    """Epochs until the validation loss first was within 2 % of its least; 0 where there were none."""
    losses = [one["validation_loss"] for one in rows if one.get("validation_loss") is not None]
    return next((at for at, loss in enumerate(losses, 1) if loss <= CONVERGED * min(losses)), 0)


def deployed(runs: Path, trained: Trained, steps: str) -> dict[str, Measurement]:
    """Speed on one thread and size of the whole, as trained and made smaller, and how near the latter still is."""
    full = whole.joined(runs, trained.artifact)
    plain_file = stages.exported(runs, full, "openvino", whole.EXPORT)
    small = whole.smaller(runs, full, steps)
    config = bench.Config(batch=(1,), threads=1, memory=False)
    _, measured = stages.benched(runs, [plain_file, small], config)
    found = {}
    made = chain.parse(steps)[-1].to.upper()
    for name, one in (("FP32", plain_file), (made, small)):
        for quantity in ("latency", "size"):
            figure = next(m for m in measured if m.quantity == quantity and m.artifact == one.digest)
            found[f"{name} {quantity}"] = figure
    return found | {f"{made} {one.quantity}": one for one in whole.compared(small, trained.artifact)}


def bars(whole_split: Row, taken: int, built: Mapping[str, Measurement]) -> list[dict[str, Any]]:
    """Each bar, what came, and whether it was cleared."""
    correlation = whole_split.figures["correlation"]
    found: list[tuple[str, str, float]] = [("correlation", str(correlation), correlation.value)]
    found.append(("epochs", f"{taken} to converge", taken))
    small = [(name, one) for name, one in built.items() if not name.startswith("FP32")]
    for quantity in ("latency", "size"):
        found += [
            (quantity, f"{one} ({name.partition(' ')[0]})", one.value)
            for name, one in small
            if one.quantity == quantity
        ]
    return [
        {"what": what, "bar": BARS[what][0], "came": came,
         "cleared": value >= BARS[what][1] if what == "correlation" else 0 < value < BARS[what][1]}
        for what, came, value in found
    ]  # fmt: skip


def about(task: SvgQuality) -> dict[str, Any]:
    """How much data there was: images and rows a split, and families."""
    table = task.table
    splits = {
        str(name): {"images": int(part["image"].nunique()), "rows": len(part)} for name, part in table.groupby("split")
    }
    spread = stats.bootstrap(table[task.config.target], np.std, resamples=50).value
    return {"splits": splits, "families": sorted(set(table["family"])), "spread": spread}


def _text(path: Path, text: str) -> None:
    artifact.replace_file(path, lambda draft: draft.write_text(text, encoding="utf-8"))
