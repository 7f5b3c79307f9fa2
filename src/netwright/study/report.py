"""The report of a study: one HTML page that opens offline, the same as Markdown, and all of it as JSON.

`summarize` says everything in plain data; the page, the text and the terminal only lay it out. Knows no
stage: what it shows was measured or predicted before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from netwright.core import artifact, plot
from netwright.core.measurement import QUANTITIES, Measurement, readable
from netwright.core.recipe import Recipe, plain
from netwright.core.run import environment
from netwright.export import verify
from netwright.hardware import detect
from netwright.study.pareto import Candidate, front, undecided
from netwright.train.training import Trained

HTML, MARKDOWN, JSON = "report.html", "report.md", "report.json"
COLUMNS = ("accuracy", "accuracy_change", "latency", "latency_p99", "throughput", "peak_memory", "size", "energy")
"""Figures of the table of candidates, in their order; one that nobody measured is left out."""


def summarize(
    recipe: Recipe,
    trained: Trained,
    candidates: Sequence[Candidate],
    predictions: Sequence[Mapping[str, Any]],
    folder: Path,
) -> dict[str, Any]:
    """Everything in the report, as it stands in report.json."""
    config = recipe["study"]
    best = front(candidates, config.objectives)
    rows = [_row(candidate, candidate in best, config.max_drop) for candidate in candidates]
    machine = detect.detect()
    return {
        "title": f"{recipe['task'].name}: {recipe['model'].name}",
        "verdict": _verdict(rows, candidates, config),
        "objectives": list(config.objectives),
        "max_drop": config.max_drop,
        "candidates": rows,
        "front": [candidate.label for candidate in best],
        "undecided": [plain(pair) for pair in undecided(candidates, config.objectives)],
        "predictions": [plain(row) for row in predictions],
        "training": {
            "run": trained.folder.name,
            "measurements": plain(trained.measurements),
            "plan": plain(trained.plan),
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
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("netwright.study"),
        autoescape=jinja2.select_autoescape(["html", "j2"], default=True),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(title=title, value=value, interval=interval, share=lambda x: f"{100 * x:.2f} %")
    templates.globals.update(quantities=QUANTITIES, columns=[c for c in COLUMNS if _known(c, summary["candidates"])])
    page = templates.get_template("report.html").render(s=summary, plots={k: Markup(v) for k, v in figures.items()})
    _text(folder / HTML, page)
    templates.autoescape = False
    _text(folder / MARKDOWN, templates.get_template("report.md").render(s=summary))


def _figures(
    summary: Mapping[str, Any],
    candidates: Sequence[Candidate],
    predictions: Sequence[Mapping[str, Any]],
    trained: Trained,
) -> dict[str, str]:
    points = [plot.Point(label=c.label, figures=c.figures, on_front=c.label in summary["front"]) for c in candidates]
    other = next((name for name in summary["objectives"] if name != "accuracy"), "latency")
    figures = {"front": plot.svg_text(plot.front(points, other, "accuracy"), f"accuracy against {other}")}
    found = {
        f"{row['device']} {row['precision'].upper()}": next(m for m in row["measurements"] if m.quantity == "latency")
        for row in predictions
        if row["measurements"] and row["batch"] == predictions[0]["batch"]
    }
    if found:
        here = {f"here: {c.label}": c.figures["latency"] for c in candidates if c.label in summary["front"]}
        figures["devices"] = plot.svg_text(plot.bars({**here, **found}), "latency here, and predicted elsewhere")
    rows = _metrics(trained.folder)
    if rows:
        figures["training"] = plot.svg_text(plot.curves(rows), "training curves")
    planned = [Measurement(**row) for row in artifact.read_json(trained.folder / "plan.json")]
    figures["plan"] = plot.svg_text(plot.plan(planned, trained.measurements), "plan against actual")
    return figures


def _row(candidate: Candidate, on_front: bool, max_drop: float) -> dict[str, Any]:
    certificate = verify.read(candidate.artifact)
    change = candidate.figures["accuracy_change"]
    return {
        "label": candidate.label,
        "artifact": candidate.artifact.digest,
        "folder": f"{candidate.artifact.folder.parent.name}/{candidate.artifact.folder.name}",
        "made_by": candidate.artifact.made_by.get("verb"),
        "parents": list(candidate.artifact.parents),
        "precision": candidate.artifact.precision,
        "executed": candidate.figures["latency"].conditions["executed"],
        "figures": {name: plain(one) for name, one in candidate.figures.items()},
        "on_front": on_front,
        "within_limit": True if change.low >= -max_drop else False if change.high < -max_drop else None,
        "certificate": plain(certificate) if certificate else None,
    }


def _verdict(rows: Sequence[Mapping[str, Any]], candidates: Sequence[Candidate], config: Any) -> list[str]:
    """What the measurements allow to say, in sentences."""
    kept = [c for c, row in zip(candidates, rows, strict=True) if row["on_front"] and row["within_limit"]]
    limit = f"{100 * config.max_drop:g} points"
    said = []
    if not kept:
        said.append(f"No candidate on the front is shown to lose at most {limit} of accuracy.")
    else:
        fastest = min(kept, key=lambda c: c.figures["latency"].value)
        ties = {
            x
            for pair in undecided(kept, ["latency"])
            for x in (pair.first, pair.second)
            if fastest.label in (pair.first, pair.second)
        }
        tied = sorted(ties - {fastest.label})
        text = (
            f"{fastest.label} answers in {fastest.figures['latency']} and is shown to lose at most {limit} of accuracy"
        )
        said.append(text + (f"; its latency cannot be told from that of {', '.join(tied)}." if tied else "."))
        reference = candidates[0]
        if fastest is not reference:
            from netwright.measure.bench import compare

            ratio = compare(reference.figures["latency"], fastest.figures["latency"])
            size = reference.figures["size"].value / fastest.figures["size"].value
            change = fastest.figures["accuracy_change"]
            said.append(
                f"Against {reference.label} it is {ratio.value:.1f}x as fast [{ratio.low:.1f}, {ratio.high:.1f}] and "
                f"{size:.1f}x as small; accuracy changes by {100 * change.value:+.2f} points "
                f"[{100 * change.low:+.2f}, {100 * change.high:+.2f}]."
            )
    unknown = [row["label"] for row in rows if row["within_limit"] is None]
    if unknown:
        said.append(f"Whether {', '.join(unknown)} stays within {limit} cannot be said from this test set.")
    return said


def _conditions(candidates: Sequence[Candidate]) -> dict[str, Any]:
    seen = candidates[0].figures["latency"].conditions
    load = [c.figures["latency"].conditions.get("load", {}) for c in candidates]
    return {"threads": seen.get("threads"), "batch": seen.get("batch"), "load": load[0] if load else None}


def _metrics(folder: Path) -> list[dict[str, Any]]:
    import json

    path = folder / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def _known(quantity: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    return any(quantity in row["figures"] for row in rows)


def title(quantity: str) -> str:
    """What a column is called."""
    names = {"latency": "latency p50", "latency_p99": "latency p99", "accuracy_change": "change of accuracy"}
    return names.get(quantity, quantity.replace("_", " "))


def value(one: Mapping[str, Any]) -> str:
    """A figure with its unit; a change of accuracy in points."""
    if one["quantity"] == "accuracy_change":
        return f"{100 * one['value']:+.2f} pt"
    return readable(one["value"], one["unit"])


def interval(one: Mapping[str, Any]) -> str:
    """An interval with its unit said once: 37.7–39.7 µs."""
    if one["low"] == one["high"]:
        return "exact"
    if one["quantity"] == "accuracy_change":
        return f"{100 * one['low']:+.2f} to {100 * one['high']:+.2f}"
    (low, unit), (high, same) = (readable(one[end], one["unit"]).rsplit(" ", 1) for end in ("low", "high"))
    return f"{low}–{high} {unit}" if unit == same else f"{low} {unit} to {high} {same}"


def _text(path: Path, text: str) -> None:
    artifact.replace_file(path, lambda draft: draft.write_text(text, encoding="utf-8"))
