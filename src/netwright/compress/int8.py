"""INT8 post-training quantization of a graph, by NNCF, for OpenVINO and ONNX Runtime.

    small = apply(artifact, task, Config(format="openvino"), Path("runs/x/int8"))

Weights become INT8 a channel, activations INT8 a tensor, with ranges seen on training examples that are
neither augmented nor labelled. It is the exported graph that is quantized: quantizing the torch module
takes 40 times as long, does not run in ONNX Runtime and is less exact after conversion. This file does not
know the network; whether it has attention is read from its graph.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from numpy.typing import NDArray

from netwright import export
from netwright.core import workload
from netwright.core.artifact import Artifact
from netwright.core.error import UserError
from netwright.core.recipe import Range, plain
from netwright.core.run import Run, progress
from netwright.core.table import extra
from netwright.export.verify import certified

if TYPE_CHECKING:
    from netwright.data.tasks import Task


@dataclass(frozen=True, kw_only=True)
class Config:
    """What to calibrate on, and how the result is checked."""

    name: Literal["int8"] = "int8"
    format: Literal["openvino", "onnx"] = "openvino"
    """What a torch artifact is exported to first; an exported one keeps its format."""
    samples: Annotated[int, Range(1, 100_000)] = 300
    """Training examples that activations are observed on."""
    seed: Annotated[int, Range(0, 2**31)] = 0
    examples: Annotated[int, Range(1, 1_000_000)] = 1000
    """Validation examples of the certificate."""


def apply(
    artifact: Artifact, task: Task, config: Config, folder: Path, run: Run | None = None, *, threads: int = 1
) -> Artifact:
    """An INT8 artifact of the same format at `folder`, with a certificate against its fp32 parent.

    A torch artifact is exported to `config.format` at `folder`-fp32 first. Raises UserError for an
    artifact that is no fp32 graph, or a missing extra.
    """
    check_source(artifact)
    if artifact.format == "torch":
        beside = folder.with_name(f"{folder.name}-fp32")
        parent = export.write(artifact, config.format, task, beside, n=config.examples, threads=threads)
        return apply(parent, task, config, folder, run, threads=threads)

    def fill(draft: Path) -> None:
        _FORMATS[artifact.format](artifact, task, config, draft)
        if workload.FILE in artifact.files:
            workload.write(workload.read(artifact.folder).at_dtype("int8"), draft)

    return certified(
        folder,
        fill,
        artifact,
        task,
        n=config.examples,
        threads=threads,
        format=artifact.format,
        precision="int8",
        made_by={"verb": "compress", **plain(config), "format": artifact.format},
    )


def check_source(artifact: Artifact) -> None:
    """Raises UserError for an artifact that cannot be quantized, or a missing extra."""
    if artifact.precision != "fp32" or artifact.format not in ("torch", "openvino", "onnx"):
        raise UserError(
            "artifact", artifact.name, "int8 quantizes an fp32 artifact of format torch, openvino or onnx",
            "netwright export ARTIFACT --format openvino",
        )  # fmt: skip
    _nncf()


def _openvino(artifact: Artifact, task: Task, config: Config, draft: Path) -> None:
    from netwright.export import openvino

    model = openvino.load(artifact)
    kinds = {operator.get_type_name() for operator in model.get_ordered_ops()}
    openvino.save(_quantize(model, kinds, task, config), artifact, draft)


def _onnx(artifact: Artifact, task: Task, config: Config, draft: Path) -> None:
    from netwright.export import onnx

    model = onnx.load(artifact)
    kinds = {node.op_type for node in model.graph.node}
    onnx.save(_quantize(model, kinds, task, config), artifact, draft)


_FORMATS = {"openvino": _openvino, "onnx": _onnx}


def _quantize(model: Any, kinds: set[str], task: Task, config: Config) -> Any:
    from netwright.export.trace import quiet

    nncf = _nncf()
    attention = not kinds.isdisjoint({"Softmax", "ScaledDotProductAttention", "Attention"})
    count = min(config.samples, task.size("train"))
    with progress("calibrating int8", count) as advance, quiet():
        return nncf.quantize(
            model,
            nncf.Dataset(_Examples(task, config, count, advance)),
            subset_size=count,
            model_type=nncf.ModelType.TRANSFORMER if attention else None,
        )


class _Examples:
    """Single training examples, the same at every reading; the first reading moves the progress bar."""

    def __init__(self, task: Task, config: Config, count: int, advance: Any) -> None:
        self._task, self._config, self._count, self._advance = task, config, count, advance

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Mapping[str, NDArray[Any]]]:
        import torch

        generator = torch.Generator().manual_seed(self._config.seed)
        for index in torch.randperm(self._task.size("train"), generator=generator)[: self._count]:
            self._advance()  # before: nobody asks for what comes after the last
            yield {name: x.numpy() for name, x in self._task.batch("train", index[None]).inputs.items()}


def _nncf() -> Any:
    os.environ.setdefault("NNCF_CI", "1")  # its own switch against reporting to anybody
    return extra("nncf", "int8 quantization")
