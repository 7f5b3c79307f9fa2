"""What texts cost a language model: the loss of every token after those before it, in whatever format it is.

    reader = open(artifact, threads=2)
    loss_n, correct_n = reader.losses(ids, first=12)        # of ids[12:], in nats

What was read before is read once: texts that begin alike (one question, several answers) share their beginning. This
file does not know texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from netwright import export
from netwright.core.artifact import Artifact
from netwright.core.error import UserError
from netwright.export import Runner, decoding
from netwright.export.decoding import Decoder

PIECE = 16_000_000
"""Logits held at once: 64 MB."""
Losses = tuple[NDArray[np.float64], NDArray[np.bool_]]
"""Nats of each token, and whether it was the likeliest."""


def open(artifact: Artifact, threads: int = 1) -> Reader:
    """A language model to read with: by its decoder, or where its format has none, by its runner."""
    if "positions" not in artifact.inputs:
        raise UserError("artifact", artifact.name, "reads no text: it is no language model", "netwright runs list")
    if artifact.format in decoding.DECODERS:
        return Reader(decoding.open(artifact, threads))
    return Reader(Whole(export.open(artifact, threads), artifact))


class Reader:
    """A decoder, and the ids that it has read."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self.precision, self.longest = decoder.precision, decoder.longest
        self._read: list[int] = []

    def losses(self, ids: Sequence[int], first: int = 1) -> Losses:
        """Nats of ids[first:], each after all before it, and whether it was the likeliest; `first` is 1 or more."""
        if not 0 < first < len(ids):
            raise ValueError(f"from token {first} of {len(ids)} on there is nothing to predict")
        at = min(shared(self._read, ids), first - 1)
        self.decoder.keep(at)
        del self._read[at:]
        if at < first - 1:
            self._feed(ids[at : first - 1])
        found: list[Losses] = []
        piece = max(1, PIECE // max(1, self.decoder.vocabulary))
        for begin in range(first - 1, len(ids) - 1, piece):
            end = min(begin + piece, len(ids) - 1)
            found.append(nats(self._feed(ids[begin:end], True), np.asarray(ids[begin + 1 : end + 1])))
        loss, correct = zip(*found, strict=True)
        return np.concatenate(loss), np.concatenate(correct)

    def forget(self) -> None:
        """Begin anew: the decoder was used for something else."""
        self._read = []

    def _feed(self, ids: Sequence[int], all: bool = False) -> NDArray[np.float32]:
        logits = self.decoder.feed(ids, all)
        self._read += ids
        return logits


def nats(logits_TV: NDArray[np.float32], labels_T: NDArray[np.int64]) -> Losses:
    """Cross-entropy of each row, its sum in fp64, and whether the label is the largest."""
    highest_T1 = logits_TV.max(1, keepdims=True)
    total_T = np.log(np.exp(logits_TV - highest_T1).sum(1, dtype=np.float64))
    own_T = logits_TV[np.arange(len(labels_T)), labels_T].astype(np.float64)
    return total_T + highest_T1[:, 0] - own_T, logits_TV.argmax(1) == labels_T


class Whole:
    """A decoder of any runner: it reads everything again with each call, so it writes slowly."""

    layers: Mapping[str, int]

    def __init__(self, runner: Runner, artifact: Artifact) -> None:
        self._runner, self._read = runner, list[int]()
        self.precision, self.layers = runner.precision, runner.layers
        stated = artifact.inputs["ids"]
        self.vocabulary, self.longest = int(stated.get("vocabulary", 0)), int(stated.get("longest", 0)) or 1 << 20

    def __len__(self) -> int:
        return len(self._read)

    def feed(self, ids: Sequence[int], all: bool = False) -> NDArray[np.float32]:
        decoding.room(len(self), len(ids), self.longest)
        self._read += ids
        ids_1T, positions_1T = np.array([self._read], np.int64), np.arange(len(self._read), dtype=np.int64)[None]
        logits_TV = self._runner({"ids": ids_1T, "positions": positions_1T})[0, -len(ids) :]
        answer: NDArray[np.float32] = logits_TV if all else logits_TV[-1]
        return answer

    def keep(self, count: int) -> None:
        del self._read[count:]


def shared(one: Sequence[int], other: Sequence[int]) -> int:
    """Ids that both begin with."""
    count = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        count += 1
    return count
