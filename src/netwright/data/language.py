"""Language modelling: predict the next token of texts, or of the replies in conversations.

    task = open(Config(data="chats.jsonl", tokenizer="runs/20261120-import-3fa9c1d2"))
    batch = task.batch("train", torch.tensor([0, 1]))      # inputs {"ids": (2, T) int64, "positions": (2, T) int64}

Texts come from `data.text`, conversations are rendered by the tokenizer's own template (`data.template`), and loss is
taken on what the assistant says. Long texts are cut into windows, short ones packed into rows; positions begin again
at 0 in each, and no token sees another text. This file does not know models.

Shape legend: B batch, T tokens of a row, N tokens that count, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from netwright.core import artifact, recipe
from netwright.core.error import UserError
from netwright.core.recipe import Range
from netwright.core.run import progress
from netwright.data import packing, prompt, text
from netwright.data.holdout import hold_out
from netwright.data.prepared import prepared
from netwright.data.tasks import IGNORED, Batch, Evaluation, Input, LanguageModel, Predict, Split
from netwright.data.text import Record
from netwright.data.tokenizer import Tokenizer
from netwright.models.causal import next_token_loss

VERSION = 1
"""Raised whenever the same texts and settings begin to give other batches."""
SAMPLES = {"tinyshakespeare": "tinyshakespeare.txt.gz", "gsm8k-sample": "gsm8k.jsonl.gz"}
"""Texts that ship (samples/README.md)."""
STEP = 32
"""Rows of a batch are as long as the longest, rounded up to this, so that few lengths reach compilers."""
FEW = 20
"""A source of fewer texts is cut into stretches for its splits, instead of dealing out whole texts."""
ANSWERED = 64_000_000
"""Logits that an evaluation holds at once: 256 MB."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """The [task] section of language modelling."""

    name: Literal["language"] = "language"
    data: str = "tinyshakespeare"
    """A file or folder of texts or conversations, org/name on the hub, tinyshakespeare or gsm8k-sample."""
    validation_data: str = ""
    """Texts to validate on; empty: a share of `data`."""
    test_data: str = ""
    """Texts to test on; empty: a share of `data`."""
    validation: Annotated[float, Range(0)] = 0.05
    """How many training texts are held out, or which share of them when below 1; as many for the test."""
    tokenizer: str = ""
    """Whose tokenizer: an artifact's folder, a name of `netwright data list`, or bytes. Empty: that of the model
    which is trained on, and bytes for one that begins from nothing."""
    max_tokens: Annotated[int, Range(8, 1_000_000)] = 256
    """Length of a row. A longer text is cut into windows."""
    overlap: Annotated[int, Range(0, 1_000_000)] = 0
    """Tokens that a window sees of the one before, without loss on them."""
    pack: bool = True
    """Several short texts a row, which do not see each other."""
    learn: Literal["replies", "all"] = "replies"
    """Of conversations: loss on what the assistant says, or on everything."""
    unit: Literal["file", "paragraph", "line"] = "file"
    """What one text is in .txt and .md."""
    column: str = ""
    """The field that holds the text; empty: found by its usual names."""
    limit: Annotated[int, Range(0)] = 0
    """Train on so many texts only; 0: on all."""
    seed: int = 0
    """Chooses which texts are held out."""

    def __post_init__(self) -> None:
        if self.overlap >= self.max_tokens:
            raise ValueError(f"overlap {self.overlap} leaves nothing new in windows of max_tokens {self.max_tokens}")


@dataclass(frozen=True)
class Rows:
    """A split: the pairs (token, next token) of all pieces end to end, and which pieces share a row."""

    ids_M: NDArray[np.int32]
    labels_M: NDArray[np.int32]
    starts: NDArray[np.int64]
    rows: Sequence[Sequence[int]]

    def __len__(self) -> int:
        return len(self.rows)

    def lengths(self) -> Tensor:
        """Tokens of each row."""
        sizes = np.diff(self.starts)
        return torch.tensor([int(sum(sizes[piece] for piece in row)) for row in self.rows])

    def batch(self, indices: Sequence[int], longest: int) -> tuple[Tensor, Tensor, Tensor]:
        """ids_BT, positions_BT and labels_BT of some rows, padded to the longest, rounded up."""
        parts = [self.rows[at] for at in indices]
        sizes = [sum(int(self.starts[p + 1] - self.starts[p]) for p in row) for row in parts]
        T = min(longest, -(-max(sizes) // STEP) * STEP)
        ids_BT, positions_BT = (np.zeros((len(parts), T), np.int64) for _ in range(2))
        labels_BT = np.full((len(parts), T), IGNORED, np.int64)
        for b, row in enumerate(parts):
            at = 0
            for piece in row:
                where = slice(int(self.starts[piece]), int(self.starts[piece + 1]))
                size = where.stop - where.start
                ids_BT[b, at : at + size] = self.ids_M[where]
                labels_BT[b, at : at + size] = self.labels_M[where]
                positions_BT[b, at : at + size] = np.arange(size)
                at += size
        return torch.from_numpy(ids_BT), torch.from_numpy(positions_BT), torch.from_numpy(labels_BT)


class LanguageTask:
    """A `tasks.Task`. Its accuracy is that of the next token, its loss in nats a token."""

    classes: tuple[str, ...] = ()

    def __init__(self, config: Config, tokenizer: Tokenizer, splits: Mapping[Split, Rows], digest: str) -> None:
        self.name: str = config.name
        self.config, self.tokenizer, self.splits, self.digest = config, tokenizer, splits, digest
        ids = Input((None,), "int64", len(tokenizer), longest=config.max_tokens)
        self.inputs: Mapping[str, Input] = {"ids": ids, "positions": Input((None,), "int64", longest=config.max_tokens)}
        self.processor: Mapping[str, Any] = tokenizer.description()

    def size(self, split: Split) -> int:
        return len(self.splits[split])

    def lengths(self, split: Split) -> Tensor | None:
        """Tokens of each row; packed ones are all about as long."""
        return None if self.config.pack else self.splits[split].lengths()

    def batch(self, split: Split, indices_B: Tensor, generator: torch.Generator | None = None) -> Batch:
        ids_BT, positions_BT, labels_BT = self.splits[split].batch(indices_B.tolist(), self.config.max_tokens)
        return Batch({"ids": ids_BT, "positions": positions_BT}, labels_BT)

    def loss(self, model: nn.Module, batch: Batch, smoothing: float = 0.0) -> Tensor:
        """Mean cross-entropy of the tokens that count, without ever holding the logits of all of them."""
        if isinstance(model, LanguageModel):
            x_BTD, _ = model.features(batch.inputs["ids"], batch.inputs["positions"])
            return next_token_loss(x_BTD.flatten(0, 1), model.head, batch.labels_B.flatten(), smoothing)
        logits_BTV = model(**batch.inputs)
        return nn.functional.cross_entropy(
            logits_BTV.flatten(0, 1).float(), batch.labels_B.flatten(), ignore_index=IGNORED, label_smoothing=smoothing
        )

    def evaluate(self, predict: Predict, split: Split, batch: int = 500) -> Evaluation:
        """Run `predict` over a split and keep correctness, loss and text of every token that counts."""
        correct, losses, texts = [], [], []
        order_R = self.splits[split].lengths().argsort(stable=True)
        rows = max(1, min(batch, ANSWERED // (self.config.max_tokens * len(self.tokenizer))))
        seen = 0
        for indices_B in order_R.split(rows):
            part = self.batch(split, indices_B)
            logits_BTV = torch.from_numpy(predict({name: x.numpy() for name, x in part.inputs.items()}))
            counts_BT = part.labels_B != IGNORED
            logits_NV, labels_N = logits_BTV[counts_BT].float(), part.labels_B[counts_BT]
            text_BT = (part.inputs["positions"] == 0).flatten().cumsum(0).view_as(counts_BT) + seen
            seen = int(text_BT.max())
            correct.append((logits_NV.argmax(1) == labels_N).numpy())
            losses.append(nn.functional.cross_entropy(logits_NV, labels_N, reduction="none").numpy())
            texts.append(text_BT[counts_BT].numpy())
        return Evaluation(np.concatenate(correct), np.concatenate(losses), np.concatenate(texts))

    def example(self, batch: int = 1) -> dict[str, Tensor]:
        """The first validation rows, repeated where there are fewer."""
        return self.batch("validation", torch.arange(batch) % self.size("validation")).inputs

    def write_processor(self, folder: Path) -> None:
        """Write the tokenizer and the template."""
        self.tokenizer.write(folder)


def open(config: Config) -> LanguageTask:
    """Read the texts and make rows of tokens. Raises UserError where there are none, or a split would be empty."""
    tokenizer = tokenizer_named(config.tokenizer)
    places = {"train": config.data, "validation": config.validation_data, "test": config.test_data}
    key = {
        "texts": {split: seal(place) for split, place in places.items() if place},
        "tokenizer": tokenizer.digest,
        "template": tokenizer.template,
        "version": VERSION,
        "config": {k: v for k, v in recipe.plain(config).items() if k not in ("tokenizer", "pack", *_PLACES)},
    }
    made = prepared("language", key, lambda: _tensors(config, tokenizer))
    splits: dict[Split, Rows] = {}
    for split in ("train", "validation", "test"):
        ids_M, labels_M, starts = (made[f"{split}.{part}"].numpy() for part in ("ids", "labels", "starts"))
        sizes = np.diff(starts).tolist()
        rows = packing.pack(sizes, config.max_tokens) if config.pack else [[at] for at in range(len(sizes))]
        if not rows:
            raise UserError("task.data", config.data, f"nothing is left for the {split} split", "task.validation=0.1")
        splits[split] = Rows(ids_M, labels_M, starts, rows)
    return LanguageTask(config, tokenizer, splits, recipe.digest({**key, "pack": config.pack}))


_PLACES = ("data", "validation_data", "test_data")


def tokenizer_named(name: str) -> Tokenizer:
    """The tokenizer of an artifact's folder, of a known model, or of bytes. Raises UserError for anything else."""
    if name in ("", "bytes"):
        return byte_tokenizer()
    folder = Path(name)
    if folder.is_dir() and ((folder / artifact.MANIFEST).is_file() or (folder / "artifact").is_dir()):
        found = artifact.open(folder)
        return Tokenizer.read(found.folder, found.processor)
    from netwright.models import imports  # the same floor; it knows the formats in which tokenizers come

    return imports.tokenizer(name)


