"""Rows of several texts, answered by a file that reads one text a row.

A file with a cache has no way to say that a token sees only its own text. So each text becomes a row of its own, and
the logits go back to where it stood. A text of one token, as padding is, is read once however often it stands there.
Knows no runtime and does not import torch.

Shape legend: B rows, T tokens of a row, N texts, L tokens of the longest of them, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

TOGETHER = 2048
"""Tokens that are read at once, where no text has more."""
Ids = NDArray[np.int64]
Step = Callable[[Ids, Ids], NDArray[np.float32]]
"""(ids_NL, positions_NL) -> logits_NLV, each row by itself."""
Place = tuple[int, int, int]
"""Row, first token, and the one after the last."""


class RowsRunner:
    """A `Runner` over a file with a cache: ids_BT and positions_BT to logits_BTV."""

    def __init__(self, step: Step, precision: str, layers: Mapping[str, int]) -> None:
        self._step, self.precision, self.layers = step, precision, layers

    def __call__(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        return answered(inputs["ids"], inputs["positions"], self._step)


def answered(ids_BT: Ids, positions_BT: Ids, step: Step) -> NDArray[np.float32]:
    """logits_BTV of rows in which a text begins wherever the position is 0."""
    places = texts(positions_BT)
    T = ids_BT.shape[1]
    if len(places) == len(ids_BT) and len(ids_BT) * T <= TOGETHER:
        return step(np.ascontiguousarray(ids_BT), np.ascontiguousarray(positions_BT))
    logits_BTV: NDArray[np.float32] | None = None
    for batch in together(places, ids_BT, positions_BT):
        first = [group[0] for group in batch]
        L = max(stop - start for _, start, stop in first)
        ids_NL, positions_NL = (np.zeros((len(first), L), np.int64) for _ in range(2))
        for n, (row, start, stop) in enumerate(first):
            ids_NL[n, : stop - start] = ids_BT[row, start:stop]
            positions_NL[n, : stop - start] = positions_BT[row, start:stop]
        part_NLV = step(ids_NL, positions_NL)
        if logits_BTV is None:
            logits_BTV = np.empty((*ids_BT.shape, part_NLV.shape[2]), np.float32)
        for n, group in enumerate(batch):
            for row, start, stop in group:
                logits_BTV[row, start:stop] = part_NLV[n, : stop - start]
    assert logits_BTV is not None
    return logits_BTV


def texts(positions_BT: Ids) -> list[Place]:
    """Where each text stands."""
    found = []
    for row, positions_T in enumerate(positions_BT):
        starts = sorted({0, *np.flatnonzero(positions_T == 0).tolist()})
        found += [(row, start, stop) for start, stop in zip(starts, [*starts[1:], len(positions_T)], strict=True)]
    return found


def together(places: Sequence[Place], ids_BT: Ids, positions_BT: Ids) -> Iterator[list[list[Place]]]:
    """Texts of like length, each with the places where the same single token stands."""
    groups: dict[Any, list[Place]] = {}
    for row, start, stop in places:
        single = stop - start == 1
        key = (int(ids_BT[row, start]), int(positions_BT[row, start])) if single else (row, start, stop)
        groups.setdefault(key, []).append((row, start, stop))
    batch: list[list[Place]] = []
    for group in sorted(groups.values(), key=lambda group: group[0][1] - group[0][2]):
        L = batch[0][0][2] - batch[0][0][1] if batch else 0
        if batch and (len(batch) + 1) * L > TOGETHER:
            yield batch
            batch = []
        batch.append(group)
    yield batch
