"""A language model answers items: it writes, or the likelihood of each choice is taken; a line each, as they come.

    rows = answer(artifact, items, Config(max_tokens=200), Path("run/answers.jsonl"))

The file is the memory: after a kill the same call goes on behind its last whole line. Sampling is drawn by seed and
item, so that what is resumed, and what two artifacts do, begins alike.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from netwright.core.artifact import Artifact, disk_error
from netwright.core.error import UserError
from netwright.core.measurement import Measurement
from netwright.core.recipe import Range
from netwright.core.run import progress
from netwright.core.stats import proportion
from netwright.data import prompt
from netwright.data.tasks import Evaluation
from netwright.data.text import Message
from netwright.data.tokenizer import Tokenizer
from netwright.export.decoding import Decoder
from netwright.measure import items as questions
from netwright.measure import likelihood
from netwright.measure.items import Item
from netwright.measure.likelihood import Reader

Row = dict[str, Any]
SCORES = {
    "choice": ("accuracy", "likeliest choice"), "choice_by_bytes": ("accuracy", "likeliest choice by bytes"),
    "exact": ("accuracy", "exact answer"), "number": ("accuracy", "right number"),
    "form": ("in_form", "ends in #### number"),
}  # fmt: skip
"""What is scored -> the quantity, and how a person reads it."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """How items are answered."""

    max_tokens: Annotated[int, Range(1, 1_000_000)] = 256
    """Of one answer."""
    temperature: Annotated[float, Range(0, 100)] = 0.0
    """0: the likeliest token each time."""
    seed: Annotated[int, Range(0, 2**31)] = 0
    template: bool = True
    """Put a prompt into the model's chat template, where it has one."""
    limit: Annotated[int, Range(0)] = 0
    """Only so many items; 0: all."""
    threads: Annotated[int, Range(0, 4096)] = 1


@dataclass(frozen=True)
class Answer:
    """What a model wrote."""

    text: str
    tokens: int
    seconds: float
    ended: bool
    """By itself, and not cut at max_tokens or at the end of what it can read."""


def generate(
    decoder: Decoder, tokenizer: Tokenizer, ids: Sequence[int], config: Config, generator: np.random.Generator
) -> Answer:
    """Write on after some ids, until a stop token or `max_tokens`."""
    begin = time.monotonic()
    stops = {*tokenizer.stop, tokenizer.id(tokenizer.special.get("eos_token", ""))}
    decoder.keep(0)
    logits_V, written, ended = decoder.feed(ids), list[int](), False
    most = min(config.max_tokens, decoder.longest - len(ids))
    while len(written) < most:
        at = _pick(logits_V, config.temperature, generator)
        if at in stops:
            ended = True
            break
        written.append(at)
        if len(written) < most:
            logits_V = decoder.feed([at])
    return Answer(tokenizer.decode(written), len(written), time.monotonic() - begin, ended)


def answer(artifact: Artifact, items: Sequence[Item], config: Config, path: Path) -> list[Row]:
    """Answer every item: rows by item, those of `path` first. Raises UserError for what the model cannot read.

    A row holds `text`, `tokens`, `seconds`, `ended`, or `scores` (nats of each choice) of a multiple choice.
    """
    items = items[: config.limit or None]
    tokenizer = Tokenizer.read(artifact.folder, artifact.processor)
    asked = [prompted(one, tokenizer, config.template) for one in items]
    rows = _kept(path, len(items))
    if len(rows) < len(items):
        reader = likelihood.open(artifact, config.threads)
        for one, (ids, _) in zip(items, asked, strict=True):
            if len(ids) >= reader.longest:
                allowed = f"{len(ids):,} tokens; this model reads {reader.longest:,} at most, its answer included"
                raise UserError("tasks", one.place, allowed, "shorten it, or take it out")
        title = f"asking {artifact.format} {artifact.precision}"
        with progress(title, len(items), done=len(rows), unit="items") as advance:
            for at in range(len(rows), len(items)):
                row = {"item": at, **_row(reader, tokenizer, items[at], asked[at], config, at)}
                _append(path, row)
                rows.append(row)
                advance()
    return rows


def prompted(one: Item, tokenizer: Tokenizer, template: bool = True) -> tuple[list[int], bool]:
    """Ids of a prompt up to where the reply begins, and whether that is within a template."""
    messages = one.messages or ((Message("user", one.prompt),) if template and tokenizer.template else ())
    if not messages:
        return tokenizer.encode(one.prompt), False
    return prompt.encoded(tokenizer, messages), True


