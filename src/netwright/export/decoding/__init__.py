"""Language models opened to generate: token by token, with the keys and values of what they have read.

    decoder = open(artifact, threads=2)
    logits_V = decoder.feed(prompt)
    logits_V = decoder.feed([int(logits_V.argmax())])
    decoder.keep(len(prompt))                      # back to the prompt, without reading it again

A decoder knows ids and logits; sampling, texts and templates are the engine's (`chat.engine`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from netwright.core import table
from netwright.core.artifact import Artifact
from netwright.core.error import UserError

DECODERS = {
    "torch": "netwright.export.decoding.eager",
    "onnx": "netwright.export.decoding.onnx",
    "openvino": "netwright.export.decoding.openvino",
}
"""Format name -> module with `open(artifact, threads, precision) -> Decoder`."""


class Decoder(Protocol):
    """A language model in a runtime, and what it has read so far."""

    precision: str
    """What is executed, asked of the runtime and not of the file: "fp32", "bf16", "int8"."""
    layers: Mapping[str, int]
    """Matrix layers by the precision they run in; empty where nobody tells."""
    vocabulary: int
    longest: int
    """Tokens that it can read in all."""

    def __len__(self) -> int:
        """Tokens read so far."""
        ...

    def feed(self, ids: Sequence[int], all: bool = False) -> NDArray[np.float32]:
        """Read on. Logits of the token after the last one, logits_V, or after each of them, logits_TV.

        Raises UserError for no ids, and for more than there is room for; nothing has been read then.
        """
        ...

    def keep(self, count: int) -> None:
        """Forget all but the first `count` tokens that were read."""
        ...


def generates(artifact: Artifact) -> bool:
    """Whether an artifact is a language model."""
    return "positions" in artifact.inputs


def open(artifact: Artifact, threads: int = 1, precision: str | None = None, device: str = "CPU") -> Decoder:
    """Open a language model to generate; a device other than the CPU is OpenVINO's to take (`decoding.devices`).

    Raises UserError for an artifact that is none, a format that cannot, and a device that is absent.
    """
    if not generates(artifact):
        raise UserError("artifact", artifact.name, "generates no text: it is no language model", "netwright runs list")
    module = table.resolve(DECODERS, artifact.format, "artifact.format", "netwright.decoders")
    if device.upper() == "CPU":
        decoder: Decoder = module.open(artifact, threads, precision)
        return decoder
    if artifact.format != "openvino":
        next = f"netwright export {artifact.folder} --format openvino"
        raise UserError("device", device, f"{artifact.format} runs on the CPU here; OpenVINO takes others", next)
    other: Decoder = module.open(artifact, threads, precision, device)
    return other


def room(read: int, more: int, longest: int) -> None:
    """Raises UserError where nothing or too much is to be read."""
    if more < 1:
        raise UserError("prompt", "empty", "at least one token", "give a prompt")
    if read + more > longest:
        raise UserError(
            "prompt", f"{read + more:,} tokens", f"this model reads {longest:,} at most", "shorten the conversation"
        )
