"""What may be wrong with labelled data: copies, leaks, empties, unbalanced classes, labels that look wrong.

Each check says its method and how many it found, with the first or worst few. They see a task only through
its batches, so they work for every task. This file does not know how a finding is printed.

Shape legend: B batch, N examples of all splits together, K classes.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SHOWN = 20
DOUBT = 0.01
"""A label of at most this calibrated probability is counted as suspect."""
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Finding:
    """`count` examples or pairs; `examples` name some of them as "train 17"; `method` says how they were found."""

    check: str
    count: int
    method: str
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Places:
    """Where example n of all splits together stands: its split, its index there, its label."""

    split_N: NDArray[np.int64]
    index_N: NDArray[np.int64]
    labels_N: NDArray[np.int64]
    classes: tuple[str, ...]

    def name(self, n: int) -> str:
        return f"{SPLITS[self.split_N[n]]} {self.index_N[n]}"

    def labelled(self, n: int) -> str:
        return f"{self.name(n)} ({self.classes[self.labels_N[n]]})"


def fingerprint(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()


def copies(places: Places, fingerprints: Sequence[bytes]) -> list[Finding]:
    """Exact copies within a split, across splits, and with another label."""
    groups: dict[bytes, list[int]] = defaultdict(list)
    for n, content in enumerate(fingerprints):
        groups[content].append(n)
    several = [group for group in groups.values() if len(group) > 1]
    within, leaks, torn = [], [], []
    for group in several:
        first: dict[int, int] = {}
        for n in group:
            split = int(places.split_N[n])
            if split in first:
                within.append((first[split], n))
            else:
                leaks += [(other, n) for other in first.values()]
                first[split] = n
        if len({int(places.labels_N[n]) for n in group}) > 1:
            torn.append((group[0], next(n for n in group if places.labels_N[n] != places.labels_N[group[0]])))
    within, leaks, torn = sorted(within), sorted(leaks), sorted(torn)
    method = "equal bytes of the unaugmented inputs"
    return [
        _pairs("copies within a split", within, places, method),
        _pairs("leaks: copies across splits", leaks, places, method),
        _pairs("copies with different labels", torn, places, method),
    ]


def near_copies(
    places: Places, candidates: Iterable[tuple[int, int]], fingerprints: Sequence[bytes], method: str
) -> Finding:
    """Pairs that are nearly equal, those that are exactly equal left out."""
    found = sorted({(min(a, b), max(a, b)) for a, b in candidates if fingerprints[a] != fingerprints[b]})
    across = [bool(places.split_N[a] != places.split_N[b]) for a, b in found]
    leaks_first = [pair for pair, leak in zip(found, across, strict=True) if leak]
    leaks_first += [pair for pair, leak in zip(found, across, strict=True) if not leak]
    return _pairs("near copies", leaks_first, places, f"{method}; {sum(across)} across splits")


def empties(places: Places, empty_N: NDArray[np.bool_], method: str) -> Finding:
    """Examples with nothing in them: images of one colour, texts without a word."""
    found = np.flatnonzero(empty_N)
    return Finding("empties", len(found), method, tuple(places.labelled(n) for n in found[:SHOWN]))


def imbalance(places: Places) -> Finding:
    """Classes that hold less than half or more than twice their even share of a split."""
    found = []
    for s, split in enumerate(SPLITS):
        count_K = np.bincount(places.labels_N[places.split_N == s], minlength=len(places.classes))
        even = count_K.sum() / len(count_K)
        found += [f"{split} {places.classes[k]}: {n:,}" for k, n in enumerate(count_K) if not even / 2 <= n <= even * 2]
    return Finding("class imbalance", len(found), "below half or above twice the even share", tuple(found[:SHOWN]))


def label_suspects(places: Places, scores_NK: Tensor, classifier: str) -> Finding:
    """Labels that look wrong, by confident learning (Northcutt, Jiang and Chuang 2021, arXiv:1911.00068).

    A label is suspect when the likeliest class is another one, reaches that class's own average confidence,
    and leaves less than DOUBT for the given label; without the last rule, which is ours, a classifier that is
    right on 64 % of CIFAR-10 suspects 9,000 of its labels. The worst come first, by the margin of the
    given label. With a weak classifier suspects are often merely hard, so its accuracy is told.
    """
    labels_N = torch.from_numpy(places.labels_N)
    share_NK = (calibrate(scores_NK, labels_N) * scores_NK).softmax(1)
    own_N = share_NK.gather(1, labels_N[:, None]).squeeze(1)
    counts_K = torch.bincount(labels_N, minlength=share_NK.shape[1])
    threshold_K = torch.zeros(share_NK.shape[1]).scatter_add_(0, labels_N, own_N) / counts_K.clamp_min(1)
    best_N, other_N = share_NK.max(1)
    confident_N = (other_N != labels_N) & (best_N >= threshold_K[other_N])
    suspect_N = confident_N & (own_N < DOUBT)
    margin_N = torch.where(suspect_N, own_N - best_N, torch.inf)
    worst = torch.argsort(margin_N, stable=True)[: min(SHOWN, int(suspect_N.sum()))].tolist()
    right = float((other_N == labels_N).double().mean())
    return Finding(
        "label suspects",
        int(suspect_N.sum()),
        f"confident learning on {classifier}, out of fold right on {100 * right:.1f} %: {int(confident_N.sum()):,} "
        f"confidently another class, counted where the label has below {DOUBT:.0%} probability",
        tuple(f"{places.labelled(n)} looks like {places.classes[int(other_N[n])]}" for n in worst),
    )


def calibrate(scores_NK: Tensor, labels_N: Tensor) -> float:
    """The factor on scores whose softmax has the least log loss (Guo et al. 2017), from a grid of ratios 1.25."""
    factors = [1.25**power for power in range(-4, 21)]
    losses = [float(torch.nn.functional.cross_entropy(factor * scores_NK, labels_N)) for factor in factors]
    return factors[int(np.argmin(losses))]


def _pairs(check: str, found: Sequence[tuple[int, int]], places: Places, method: str) -> Finding:
    shown = tuple(f"{places.labelled(a)} = {places.labelled(b)}" for a, b in found[:SHOWN])
    return Finding(check, len(found), method, shown)
