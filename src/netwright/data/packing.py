"""Long texts in overlapping windows, and several short examples in one row, kept apart.

    packing = pack([len(ids) for ids, _ in examples], 512)
    ids_BT, labels_BT, positions_BT = rows(examples, packing, 512, pad_id=0)

`labels_BT` are shifted already: at each place the token that follows it there, -100 where none is to be learned.
Positions begin at 0 with each example, and at each padding: tokens may see each other where no such beginning
lies between. This file does not know tokenizers or models.

Shape legend: B rows, T tokens of a row, W windows.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from netwright.core.error import UserError

NO_LOSS = -100
"""The label that torch's cross-entropy leaves out by default."""


def windows(ids: ArrayLike | Tensor, length: int, stride: int) -> list[Tensor]:
    """Views of `length` tokens every `stride` tokens; the last ends with the text, and may be shorter.

    With stride < length neighbours share length - stride tokens. No token is left out, and no window lies in
    another. An empty text has none. Raises UserError for a stride that would leave tokens out.
    """
    if not 1 <= stride <= length:
        raise UserError("stride", stride, f"from 1 to the window's length, {length}", "stride=LENGTH: no overlap")
    ids_T = torch.as_tensor(ids)
    last = max(0, len(ids_T) - length)
    starts = range(0, last + stride, stride) if len(ids_T) else ()
    return [ids_T[start : start + length] for start in starts]


def pack(lengths: Sequence[int], length: int) -> list[list[int]]:
    """Which examples share a row of `length` tokens: best fit, the longest first.

    An example goes into the fullest row that has room for it, which takes at most about 11/9 of the least number of
    rows (Johnson 1974). Examples without tokens are in no row. The same lengths give the same rows, in
    the order of their first examples. Raises UserError for an example that is longer than a row.
    """
    order = sorted((n for n, size in enumerate(lengths) if size), key=lambda n: (-lengths[n], n))
    if order and lengths[order[0]] > length:
        why = f"example {order[0]} has {lengths[order[0]]:,} tokens: take longer rows, or cut it with windows"
        raise UserError("length", length, why, f"length={lengths[order[0]]}")
    packing: list[list[int]] = []
    with_room: dict[int, list[int]] = {}
    rooms: list[int] = []  # sorted, each once: never more than `length` of them
    for n in order:
        at = bisect.bisect_left(rooms, lengths[n])
        if at == len(rooms):
            row, room = len(packing), length
            packing.append([])
        else:
            room = rooms[at]
            row = with_room[room].pop()
            if not with_room[room]:
                del with_room[room], rooms[at]
        packing[row].append(n)
        left = room - lengths[n]
        if left and left not in with_room:
            bisect.insort(rooms, left)
        if left:
            with_room.setdefault(left, []).append(row)
    return sorted(sorted(row) for row in packing)


def rows(
    examples: Sequence[tuple[ArrayLike, ArrayLike]], packing: Sequence[Sequence[int]], length: int, pad_id: int
) -> tuple[Tensor, Tensor, Tensor]:
    """ids_BT, labels_BT and positions_BT, all int64, of examples (ids, learned): learned says of each token whether
    the model is to write it.

    The label at a place is the token after it, if that is learned and of the same example; a first token is
    never predicted.
    """
    shape = (len(packing), length)
    ids_BT, labels_BT = np.full(shape, pad_id, np.int64), np.full(shape, NO_LOSS, np.int64)
    positions_BT = np.zeros(shape, np.int64)
    for row, chosen in enumerate(packing):
        at = 0
        for n in chosen:
            ids_T, learned_T = np.asarray(examples[n][0], np.int64), np.asarray(examples[n][1], bool)
            end = at + len(ids_T)
            if end > length or ids_T.shape != learned_T.shape:
                why = f"row {row} has room for {length - at} more tokens, example {n} has {len(ids_T)}"
                raise ValueError(why if end > length else f"example {n}: {len(learned_T)} marks, {len(ids_T)} tokens")
            ids_BT[row, at:end] = ids_T
            labels_BT[row, at : max(at, end - 1)] = np.where(learned_T[1:], ids_T[1:], NO_LOSS)
            positions_BT[row, at:end] = np.arange(len(ids_T))
            at = end
    return torch.from_numpy(ids_BT), torch.from_numpy(labels_BT), torch.from_numpy(positions_BT)


def learned(offsets_T2: ArrayLike, spans: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    """Of each token whether it stands in one of the spans (`Template.spans`), by its first and last character + 1.

    A token that begins before a span and ends in it belongs to it: the model has to write it.
    """
    if isinstance(offsets_T2, list):  # of pairs, as tokenizers gives them: twice as fast so
        offsets: NDArray[Any] = np.fromiter(itertools.chain.from_iterable(offsets_T2), np.int64).reshape(-1, 2)
    else:
        offsets = np.asarray(offsets_T2, np.int64).reshape(-1, 2)
    marked = np.zeros(len(offsets), bool)
    for start, end in spans:
        marked |= (offsets[:, 0] < end) & (offsets[:, 1] > start)
    return marked
