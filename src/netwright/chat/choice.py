"""Which engine, precision and threads answer best on this machine: measured, not guessed, once.

    choice = choose(artifact, Path("runs"))
    engine = choice.open()
    print(choice.why)

Every runtime that is installed gets the model in every precision that somebody makes of it, llama.cpp's among them
(`trial`); rules tell the best (`candidate`). The result is a run: the same model on the same machine with the same
versions is not measured again.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netwright import __version__
from netwright.chat.candidate import USUAL, Config, Row, pace, passes, weighed
from netwright.chat.engine import Generator
from netwright.chat.opening import opened
from netwright.chat.trial import measured
from netwright.core import artifact as artifacts
from netwright.core import recipe
from netwright.core.artifact import Artifact
from netwright.core.recipe import plain
from netwright.core.run import Run
from netwright.hardware import detect


@dataclass(frozen=True, kw_only=True)
class Choice:
    """All candidates, which of them is best, and why."""

    rows: tuple[Row, ...]
    chosen: int
    why: str

    @property
    def row(self) -> Row:
        """The best one."""
        return self.rows[self.chosen]

    def open(self) -> Generator:
        """The best one, opened."""
        return opened(artifacts.open(self.row.folder), self.row.threads, self.row.computed)


def choose(artifact: Artifact, runs: Path, config: Config = USUAL, fresh: bool = False) -> Choice:
    """Measure, or read what was measured of this model, machine and versions. Raises UserError where none runs."""
    with Run.start(runs, "choose", key(artifact, config), fresh) as run:
        if not run.done or not all(Path(row["folder"]).is_dir() for row in run.result["rows"]):
            rows = measured(artifact, runs, config)
            chosen, why = weighed(rows, config)
            run.finish(plain(Choice(rows=tuple(rows), chosen=chosen, why=why)))
        return from_plain(run.result)


def known(artifact: Artifact, runs: Path, config: Config = USUAL) -> Choice | None:
    """What was chosen before; None where nothing was measured."""
    digest = recipe.digest({"verb": "choose", "version": __version__, **key(artifact, config)})
    if not list(runs.glob(f"*-choose-{digest[:10]}")):
        return None
    with Run.start(runs, "choose", key(artifact, config)) as run:
        return from_plain(run.result) if run.done else None


def key(artifact: Artifact, config: Config) -> dict[str, Any]:
    """What determines a choice: model, machine, versions, settings."""
    versions = {}
    for package in ("torch", "openvino", "onnxruntime", "xllamacpp"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return {"artifact": artifact.digest, "machine": detect.fingerprint(), "versions": versions, "choose": plain(config)}


def from_plain(result: Mapping[str, Any]) -> Choice:
    """A choice out of JSON."""
    return Choice(rows=tuple(Row(**row) for row in result["rows"]), chosen=result["chosen"], why=result["why"])


def table(choice: Choice, config: Config = USUAL) -> Any:
    """What `--explain` prints: the fastest first, those that lose too much in grey; below them what does not run."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, padding=(0, 1))
    made.add_column("engine", no_wrap=True)
    for title in ("threads", "tokens/s", "prefill/s", "turn", "perplexity"):
        made.add_column(title, justify="right", no_wrap=True)
    speed = [pace(row.decode, row.prefill, config) for row in choice.rows]
    order = sorted(range(len(choice.rows)), key=lambda at: -speed[at])
    for at in order:
        row = choice.rows[at]
        if row.fault:
            continue
        style = "bold" if at == choice.chosen else "" if passes(row, config) else "dim"
        decode = f"{row.decode:.3g} [{row.decode_low:.3g}, {row.decode_high:.3g}]" if row.decode else "left early"
        turn = f"{config.answer / speed[at]:.2f} s" if row.decode else ""
        prefill = f"{row.prefill:.0f}" if row.decode else ""
        lost = "" if row.slow else f"{100 * row.loss:+.2f} %" + (" " if passes(row, config) else "*")
        made.add_row(row.name, str(row.threads), decode, prefill, turn, lost, style=style)
    faults: dict[str, list[str]] = {}
    for row in choice.rows:
        if row.fault:
            names = faults.setdefault(row.fault, [])
            names += [row.name] if row.name not in names else []
    told = Text(f"turn: {config.prompt} tokens read, {config.answer} answered", "dim")
    much = (
        [Text("* loses too much", "dim")]
        if any(not row.fault and not row.slow and not passes(row, config) for row in choice.rows)
        else []
    )
    return Group(made, told, *much, *(Text(f"{', '.join(names)}: {fault}", "dim") for fault, names in faults.items()))
