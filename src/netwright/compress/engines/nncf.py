"""NNCF: static INT8 with bias correction, and weights alone in INT8 or INT4, for OpenVINO and ONNX graphs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

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
GROUP, SHARE = 32, 0.3
"""Of language models: weights of INT4 that share a step, and the share of weights in INT4; the rest has 8 bits.

Perplexity of SmolLM2-135M over that of FP32, with AWQ and estimated scales: 1.105 for all, 1.07 for 0.6, 1.06 for 0.4,
1.04 for 0.3."""
_ATTENTION = {"Softmax", "ScaledDotProductAttention", "Attention"}


def quantized(graph: Any, config: Config, examples: Examples | None, keep: tuple[str, ...]) -> Any:
    """The graph with INT8 arithmetic or with compressed weights; nodes that `keep` names stay as they are."""
    os.environ.setdefault("NNCF_CI", "1")  # its own switch against reporting to anybody
    nncf = extra("nncf", "quantization by NNCF")
    ignored = {"ignored_scope": nncf.IgnoredScope(names=list(keep))} if keep else {}
    with quiet():
        if config.to == "int4-weights" and examples is not None:
            return _four_bits(nncf, graph, config, examples, ignored)
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


def _four_bits(nncf: Any, graph: Any, config: Config, examples: Examples, ignored: Mapping[str, Any]) -> Any:
    """A language model with INT4 where it hurts least, by examples: INT4 everywhere costs SmolLM2 a fifth more."""
    return nncf.compress_weights(
        graph,
        mode=nncf.CompressWeightsMode.INT4_ASYM,
        group_size=min(config.group, GROUP),
        ratio=config.share or SHARE,
        dataset=nncf.Dataset(examples, _ports),
        subset_size=len(examples),
        awq=True,
        scale_estimation=True,
        advanced_parameters=nncf.AdvancedCompressionParameters(
            group_size_fallback_mode=nncf.GroupSizeFallbackMode.ADJUST
        ),
        **ignored,
    )


def _ports(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """A row of a task as the ports of a stateful model take it; texts of a row see each other, for once."""
    ids_BT = inputs["ids"]
    beams_B = np.arange(len(ids_BT), dtype=np.int32)
    named = {"input_ids": ids_BT, "attention_mask": np.ones_like(ids_BT), "position_ids": inputs["positions"]}
    return {**named, "beam_idx": beams_B}


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
