"""One trace of a network for every format that is written from a graph.

The trace is taken on blank inputs: a file that is handed on then holds no example of anybody's data, and
no paths of the machine it was made on. Dimensions that a task leaves open stay open. This file does not
know the formats.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from netwright.core.artifact import Artifact
from netwright.core.error import UserError
from netwright.data.tasks import Input
from netwright.models.load import inputs_of, open_model

LENGTH = 8
"""What an open dimension is traced at; the trace holds for every other length too."""
_LOUD = ("torch.onnx", "torch.export", "torch._export", "onnxscript", "onnx_ir", "nncf", "openvino")


def blank(inputs: Mapping[str, Input], batch: int) -> dict[str, NDArray[np.generic]]:
    """Inputs of the right shape that say nothing: zeros, and masks that mask nothing."""
    shapes = {name: (batch, *(LENGTH if size is None else size for size in x.shape)) for name, x in inputs.items()}
    return {name: np.full(shape, inputs[name].dtype == "bool", inputs[name].dtype) for name, shape in shapes.items()}


def trace(artifact: Artifact) -> torch.export.ExportedProgram:
    """The graph of a torch artifact, its batch and open dimensions dynamic.

    Raises UserError for a network that cannot be written as one graph.
    """
    model, inputs = open_model(artifact).requires_grad_(False), inputs_of(artifact)
    example = {name: torch.from_numpy(x) for name, x in blank(inputs, 2).items()}
    open_dimensions = {name: _open(x) for name, x in inputs.items()}
    try:
        with quiet(), torch.no_grad():
            program = torch.export.export(model, (), example, dynamic_shapes=open_dimensions)
    except (RuntimeError, torch._dynamo.exc.TorchDynamoException) as fault:
        raise UserError(
            "export", artifact.model["name"], f"the network cannot be traced: {str(fault).splitlines()[0]}",
            "netwright export --format torch",
        ) from fault  # fmt: skip
    _forget_paths(program)
    return program


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence converters: their warnings concern their authors, and their progress is shown by ours."""
    loggers = [logging.getLogger(name) for name in _LOUD]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _open(stated: Input) -> dict[int, object]:
    dynamic = torch.export.Dim.DYNAMIC(min=1)
    return {0: dynamic} | {at + 1: dynamic for at, size in enumerate(stated.shape) if size is None}


def _forget_paths(program: torch.export.ExportedProgram) -> None:
    for module in program.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            for node in module.graph.nodes:
                node.meta.pop("stack_trace", None)