def byte_tokenizer() -> Tokenizer:
    """Every byte a token, and one that ends a text: 257 ids."""
    from tokenizers import pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    ids = {letter: at for at, letter in enumerate(letters)}
    ids["<|endoftext|>"] = len(ids)
    from netwright.models.imports import vocabulary

    written = vocabulary.byte_level(ids, [], {"<|endoftext|>": vocabulary.CONTROL}, "gpt-2")
    return Tokenizer(written, {"eos_token": "<|endoftext|>", "bos_token": "<|endoftext|>"}, (256,))


def records(place: str, config: Config) -> Iterator[Record]:
    """The texts and conversations of a place, or of a sample that ships."""
    return text.read(_path(place), text.Config(unit=config.unit, column=config.column))


def _path(place: str) -> str | Path:
    if place not in SAMPLES:
        return place
    found = resources.files("netwright.data").joinpath("samples", SAMPLES[place])
    return Path(str(found))


def seal(place: str) -> str:
    """What tells a change of a source of texts: sha256 of files, or the name of a dataset on the hub."""
    path = Path(_path(place))
    if path.is_file():
        return artifact.describe(path).sha256
    if path.is_dir():
        files = sorted(one for one in path.rglob("*") if one.is_file())
        return recipe.digest({str(one.relative_to(path)): artifact.describe(one).sha256 for one in files})
    return place


