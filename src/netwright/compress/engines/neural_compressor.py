"""Intel Neural Compressor: static INT8 of the traced network, by torch's quantization of exported programs (PT2E).

Version 3 knows graphs of torch alone: here a graph is a traced program, and the format is written of what comes out.
Its dynamic quantization has operators that neither ONNX nor OpenVINO take, and its methods for weights alone look at
linear layers of language models (LOG.md says what was tried).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from netwright.core.table import extra
from netwright.export.trace import quiet

if TYPE_CHECKING:
    from netwright.compress.calibration import Examples
    from netwright.compress.quantize import Config

MAKES: Mapping[str, tuple[str, ...]] = {"openvino": ("int8",), "onnx": ("int8",)}
PACKAGE = "neural_compressor"
TOGETHER = 32
"""Examples in a batch: its moving ranges are mostly those of the first one."""


def quantized(graph: Any, config: Config, examples: Examples | None, keep: tuple[str, ...]) -> Any:
    """A traced program as a module that rounds what goes into its matrix layers; layers in `keep` stay as they are."""
    import torch

    assert examples is not None
    with quiet(), torch.no_grad():
        tool = extra("neural_compressor.torch.quantization", "quantization by Intel Neural Compressor")
        settings = tool.StaticQuantConfig()
        for name in keep:
            settings.set_local(name, tool.StaticQuantConfig(w_dtype="fp32", act_dtype="fp32"))
        module = graph.module()
        module._exported, module.dynamic_shapes = True, None  # as its own function for tracing leaves it
        observed = tool.prepare(module, settings)
        for inputs in examples.batches(TOGETHER):
            observed(**inputs)
        return tool.convert(observed)
