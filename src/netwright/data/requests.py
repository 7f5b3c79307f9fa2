"""Requests, safe or unsafe: does a message ask for help with harm to somebody?

    task = open(Config())
    batch = task.batch("train", torch.tensor([3, 1, 4]))     # inputs {"ids": (3, T) int64, "mask": (3, T) bool}

Everything ships with netwright (samples/README.md). Templates of ours are actions in frames; families of actions and
frames of the test split stand in no other. Unsafe requests of other authors (HarmBench) are in the test split alone.
English only, and about some twenty kinds of harm: what a network makes of anything else is not known.

Shape legend: B batch, T tokens, N requests.
"""

from __future__ import annotations

import gzip
import importlib.resources
import json
import random
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from netwright.core import recipe
from netwright.core.recipe import Range
from netwright.data.hashing import Hashed
from netwright.data.tasks import Batch, Classification, Input, Split

VERSION = 1
"""Raised whenever the same samples and settings begin to give other batches."""
CLASSES = ("safe", "unsafe")
PROSE = 300
"""Texts that ask for nothing, which train as safe: questions of GSM8K, and lines of Shakespeare."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """The [task] section of the task of requests."""

    name: Literal["safety"] = "safety"
    buckets: Annotated[int, Range(64, 1 << 22)] = 1 << 15
    """Distinct ids that words, pairs and parts are hashed to."""
    pairs: bool = True
    """Whether pairs of neighbouring words count."""
    parts: Annotated[int, Range(0, 16)] = 4
    """Length of the parts of words that count; 0: none."""
    max_tokens: Annotated[int, Range(8, 100_000)] = 256
    """Ids of one text, at most."""
    frames: Annotated[int, Range(1, 16)] = 4
    """Frames that each action of ours comes in."""
    dropout: Annotated[float, Range(0, 0.9)] = 0.4
    """Share of ids that training leaves out."""
    seed: int = 0
    """Chooses the frames."""


@dataclass(frozen=True, slots=True)
class Request:
    """A message, whether it is unsafe, and where it is from: a family of ours, or a data set."""

    text: str
    unsafe: bool
    source: str
    split: Split


class RequestTask(Classification):
    """A `tasks.Task` over requests."""

    classes: tuple[str, ...] = CLASSES

    def __init__(self, config: Config, requests: Sequence[Request]) -> None:
        self.name: str = config.name
        self.config, self.requests = config, tuple(requests)
        self.encoder = Hashed(config.buckets, config.pairs, config.parts, config.max_tokens)
        self.ids = [self.encoder.ids(one.text) for one in requests]
        self.labels_N = torch.tensor([int(one.unsafe) for one in requests])
        places: dict[Split, list[int]] = {"train": [], "validation": [], "test": []}
        for at, one in enumerate(requests):
            places[one.split].append(at)
        self.rows = {split: torch.tensor(rows) for split, rows in places.items()}
        self.inputs: Mapping[str, Input] = {
            "ids": Input((None,), "int64", len(self.encoder), longest=config.max_tokens),
            "mask": Input((None,), "bool", longest=config.max_tokens),
        }
        self.processor: Mapping[str, Any] = {**self.encoder.description(), "classes": list(self.classes)}
        self.digest = recipe.digest(
            {"version": VERSION, "config": config, "requests": [recipe.plain(one) for one in requests]}
        )

    def size(self, split: Split) -> int:
        """Requests of a split."""
        return len(self.rows[split])

    def batch(self, split: Split, indices_B: Tensor, generator: torch.Generator | None = None) -> Batch:
        """The requests at these places; with a generator, some of their ids are left out."""
        rows_B = self.rows[split][indices_B]
        inputs = self.encoder.pad([self.ids[row] for row in rows_B.tolist()])
        if generator is not None and self.config.dropout:
            left_out_BT = torch.rand(inputs["ids"].shape, generator=generator) < self.config.dropout
            left_out_BT[:, 0] = False
            inputs = {"ids": inputs["ids"].masked_fill(left_out_BT, 0), "mask": inputs["mask"] & ~left_out_BT}
        return Batch(inputs, self.labels_N[rows_B])

    def lengths(self, split: Split) -> Tensor:
        """Ids of each request, so that those of like length can come together."""
        return torch.tensor([len(self.ids[row]) for row in self.rows[split].tolist()])

    def write_processor(self, folder: Any) -> None:
        """Nothing: the manifest describes the encoder in full."""


def open(config: Config) -> RequestTask:
    """The requests that ship, encoded."""
    return RequestTask(config, list(shipped(config.frames, config.seed)))


def shipped(frames: int = 4, seed: int = 0) -> Iterator[Request]:
    """Every request that ships: of others, of ours, and prose. Texts that come twice are told once."""
    seen = set()
    for one in (*_of_others(), *_of_ours(frames, seed), *_prose()):
        if one.text not in seen:
            seen.add(one.text)
            yield one


def _of_others() -> Iterator[Request]:
    for line in gzip.decompress(_sample("requests.jsonl.gz")).decode().splitlines():
        row = json.loads(line)
        yield Request(row["text"], row["label"] == "unsafe", row["source"], row["split"])


def _of_ours(frames: int, seed: int) -> Iterator[Request]:
    told = tomllib.loads(_sample("requests.toml").decode())
    chance = random.Random(seed)
    for family in told["family"]:
        known = told["frames"][family["split"]]
        for action in family["actions"]:
            for frame in chance.sample(known, min(frames, len(known))):
                yield Request(
                    frame.replace("{x}", action), family["label"] == "unsafe", family["name"], family["split"]
                )


def _prose() -> Iterator[Request]:
    asked = [json.loads(line) for line in gzip.decompress(_sample("gsm8k.jsonl.gz")).decode().splitlines()[:PROSE]]
    plays = gzip.decompress(_sample("tinyshakespeare.txt.gz")).decode().split("\n\n")
    lines = [" ".join(one.partition("\n")[2].split())[:300] for one in plays[:: max(1, len(plays) // PROSE)]]
    for source, texts in (("GSM8K", [one["question"] for one in asked]), ("Shakespeare", lines)):
        for at, text in enumerate(texts):
            if len(text) > 8:
                yield Request(text, False, source, "validation" if at % 10 == 0 else "train")


def _sample(name: str) -> bytes:
    return importlib.resources.files("netwright.data").joinpath(f"samples/{name}").read_bytes()