def encode(record: Record, tokenizer: Tokenizer, learn: str) -> tuple[list[int], NDArray[np.bool_]]:
    """A record's ids, its end included, and which of them are learned."""
    if not record.messages:
        end = tokenizer.id(tokenizer.special.get("eos_token", ""))
        ids = [*tokenizer.encode(record.text), *([] if end is None else [end])]
        return ids, np.ones(len(ids), bool)
    read = prompt.conversation(tokenizer, record.messages)
    return read.ids, np.ones(len(read.ids), bool) if learn == "all" else read.learned


def _tensors(config: Config, tokenizer: Tokenizer) -> dict[str, Tensor]:
    with progress(f"Reading {config.data}", None, unit="texts") as advance:

        def encoded(place: str) -> list[tuple[list[int], NDArray[np.bool_]]]:
            found = []
            for record in records(place, config):
                found.append(encode(record, tokenizer, config.learn))
                advance(1)
            if not found:
                raise UserError("task.data", place, "holds no texts", "netwright data show " + place)
            return found

        texts: dict[str, Any] = {"train": encoded(config.data)}
        for split, place in (("validation", config.validation_data), ("test", config.test_data)):
            if place:
                texts[split] = encoded(place)
    if len(texts) < 3 and len(texts["train"]) < FEW:
        texts = _stretches(texts, config)
    for split in ("validation", "test"):
        if split not in texts:
            contents = [np.array(ids, np.int32).tobytes() for ids, _ in texts["train"]]
            kept, held = hold_out(contents, config.validation, config.seed + (split == "test"), 0)
            texts[split] = [texts["train"][at] for at in held.tolist()]
            texts["train"] = [texts["train"][at] for at in kept.tolist()]
    if config.limit:
        texts["train"] = texts["train"][: config.limit]
    return {f"{split}.{part}": x for split, found in texts.items() for part, x in _pieces(found, config).items()}


