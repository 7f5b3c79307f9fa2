"""Evaluation of language artifacts, one or several beside the first: on texts, on items, on their test split.

    found = evaluate([base, tuned], Path("runs"), Sources(tasks="exam.jsonl", text="book.txt"))
    found.verdicts                  # ['exam.jsonl, right number: tuned better than base by 2.1 points [0.9, 3.3], ...']

Each part of each artifact is a run of its own, found again while nothing has changed; what is said of several is a
run `compare`, with the page of answers side by side where prompts are given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from netwright.core import artifact as artifacts
from netwright.core import recipe, verdict
from netwright.core.artifact import Artifact
from netwright.core.error import UserError
from netwright.core.measurement import Measurement, in_result
from netwright.core.recipe import plain
from netwright.core.run import Run
from netwright.data import language
from netwright.data.tasks import Evaluation
from netwright.hardware import detect
from netwright.measure import answers, items, perplexity, quality, sidebyside
from netwright.measure.items import Item
from netwright.measure.perplexity import Reading
from netwright.models.load import open_task

ANSWERS, READING = "answers.jsonl", "reading.safetensors"


@dataclass(frozen=True, kw_only=True)
class Config(perplexity.Config, answers.Config):
    """The settings of an evaluation: of reading, and of answering."""

    threads: int = 0
    """0: as many as this process may use."""


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What is evaluated on; with none of them, the test split of the first artifact's task."""

    tasks: str = ""
    """A file of items (`measure.items`)."""
    text: str = ""
    """A file or folder of texts."""
    prompts: str = ""
    """A .txt with a prompt a line, or .jsonl: answers side by side on a page."""


@dataclass(frozen=True)
class Part:
    """What one artifact did on one source."""

    on: str
    folder: Path
    measurements: tuple[Measurement, ...]
    rows: tuple[answers.Row, ...] = ()
    scores: dict[str, Evaluation] | None = None
    reading: Reading | None = None


@dataclass(frozen=True)
class Evaluated:
    """Parts by artifact, in order; changes against the first, and what they allow to say."""

    names: tuple[str, ...]
    parts: tuple[tuple[Part, ...], ...]
    changes: tuple[Measurement, ...] = ()
    verdicts: tuple[str, ...] = ()
    folder: Path | None = None
    page: Path | None = None


def evaluate(
    given: Sequence[Artifact],
    runs: Path,
    sources: Sources | None = None,
    config: Config | None = None,
    blind: bool = False,
    fresh: bool = False,
) -> Evaluated:
    """Evaluate artifacts on every source. Raises UserError for what cannot be read, before any work."""
    sources, config = sources or Sources(), settled(config or Config())
    plan = Plan.of(given, sources)
    for one in given if sources.text else ():  # before minutes of work on another source
        perplexity.windows(config, int(one.model.get("positions", 0)))
    names = called(given)
    parts = tuple(tuple(plan.parts(one, runs, config, fresh)) for one in given)
    if len(given) < 2 and not plan.prompts:
        return Evaluated(names, parts)
    changes, verdicts = _compared(given, names, parts)
    key = {"parts": [[part.folder.name for part in each] for each in parts], "names": names, "blind": blind}
    key |= {"on": [part.on for part in parts[0]]}
    with Run.start(runs, "compare", key, fresh) as run:
        page = run.folder / sidebyside.FILE if plan.prompts else None
        if page is not None:
            columns = [
                sidebyside.Column(name, one.name, each[-1].rows)
                for name, one, each in zip(names, given, parts, strict=True)
            ]
            sidebyside.write(page, plan.prompts, columns, verdicts, config.seed if blind else None)
        if not run.done:
            run.finish({"measurements": plain(changes), "verdicts": list(verdicts)})
        return Evaluated(names, parts, changes, verdicts, run.folder, page)


