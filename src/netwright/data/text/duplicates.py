"""Exact and near duplicates: hashes of the normalised text, and MinHash with locality-sensitive hashing.

    signatures = np.stack([signature(text) for text in texts])
    pairs = near(signatures, 0.8)                   # [(3, 17, 0.93), ...]

A text is the set of its runs of five characters; the share of equal places in two signatures estimates the
Jaccard similarity of the sets (Broder 1997), with a standard deviation of 0.035 at 0.8. A signature takes
512 bytes: 0.5 GB for a million texts. This file does not know records.

Shape legend: N texts, S shingles of a text, P permutations.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

PERMUTATIONS = 128
ROWS = 4
"""Rows of a band. 32 bands of 4 find a pair of similarity 0.8 with probability 1 - (1 - 0.8^4)^32 > 0.9999."""
SHINGLE = 5
LONGEST = 200_000
"""Characters that are looked at: what is as long and agrees so far is the same book."""
REACH = 3
"""Of a crowd with one hash each is compared with so many next ones, which keeps the cost linear."""
Signatures = NDArray[np.uint32]
_random = np.random.default_rng(20_260)
_FACTORS_P = _random.integers(1, 1 << 63, PERMUTATIONS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
_OFFSETS_P = _random.integers(0, 1 << 63, PERMUTATIONS, dtype=np.uint64)
_BASE = np.uint64(0x9E3779B97F4A7C15)


def normalised(text: str) -> str:
    """What two texts that say the same share: compatible characters, small letters, single spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def fingerprint(text: str) -> bytes:
    """16 bytes that are equal for texts that are equal when normalised."""
    return hashlib.blake2b(normalised(text).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def exact(fingerprints: Iterable[bytes]) -> list[list[int]]:
    """Groups of two or more texts with one fingerprint, by their places."""
    groups: dict[bytes, list[int]] = defaultdict(list)
    for n, content in enumerate(fingerprints):
        groups[content].append(n)
    return [group for group in groups.values() if len(group) > 1]


def signature(text: str) -> Signatures:
    """The MinHash of a text, shaped (P,)."""
    points = np.frombuffer(normalised(text)[:LONGEST].encode("utf-32-le", "surrogatepass"), np.uint32)
    points = points.astype(np.uint64) + np.uint64(1)
    count = max(1, len(points) - SHINGLE + 1)
    hash_S = np.zeros(count, np.uint64)
    for k in range(min(SHINGLE, len(points))):
        hash_S = hash_S * _BASE + points[k : k + count]
    hash_S ^= hash_S >> np.uint64(29)
    hash_S = np.unique(hash_S * _BASE)
    least_P = np.full(PERMUTATIONS, np.iinfo(np.uint64).max, np.uint64)
    for part in np.array_split(hash_S, -(-len(hash_S) // 2048)):
        np.minimum(least_P, (part[:, None] * _FACTORS_P + _OFFSETS_P).min(0), out=least_P)
    return (least_P >> np.uint64(32)).astype(np.uint32)


def similarity(a: Signatures, b: Signatures) -> float:
    """The estimated Jaccard similarity of two texts."""
    return float((a == b).mean())


def near(signatures_NP: Signatures, threshold: float = 0.8) -> list[tuple[int, int, float]]:
    """Pairs (a, b, similarity) with a < b of at least this similarity, exact duplicates included, in order.

    Of many that are alike not every pair is listed, but all are connected: see `groups`.
    """
    found: dict[tuple[int, int], float] = {}
    for start in range(0, PERMUTATIONS, ROWS):
        band_N = np.ascontiguousarray(signatures_NP[:, start : start + ROWS]).view("V16").ravel()
        order = np.argsort(band_N, kind="stable")
        for step in range(1, REACH + 1):
            same = np.flatnonzero(band_N[order[step:]] == band_N[order[:-step]])
            for a, b in zip(order[same].tolist(), order[same + step].tolist(), strict=True):
                pair = (min(a, b), max(a, b))
                if pair not in found:
                    found[pair] = similarity(signatures_NP[a], signatures_NP[b])
    return sorted((a, b, alike) for (a, b), alike in found.items() if alike >= threshold)


def groups(pairs: Iterable[tuple[int, int, float]], count: int) -> list[int]:
    """Of each of `count` texts the first that it is a duplicate of, by any chain of pairs; itself if of none."""
    first = list(range(count))

    def root(n: int) -> int:
        while first[n] != n:
            first[n] = first[first[n]]
            n = first[n]
        return n

    for a, b, _ in pairs:
        low, high = sorted((root(a), root(b)))
        first[high] = low
    return [root(n) for n in range(count)]


def distinct(texts: Sequence[str], threshold: float = 0.8) -> list[int]:
    """The places of the texts that stay when of every group of near duplicates the first is kept."""
    if not texts:
        return []
    pairs = near(np.stack([signature(text) for text in texts]), threshold)
    return [n for n, kept in enumerate(groups(pairs, len(texts))) if n == kept]
