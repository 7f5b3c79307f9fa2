"""NNCF: static INT8 with bias correction, and weights alone in INT8 or INT4, for OpenVINO and ONNX graphs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from netwright.core.table import extra
from netwright.export.trace import quiet

if TYPE_CHECKING:
    from netwright.compress.calibration import Examples
    from netwright.compress.quantize import Config

MAKES: Mapping[str, tuple[str, ...]] = {
    "openvino": ("int8", "int8-weights", "int4-weights"),
    "onnx": ("int8",),  # NNCF 3.4 writes scales of convolutions that ONNX Runtime 1.31 refuses, and INT4 likewise
}
PACKAGE = "nncf"
_ATTENTION = {"Softmax", "ScaledDotProductAttention", "Attention"}


def quantized(graph: Any, config: Config, examples: Examples | None, keep: tuple[str, ...]) -> Any:
    """The graph with INT8 arithmetic or with compressed weights; nodes that `keep` names stay as they are."""
    os.environ.setdefault("NNCF_CI", "1")  # its own switch against reporting to anybody
    nncf = extra("nncf", "quantization by NNCF")
    ignored = {"ignored_scope": nncf.IgnoredScope(names=list(keep))} if keep else {}
    with quiet():
        if examples is not None:
            attention = not _ATTENTION.isdisjoint(kinds(graph))
            return nncf.quantize(
                graph,
                nncf.Dataset(examples),
                subset_size=len(examples),
                preset=nncf.QuantizationPreset.MIXED,  # asymmetric activations: signed inputs use all levels
                fast_bias_correction=not config.slow,
                advanced_parameters=_whole_ranges(nncf),
                model_type=nncf.ModelType.TRANSFORMER if attention else None,
                **ignored,
            )
        if config.to == "int8-weights":
            return nncf.compress_weights(graph, mode=nncf.CompressWeightsMode.INT8_ASYM, **ignored)
        mode = nncf.CompressWeightsMode.INT4_ASYM  # embeddings and the last layer become INT8: they hurt most
        narrow = nncf.AdvancedCompressionParameters(group_size_fallback_mode=nncf.GroupSizeFallbackMode.ADJUST)
        return nncf.compress_weights(graph, mode=mode, group_size=config.group, advanced_parameters=narrow, **ignored)


def _whole_ranges(nncf: Any) -> Any:
    """Ranges of activations from the least to the greatest value seen, where NNCF would take means over examples."""
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    return nncf.AdvancedQuantizationParameters(activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX)


def names(graph: Any) -> list[str]:
    """Names of the operators in a graph of either format."""
    if hasattr(graph, "get_ordered_ops"):
        return [operator.get_friendly_name() for operator in graph.get_ordered_ops()]
    return [node.name for node in graph.graph.node]


def kinds(graph: Any) -> set[str]:
    """Names of the operators in a graph of either format."""
    if hasattr(graph, "get_ordered_ops"):
        return {operator.get_type_name() for operator in graph.get_ordered_ops()}
    return {node.op_type for node in graph.graph.node}
