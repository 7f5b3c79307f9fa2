"""netwright runs: what was run, read from the folders: all of it, one in full, two against each other."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netwright.cli import Answer
from netwright.core import artifact
from netwright.core.artifact import Artifact
from netwright.core.error import UserError, did_you_mean
from netwright.core.measurement import Measurement, better, in_result, readable, span, words
from netwright.core.recipe import plain
from netwright.core.run import read_metrics, state

HELP = "list runs, show one with its measurements and lineage, compare two, draw losses, or quality over time"
EXAMPLE = "netwright runs compare 20261120-train-3fa9 20261121-train-81c0"
ACTIONS = {"list": (0, 0), "show": (1, 1), "compare": (2, 2), "path": (1, 1), "curves": (1, 8), "trend": (0, 1)}
"""Action -> how many runs it takes, at least and at most; `trend` takes words of what was measured."""
SCHEDULE = "train.multilevel.schedule"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action", metavar="ACTION", help="list, show RUN, compare RUN RUN, path RUN, curves RUN ..., trend [WHAT]"
    )
    parser.add_argument(
        "words",
        nargs="*",
        default=[],
        metavar="RUN",
        help="a run's name or any part of it; runs=FOLDER says where runs are (default: runs)",
    )
    parser.add_argument("--only", metavar="VERB", help="list only runs of this verb")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="where a picture goes (default: curves.svg; of a trend: none)"
    )


def main(args: argparse.Namespace) -> Answer:
    if args.action not in ACTIONS:
        raise UserError("action", args.action, did_you_mean(args.action, ACTIONS), "netwright runs list")
    least, most = ACTIONS[args.action]
    if not least <= len(args.overrides) <= most:
        allowed = f"{least if least == most else f'{least} to {most}'} run{'s' * (most != 1)} for {args.action}"
        raise UserError("RUN", " ".join(args.overrides), allowed, "netwright runs list")
    output = args.output or (Path("curves.svg") if args.action == "curves" else None)
    if args.dry_run and output:
        return Answer({"action": args.action, "output": str(output)}, f"Would write {output}.")
    if args.dry_run:
        steps = {"action": args.action, "runs": str(args.runs), "changes": "nothing"}
        return Answer(steps, f"Would read the folders in {args.runs}. This verb changes nothing.")
    if output and (output.suffix != ".svg" or output.is_dir()):
        raise UserError("--output", str(output), "a file NAME.svg", "--output curves.svg")
    if args.runs.exists() and not args.runs.is_dir():
        raise UserError("runs", str(args.runs), "a folder", f"netwright runs {args.action} runs=FOLDER")
    if args.action == "list":
        return _list(args.runs, args.only)
    if args.action == "trend":
        return _trend(args.runs, "".join(args.overrides), output)
    found = [_find(args.runs, name) for name in args.overrides]
    if args.action == "path":
        return Answer({"path": str(found[0])}, str(found[0]))
    opened = [_open(folder) for folder in found]
    if args.action == "curves":
        return _curves(opened, output or Path("curves.svg"))
    return _show(opened[0], args.runs) if args.action == "show" else _compare(*opened)


@dataclass(frozen=True)
class Told:
    """What a run's folder says."""

    folder: Path
    verb: str
    status: str
    settings: Mapping[str, Any]
    measurements: tuple[Measurement, ...]
    artifacts: Mapping[str, Artifact]


def _folders(runs: Path) -> list[Path]:
    return sorted(path.parent for path in runs.glob("*/run.json")) if runs.is_dir() else []


def _find(runs: Path, name: str) -> Path:
    """The run whose folder this is, or whose name has this part."""
    if (Path(name) / "run.json").is_file():
        return Path(name)
    folders = _folders(runs)
    found = [f for f in folders if f.name == name] or [f for f in folders if name in f.name]
    if len(found) > 1:
        raise UserError("RUN", name, "one of " + ", ".join(f.name for f in found), "give more of its name")
    if not found:
        raise UserError("RUN", name, did_you_mean(name, [f.name for f in folders]), f"netwright runs list runs={runs}")
    return found[0]


def _open(folder: Path) -> Told:
    told = state(folder)
    artifacts = {m.parent.relative_to(folder).as_posix(): artifact.read(m.parent) for m in artifact.manifests(folder)}
    of = told.get("of")
    settings = dict(_flat(of)) if isinstance(of, dict) else {}
    return Told(folder, told["verb"], told["status"], settings, tuple(in_result(told.get("result"))), artifacts)


