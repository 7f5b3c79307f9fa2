"""Take a validation split out of the training examples: the same one everywhere, and without leaks.

An example's place is decided by a hash of the seed and its content, so that exact copies stay on one side
and adding or removing examples moves no other. This file does not know what the examples are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from netwright.core.error import UserError


def hold_out(contents: Iterable[bytes], validation: float, seed: int, limit: int) -> tuple[Tensor, Tensor]:
    """Places of the training and of the validation examples, each ascending.

    `validation` is a count, or a share when below 1; of the rest, `limit` are trained on (0: all). Raises
    UserError when either split would be empty.
    """
    salt = str(seed).encode()
    hashes = b"".join(hashlib.blake2b(content, key=salt, digest_size=8).digest() for content in contents)
    order_N = torch.from_numpy(np.argsort(np.frombuffer(hashes, ">u8"), kind="stable"))
    held = _count(len(order_N), validation)
    # the cut must not part two copies of one example: it moves on to the next hash
    while held < len(order_N) and _hash(hashes, order_N[held]) == _hash(hashes, order_N[held - 1]):
        held += 1
    if held == len(order_N):
        raise _empty(len(order_N), validation)
    train = order_N[held : held + limit] if limit else order_N[held:]
    return train.sort().values, order_N[:held].sort().values


def _count(examples: int, validation: float) -> int:
    held = round(validation * examples) if validation < 1 else int(validation)
    if held != validation >= 1 or not 0 < held < examples:
        raise _empty(examples, validation)
    return held


def _empty(examples: int, validation: float) -> UserError:
    allowed = f"a share between 0 and 1, or a whole number from 1 to {examples - 1:,}: both splits need examples"
    return UserError("task.validation", validation, allowed, "set task.validation=0.1")


def _hash(hashes: bytes, place: Tensor) -> bytes:
    return hashes[8 * int(place) : 8 * int(place) + 8]
