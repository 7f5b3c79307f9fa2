"""What a runtime executes, out of what it says about its layers; and what it says when it refuses a file.

Knows no runtime and does not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netwright.core.artifact import Artifact
from netwright.core.error import UserError
from netwright.core.workload import BYTES

MAX_FILE_BYTES = 2**31 - 1
"""protobuf's own limit, and far above what an IR's text needs."""


def most(layers: Mapping[str, int], otherwise: str) -> str:
    """The precision most matrix layers run in; of two equal counts the wider one, which promises less."""
    return max(layers, key=lambda name: (layers[name], BYTES.get(name, 4)), default=otherwise)


def bounded(path: Path) -> Path:
    """A model file whose size a parser can bear. Raises UserError for a larger one."""
    if path.stat().st_size > MAX_FILE_BYTES:
        raise UserError(
            "file", str(path), f"larger than {MAX_FILE_BYTES:,} bytes", "netwright export --format openvino"
        )
    return path


def refused(path: Path, runtime: str, fault: Exception) -> UserError:
    """A runtime's refusal, in one line."""
    lines = [line.strip() for line in str(fault).splitlines() if line.strip()]
    return UserError("file", str(path), f"{runtime} refuses it: {lines[-1] if lines else fault!r}", "export it again")


def check_inputs(artifact: Artifact, path: Path, found: Mapping[str, str]) -> None:
    """The file's inputs must be those of the manifest: names and dtypes. Raises UserError."""
    stated = {name: x.get("dtype") if isinstance(x, Mapping) else None for name, x in artifact.inputs.items()}
    if stated != dict(found):
        raise UserError("file", str(path), f"takes {dict(found)}, its manifest says {stated}", "export it again")


def ordered(inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Arrays as runtimes want them: contiguous."""
    return {name: np.ascontiguousarray(x) for name, x in inputs.items()}
