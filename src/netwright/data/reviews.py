"""Text classification: IMDB reviews, liked or disliked, on the official split.

    task = open(Config())
    batch = task.batch("train", torch.tensor([3, 1, 4]))     # inputs {"ids": (3, T) int64, "mask": (3, T) bool}

Words are read once and cached; vocabulary, truncation and padding are made from the settings. The
vocabulary is counted on the training split alone. The eight reviews whose split is not known are left
out (splits/README.md). This file does not know models.

Shape legend: B batch, T tokens, N reviews.
"""

from __future__ import annotations

import hashlib
import importlib.resources
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netwright.core import artifact, recipe
from netwright.core.error import UserError
from netwright.core.recipe import Range
from netwright.core.run import progress
from netwright.data import sources
from netwright.data.encoder import SPECIAL, UNKNOWN, Encoder, words
from netwright.data.holdout import hold_out
from netwright.data.prepared import prepared
from netwright.data.tasks import Batch, Classification, Input, Split

VERSION = 1
"""Raised whenever the same source and settings begin to give other batches."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """The [task] section of a text task."""

    name: Literal["imdb"] = "imdb"
    validation: Annotated[float, Range(0)] = 2500
    """How many training reviews are held out, or which share of them when below 1."""
    seed: int = 0
    """Chooses which ones."""
    limit: Annotated[int, Range(0)] = 0
    """Train on so many reviews only; 0: on all."""
    vocabulary: Annotated[int, Range(len(SPECIAL) + 1, 1_000_000)] = 20_000
    """Distinct ids: the special ones and the most frequent words."""
    max_tokens: Annotated[int, Range(8, 100_000)] = 256
    """Of a longer review the first quarter of so many tokens is kept, and the last three."""
    word_dropout: Annotated[float, Range(0, 0.9)] = 0.0
    """Share of words that training replaces by the unknown word."""


class TextTask(Classification):
    """A `tasks.Task`. Review n's words are `ids[starts[n] : starts[n + 1]]`, in the encoder's ids."""

    classes: tuple[str, ...] = ("disliked", "liked")

    def __init__(self, config: Config, source: str, corpus: Mapping[str, Tensor], split: str) -> None:
        self.name: str = config.name
        self.config = config
        self.starts_N, self.labels_N = corpus["starts"], corpus["labels"]
        self.rows = _split(config, corpus, split)
        vocabulary = bytes(corpus["words"].numpy()).decode().split("\n")
        self._raw_ids, self._raw_words = corpus["ids"], vocabulary
        chosen = _most_frequent(corpus, self.rows["train"], vocabulary, config.vocabulary - len(SPECIAL))
        self.encoder = Encoder(tuple(vocabulary[i] for i in chosen), config.max_tokens)
        id_of = np.full(len(vocabulary), UNKNOWN, np.int32)
        id_of[chosen] = np.arange(len(SPECIAL), len(SPECIAL) + len(chosen))
        self.ids = id_of[corpus["ids"].numpy()]
        self.inputs: Mapping[str, Input] = {
            "ids": Input((None,), "int64", len(self.encoder), longest=config.max_tokens),
            "mask": Input((None,), "bool", longest=config.max_tokens),
        }
        self.processor: Mapping[str, Any] = {**self.encoder.description(), "classes": list(self.classes)}
        self.digest = recipe.digest(
            {
                "source": source,
                "split": hashlib.sha256(split.encode()).hexdigest(),
                "version": VERSION,
                "config": config,
            }
        )

    def size(self, split: Split) -> int:
        return len(self.rows[split])

    def batch(self, split: Split, indices_B: Tensor, generator: torch.Generator | None = None) -> Batch:
        rows_B = self.rows[split][indices_B]
        reviews = [self.ids[self.starts_N[row] : self.starts_N[row + 1]] for row in rows_B.tolist()]
        inputs = self.encoder.pad(reviews)
        if generator is not None and self.config.word_dropout:
            dropped_BT = torch.rand(inputs["ids"].shape, generator=generator) < self.config.word_dropout
            inputs["ids"][dropped_BT & (inputs["ids"] >= len(SPECIAL))] = UNKNOWN
        return Batch(inputs, self.labels_N[rows_B])

    def lengths(self, split: Split) -> Tensor:
        """Words of each review that a batch keeps, so that those of like length can come together."""
        rows = self.rows[split]
        return (self.starts_N[rows + 1] - self.starts_N[rows]).clamp(max=self.config.max_tokens - 1)

    def words(self, split: Split, index: int) -> list[str]:
        """All words of one example, those outside the vocabulary too."""
        row = int(self.rows[split][index])
        return [self._raw_words[i] for i in self._raw_ids[self.starts_N[row] : self.starts_N[row + 1]].tolist()]

    def write_processor(self, folder: Path) -> None:
        """Write the vocabulary, so that a deployment can encode text (`Encoder.read`)."""
        self.encoder.write(folder)


def open(config: Config) -> TextTask:
    """Fetch, check and read the words. Raises UserError when the data cannot be had or a split would be empty."""
    source = sources.find(config.name)
    split = importlib.resources.files("netwright.data").joinpath("splits/imdb_official_split.txt").read_text().strip()
    corpus = prepared(config.name, {"source": source.sha256, "version": 1}, lambda: _read(sources.fetch(source)))
    return TextTask(config, source.sha256, corpus, split)


def reviews(folder: Path) -> list[dict[str, Any]]:
    """The raw reviews of the fetched source: {"t": text, "s": 1 liked or 0 disliked}."""
    raw: list[dict[str, Any]] = artifact.read_json(folder / "reviews.json", 100_000_000)
    return raw


def _read(folder: Path) -> dict[str, Tensor]:
    """Every review as ids into a list of all words; ids are in order of first appearance."""
    raw = reviews(folder)
    index: dict[str, int] = {}
    ids: list[NDArray[np.int32]] = []
    with progress("Reading the words of 50,000 reviews", len(raw)) as advance:
        for at, review in enumerate(raw, 1):
            ids.append(np.array([index.setdefault(word, len(index)) for word in words(review["t"])], np.int32))
            if at % 500 == 0:
                advance(500)
    starts = np.concatenate([[0], np.cumsum([len(review) for review in ids])])
    return {
        "ids": torch.from_numpy(np.concatenate(ids)),
        "starts": torch.from_numpy(starts),
        "labels": torch.tensor([review["s"] for review in raw]),
        "words": torch.frombuffer(bytearray("\n".join(index).encode()), dtype=torch.uint8),
    }


def _split(config: Config, corpus: Mapping[str, Tensor], split: str) -> dict[Split, Tensor]:
    starts, ids = corpus["starts"].tolist(), corpus["ids"].numpy()
    if len(split) != len(starts) - 1:
        raise UserError("task.name", config.name, "the split map is not of this source", "netwright data fetch imdb")
    places = {mark: torch.tensor([n for n, m in enumerate(split) if m == mark]) for mark in "re"}
    contents = (ids[starts[n] : starts[n + 1]].tobytes() for n in places["r"].tolist())
    train, validation = hold_out(contents, config.validation, config.seed, config.limit)
    return {"train": places["r"][train], "validation": places["r"][validation], "test": places["e"]}


def _most_frequent(corpus: Mapping[str, Tensor], rows: Tensor, vocabulary: list[str], size: int) -> NDArray[np.int64]:
    """Places of the words that stand most often in these reviews; among equals the alphabet decides."""
    starts = corpus["starts"].numpy()
    chosen = np.zeros(len(starts) - 1, bool)
    chosen[rows.numpy()] = True
    counts = np.bincount(corpus["ids"].numpy()[np.repeat(chosen, np.diff(starts))], minlength=len(vocabulary))
    order = np.lexsort((np.array(vocabulary), -counts))[:size]
    return order[counts[order] > 0]
