"""Requests for help with harm, by a small trained classifier.

    filter = open(Config())
    filter.check("How do I break into my neighbour's house?")

A bag of hashed words, trained by recipes/safety.toml and shipped as OpenVINO INT8 (640 kB). It knows some twenty kinds
of harm in English, and words rather than meanings: docs/how-to/safety.md says how often it is wrong. It reads the bare
message of a person. It can read replies, sentence by sentence, but nothing it learned from was one. `artifact` names
another classifier of the task "safety", of any format, as of one's own requests.
"""

from __future__ import annotations

import bisect
import contextlib
import importlib.resources
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from netwright import export
from netwright.chat.safety.finding import Finding, Where
from netwright.core import artifact, table
from netwright.core.error import UserError
from netwright.core.recipe import Range
from netwright.data.hashing import Hashed

WINDOW = 400
"""Characters that are judged together."""
ALONE = 0.95
"""From this score on a sentence counts by itself, so that an unsafe one is not outvoted by those around it. With 0.7
each of 1,000 film reviews would have had one in 8.8 % of them, not in 1.2 %."""
SENTENCE = 256
"""Characters of a reply that are held back until its sentence ends, at most."""
WORDS, OF_SENTENCE = 2, 4
"""Texts, and sentences by themselves, of fewer words are nothing to judge."""
AT_ONCE = 64
"""Parts that are judged in one go."""
UNSAFE = "unsafe request"
_END = re.compile(r"[.!?](?=\s)|\n")


@dataclass(frozen=True, kw_only=True)
class Config:
    """[safety.requests]: what is done about requests that look unsafe."""

    action: Literal["off", "log", "block"] = "log"
    where: Where = "asked"
    threshold: Annotated[float, Range(0.5, 1)] = 0.7
    """The least probability, as the classifier sees it."""
    artifact: str = ""
    """The folder of an artifact, or of a run that made one; empty: the classifier that ships."""


class Requests:
    """A `Filter` over a classifier of two classes, safe and unsafe. Several threads may ask it."""

    name = "requests"

    def __init__(self, encoder: Hashed, runner: export.Runner) -> None:
        self._encoder, self._runner, self._lock = encoder, runner, threading.Lock()

    def scores(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """The probability of each text to be an unsafe request, scores_N."""
        inputs = {name: x.numpy() for name, x in self._encoder(texts).items()}
        with self._lock:
            logits_NK = self._runner(inputs).astype(np.float64)
        out: NDArray[np.float64] = 1 / (1 + np.exp(np.clip(logits_NK[:, 0] - logits_NK[:, 1], -50, 50)))
        return out

    def check(self, text: str) -> list[Finding]:
        """Windows of the text that are judged unsafe."""
        spans = [span for span in windows(text) if len(text[slice(*span)].split()) >= WORDS]
        alone = [span for span in sentences(text) if len(text[slice(*span)].split()) >= OF_SENTENCE]
        known = set(spans)
        found = self.judged(text, spans, 0.5)
        starts = [one.start for one in found]
        for one in self.judged(text, [span for span in alone if span not in known], ALONE):
            window = bisect.bisect(starts, one.start) - 1
            if window < 0 or found[window].end <= one.start:
                found.append(one)
        return sorted(found, key=lambda one: one.start)

    def scan(self) -> _Scan:
        """A look at a text that grows, sentence by sentence."""
        return _Scan(self)

    def judged(self, text: str, spans: Sequence[tuple[int, int]], least: float, offset: int = 0) -> list[Finding]:
        """Findings of these parts of a text, from a score on; `offset` is where the text begins."""
        out = []
        for at in range(0, len(spans), AT_ONCE):
            some = spans[at : at + AT_ONCE]
            for (start, end), score in zip(some, self.scores([text[a:b] for a, b in some]).tolist(), strict=True):
                if score >= least:
                    why = "the classifier's probability"
                    out.append(Finding(UNSAFE, offset + start, offset + end, score, why))
        return out


def open(config: Config, folder: Path = Path()) -> Requests:
    """The filter of a config. Raises UserError for an artifact that is no classifier of requests."""
    with contextlib.ExitStack() as stack:
        if config.artifact:
            found = artifact.open(folder / config.artifact)
        else:
            table.need("openvino", 'safety.requests (or action = "off" under [safety.requests])')
            shipped = importlib.resources.files("netwright.chat.safety").joinpath("model")
            found = artifact.open(stack.enter_context(importlib.resources.as_file(shipped)))
        if list(found.processor.get("classes", ())) != ["safe", "unsafe"]:
            next = "netwright train recipes/safety.toml"
            raise UserError("safety.requests.artifact", config.artifact, 'a classifier of the task "safety"', next)
        return Requests(Hashed.read(found.processor), export.open(found, 1))


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Sentences and lines, each to its last mark, and what is left behind them."""
    start = 0
    for end in [*(match.end() for match in _END.finditer(text)), len(text)]:
        for at in range(start, end, WINDOW):
            yield at, min(at + WINDOW, end)
        start = end


def windows(text: str) -> Iterator[tuple[int, int]]:
    """Parts of at most `WINDOW` characters, of whole sentences where these are short enough."""
    start, last = 0, 0
    for end in [*(match.end() for match in _END.finditer(text)), len(text)]:
        if end - start > WINDOW and last > start:
            yield start, last
            start = last
        while end - start > WINDOW:
            yield start, start + WINDOW
            start += WINDOW
        last = end
    if start < len(text):
        yield start, len(text)


class _Scan:
    def __init__(self, filter: Requests) -> None:
        self.settled = 0
        self._filter, self._held = filter, ""

    def push(self, text: str, end: bool = False) -> list[Finding]:
        found: list[Finding] = []
        self._held += text
        at = 0
        while at < len(self._held):
            match = _END.search(self._held, at, at + SENTENCE + 1)
            if not match and len(self._held) - at <= SENTENCE and not end:
                break
            stop = match.end() if match else min(at + SENTENCE, len(self._held))
            if len(self._held[at:stop].split()) >= OF_SENTENCE:
                found += self._filter.judged(self._held, [(at, stop)], 0.5, self.settled)
            at = stop
        self._held = self._held[at:]
        self.settled += at
        return found
