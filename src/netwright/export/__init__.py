"""Elsewhere: the same model as files that other runtimes open, each certified against its source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

FORMATS = {
    "torch": "netwright.export.eager",
    "program": "netwright.export.program",
    "onnx": "netwright.export.onnx",
    "openvino": "netwright.export.openvino",
}
"""Format name -> module with `write(artifact, task, draft)` and `open(artifact, threads, precision) -> Runner`."""


class Runner(Protocol):
    """An opened model: call it with named arrays, batch first; it answers logits_BK."""

    precision: str
    """What is executed, asked of the runtime and not of the file: "fp32", "bf16", "int8"."""

    def __call__(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]: ...
