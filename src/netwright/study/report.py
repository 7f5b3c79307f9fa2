"""The report of a study: one HTML page that opens offline, the same as Markdown, and all of it as JSON.

`summarize` says everything in plain data; the page, the text and the terminal only lay it out. Knows no
stage: what it shows was measured or predicted before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from netwright.core import artifact, page, plot
from netwright.core.measurement import Measurement, readable, span, words
from netwright.core.recipe import Recipe, plain
from netwright.core.run import environment, read_metrics
from netwright.export import verify
from netwright.hardware import detect
from netwright.study import verdict
from netwright.study.pareto import SAME, Candidate, front, undecided, works
from netwright.study.trials import Decision
from netwright.train.multilevel import view
from netwright.train.training import Trained

HTML, MARKDOWN, JSON = "report.html", "report.md", "report.json"
LEVELS = {
    "work": "Work against loss",
    "hierarchy": "Levels, and which units merged",
    "feature_maps": "Feature maps",
    "attention": "Attention",
}
"""Pictures that a multilevel training leaves, and what they are called."""
COLUMNS = (
    "accuracy", "accuracy_change", "latency", "latency_p99", "throughput", "peak_memory", "size", "energy", "cost",
)  # fmt: skip
"""Figures of the table of candidates, in their order; one that nobody measured is left out."""


def summarize(
    recipe: Recipe,
    trained: Trained,
    candidates: Sequence[Candidate],
    predictions: Sequence[Mapping[str, Any]],
    decisions: Sequence[Decision],
    folder: Path,
) -> dict[str, Any]:
    """Everything in the report, as it stands in report.json."""
    config = recipe["study"]
    best = front(candidates, config.objectives)
    chosen = verdict.choose(best, config.max_drop)
    machine = detect.detect()
    return {
        "title": f"{trained.artifact.task['name']}: {trained.artifact.model['name']}",
        "verdict": verdict.sentences(candidates, best, config.max_drop),
        "choice": chosen.label if chosen else None,
        "objectives": list(config.objectives),
        "max_drop": config.max_drop,
        "candidates": [_row(candidate, candidate in best, config.max_drop) for candidate in candidates],
        "front": [candidate.label for candidate in best],
        "decisions": [plain(one) for one in decisions],
        "strategy": config.strategy,
        "same": SAME,
        "undecided": [plain(pair) for pair in undecided(candidates, config.objectives)],
        "predictions": [plain(row) for row in predictions],
        "training": {
            "run": trained.folder.name,
            "measurements": plain(trained.measurements),
            "plan": plain(trained.plan),
            "levels": _levels(trained),
        },
        "machine": {"name": machine.cpu, "cores": machine.threads, "isa": list(machine.isa)},
        "conditions": _conditions(candidates),
        "recipe": recipe.toml(),
        "environment": environment(),
        "command": f"netwright study {recipe.path}",
        "folder": folder.name,
    }


def write(
    summary: Mapping[str, Any],
    candidates: Sequence[Candidate],
    predictions: Sequence[Mapping[str, Any]],
    trained: Trained,
    folder: Path,
) -> None:
    """Write report.html, report.md and report.json, and the plots as files of their own."""
    figures = _figures(summary, candidates, predictions, trained)
    (folder / "plots").mkdir(exist_ok=True)
    for name, svg in figures.items():
        _text(folder / "plots" / f"{name}.svg", svg)
    artifact.write_json(folder / JSON, summary)
    templates = page.templates("netwright.study")
    templates.filters.update(
        title=title, value=value, interval=interval, share=share, cell=cell, called=called, readable=readable
    )
    known = [c for c in COLUMNS if any(c in row["figures"] for row in summary["candidates"])]
    about = {"s": summary, "columns": known, "devices": by_device(summary["predictions"])}
    about["levels"] = {name: heading for name, heading in LEVELS.items() if name in figures}
    plots = {name: Markup(svg) for name, svg in figures.items()}
    _text(folder / HTML, templates.get_template("report.html").render(**about, plots=plots))
    _text(folder / MARKDOWN, templates.get_template("report.md").render(**about))


def _figures(
    summary: Mapping[str, Any],
    candidates: Sequence[Candidate],
    predictions: Sequence[Mapping[str, Any]],
    trained: Trained,
) -> dict[str, str]:
    points = [plot.Point(label=c.label, figures=c.figures, on_front=c.label in summary["front"]) for c in candidates]
    other = next((name for name in summary["objectives"] if name != "accuracy"), "latency")
    figures = {"front": plot.svg_text(plot.front(points, other, "accuracy"), f"accuracy against {other}")}
    nearest = _soonest(predictions)
    if nearest:
        here = {f"here: {c.label}": c.figures["latency"] for c in candidates if c.label in summary["front"]}
        figures["devices"] = plot.svg_text(plot.bars({**here, **nearest}), "latency here, and predicted elsewhere")
        everywhere = plot.front([*(p for p in points if p.on_front), *_elsewhere(candidates, predictions)],
                                "latency", "accuracy")  # fmt: skip
        figures["everywhere"] = plot.svg_text(everywhere, "accuracy against latency, here and predicted elsewhere")
    rows = read_metrics(trained.folder)
    if rows:
        figures["training"] = plot.svg_text(plot.curves(rows), "training curves")
    figures |= {name: path.read_text(encoding="utf-8") for name in LEVELS if (path := _plot(trained, name)).is_file()}
    if (trained.folder / "plan.json").is_file():  # not of a network that came from elsewhere
        planned = [Measurement(**row) for row in artifact.read_json(trained.folder / "plan.json")]
        figures["plan"] = plot.svg_text(plot.plan(planned, trained.measurements), "plan against actual")
    return figures


def _levels(trained: Trained) -> str:
    """What the levels of a multilevel training did, in a sentence; empty for any other."""
    return view.told(read_metrics(trained.folder), trained.artifact.made_by)


def _plot(trained: Trained, name: str) -> Path:
    return trained.folder / "plots" / f"{name}.svg"


def _soonest(predictions: Sequence[Mapping[str, Any]]) -> dict[str, Measurement]:
    """Of each device the precision that answers soonest, at the smallest batch: more would not be read."""
    found: dict[str, Measurement] = {}
    names: dict[str, str] = {}
    smallest = min((row["batch"] for row in predictions), default=1)
    for row in predictions:
        device = row["device"]
        for one in row["measurements"] if row["batch"] == smallest else ():
            if one.quantity == "latency" and (device not in found or one.value < found[device].value):
                found[device], names[device] = one, f"{device} {called(row['precision'])}"
    return {names[device]: one for device, one in found.items()}


def _elsewhere(candidates: Sequence[Candidate], predictions: Sequence[Mapping[str, Any]]) -> list[plot.Point]:
    """What answers soonest on each device, at its accuracy here: the file is the same, the time is predicted."""
    named, smallest = dict(works(candidates)), min((row["batch"] for row in predictions), default=1)
    best: dict[str, tuple[Measurement, Candidate]] = {}
    for row in predictions:
        for one in row["measurements"] if row["batch"] == smallest and row["precision"] in named else ():
            if one.quantity == "latency" and (row["device"] not in best or one.value < best[row["device"]][0].value):
                best[row["device"]] = one, named[row["precision"]]
    return [
        plot.Point(label=f"{device}, {name.artifact.precision.upper()}",
                   figures={"latency": latency, "accuracy": name.figures["accuracy"]})
        for device, (latency, name) in best.items()
    ]  # fmt: skip


def by_device(predictions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Predictions as a table: latency at the smallest batch and throughput at the largest, by precision.

    `heads` are (quantity, batch, precision); `rows` hold a device and, for each head, a measurement, a
    refusal in words, or None.
    """
    batches = sorted({row["batch"] for row in predictions})
    precisions = list(dict.fromkeys(row["precision"] for row in predictions))
    ends = (("latency", batches[0]), ("throughput", batches[-1])) if batches else ()
    heads = [(quantity, batch, precision) for quantity, batch in ends for precision in precisions]
    cells: dict[tuple[str, str, int, str], Any] = {}
    for row in predictions:
        for quantity, _ in ends:
            found = next((one for one in row["measurements"] if one["quantity"] == quantity), row["refused"])
            cells[row["device"], quantity, row["batch"], row["precision"]] = found
    devices = dict.fromkeys(row["device"] for row in predictions)
    return {"heads": heads, "rows": [(device, [cells.get((device, *head)) for head in heads]) for device in devices]}