def evaluations(items: Sequence[Item], rows: Sequence[Row]) -> dict[str, Evaluation]:
    """Which items were right, by what is scored (a key of SCORES); in the order of the items, for pairs."""
    found: dict[str, list[bool]] = {}
    for one, row in zip(items, rows, strict=False):
        for name, correct in _scored(one, row).items():
            found.setdefault(name, []).append(correct)
    return {name: Evaluation(np.array(each, bool), np.zeros(len(each), np.float32)) for name, each in found.items()}


def measurements(found: dict[str, Evaluation], **about: Any) -> list[Measurement]:
    """A share of each score, with Wilson's interval; what is scored stands in the conditions."""
    conditions = about.pop("conditions", {})
    made = []
    for name, one in found.items():
        share = proportion(int(one.correct_N.sum()), len(one.correct_N))
        quantity, told = SCORES[name]
        more = {**conditions, "score": told}
        made.append(
            Measurement(
                quantity=quantity,
                value=share.value,
                low=share.low,
                high=share.high,
                n=share.n,
                conditions=more,
                **about,
            )
        )
    return made


def _row(
    reader: Reader, tokenizer: Tokenizer, one: Item, asked: tuple[list[int], bool], config: Config, at: int
) -> Row:
    ids, templated = asked
    if one.kind == "choice":
        return {"scores": _choices(reader, tokenizer, one, ids, templated)}
    reader.forget()
    written = generate(reader.decoder, tokenizer, ids, config, np.random.default_rng([config.seed, at]))
    return {"text": written.text, "tokens": written.tokens, "seconds": written.seconds, "ended": written.ended}


def _choices(reader: Reader, tokenizer: Tokenizer, one: Item, ids: list[int], templated: bool) -> list[float]:
    """Log-likelihood of each choice after the prompt, in nats; all are scored from the same token on."""
    if templated:
        wholes = [[*ids, *tokenizer.encode(choice, begin=False)] for choice in one.choices]
    else:  # a token may reach from the prompt into the choice: they are read together
        space = "" if one.prompt[-1:].isspace() else " "
        wholes = [tokenizer.encode(f"{one.prompt}{space}{choice}") for choice in one.choices]
    first = min(likelihood.shared(ids, whole) for whole in wholes)
    longest = max(map(len, wholes))
    if longest > reader.longest:
        allowed = f"{longest:,} tokens with a choice; this model reads {reader.longest:,} at most"
        raise UserError("tasks", one.place, allowed, "shorten it, or take it out")
    if first < 1:
        raise UserError("tasks", one.place, "its prompt is no token of its own", "give a longer prompt")
    return [-float(reader.losses(whole, first)[0].sum()) for whole in wholes]


def _scored(one: Item, row: Row) -> dict[str, bool]:
    if one.kind == "choice":
        scores = np.array(row["scores"])
        sizes = np.array([len(choice.encode("utf-8", "surrogatepass")) for choice in one.choices])
        return {
            "choice": int(scores.argmax()) == one.answer,
            "choice_by_bytes": int((scores / sizes).argmax()) == one.answer,
        }
    if one.kind == "number":
        ended = bool(row.get("ended", True))  # of one that was cut off, "#### 2" may have become 21
        return {"number": questions.right(one, row["text"]), "form": ended and questions.in_form(row["text"])}
    return {"exact": questions.right(one, row["text"])} if one.kind == "exact" else {}


def _pick(logits_V: NDArray[np.float32], temperature: float, generator: np.random.Generator) -> int:
    if not temperature:
        return int(logits_V.argmax())
    scaled_V = (logits_V.astype(np.float64) - float(logits_V.max())) / max(temperature, 1e-6)
    reached_V = np.exp(scaled_V).cumsum()
    return int(np.searchsorted(reached_V, generator.random() * reached_V[-1], side="right").clip(0, len(reached_V) - 1))


def _kept(path: Path, most: int) -> list[Row]:
    """The rows that a file holds, in order; what a kill left half-written is cut off."""
    rows: list[Row] = []
    size = 0
    for line in path.read_bytes().splitlines(keepends=True) if path.is_file() else []:
        row = _parsed(line)
        if row is None or row.get("item") != len(rows) or len(rows) == most:
            break
        rows.append(row)
        size += len(line)
    if path.is_file() and path.stat().st_size > size:
        with path.open("rb+") as handle:
            handle.truncate(size)
    return rows


def _parsed(line: bytes) -> Row | None:
    try:
        row = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
    if not isinstance(row, dict):
        return None
    if isinstance(row.get("text"), str):
        return row
    scores = row.get("scores")
    fine = isinstance(scores, list) and all(type(one) is float and math.isfinite(one) for one in scores)
    return row if fine else None


def _append(path: Path, row: Row) -> None:
    try:
        with path.open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(row) + "\n")
    except OSError as fault:
        raise disk_error(fault, path) from fault