@dataclass(frozen=True)
class Plan:
    """The sources, read and checked."""

    tasks: tuple[str, tuple[Item, ...]] | None
    text: str
    prompts: tuple[Item, ...]
    prompts_file: str
    task: Any

    @classmethod
    def of(cls, given: Sequence[Artifact], sources: Sources) -> Plan:
        for one in given:
            if "positions" not in one.inputs:
                raise UserError("artifact", one.name, "is no language model; its accuracy is known", "netwright bench")
        if sources.prompts and not 1 <= len(given) <= sidebyside.MOST:
            raise UserError("artifact", len(given), f"1 to {sidebyside.MOST} side by side", "give fewer artifacts")
        tasks = (sources.tasks, tuple(items.read(sources.tasks))) if sources.tasks else None
        prompts = tuple(items.read(sources.prompts, answered=False)) if sources.prompts else ()
        if any(one.kind == "choice" for one in prompts):
            raise UserError("prompts", sources.prompts, "has choices; a page shows texts", "--tasks " + sources.prompts)
        if sources.text and not Path(sources.text).exists():
            raise UserError("text", sources.text, "no such file or folder", "name a file of texts")
        nothing = not (sources.tasks or sources.text or sources.prompts)
        return cls(tasks, sources.text, prompts, sources.prompts, open_task(given[0]) if nothing else None)

    def parts(self, one: Artifact, runs: Path, config: Config, fresh: bool) -> list[Part]:
        """What an artifact does on each source, in order; prompts come last."""
        found = []
        if self.tasks:
            found.append(answered(one, *self.tasks, runs, config, fresh))
        if self.text:
            found.append(read(one, self.text, runs, config, fresh))
        if self.task is not None:
            found.append(on_split(one, self.task, runs, config, fresh))
        if self.prompts:
            found.append(answered(one, self.prompts_file, self.prompts, runs, config, fresh))
        return found


def answered(one: Artifact, path: str, asked: Sequence[Item], runs: Path, config: Config, fresh: bool = False) -> Part:
    """The answers of an artifact to the items of a file, and how many are right."""
    settings = _own(config, answers.Config)
    said = [replace(item, place="") for item in asked[: config.limit or None]]
    key = {"artifact": one.digest, "items": recipe.digest(repr(said)), "answers": plain(settings)}
    key["on"] = Path(path).name
    with Run.start(runs, "evaluate", {**key, "machine": detect.fingerprint()}, fresh) as run:
        rows = answers.answer(one, asked, settings, run.folder / ANSWERS)
        scores = answers.evaluations(asked, rows)
        conditions = {"on": Path(path).name, **plain(settings), "format": one.format}
        made = answers.measurements(scores, artifact=one.digest, conditions=conditions)
        if not run.done:
            run.finish({"measurements": plain(made)})
        return Part(Path(path).name, run.folder, tuple(in_result(run.result)), tuple(rows), scores)


def read(one: Artifact, path: str, runs: Path, config: Config, fresh: bool = False) -> Part:
    """What an artifact loses on a text."""
    settings, on = _own(config, perplexity.Config), Path(path).name
    key = {"artifact": one.digest, "text": language.seal(path), "on": on, "reading": plain(settings)}
    with Run.start(runs, "evaluate", {**key, "machine": detect.fingerprint()}, fresh) as run:
        known = _reading(run)
        if known is None:
            known = perplexity.read(one, perplexity.texts_of(path), settings)
            _finish(run, known, known.measurements(artifact=one.digest, conditions={"on": on}))
        return Part(on, run.folder, tuple(in_result(run.result)), reading=known)


def on_split(one: Artifact, task: Any, runs: Path, config: Config, fresh: bool = False) -> Part:
    """What an artifact loses on the test split of a task."""
    on = f"test split of {task.name}"
    key = {"artifact": one.digest, "task": task.digest, "split": "test", "threads": config.threads, "on": on}
    with Run.start(runs, "evaluate", {**key, "machine": detect.fingerprint()}, fresh) as run:
        known = _reading(run)
        if known is None:
            seen, accuracy = quality.quality(one, task, "test", config.threads)
            known = Reading(seen, np.zeros(len(seen.loss_N), np.int64), task.digest, dict(accuracy.conditions))
            accuracy = replace(accuracy, conditions={**accuracy.conditions, "on": on, "score": "next token"})
            _finish(run, known, [accuracy, *known.measurements(artifact=one.digest, conditions={"on": on})])
        return Part(on, run.folder, tuple(in_result(run.result)), reading=known)


