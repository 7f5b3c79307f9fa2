"""Weights to a safetensors file one tensor at a time: a model is imported, or an adapter merged, without holding it.

    write(path, {"w": ((3, 4), torch.float32)}, iter([("w", tensor)]))

The file's layout is fixed by the outline before the first tensor comes. This file does not know any network.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from netwright.core import artifact

Outline = Mapping[str, tuple[tuple[int, ...], torch.dtype]]
KINDS = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64", torch.int8: "I8"}
KINDS |= {torch.bool: "BOOL", torch.uint8: "U8", torch.int32: "I32"}


def write(path: Path, outline: Outline, tensors: Iterable[tuple[str, Tensor]]) -> None:
    """Write tensors in whatever order they come. Raises ValueError for one that is not in the outline, or missing."""
    header: dict[str, Any] = {}
    places: dict[str, int] = {}
    at = 0
    for name, (shape, kind) in outline.items():
        size = math.prod(shape) * kind.itemsize
        places[name] = at
        header[name] = {"dtype": KINDS[kind], "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)

    def fill(draft: Path) -> None:
        left = set(outline)
        with draft.open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            file.truncate(8 + len(text) + at)
            for name, tensor in tensors:
                shape, kind = outline[name]
                if tuple(tensor.shape) != shape:
                    raise ValueError(f"{name} is {list(tensor.shape)}, not {list(shape)}")
                file.seek(8 + len(text) + places[name])
                file.write(tensor.detach().to(kind).contiguous().reshape(-1).view(torch.uint8).numpy().data)
                left.discard(name)
        if left:
            raise ValueError(f"{', '.join(sorted(left)[:3])} never came")

    artifact.replace_file(path, fill)
