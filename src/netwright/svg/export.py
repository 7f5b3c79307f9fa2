"""The predictor as files: one ONNX file with features, network and what is known of its errors; and PyTorch's two.

write(Whole(model, landmarks), about, folder)      # quality.onnx, quality.pt2, quality.torchscript.pt
"""

from __future__ import annotations

import copy
import json
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from netwright.core.table import extra
from netwright.svg.network import Distance, Ensemble
from netwright.svg.predictor import INPUTS, OUTPUTS, PACKAGED
from netwright.svg.setting import COLUMNS
from netwright.svg.statistics import Statistics
from netwright.svg.views import FACTS, PIECE, WHOLE

TABLE = 4096
"""Bytes from which a table of one number is not written out."""


class Halved(nn.Module):
    """A linear layer whose weight is kept in 16 bits: half the file, and the same to three digits."""

    weight_OI: Tensor
    bias_O: Tensor

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.register_buffer("weight_OI", layer.weight.detach().half())
        self.register_buffer("bias_O", layer.bias.detach().clone())

    def forward(self, x_BI: Tensor) -> Tensor:
        """x_BO."""
        return nn.functional.linear(x_BI, self.weight_OI.float(), self.bias_O)


class Whole(nn.Module):
    """From pixels and settings to amounts: what is exported."""

    def __init__(self, model: Ensemble, distance: Distance) -> None:
        super().__init__()
        self.statistics, self.model, self.distance = Statistics(), copy.deepcopy(model), distance
        for part in list(self.model.modules()):
            for name, layer in part.named_children():
                if isinstance(layer, nn.Linear):
                    setattr(part, name, Halved(layer))

    def forward(
        self, whole_1CHW: Tensor, piece_1CHW: Tensor, facts_1A: Tensor, settings_NP: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Mean and spread of the scaled amounts (N, T); features_1F; distance_1."""
        features_1F = self.statistics(whole_1CHW, piece_1CHW, facts_1A)
        mean_NT, spread_NT = self.model(features_1F, settings_NP)
        return mean_NT, spread_NT, features_1F, self.distance(features_1F)


def write(whole: Whole, about: Mapping[str, Any], folder: Path) -> Path:
    """Write the three files; returns the ONNX one. `about` is kept in each."""
    onnx = extra("onnx", "exporting the predictor")
    folder.mkdir(parents=True, exist_ok=True)
    whole.eval()
    example = (
        torch.zeros(1, 3, WHOLE, WHOLE, dtype=torch.uint8), torch.zeros(1, 3, PIECE, PIECE, dtype=torch.uint8),
        torch.zeros(1, len(FACTS)), torch.zeros(3, len(COLUMNS)),
    )  # fmt: skip
    text = json.dumps(about, sort_keys=True)
    dynamic = (None, None, None, {0: torch.export.Dim.DYNAMIC})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(whole, example, dynamic_shapes=dynamic)
        for node in program.graph.nodes:  # where each came from in Python: three megabytes of paths
            for name in ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node"):
                node.meta.pop(name, None)
        torch.export.save(program, folder / "quality.pt2", extra_files={"netwright": text})
        _deflate(folder / "quality.pt2")
        traced = torch.jit.trace(whole, example, check_trace=False)
        torch.jit.save(traced, str(folder / "quality.torchscript.pt"), _extra_files={"netwright": text})
        exported = torch.onnx.export(
            program, input_names=[*INPUTS, "settings"],
            output_names=[*OUTPUTS, "image_features", "image_distance"], dynamo=True, verbose=False,
        )  # fmt: skip
        assert exported is not None
        model = exported.model_proto
    onnx.helper.set_model_props(model, {"netwright": text})
    for node in model.graph.node:  # where each node came from in Python: a megabyte of paths
        del node.metadata_props[:]
        node.doc_string = ""
    _condense(model.graph)
    onnx.checker.check_model(model)
    onnx.save(model, str(folder / PACKAGED))
    return folder / PACKAGED


def _deflate(path: Path) -> None:
    """Pack an archive that was stored as it is: most of it is text about a graph."""
    draft = path.with_suffix(".draft")
    with zipfile.ZipFile(path) as loose, zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as packed:
        for entry in loose.infolist():
            packed.writestr(entry.filename, loose.read(entry.filename))
    draft.replace(path)


def _condense(graph: Any) -> None:
    """Tables of one number, which the exporter has filled in, as that number and a shape."""
    from onnx import TensorProto, helper, numpy_helper

    for tensor in list(graph.initializer):
        values = numpy_helper.to_array(tensor)
        if values.nbytes < TABLE or (values != values.flat[0]).any():
            continue
        graph.initializer.remove(tensor)
        shape = helper.make_tensor(f"{tensor.name}_shape", TensorProto.INT64, [values.ndim], values.shape)
        graph.initializer.append(shape)
        one = numpy_helper.from_array(values.ravel()[:1])
        graph.node.insert(0, helper.make_node("ConstantOfShape", [shape.name], [tensor.name], value=one))
