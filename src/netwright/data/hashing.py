"""Text to hashed ids: words, pairs of neighbouring words and parts of words, each by its CRC-32, without a vocabulary.

    encoder = Hashed(buckets=1 << 14, pairs=True, parts=4, max_tokens=256)
    encoder(["How do I bake bread?"])            # {"ids": (1, 32) int64, "mask": (1, 32) bool}

Texts are folded first (`data.text.folding`), so that look-alikes and invisible characters change nothing. Different
words may share an id: the fewer buckets, the more of them (Weinberger et al. 2009, arXiv:0902.2206).

Shape legend: B batch, T tokens.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from netwright.core.error import UserError
from netwright.data.text.folding import fold

PAD = 0
STEP = 32
"""Batches are padded to a multiple of this, so that few distinct lengths reach compilers and caches."""
KIND = "hashed"
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*|[!?]")


@dataclass(frozen=True)
class Hashed:
    """An encoder. `parts` is the length of the parts of words (0: none); id 0 is padding."""

    buckets: int
    pairs: bool
    parts: int
    max_tokens: int

    def __len__(self) -> int:
        return self.buckets

    def __call__(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """Texts as a model's inputs: ids_BT (int64) and mask_BT (True: a token)."""
        return self.pad([self.ids(text) for text in texts])

    def ids(self, text: str) -> list[int]:
        """Ids of one text: its words first, then pairs, then parts, as many as there is room for."""
        said = _WORD.findall(fold(text[: 16 * self.max_tokens]).text)
        ids: list[int] = []
        for one in self._tokens(said):
            if len(ids) == self.max_tokens:
                break
            ids.append(1 + zlib.crc32(one.encode()) % (self.buckets - 1))
        return ids

    def _tokens(self, said: Sequence[str]) -> Iterator[str]:
        yield from said
        if self.pairs:
            yield from (f"{one} {other}" for one, other in zip(["<", *said], [*said, ">"], strict=True))
        if self.parts:
            for word in said:
                edged = f"<{word}>"
                yield from (f"_{edged[at : at + self.parts]}" for at in range(max(0, len(edged) - self.parts + 1)))

    def pad(self, texts: Sequence[Sequence[int]]) -> dict[str, Tensor]:
        """Ids of texts as one batch, padded to the longest, rounded up to 32s; an empty text is padding."""
        longest = max((len(text) for text in texts), default=1)
        ids_BT = np.full((len(texts), min(self.max_tokens, -(-max(1, longest) // STEP) * STEP)), PAD, np.int64)
        for row, text in zip(ids_BT, texts, strict=True):
            row[: len(text)] = text
        ids = torch.from_numpy(ids_BT)
        return {"ids": ids, "mask": ids != PAD}

    def description(self) -> dict[str, Any]:
        """What a manifest says of it."""
        return {
            "kind": KIND, "buckets": self.buckets, "pairs": self.pairs, "parts": self.parts,
            "max_tokens": self.max_tokens,
        }  # fmt: skip

    @classmethod
    def read(cls, description: Mapping[str, Any]) -> Hashed:
        """The encoder of a manifest's `processor`. Raises UserError when it describes none."""
        found = [description.get(name) for name in ("buckets", "pairs", "parts", "max_tokens")]
        buckets, pairs, parts, room = found
        fine = description.get("kind") == KIND and type(buckets) is int and 2 <= buckets <= 1 << 24
        fine = fine and type(pairs) is bool and type(parts) is int and 0 <= parts <= 16
        if not (fine and type(room) is int and 8 <= room <= 100_000):
            raise UserError("processor", dict(description), "does not describe a hashed encoder", "export it again")
        return cls(*found)  # type: ignore[arg-type]
