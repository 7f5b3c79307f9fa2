"""Decoder "torch": the network itself, one row, its keys and values in tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from netwright.core.artifact import Artifact
from netwright.core.error import UserError
from netwright.export.decoding import room
from netwright.models.load import open_model

_KINDS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def open(artifact: Artifact, threads: int, precision: str | None) -> EagerDecoder:
    """The network of an artifact, in fp32 or bf16."""
    wanted = precision or "fp32"
    if wanted not in _KINDS:
        raise UserError("precision", wanted, f"torch generates in {' or '.join(_KINDS)}", "precision=fp32")
    return EagerDecoder(artifact, threads, wanted)


class EagerDecoder:
    """A `Decoder`: one network, the ids it has read, and keys and values of each layer."""

    layers: Mapping[str, int]

    def __init__(self, artifact: Artifact, threads: int, precision: str) -> None:
        self.model = cast(Any, open_model(artifact)).to(_KINDS[precision])
        self.precision, self.threads = precision, threads
        self.layers = {precision: sum(isinstance(m, torch.nn.Linear) for m in self.model.modules())}
        self.vocabulary, self.longest = int(self.model.head.shape[0]), int(self.model.config.positions)
        self._past = self.model.nothing_read()

    def __len__(self) -> int:
        read: int = self._past[0][0].shape[2]
        return read

    def feed(self, ids: Sequence[int], all: bool = False) -> NDArray[np.float32]:
        room(len(self), len(ids), self.longest)
        threads = torch.get_num_threads()
        torch.set_num_threads(self.threads or threads)
        try:
            with torch.inference_mode():
                x_BTD, self._past = self.model.features(torch.tensor([list(ids)]), None, self._past)
                logits_TV = x_BTD[0] @ self.model.head.T if all else x_BTD[0, -1] @ self.model.head.T
        finally:
            torch.set_num_threads(threads)
        answer: NDArray[np.float32] = logits_TV.float().numpy()
        return answer

    def keep(self, count: int) -> None:
        self._past = [(keys[:, :, :count], values[:, :, :count]) for keys, values in self._past]