def called(given: Sequence[Artifact]) -> tuple[str, ...]:
    """What artifacts are called in a sentence: base, tuned, int8 openvino; the same names are told apart."""
    names = [_called(one) for one in given]
    if names.count("base") > 1:
        sources = [str(one.made_by.get("source", "base")) for one in given]
        names = [source if name == "base" else name for source, name in zip(sources, names, strict=True)]
    if len(set(names)) < len(names):
        names = [f"{name} {one.digest[:4]}" for name, one in zip(names, given, strict=True)]
    seen: Counter[str] = Counter()
    for at, name in enumerate(names):
        seen[name] += 1
        names[at] = name if seen[name] == 1 else f"{name} ({seen[name]})"
    return tuple(names)


def settled(config: Config) -> Config:
    """Settings with the threads that are really used. Raises UserError for more than there are."""
    detect.check_threads("evaluate.threads", config.threads)
    return replace(config, threads=config.threads or detect.usable_threads())


def _called(one: Artifact) -> str:
    named = {"import": "base", "train": "tuned" if one.made_by.get("source") else "trained"}
    verb = str(one.made_by.get("verb", ""))
    return named.get(verb, f"{one.precision} {one.format}")


def _compared(
    given: Sequence[Artifact], names: Sequence[str], parts: Sequence[Sequence[Part]]
) -> tuple[tuple[Measurement, ...], tuple[str, ...]]:
    """Changes of all against the first, in pairs, and the sentence on each."""
    changes: list[Measurement] = []
    said: list[str] = []
    for one, name, each in zip(given[1:], names[1:], parts[1:], strict=True):
        for mine, first in zip(each, parts[0], strict=True):
            found = _changes(mine, first, one.digest, given[0].digest)
            changes += found
            for change in found:
                on = ", ".join(filter(None, (mine.on, change.conditions.get("score"))))
                said.append(f"{on}: {verdict.sentence(change, name, names[0])}")
            if mine.reading and first.reading and not found:
                differ = f"{name} and {names[0]} read other tokens or windows"
                said.append(f"{mine.on}: {differ}; compare bits per byte, not perplexity")
    return tuple(changes), tuple(said)


def _changes(mine: Part, first: Part, digest: str, reference: str) -> list[Measurement]:
    about: dict[str, Any] = {"on": mine.on, "reference": reference}
    if mine.reading and first.reading:
        change = perplexity.ratio(mine.reading, first.reading, artifact=digest, conditions=about)
        return [] if change is None else [change]
    found = []
    for score, seen in (mine.scores or {}).items():
        quantity, told = answers.SCORES[score]
        change = quality.accuracy_change(seen, (first.scores or {})[score], artifact=digest)
        more = {**change.conditions, **about, "score": told, "of": quantity}
        found.append(replace(change, conditions=more))
    return found


def _own(config: Config, kind: Any) -> Any:
    """The settings of one part alone: others do not determine its result."""
    return kind(**{name: getattr(config, name) for name in kind.__dataclass_fields__})


def _finish(run: Run, reading: Reading, measured: Sequence[Measurement]) -> None:
    seen = reading.seen
    arrays: dict[str, Any] = {"correct": seen.correct_N.astype(np.uint8), "loss": np.asarray(seen.loss_N)}
    arrays |= {"bytes": reading.bytes_N, **({} if seen.text_N is None else {"text": seen.text_N})}
    artifacts.replace_file(run.folder / READING, lambda draft: save_file(arrays, draft))
    run.finish({"measurements": plain(measured), "tokens": reading.tokens, "about": reading.about})


def _reading(run: Run) -> Reading | None:
    """What was kept of a reading; None where it is not there whole, and has to be done again."""
    if not run.done:
        return None
    try:
        arrays = load_file(run.folder / READING)
        seen = Evaluation(arrays["correct"].astype(bool), arrays["loss"], arrays.get("text"))
        return Reading(seen, arrays["bytes"], run.result["tokens"], run.result["about"])
    except (OSError, SafetensorError, KeyError):
        return None
