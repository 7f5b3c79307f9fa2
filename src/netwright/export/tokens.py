"""How far one language model's answers are from another's, token by token, a few rows at a time.

Logits of 1,000 rows of 256 tokens and 49,152 ids would take 50 GB, so sums are kept and not logits. Tokens that count
are those with a label: neither padding, nor what a task leaves out of its loss. Does not know how a file was made.

Shape legend: B rows, T tokens of a row, N tokens that count, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from netwright.core import stats
from netwright.data.tasks import IGNORED

if TYPE_CHECKING:
    from netwright.data.tasks import Task

TOKENS = 8192
"""Tokens that count, of a certificate: with 135 million parameters a minute of one core for each model."""
HELD = 16_000_000
"""Logits held at once of each model: 64 MB."""
SIZES = (1, 1, 2, 3, 5)
"""Rows of the first batches."""
LENGTHS = (1, 2, 9)
"""What a batch is cut to, besides the lengths of its rows."""
LIMITS = {  # precision -> the smallest agreement, the largest perplexity over that of the reference
    "fp32": (0.999, 1.001),
    "bf16": (0.95, 1.01),
    "fp16": (0.95, 1.01),
    "int8": (0.9, 1.02),
    "int8-dynamic": (0.9, 1.02),
    "int8-weights": (0.9, 1.02),
    "int4": (0.75, 1.05),
    "int4-weights": (0.75, 1.05),
}
"""Next tokens are often near ties, which a rounding decides: perplexity is what rules."""
Answer = Callable[[Mapping[str, NDArray[Any]]], NDArray[np.float32]]


@dataclass
class Compared:
    """Sums over tokens, and what was seen on each of those that count."""

    squares: float = 0.0
    signal: float = 0.0
    largest: float = 0.0
    finite: bool = True
    rows: int = 0
    same: list[NDArray[np.bool_]] = field(default_factory=list)
    losses: list[NDArray[np.float64]] = field(default_factory=list)
    """Of the candidate and the reference, loss_N2."""
    owners: list[NDArray[np.int64]] = field(default_factory=list)
    """Which row each token stands in."""
    batches: set[int] = field(default_factory=set)
    lengths: set[int] = field(default_factory=set)

    @property
    def agreement(self) -> stats.Interval:
        """Share of tokens with the same top id, its interval over rows; `n` counts tokens."""
        same_N = np.concatenate(self.same)
        share = stats.clustered(same_N, np.concatenate(self.owners))
        return stats.Interval(share.value, max(0.0, share.low), min(1.0, share.high), len(same_N))

    @property
    def perplexities(self) -> tuple[float, float]:
        """Of the candidate, and of the reference."""
        candidate, reference = np.concatenate(self.losses).mean(0).tolist()
        return math.exp(min(candidate, 700.0)), math.exp(min(reference, 700.0))

    def add(self, got_BTV: NDArray[np.float32], want_BTV: NDArray[np.float32], labels_BT: NDArray[np.int64]) -> None:
        """Take a batch in."""
        for row, labels_T in enumerate(labels_BT):
            counts_T = labels_T != IGNORED
            got_NV, want_NV, labels_N = got_BTV[row, counts_T], want_BTV[row, counts_T], labels_T[counts_T]
            apart_NV = got_NV - want_NV
            self.finite &= bool(np.isfinite(apart_NV).all())
            self.squares += float(np.vdot(apart_NV, apart_NV))
            self.signal += float(np.vdot(want_NV, want_NV))
            self.largest = max(self.largest, float(np.abs(apart_NV).max(initial=0.0)))
            self.same.append(got_NV.argmax(1) == want_NV.argmax(1))
            self.losses.append(np.stack([losses(got_NV, labels_N), losses(want_NV, labels_N)], 1))
            self.owners.append(np.full(len(labels_N), self.rows))
            self.rows += 1
        self.batches.add(len(labels_BT))
        self.lengths.add(labels_BT.shape[1])


def compared(candidate: Answer, reference: Answer, task: Task, n: int, advance: Callable[[int], object]) -> Compared:
    """Compare two models on `n` validation rows, or on as many as have `TOKENS` tokens that count."""
    found = Compared()
    first: dict[str, NDArray[Any]] = {}
    for inputs, labels_BT in _batches(task, n):
        first = first or inputs
        found.add(candidate(inputs), reference(inputs), labels_BT)
        advance(len(labels_BT))
        if sum(map(len, found.same)) >= TOKENS:
            break
    T = next(iter(first.values())).shape[1]
    for length in LENGTHS:
        if length < T:
            cut = {name: x[:, :length] for name, x in first.items()}
            got_BTV, want_BTV = candidate(cut), reference(cut)
            found.squares += float(((got_BTV - want_BTV) ** 2).sum())
            found.signal += float((want_BTV**2).sum())
            found.finite &= bool(np.isfinite(got_BTV).all())
            found.lengths.add(length)
    return found


def losses(logits_NV: NDArray[np.float32], labels_N: NDArray[np.int64]) -> NDArray[np.float64]:
    """Cross-entropy of each token, in nats."""
    wide_NV = logits_NV.astype(np.float64)
    highest_N1 = wide_NV.max(1, keepdims=True)
    whole_N = np.log(np.exp(wide_NV - highest_N1).sum(1)) + highest_N1[:, 0]
    loss_N: NDArray[np.float64] = whole_N - wide_NV[np.arange(len(labels_N)), labels_N]
    return loss_N


def faults(found: Compared, precision: str) -> list[str]:
    """Where a candidate of this precision is further from its reference than it may be."""
    least, most = LIMITS[precision]
    said = []
    share, (candidate, reference) = found.agreement, found.perplexities
    if share.value < least:
        said.append(f"top-1 agreement {share.value:.4f} is below {least:g}")
    if not candidate <= most * reference:
        said.append(f"perplexity {candidate:.4g} is above {most:g} times {reference:.4g}")
    return said


def _batches(task: Task, n: int) -> Iterator[tuple[dict[str, NDArray[Any]], NDArray[np.int64]]]:
    import torch

    order_N = torch.randperm(task.size("validation"), generator=torch.Generator().manual_seed(0))[:n]
    ids = task.inputs["ids"]
    most = max(1, HELD // (max(1, ids.longest) * max(1, ids.vocabulary)))
    start = 0
    for size in (*SIZES, *[most] * len(order_N)):
        if start < len(order_N):
            batch = task.batch("validation", order_N[start : start + min(size, most)])
            yield {name: x.numpy() for name, x in batch.inputs.items()}, batch.labels_B.numpy()
            start += min(size, most)