def _list(runs: Path, only: str | None) -> Answer:
    rows, unreadable = [], []
    for folder in _folders(runs):
        try:
            rows.append(_open(folder))
        except UserError as refusal:
            unreadable.append({"run": folder.name, "why": str(refusal)})
    if only is not None:
        if rows and only not in {told.verb for told in rows}:
            raise UserError("--only", only, did_you_mean(only, {told.verb for told in rows}), "netwright runs list")
        rows = [told for told in rows if told.verb == only]
    data = {
        "runs": [{"run": t.folder.name, "verb": t.verb, "status": t.status, "figures": _best(t)} for t in rows],
        "unreadable": unreadable,
    }
    if not rows and not unreadable:
        return Answer(data, f"No runs in {runs}. Begin with: netwright study recipes/quickstart.toml")
    table = _table("run", "status", "measured")
    for told in rows:
        table.add_row(told.folder.name, told.status, "\n".join(f"{m.quantity} {m}" for m in _best(told)))
    for one in unreadable:
        table.add_row(one["run"], "unreadable", one["why"])
    return Answer(data, table)


def _best(told: Told) -> list[Measurement]:
    """The first accuracy, or else correlation or loss, and the first latency that were measured."""
    measured = [m for m in told.measurements if m.source == "measured"]
    named = ("accuracy", "correlation", "loss")
    quality = next(filter(None, ([m for m in measured if m.quantity == name] for name in named)), [])
    return quality[:1] + [m for m in measured if m.quantity == "latency"][:1]


def _show(told: Told, runs: Path) -> Answer:
    from rich.console import Group

    known = {one.digest: (folder, one) for folder, one in _every_artifact(runs)}
    names = {one.digest: one.name for _, one in known.values()}
    lineage: list[dict[str, Any]] = [
        {"artifact": one.digest, "name": one.name, "path": path, "ancestors": list(_ancestors(one, known))}
        for path, one in told.artifacts.items()
    ]
    data = {
        "run": told.folder.name, "path": str(told.folder), "verb": told.verb, "status": told.status,
        "settings": told.settings, "measurements": told.measurements, "artifacts": lineage,
    }  # fmt: skip
    measured = _table("quantity", "value", "interval", "n", "source", "of")
    for m in told.measurements:
        of = names.get(m.artifact or "", m.artifact or "")
        interval = span(m.low, m.high, m.unit) if m.low < m.high else "exact"
        place = " on ".join(filter(None, (of, m.device)))
        measured.add_row(words(m.quantity), readable(m.value, m.unit), interval, str(m.n), m.source, place)
    made = _table("artifact", "made from")
    for one in lineage:
        ancestors = [f"{a['name']}{' in ' + a['run'] if a['run'] else ''}" for a in one["ancestors"]]
        made.add_row(f"{one['name']}\n{one['path']}", "\n".join(ancestors) or "data")
    head = f"{told.folder.name}: {told.verb}, {told.status}\n{told.folder}\n"
    parts = [head, *([measured] if told.measurements else ["Nothing measured yet."]), *([made] if lineage else [])]
    return Answer(data, Group(*parts))


def _every_artifact(runs: Path) -> Iterator[tuple[Path, Artifact]]:
    for folder in _folders(runs):
        for manifest in artifact.manifests(folder):
            try:
                yield folder, artifact.read(manifest.parent)
            except UserError:
                continue  # `runs list` names it


def _ancestors(one: Artifact, known: Mapping[str, tuple[Path, Artifact]]) -> Iterator[dict[str, str | None]]:
    """Parents before their parents; one that is in no run here is named by its digest. A cycle ends."""
    waiting, seen = list(one.parents), {one.digest}
    while waiting:
        digest = waiting.pop(0)
        if digest in seen:
            continue
        seen.add(digest)
        folder, parent = known.get(digest, (None, None))
        yield {
            "artifact": digest,
            "name": parent.name if parent else f"{digest[:8]}, not in these runs",
            "run": folder.name if folder else None,
        }
        waiting += parent.parents if parent else ()