def _row(candidate: Candidate, on_front: bool, max_drop: float) -> dict[str, Any]:
    certificate = verify.read(candidate.artifact)
    about = candidate.figures["latency"].conditions
    return {
        "label": candidate.label,
        "chain": candidate.chain,
        "artifact": candidate.artifact.digest,
        "folder": f"{candidate.artifact.folder.parent.name}/{candidate.artifact.folder.name}",
        "made_by": candidate.artifact.made_by.get("verb"),
        "parents": list(candidate.artifact.parents),
        "precision": candidate.artifact.precision,
        "executed": about["executed"],
        "settled": about.get("settled", True),
        "figures": {name: plain(one) for name, one in candidate.figures.items()},
        "on_front": on_front,
        "within_limit": verdict.within(candidate.figures["accuracy_change"], max_drop),
        "certificate": plain(certificate) if certificate else None,
    }


def _conditions(candidates: Sequence[Candidate]) -> dict[str, Any]:
    seen = candidates[0].figures["latency"].conditions
    largest = candidates[0].figures["throughput"].conditions if "throughput" in candidates[0].figures else seen
    load = {name: seen.get(name) for name in ("load_before", "load_after")}
    return {"threads": seen.get("threads"), "batch": seen.get("batch"), "largest_batch": largest.get("batch"), **load}


def title(quantity: str) -> str:
    """What a column is called."""
    names = {"latency": "latency p50", "latency_p99": "latency p99", "accuracy_change": "change"}
    return names.get(quantity) or words(quantity)


def value(one: Mapping[str, Any]) -> str:
    """A figure with its unit; a change of accuracy in points."""
    if one["quantity"] == "accuracy_change":
        return f"{100 * one['value']:+.2f} pt"
    return readable(one["value"], one["unit"])


def interval(one: Mapping[str, Any]) -> str:
    """An interval with its unit said once: 37.7–39.7 µs."""
    if one["low"] == one["high"]:
        return "the reference" if one["quantity"] == "accuracy_change" else "exact"
    if one["quantity"] == "accuracy_change":
        return f"{100 * one['low']:+.2f} to {100 * one['high']:+.2f}"
    return span(one["low"], one["high"], one["unit"])


def share(fraction: float) -> str:
    """A fraction in percent."""
    return readable(fraction, "fraction")


def called(work: str) -> str:
    """A precision in capitals; a chain as it is written."""
    return work if " " in work else work.upper()


def cell(text: Any) -> str:
    """Text as it may stand in a Markdown table: no bar, line break or tag of it takes effect."""
    return " ".join(str(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").split())


def _text(path: Path, text: str) -> None:
    artifact.replace_file(path, lambda draft: draft.write_text(text, encoding="utf-8"))
