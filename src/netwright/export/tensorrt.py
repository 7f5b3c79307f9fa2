"""Format "tensorrt": an ONNX file and a sheet of commands that build a TensorRT engine of it where a GPU is.

An engine fits one kind of GPU and one version of TensorRT, so it is built where it will run. Here the file is run, and
certified, by ONNX Runtime; the sheet says how to build, to time and to compare.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netwright.core.artifact import Artifact
from netwright.export import onnx

if TYPE_CHECKING:
    from netwright.data.tasks import Task
    from netwright.export.decoding.rows import RowsRunner

SHEET = "tensorrt.md"
SETTINGS: Mapping[str, Any] = {**onnx.SETTINGS, "format": "tensorrt"}
BATCHES = (1, 8, 64)
"""Least, usual and largest batch of an engine."""
LENGTHS = (1, 128, 512)
"""The same of an open dimension."""


def write(artifact: Artifact, task: Task, draft: Path) -> None:
    """The ONNX file and the sheet."""
    onnx.write(artifact, task, draft)
    (draft / SHEET).write_text(sheet(artifact), encoding="utf-8")


def open(artifact: Artifact, threads: int, precision: str | None) -> onnx.OnnxRunner | RowsRunner:
    """A session of ONNX Runtime on the file that an engine is built of."""
    return onnx.open(artifact, threads, precision)


def sheet(artifact: Artifact) -> str:
    """Commands in Markdown, for `trtexec`, which comes with TensorRT."""
    shapes = {
        flag: ",".join(f"{name}:{_shape(x['shape'], at)}" for name, x in artifact.inputs.items())
        for at, flag in enumerate(("minShapes", "optShapes", "maxShapes"))
    }
    ranges = " \\\n    ".join(f"--{flag}={value}" for flag, value in shapes.items())
    return f"""# TensorRT commands for {artifact.task["name"]}/{artifact.model["name"]}

Build an engine where it will run: it fits that kind of GPU and that version of TensorRT only.

    trtexec --onnx={onnx.FILE} --saveEngine=model.plan --timingCacheFile=timing.cache \\
    {ranges}

Half precision is `--fp16` or `--bf16` beside these; a file that was quantized holds its own scales and is built with
`--int8`. Time it, with transfers left out, at the usual shapes:

    trtexec --loadEngine=model.plan --shapes={shapes["optShapes"]} --noDataTransfers --useCudaGraph --percentile=50,99

Compare its answers with those of ONNX Runtime on the same inputs before it is used:

    polygraphy run {onnx.FILE} --trt --onnxrt --rtol 1e-2 --atol 1e-2 \\
        --input-shapes {shapes["optShapes"].replace(",", " ")}
"""


def _shape(shape: Any, at: int) -> str:
    return "x".join(map(str, (BATCHES[at], *(LENGTHS[at] if size is None else size for size in shape))))
