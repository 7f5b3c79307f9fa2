"""Half precision: files of half the size, which OpenVINO computes in BF16 where the processor can.

ONNX Runtime computes an FP16 file in FP32 on CPUs without FP16 arithmetic: what is won there is the size.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from netwright.core.table import extra
from netwright.export.trace import quiet

if TYPE_CHECKING:
    from netwright.compress.calibration import Examples
    from netwright.compress.quantize import Config

MAKES: Mapping[str, tuple[str, ...]] = {"openvino": ("bf16", "fp16"), "onnx": ("fp16",)}
PACKAGE = ""


def quantized(graph: Any, config: Config, examples: Examples | None, keep: tuple[str, ...]) -> Any:
    """The graph with its constants in half precision."""
    with quiet():
        if hasattr(graph, "get_ordered_ops"):
            extra("openvino", "the format openvino")
            from openvino._offline_transformations import compress_model_transformation

            compress_model_transformation(graph)
            return graph
        tools = extra("onnxruntime.transformers.float16", "half precision of the format onnx")
        return tools.convert_float_to_float16(graph, keep_io_types=True, node_block_list=list(keep))
