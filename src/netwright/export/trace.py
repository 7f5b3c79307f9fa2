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
from netwright.models import load, quantized

LENGTH = 8
"""What an open dimension is traced at; the trace holds for every other length too."""
MATRIX = ("linear", "conv1d", "conv2d", "conv3d")
"""Operators that multiply by a weight, as torch.export calls them."""


def blank(inputs: Mapping[str, Input], batch: int) -> dict[str, NDArray[np.generic]]:
    """Inputs of the right shape that say nothing: zeros, and masks that mask nothing."""
    shapes = {name: (batch, *(LENGTH if size is None else size for size in x.shape)) for name, x in inputs.items()}
    return {name: np.full(shape, inputs[name].dtype == "bool", inputs[name].dtype) for name, shape in shapes.items()}


def trace(artifact: Artifact) -> torch.export.ExportedProgram:
    """The graph of a torch artifact, its batch and open dimensions dynamic.

    Raises UserError for a network that cannot be written as one graph.
    """
    model = load.open_model(artifact).requires_grad_(False)
    for rounding in quantized.roundings(model).values():
        rounding.fix()
    return traced(model, artifact)


def traced(model: torch.nn.Module, artifact: Artifact) -> torch.export.ExportedProgram:
    """The graph of a network that takes the inputs of an artifact."""
    inputs = load.inputs_of(artifact)
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


def layers(program: torch.export.ExportedProgram) -> list[tuple[str, NDArray[np.generic]]]:
    """(layer of the network, its weight) of what multiplies by a weight, in the order of execution.

    A layer that is called again is called `name:2`.
    """
    weights = dict(program.graph_signature.inputs_to_parameters)
    found: list[tuple[str, NDArray[np.generic]]] = []
    for node in program.graph.nodes:
        named = [weights[x.name] for x in node.all_input_nodes if x.name in weights]
        if node.op == "call_function" and named and str(node.target).split(".")[1] in MATRIX:
            layer = named[0].removesuffix(".weight")
            again = sum(name.split(":")[0] == layer for name, _ in found)
            weight = program.state_dict[named[0]].detach().numpy()
            found.append((f"{layer}:{again + 1}" if again else layer, weight))
    return found


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence converters: their warnings concern their authors, and their progress is shown by ours."""
    before = logging.root.manager.disable
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)  # and not a level of their loggers: some set it when they are imported
        try:
            yield
        finally:
            logging.disable(before)


def _open(stated: Input) -> dict[int, object]:
    dynamic = torch.export.Dim.DYNAMIC(min=1)
    return {0: dynamic} | {at + 1: dynamic for at, size in enumerate(stated.shape) if size is None}


def _forget_paths(program: torch.export.ExportedProgram) -> None:
    for module in program.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            for node in module.graph.nodes:
                node.meta.pop("stack_trace", None)
