"""A decoder that knows its lines: for tests, of one's own code too, without weights and in no time.

    decoder = Scripted(tokenizer.encode("Hello! How are you?") + [end], vocabulary=len(tokenizer))
    text = "".join(piece.text for piece in Engine(decoder, tokenizer).stream([1], Sampling()))

It answers the lines whatever the prompt is, or what a function of all ids says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from netwright.export.decoding import room


class Scripted:
    """A `Decoder`. The likeliest token is the next of `lines`, after those that were read last, or `lines(ids)`."""

    precision: str = "fp32"
    layers: Mapping[str, int]

    def __init__(
        self,
        lines: Sequence[int] | Callable[[Sequence[int]], int],
        vocabulary: int,
        longest: int = 1 << 20,
        fail_after: int = 1 << 60,
    ) -> None:
        self.vocabulary, self.longest, self.fail_after = vocabulary, longest, fail_after
        self.layers = {}
        self.read: list[int] = []
        self.fed: list[int] = []
        """Tokens of every call, in order: what was computed."""
        self._lines = lines if callable(lines) else list(lines)

    def __len__(self) -> int:
        return len(self.read)

    def feed(self, ids: Sequence[int], all: bool = False) -> NDArray[np.float32]:
        """Logits of 10 for what comes next, and less for the ids after it, so that there is always an order."""
        room(len(self.read), len(ids), self.longest)
        self.fed.append(len(ids))
        if len(self.fed) > self.fail_after:
            raise RuntimeError("the script says that the runtime fails here")
        logits = []
        for at in ids:
            self.read.append(int(at))
            logits.append(self._logits())
        return np.stack(logits) if all else logits[-1]

    def keep(self, count: int) -> None:
        """Forget all but the first `count` tokens."""
        del self.read[count:]

    def _logits(self) -> NDArray[np.float32]:
        if callable(self._lines):
            wanted = self._lines(self.read)
        else:
            said = next(
                n for n in range(len(self._lines), -1, -1) if self.read[len(self.read) - n :] == self._lines[:n]
            )
            wanted = self._lines[min(said, len(self._lines) - 1)]
        x = -np.abs(np.arange(self.vocabulary) - wanted).astype(np.float32)
        x[wanted] = 10.0
        return x