def _compare(one: Told, two: Told) -> Answer:
    from rich.console import Group

    first, second = _by_what(one), _by_what(two)
    rows = [
        {"what": what, "first": first[what], "second": second[what], "second_is": _verdict(first[what], second[what])}
        for what in first
        if what in second
    ]
    keys = sorted({*one.settings, *two.settings})
    differ = {
        key: [one.settings.get(key), two.settings.get(key)]
        for key in keys
        if one.settings.get(key) != two.settings.get(key)
    }
    data = {"first": one.folder.name, "second": two.folder.name, "settings": differ, "measurements": rows}
    settings = _table("setting", "first", "second")
    for key, (a, b) in differ.items():
        settings.add_row(key, _short(a), _short(b))
    figures = _table("measured", "first", "second", "the second is")
    for row in rows:
        figures.add_row(words(str(row["what"])), str(row["first"]), str(row["second"]), row["second_is"])
    head = f"first   {one.folder.name}\nsecond  {two.folder.name}\n"
    nothing = "They measured nothing in common."
    return Answer(data, Group(head, *([settings] if differ else []), figures if rows else nothing))


def _curves(several: list[Told], path: Path) -> Answer:
    """Loss against work of trainings: called by their schedules where these differ, else by their folders."""
    from netwright.core import levels, plot

    for one in several:
        if one.verb != "train":
            raise UserError("RUN", one.folder.name, "a training", "netwright runs list --only train")
    schedules = [str(one.settings.get(SCHEDULE, "single")) for one in several]
    names = schedules if len({*schedules}) == len(several) > 1 else [one.folder.name for one in several]
    rows = {name: read_metrics(one.folder) for name, one in zip(names, several, strict=True)}
    for name, told in rows.items():
        if not told:
            raise UserError("RUN", name, "it has no metrics yet", "netwright runs list --only train")
    _write(path, plot.svg_text(levels.work(rows), "loss against work"))
    return Answer({"runs": dict(zip(names, (one.folder.name for one in several), strict=True)), "picture": str(path)},
                  f"Picture: {path}")  # fmt: skip


def _trend(runs: Path, what: str, path: Path | None) -> Answer:
    """Quality over the runs of a folder, and a picture of it where one series is asked for and `path` given."""
    from rich.console import Group

    from netwright.core import plot, trend

    found = trend.series(runs, what)
    if not found:
        known = ", ".join(trend.series(runs)) or "nothing: no run in this folder has measured how well a model answers"
        raise UserError("WHAT", what, f"measured: {known}", "netwright evaluate --help")
    if path is not None:
        if len(found) > 1:
            raise UserError("WHAT", what, "one of " + "; ".join(found), "give more of its words")
        ((title, rows),) = found.items()
        _write(path, plot.svg_text(plot.trend([(row.name, row.measured) for row in rows], title), title))
    parts: list[Any] = []
    for title, rows in found.items():
        table = _table("artifact of", title, "interval", "n", "against the one before")
        for at, row in enumerate(rows):
            one = row.measured
            against = _verdict(rows[at - 1].measured, one) if at else ""
            table.add_row(
                row.name, readable(one.value, one.unit), span(one.low, one.high, one.unit), str(one.n), against
            )
        parts.append(table)
    data = {
        what: [{"run": r.run, "artifact": r.name, "measured": r.measured} for r in rows] for what, rows in found.items()
    }
    picture = {"picture": str(path)} if path else {}
    return Answer({"trend": data, **picture}, Group(*parts, *([f"Picture: {path}"] if path else [])))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    artifact.replace_file(path, lambda draft: draft.write_text(text, encoding="utf-8"))


def _by_what(told: Told) -> dict[str, Measurement]:
    """Measurements by what they measure: quantity, candidate, device; a second one of the same is left out."""
    several = len(told.artifacts) > 1
    named = {one.digest: f"{one.precision} {one.format}" for one in told.artifacts.values() if several}
    found: dict[str, Measurement] = {}
    for m in told.measurements:
        of = m.conditions.get("candidate") or named.get(m.artifact or "")
        what = ", ".join(str(part) for part in (m.quantity, of, m.device) if part)
        found.setdefault(what if m.source == "measured" else f"{what} ({m.source})", m)
    return found


def _verdict(first: Measurement, second: Measurement) -> str:
    if (first.value, first.low, first.high) == (second.value, second.low, second.high):
        return "the same"
    said = better(second, first)
    return "not told apart" if said is None else "better" if said else "worse"


def _flat(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _short(value: Any, limit: int = 30) -> str:
    text = value if isinstance(value, str) else json.dumps(plain(value))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _table(*columns: str) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for at, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=False, min_width=6 if at else 15)
    return table
