"""Elsewhere: the same model as files that other runtimes open, each certified against its source.

    exported = export.write(artifact, "openvino", task, Path("runs/x/openvino"))
    runner = export.open(exported, threads=2)
    logits_BK = runner({"image": image_BCHW})

Opening never needs torch unless the format does, so that a process which measures a runtime's memory
measures that runtime.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from netwright.core import table
from netwright.core.artifact import Artifact
from netwright.core.error import UserError
from netwright.core.recipe import Range
from netwright.core.run import progress

if TYPE_CHECKING:
    from netwright.data.tasks import Task

FORMATS = {
    "torch": "netwright.export.eager",
    "program": "netwright.export.program",
    "torchscript": "netwright.export.torchscript",
    "onnx": "netwright.export.onnx",
    "openvino": "netwright.export.openvino",
    "tensorrt": "netwright.export.tensorrt",
    "gguf": "netwright.export.gguf",
}
"""Format name -> module with `write(artifact, task, draft)`, `open(artifact, threads, precision) -> Runner`,

and `SETTINGS`, what was chosen for every file it writes."""
PACKAGES = {
    "torch": ("torch",),
    "program": ("torch",),
    "torchscript": ("torch",),
    "onnx": ("onnx", "onnxruntime"),
    "openvino": ("openvino",),
    "tensorrt": ("onnx", "onnxruntime"),
    "gguf": ("gguf",),
}
"""Format name -> the packages that opening it imports; known without importing them."""

IN_TORCH = ("torch", "program", "torchscript")
"""Formats that torch runs: on grids, too, it computes in floating point."""
OF_LANGUAGE = ("gguf",)
"""Formats that hold language models alone."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """How an export is stored and checked."""

    examples: Annotated[int, Range(1, 1_000_000)] = 1000
    """Validation examples of the certificate."""
    precision: Literal["", "F32", "F16", "Q8_0", "Q4_0", "Q4_1"] = ""
    """What a GGUF stores matrices in; empty: F32. Other formats are made smaller by `netwright compress`."""
    opset: Annotated[int, Range(18, 22)] | None = None
    """The version of ONNX's operators in a file of ONNX; none: 20, or 21 where weights have 4 bits. From 23 on ONNX
    Runtime 1.31 fails at attention."""


class Runner(Protocol):
    """An opened model: call it with named arrays, batch first; it answers logits_BK."""

    precision: str
    """What is executed, asked of the runtime and not of the file: "fp32", "bf16", "int8"."""
    layers: Mapping[str, int]
    """Matrix layers by the precision they run in, `{"int8": 6, "fp32": 1}`; empty where nobody tells."""

    def __call__(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]: ...


def open(artifact: Artifact, threads: int = 1, precision: str | None = None) -> Runner:
    """Open an artifact in the runtime of its format.

    `precision` is what to compute in, by default what the artifact is stored in; the runner says what
    is executed. Raises UserError for a file the runtime refuses, or a precision it does not have.
    """
    module = table.resolve(FORMATS, artifact.format, "artifact.format", "netwright.formats")
    runner: Runner = module.open(artifact, threads, precision)
    return runner


def check_source(artifact: Artifact, format: str, precision: str = "", opset: int | None = None) -> None:
    """Raises UserError for an unknown format, a missing extra, or an artifact that is no source of one."""
    if format not in table.names(FORMATS, "netwright.formats"):
        table.resolve(FORMATS, format, "export.format", "netwright.formats")
    for package in PACKAGES.get(format, ()):
        table.need(package, f"the format {format}")
    if "positions" in artifact.inputs and format == "tensorrt":
        raise UserError(
            "export.format", format, "its sheet of commands knows no caches of language models", "--format onnx"
        )
    if artifact.format != "torch":
        raise UserError(
            "artifact", artifact.name, 'only an artifact of format "torch" is exported',
            "give the one it was made from: its digest stands under parents in artifact.json",
        )  # fmt: skip
    if precision and format not in OF_LANGUAGE:
        raise UserError(
            "export.precision", precision, f"{format} is written in what the artifact has; gguf can be told",
            f"netwright compress {artifact.folder} --method int8",
        )  # fmt: skip
    if opset is not None and format != "onnx":
        raise UserError("export.opset", opset, f"{format} has no opset; onnx has", "--format onnx")
    if opset is not None and opset < 21 and stored(artifact).startswith("int4"):
        raise UserError("export.opset", opset, "weights of 4 bits need 21 or more", "export.opset=21")
    if format in OF_LANGUAGE:
        table.resolve(FORMATS, format, "export.format", "netwright.formats").check_source(artifact)


def write(
    artifact: Artifact, format: str, task: Task, folder: Path, *, n: int = 1000, threads: int = 1, precision: str = "",
    opset: int | None = None,
) -> Artifact:  # fmt: skip
    """Export a torch artifact to a format, at `folder`, certified on `n` validation examples; the rest as in Config.

    Raises UserError, and leaves nothing behind, when the result is not equal to its source.
    """
    from netwright.export.verify import certified

    check_source(artifact, format, precision, opset)
    module = table.resolve(FORMATS, format, "export.format", "netwright.formats")
    kept = artifact.precision if format in IN_TORCH else stored(artifact)
    told: dict[str, Any] = {} if opset is None else {"opset": opset}
    if format in OF_LANGUAGE:
        told = {"stored": precision or next(iter(module.PRECISIONS))}
        kept = module.PRECISIONS[told["stored"]]
    return certified(
        folder,
        lambda draft: _written(module, artifact, task, draft, told),
        artifact,
        task,
        n=n,
        threads=threads,
        format=format,
        precision=kept,
        made_by={"verb": "export", **module.SETTINGS, **told},
    )


def stored(artifact: Artifact) -> str:
    """What an exported file of a torch artifact holds its weights in: of a network on grids not what training keeps."""
    from netwright.models import quantized

    return quantized.precision(artifact.model) if artifact.precision == "fp32" else artifact.precision


def _written(module: Any, artifact: Artifact, task: Task, draft: Path, told: Mapping[str, Any]) -> None:
    with progress(f"exporting to {module.__name__.rsplit('.', maxsplit=1)[-1]}", 1) as advance:
        module.write(artifact, task, draft, **told)
        advance()
