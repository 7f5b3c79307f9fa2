"""Walk once over every example of a task and run the checks on what is there.

    report = inspect(open_task(images.Config(name="mnist")))

Works on any task whose inputs are an image or token ids, through its batches alone. CIFAR-10 takes about
half a minute on two cores. This file does not know how a report is printed.

Shape legend: B batch, N examples, C channels, H rows, W columns, T tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from netwright.core.run import progress
from netwright.data import checks, folds
from netwright.data.checks import SPLITS, Finding, Places
from netwright.data.tasks import Split, Task, in_order

BATCH = 50  # what a convolution answers for it, 5 MB, stays in the cache


@dataclass(frozen=True)
class Report:
    """Examples per split and class, and what the checks found."""

    name: str
    digest: str
    counts: dict[str, int]
    classes: dict[str, dict[str, int]]
    findings: tuple[Finding, ...]


def inspect(task: Task) -> Report:
    """Run every check. Shows a progress bar."""
    names: tuple[Split, ...] = ("train", "validation", "test")
    sizes = {split: task.size(split) for split in names}
    with progress(f"Checking {task.name}", sum(sizes.values()), unit="examples") as advance:
        look = _images if "image" in task.inputs else _texts
        places, findings = look(task, advance)
    count = {s: np.bincount(places.labels_N[places.split_N == s], minlength=len(task.classes)) for s in range(3)}
    classes = {SPLITS[s]: dict(zip(task.classes, n.tolist(), strict=True)) for s, n in count.items()}
    findings = [*findings, checks.imbalance(places)]
    return Report(task.name, task.digest, {str(k): n for k, n in sizes.items()}, classes, tuple(findings))


def _batches(task: Task, advance: Callable[[int], object]) -> Iterator[tuple[int, dict[str, Tensor], Tensor]]:
    names: tuple[Split, ...] = ("train", "validation", "test")
    for s, split in enumerate(names):
        for part in in_order(task, split, BATCH):
            yield s, part.inputs, part.labels_B
            advance(len(part.labels_B))


def _places(task: Task, split: list[int], labels: list[Tensor]) -> Places:
    split_N = np.array(split)
    index_N = np.concatenate([np.arange(task.size(s)) for s in ("train", "validation", "test")])
    return Places(split_N, index_N, torch.cat(labels).numpy(), task.classes)


def _images(task: Task, advance: Callable[[int], object]) -> tuple[Places, list[Finding]]:
    sample = torch.linspace(0, task.size("train") - 1, min(500, task.size("train"))).long()
    features = folds.patch_features(task.batch("train", sample).inputs["image"])
    prints: list[bytes] = []
    split: list[int] = []
    labels, constant, hashes, feature = [], [], [], []
    for s, inputs, labels_B in _batches(task, advance):
        x_BCHW = inputs["image"]
        split += [s] * len(x_BCHW)
        labels.append(labels_B)
        prints += [checks.fingerprint(x.tobytes()) for x in x_BCHW.numpy()]
        constant.append((x_BCHW.flatten(2).amax(2) == x_BCHW.flatten(2).amin(2)).all(1))
        hashes.append(_difference_hash(x_BCHW))
        feature.append(features(x_BCHW))
    places = _places(task, split, labels)
    scores = folds.ridge_scores(torch.cat(feature), torch.from_numpy(places.labels_N), len(task.classes))
    hash_N = np.concatenate(hashes)
    method = "equal 64-bit difference hash, then correlation of the pixels above 0.98"
    near = [pair for pair in _equal_neighbours(hash_N) if _correlation(task, places, *pair) > 0.98]
    return places, [
        *checks.copies(places, prints),
        checks.near_copies(places, near, prints, method),
        checks.empties(places, torch.cat(constant).numpy(), "every pixel equal"),
        checks.label_suspects(places, scores, "ridge regression on random image patches"),
    ]


def _difference_hash(x_BCHW: Tensor) -> NDArray[np.uint64]:
    """64 bits an image: whether a cell of an 8 x 9 thumbnail is brighter than its left neighbour."""
    small_BHW = nn.functional.adaptive_avg_pool2d(x_BCHW.mean(1, keepdim=True), (8, 9)).squeeze(1)
    bits_BN = (small_BHW[:, :, 1:] > small_BHW[:, :, :-1]).flatten(1).numpy()
    packed: NDArray[np.uint64] = np.packbits(bits_BN, axis=1).view(np.uint64).squeeze(1)
    return packed


def _equal_neighbours(hash_N: NDArray[np.uint64], reach: int = 5) -> Iterator[tuple[int, int]]:
    """Pairs with equal hashes; of a crowd each only with the next few, which keeps the cost linear."""
    order = np.argsort(hash_N, kind="stable")
    for step in range(1, reach + 1):
        same = np.flatnonzero(hash_N[order[step:]] == hash_N[order[:-step]])
        yield from zip(order[same].tolist(), order[same + step].tolist(), strict=True)


def _correlation(task: Task, places: Places, a: int, b: int) -> float:
    x, y = (_example(task, places, n)["image"].flatten().double() for n in (a, b))
    x, y = x - x.mean(), y - y.mean()
    return float(x @ y / (x.norm() * y.norm()).clamp_min(1e-12))


def _example(task: Task, places: Places, n: int) -> dict[str, Tensor]:
    names: tuple[Split, ...] = ("train", "validation", "test")
    return task.batch(names[places.split_N[n]], torch.tensor([int(places.index_N[n])])).inputs


def _texts(task: Task, advance: Callable[[int], object]) -> tuple[Places, list[Finding]]:
    split: list[int] = []
    labels, texts = [], []
    for s, inputs, labels_B in _batches(task, advance):
        split += [s] * len(labels_B)
        labels.append(labels_B)
        lengths = inputs["mask"].sum(1).tolist()
        texts += [ids[:length] for ids, length in zip(inputs["ids"].numpy(), lengths, strict=True)]
    places = _places(task, split, labels)
    prints = [checks.fingerprint(text.tobytes()) for text in texts]
    starts_N = np.cumsum([0, *map(len, texts)])
    ids = np.concatenate(texts)
    scores = folds.text_scores(ids, starts_N, places.labels_N, len(task.classes))
    near = [pair for pair in _same_buckets(ids, starts_N) if _overlap(texts[pair[0]], texts[pair[1]]) > 0.7]
    return places, [
        *checks.copies(places, prints),
        checks.near_copies(places, near, prints, "MinHash of word triples, then Jaccard above 0.7"),
        checks.empties(places, np.array([len(text) < 2 for text in texts]), "no word"),
        checks.label_suspects(places, scores, "ridge regression on TF-IDF"),
    ]


def _triples(ids: NDArray[np.int64]) -> NDArray[np.uint64]:
    x = ids.astype(np.uint64)
    mixed: NDArray[np.uint64] = (x[:-2] * np.uint64(0x9E3779B97F4A7C15)) ^ (x[1:-1] * np.uint64(0xC2B2AE3D27D4EB4F))
    return mixed ^ (x[2:] * np.uint64(0x165667B19E3779F9))


def _same_buckets(
    ids: NDArray[np.int64], starts_N: NDArray[np.int64], bands: int = 5, rows: int = 3
) -> set[tuple[int, int]]:
    """Candidate pairs by MinHash and banding (Broder 1997): at Jaccard 0.8, 97 % of pairs share one of 5 bands of 3."""
    long_N = np.flatnonzero(np.diff(starts_N) >= 3)
    triples = _triples(ids)
    # triples that reach over the end of a text are shared by chance only, and are left in
    ends = starts_N[:-1][long_N]
    pairs: set[tuple[int, int]] = set()
    draw = np.random.default_rng(0)
    for _ in range(bands):
        band_N = np.zeros(len(long_N), np.uint64)
        for _ in range(rows):
            odd = np.uint64(int(draw.integers(1 << 62)) * 2 + 1)
            shuffled = (triples * odd) ^ ((triples * odd) >> np.uint64(29))
            band_N = band_N * np.uint64(0x9E3779B97F4A7C15) + np.minimum.reduceat(shuffled, ends)
        pairs |= {(int(long_N[a]), int(long_N[b])) for a, b in _equal_neighbours(band_N)}
    return pairs


def _overlap(a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    first, second = set(_triples(a).tolist()), set(_triples(b).tolist())
    return len(first & second) / max(1, len(first | second))
