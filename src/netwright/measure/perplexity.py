"""Perplexity of a language model on texts: by a window that slides, by token and by byte, alone or beside another.

    reading = read(artifact, texts_of("book.txt"), Config(window=512))
    reading.measurements()                       # perplexity and bits per byte, with intervals
    ratio(reading, other)                        # of two on the same tokens, in pairs

The first tokens of a window are what the one before it has counted already: context without loss. The interval is over
texts, or over stretches of one text, for tokens near each other are alike.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from netwright.core import recipe, stats
from netwright.core.artifact import Artifact
from netwright.core.error import UserError
from netwright.core.measurement import Measurement
from netwright.core.recipe import Range
from netwright.core.run import progress
from netwright.data import prompt, text
from netwright.data.tasks import Evaluation
from netwright.data.text import Record
from netwright.data.tokenizer import Tokenizer
from netwright.measure import likelihood

FEW = 20
"""An interval is over so many groups at least, where there are so many tokens: of fewer texts, over stretches."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """How texts are read."""

    window: Annotated[int, Range(0, 10_000_000)] = 0
    """Tokens that are read together; 0: as many as the model reads, 1024 at most."""
    stride: Annotated[int, Range(0, 10_000_000)] = 0
    """Tokens by which the window slides, and so the loss is taken on; 0: half of it."""
    tokens: Annotated[int, Range(0)] = 16_384
    """Read no more than so many; 0: all."""
    threads: Annotated[int, Range(0, 4096)] = 1


@dataclass(frozen=True)
class Reading:
    """What a model lost on every token that counts, and how many bytes of text each stands for."""

    seen: Evaluation
    bytes_N: NDArray[np.int64]
    tokens: str
    """sha256 of the ids, their windows and what counts: readings are paired where it is the same."""
    about: dict[str, Any] = field(default_factory=dict)

    def measurements(self, **about: Any) -> list[Measurement]:
        """Perplexity of a token, and bits of a byte, with intervals over groups of tokens."""
        conditions = {**self.about, **about.pop("conditions", {})}
        _, group_N = np.unique(np.asarray(self.seen.text_N), return_inverse=True)
        nats_G, bytes_G = np.bincount(group_N, self.seen.loss_N), np.bincount(group_N, self.bytes_N)
        bits = stats.ratio_of_sums(nats_G / math.log(2), bytes_G) if bytes_G.sum() else None
        found = [self.seen.perplexity(**about, conditions=conditions)]
        if bits is not None:
            low, value, high, n = max(0.0, bits.low), bits.value, bits.high, bits.n
            found.append(
                Measurement(
                    quantity="bits_per_byte", value=value, low=low, high=high, n=n, **about, conditions=conditions
                )
            )
        return found


@dataclass(frozen=True)
class Encoded:
    """A text as ids, which of them count, and the bytes that each adds."""

    ids: list[int]
    counts_T: NDArray[np.bool_]
    bytes_T: NDArray[np.int64]


def texts_of(source: str | Path) -> list[Record]:
    """The texts and conversations of a file or folder, a million at most. Raises UserError where there are none."""
    return list(itertools.islice(text.read(source), 1_000_000))


def read(artifact: Artifact, texts: Sequence[Record | str], config: Config | None = None) -> Reading:
    """Read texts with a sliding window. Of conversations only the replies count.

    Raises UserError for an artifact that is no language model, a window that it does not read, and texts of which no
    token can be predicted.
    """
    config = config or Config()
    tokenizer = Tokenizer.read(artifact.folder, artifact.processor)
    reader = likelihood.open(artifact, config.threads)
    window, stride = windows(config, reader.longest)
    pieces = _enough(texts, tokenizer, config.tokens)
    plan = list(_windows(pieces, window, stride, config.tokens))
    if not plan:
        raise UserError("text", len(texts), "holds no token that can be predicted", "give a longer text")
    losses, correct, sizes, texts_N = [], [], [], []
    with progress(f"reading with {artifact.format} {artifact.precision}", len(plan), unit="windows") as advance:
        for at, begin, first, end in plan:
            piece = pieces[at]
            loss_n, right_n = reader.losses(piece.ids[begin:end], first - begin)
            counts_n = piece.counts_T[first:end]
            losses.append(loss_n[counts_n])
            correct.append(right_n[counts_n])
            sizes.append(piece.bytes_T[first:end][counts_n])
            texts_N.append(np.full(int(counts_n.sum()), at))
            advance()
    text_N = np.concatenate(texts_N)
    group_N, over = _groups(text_N, stride)
    seen = Evaluation(np.concatenate(correct), np.concatenate(losses), group_N)
    counted = [[pieces[at].ids[begin:end], pieces[at].counts_T[first:end].tolist()] for at, begin, first, end in plan]
    about = {"window": window, "stride": stride, "tokens": len(text_N), "over": over, "executed": reader.precision}
    about |= {"format": artifact.format, "threads": config.threads}
    return Reading(seen, np.concatenate(sizes), recipe.digest([tokenizer.digest, counted]), about)


def ratio(candidate: Reading, reference: Reading, **about: Any) -> Measurement | None:
    """Perplexity of the candidate over that of the reference, in pairs; None where tokens or windows differ."""
    if candidate.tokens != reference.tokens:
        return None
    return candidate.seen.perplexity_ratio(reference.seen, **about)


def windows(config: Config, longest: int) -> tuple[int, int]:
    """Window and stride for a model that reads `longest` tokens (0: unknown). Raises UserError where it cannot."""
    window = config.window or min(longest or 1024, 1024)
    if longest and window > longest:
        raise UserError("evaluate.window", window, f"this model reads {longest:,} tokens at most", "evaluate.window=0")
    stride = config.stride or max(1, window // 2)
    if window < 2 or stride >= window:
        allowed = f"less than the window, {window} tokens, so that each token has one before it"
        raise UserError("evaluate.stride", stride, allowed, "evaluate.stride=0")
    return window, stride


def _windows(pieces: Iterable[Encoded], window: int, stride: int, most: int) -> Iterator[tuple[int, int, int, int]]:
    """(text, begin, first that counts, end) of each window in which a token counts, until `most` tokens counted."""
    done = 0
    for at, piece in enumerate(pieces):
        first, begin = 1, 0
        while first < len(piece.ids) and not 0 < most <= done:
            end = min(begin + window, len(piece.ids))
            if most:
                end = min(end, first + most - done)
            counted = int(piece.counts_T[first:end].sum())
            if counted:
                yield at, begin, first, end
            done += counted
            first, begin = end, max(begin, end - (window - stride))


def _groups(text_N: NDArray[np.int64], stride: int) -> tuple[NDArray[np.int64], str]:
    """Which tokens are alike: those of a text, or where there are few, those of a stretch of one."""
    if len(np.unique(text_N)) >= FEW:
        return text_N, "texts"
    size = max(1, min(stride, len(text_N) // FEW))
    return np.arange(len(text_N)) // size, f"stretches of {size} tokens"


def _enough(texts: Sequence[Record | str], tokenizer: Tokenizer, most: int) -> list[Encoded]:
    """Texts until `most` tokens count, so that of many no more are encoded than will be read."""
    found, counted = list[Encoded](), 0
    for one in texts:
        if 0 < most <= counted:
            break
        found.append(_encoded(one, tokenizer))
        counted += max(0, int(found[-1].counts_T[1:].sum()))
    return found


def _encoded(one: Record | str, tokenizer: Tokenizer) -> Encoded:
    if isinstance(one, Record) and one.messages:
        read = prompt.conversation(tokenizer, one.messages)
        ids, learned, rendered, places = read.ids, read.learned, read.text, read.places
        first = list[int]()
    else:
        rendered = one if isinstance(one, str) else one.text
        found, places = tokenizer.encode_with_places(rendered)
        first = tokenizer.beginning()
        ids, learned = [*first, *found], np.ones(len(first) + len(found), bool)
    return Encoded(ids, learned, np.concatenate([np.zeros(len(first), np.int64), _bytes(rendered, places)]))


def _bytes(rendered: str, places: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """Bytes that each token adds: a letter of several tokens counts with the first of them."""
    if not places:
        return np.zeros(0, np.int64)
    widths = np.fromiter((len(letter.encode("utf-8", "surrogatepass")) for letter in rendered), np.int64, len(rendered))
    ends = np.maximum.accumulate(np.array([end for _, end in places]))
    ends[-1] = len(rendered)
    return np.diff(np.concatenate([[0], np.cumsum(widths)])[ends], prepend=0)
