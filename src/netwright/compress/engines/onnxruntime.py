"""ONNX Runtime's own quantizers, for ONNX graphs: static INT8, dynamic INT8, and INT4 weights of matrix products."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netwright.core.table import extra
from netwright.export.trace import quiet

if TYPE_CHECKING:
    from netwright.compress.calibration import Examples
    from netwright.compress.quantize import Config

MAKES: Mapping[str, tuple[str, ...]] = {"onnx": ("int8", "int8-dynamic", "int4-weights")}
PACKAGE = "onnxruntime"


def quantized(graph: Any, config: Config, examples: Examples | None, keep: tuple[str, ...]) -> Any:
    """The graph, quantized; nodes that `keep` names stay as they are."""
    onnx, tools = extra("onnx", "the format onnx"), extra("onnxruntime.quantization", "quantization by ONNX Runtime")
    left = {"nodes_to_exclude": list(keep)}
    if config.to == "int4-weights":
        nbits = extra("onnxruntime.quantization.matmul_nbits_quantizer", "quantization by ONNX Runtime")
        with quiet():
            quantizer = nbits.MatMulNBitsQuantizer(
                graph, block_size=config.group, is_symmetric=False, accuracy_level=4, **left
            )
            quantizer.process()
        return quantizer.model.model
    with tempfile.TemporaryDirectory() as folder, quiet():  # its functions read and write files
        before, after = Path(folder) / "before.onnx", Path(folder) / "after.onnx"
        onnx.save_model(graph, before)
        weights = {"per_channel": True, "weight_type": tools.QuantType.QInt8, **left}
        if examples is None:
            tools.quantize_dynamic(before, after, **weights)
        else:
            tools.quantize_static(
                before,
                after,
                _Reader(iter(examples)),
                quant_format=tools.QuantFormat.QDQ,
                activation_type=tools.QuantType.QUInt8,
                **weights,
            )
        return onnx.load_model(after)


class _Reader:
    """Examples as ONNX Runtime asks for them: one after another, then None."""

    def __init__(self, examples: Iterator[Mapping[str, Any]]) -> None:
        self._examples = examples

    def get_next(self) -> Mapping[str, Any] | None:
        return next(self._examples, None)
