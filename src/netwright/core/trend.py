"""How well the runs of a folder answer, in the order they were measured: one series for each thing that was measured.

    found = series(Path("runs"), "exam")
    for one in found["accuracy, right number, exam.jsonl"]: print(one.name, one.measured)

Knows run folders; does not know how a series is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from netwright.core import artifact
from netwright.core.error import UserError
from netwright.core.measurement import Measurement, in_result, words
from netwright.core.run import state

QUALITIES = ("accuracy", "correlation", "in_form", "perplexity", "bits_per_byte", "loss")
"""Quantities that tell how well a model answers."""


@dataclass(frozen=True)
class Seen:
    """One measurement, the run that holds it, and the artifact it is of, by the run that made it."""

    run: str
    name: str
    measured: Measurement


def series(runs: Path, wanted: str = "") -> dict[str, list[Seen]]:
    """Measured qualities by what they are, oldest first; only those whose words hold `wanted`.

    What cannot be read is left out, as `netwright runs list` says. An artifact that was measured twice on the same
    thing stands there once, with the newest.
    """
    makers, found = _makers(runs), dict[str, dict[str, Seen]]()
    for path in sorted(runs.glob("*/run.json")):
        try:
            told = state(path.parent)
            measured = in_result(told.get("result"))
        except UserError:
            continue
        for one in measured:
            if one.quantity not in QUALITIES or one.source != "measured" or one.artifact is None:
                continue
            maker, task = makers.get(one.artifact, (one.artifact[:8], ""))
            what = _what(one, task)
            if wanted.casefold() in what.casefold():
                rows, seen = found.setdefault(what, {}), Seen(path.parent.name, maker, one)
                if one.artifact not in rows or rows[one.artifact].measured.when <= one.when:
                    rows[one.artifact] = seen
    return {
        what: sorted(rows.values(), key=lambda row: (row.measured.when, row.name))
        for what, rows in sorted(found.items())
    }


def _what(one: Measurement, task: str) -> str:
    split = one.conditions.get("split")
    on = one.conditions.get("on") or " ".join(str(part) for part in (task, split) if part)
    return ", ".join(str(part) for part in (words(one.quantity), one.conditions.get("score"), on) if part)


def _makers(runs: Path) -> Mapping[str, tuple[str, str]]:
    """Digest of each artifact below a folder -> the run that made it, and its task."""
    found = {}
    for manifest in artifact.manifests(runs) if runs.is_dir() else []:
        try:
            one = artifact.read(manifest.parent)
        except UserError:
            continue
        found[one.digest] = manifest.parent.relative_to(runs).parts[0], str(one.task["name"])
    return found