def _stretches(texts: dict[str, Any], config: Config) -> dict[str, Any]:
    """Of few long texts the last stretches are held out: validation, then test."""
    share = config.validation if config.validation < 1 else 0.05
    found: dict[str, Any] = {"train": [], **{split: texts[split] for split in texts if split != "train"}}
    missing = [split for split in ("validation", "test") if split not in texts]
    for ids, learned in texts["train"]:
        cut = max(1, round(share * len(ids)))
        end = len(ids) - cut * len(missing)
        found["train"].append((ids[:end], learned[:end]))
        for number, split in enumerate(missing):
            where = slice(end + number * cut, end + (number + 1) * cut)
            found.setdefault(split, []).append((ids[where], learned[where]))
    return found


def _pieces(texts: Sequence[tuple[list[int], NDArray[np.bool_]]], config: Config) -> dict[str, Tensor]:
    """Pairs of token and next token, cut into windows of at most `max_tokens`; those without loss are left out."""
    ids, labels, sizes = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)], []
    step = config.max_tokens - config.overlap
    for tokens, learned in texts:
        whole = np.array(tokens, np.int32)
        targets = np.where(learned[1:], whole[1:], IGNORED).astype(np.int32)
        for at in range(0, max(1, len(targets) - config.overlap), step):
            part = targets[at : at + config.max_tokens].copy()
            if at:
                part[: config.overlap] = IGNORED
            if (part != IGNORED).any():
                ids.append(whole[at : at + len(part)])
                labels.append(part)
                sizes.append(len(part))
    joined = {"ids": np.concatenate(ids), "labels": np.concatenate(labels)}
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return {**{name: torch.from_numpy(x) for name, x in joined.items()}, "starts": torch.from_numpy(starts)}


def shown(task: LanguageTask, split: Split, row: int) -> list[tuple[str, int, bool]]:
    """The tokens of a row as text, their ids, and whether each is learned: what `netwright data show` prints."""
    batch = task.batch(split, torch.tensor([row]))
    ids, labels = batch.inputs["ids"][0].tolist(), batch.labels_B[0].tolist()
    learned = [False, *(label != IGNORED for label in labels[:-1])]
    return [(task.tokenizer.decode([at], special=True), at, own) for at, own in zip(ids, learned, strict=True)]
