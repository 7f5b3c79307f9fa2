"""Rules of the operators with parameters of their own: contractions, convolutions, normalizations, attention, lookup.

The contracted axis of a weight is its consumer axis and runs over the units of the activation; its other axes make new
units. A product of two activations is a similarity: what it sums over (head_dim) cannot be merged, as the sum would
grow with the number of copies, while what it runs beside (heads) can.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from torch import nn
from torch.fx import Node

from netwright.train.multilevel.evidence import HEAD_DIM, POSITIONS, Evidence, Value
from netwright.train.multilevel.factors import Axis
from netwright.train.multilevel.rules import (
    ACTIVATIONS,
    Result,
    changed,
    elementwise,
    name_of,
    rule,
    shape_of,
)


def contract(
    evidence: Evidence, one: Value, dim: int, other: Value, by: int, module: str = "", kernel: Sequence[int] = ()
) -> None:
    """Sums over one axis of either: the parameter's axis reads the units; its others, but the kernel's, make some."""
    axis = one.axes[dim]
    evidence.factors.unite(axis, other.axes[by])
    if one.constant == other.constant:
        evidence.factors.freeze(axis, "two weights are multiplied over it" if one.constant else ACTIVATIONS)
        return
    weight, at = (one, dim) if one.constant else (other, by)
    evidence.role(weight, at, "consumer", module)
    evidence.produce(weight, skip=[at, *kernel])


@rule("aten.linear")
def _linear(evidence: Evidence, node: Node, value: Value, weight: Value, bias: Value | None = None) -> Value:
    if value.constant:
        evidence.produce(value)
        value = Value(value.axes)
    if not weight.constant:
        return _matmul(evidence, node, value, weight.arranged(weight.axes[::-1], [[1], [0]]))
    last = len(weight.axes) - 1
    contract(evidence, value, len(value.axes) - 1, weight, last, own_linear(node))
    found = Value((*value.axes[:-1], *weight.axes[:last]))
    return found if bias is None else elementwise(evidence, node, [found, bias])


def own_linear(node: Node) -> str:
    """The nn.Linear module that the node belongs to, if it does."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    if not stack:
        return ""
    path, kind = stack[-1]
    kind = kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"
    plain = kind == f"{nn.Linear.__module__}.{nn.Linear.__qualname__}"
    return re.sub(r"@\d+", "", path) if plain else ""


@rule("aten.matmul", "aten.mm", "aten.bmm", "aten.mv", "aten.dot", "aten.vdot")
def _matmul(evidence: Evidence, node: Node, one: Value, other: Value) -> Value:
    by = max(len(other.axes) - 2, 0)
    contract(evidence, one, len(one.axes) - 1, other, by)
    batch: list[Axis] = []
    sources = []
    ranks = len(one.axes) - 2, len(other.axes) - 2
    for back in range(max(*ranks, 0), 0, -1):
        aligned = [
            (value, rank - back)
            for value, rank in zip((one, other), ranks, strict=True)
            if rank >= back and value.axes[rank - back]
        ]
        if len(aligned) == 2:
            evidence.factors.unite(aligned[0][0].axes[aligned[0][1]], aligned[1][0].axes[aligned[1][1]])
        batch.append(aligned[0][0].axes[aligned[0][1]] if aligned else ())
        sources.append(frozenset().union(*(value.source(dim) for value, dim in aligned)))
        if not one.constant and not other.constant:
            evidence.kind(batch[-1], "head")
    axes, rows, columns = tuple(batch), one.axes[-2:-1], other.axes[by + 1 :]
    if not (one.constant and other.constant):
        return Value((*axes, *rows, *columns))
    ends = [one.source(len(one.axes) - 2)] * len(rows) + [other.source(len(other.axes) - 1)] * len(columns)
    return Value((*axes, *rows, *columns), True, (*sources, *ends), one.linear and other.linear)


@rule("aten.addmm", "aten.baddbmm", "aten.addmv", "aten.addbmm")
def _addmm(evidence: Evidence, node: Node, bias: Value, one: Value, other: Value, **_: Any) -> Value:
    return elementwise(evidence, node, [_matmul(evidence, node, one, other), bias])


@rule("aten.conv1d", "aten.conv2d", "aten.conv3d", "aten.convolution")
@rule("aten.conv_transpose1d", "aten.conv_transpose2d", "aten.conv_transpose3d")
def _convolution(
    evidence: Evidence, node: Node, value: Value, weight: Value, bias: Value | None = None, *args: Any, **_: Any
) -> Value:
    name = name_of(node)
    transposed = "transpose" in name or (name == "aten.convolution" and bool(args[3]))
    groups = args[5] if name == "aten.convolution" else args[3:4] or 1
    groups = groups[0] if isinstance(groups, list | tuple) else groups
    kernel = len(weight.axes) - 2
    channel = len(value.axes) - kernel - 1
    spatial = list(range(channel + 1, len(value.axes)))
    if not weight.constant or value.constant:
        raise ValueError("a weight that is an activation")
    evidence.freeze(value, POSITIONS, spatial)
    made, read = (1, 0) if transposed else (0, 1)
    if groups == 1:
        contract(evidence, value, channel, weight, read, kernel=range(2, len(weight.axes)))
        out = weight.axes[made]
    else:
        out = _grouped(evidence, value.axes[channel], weight, groups, transposed)
    evidence.kind(out, "channel")
    evidence.kind(value.axes[channel], "channel")
    places = [evidence.factors.fixed(size, POSITIONS) for size in shape_of(node)[channel + 1 :]]
    found = Value((*value.axes[:channel], out, *places))
    if bias is not None:
        evidence.factors.unite(out, bias.axes[0])
        evidence.produce(bias)
    return found


def _grouped(evidence: Evidence, channel: Axis, weight: Value, groups: int, transposed: bool) -> Axis:
    """Channels are (group, within); a group's outputs come from its own inputs, so that the groups run through."""
    factors = evidence.factors
    within = factors.size(channel) // groups
    if transposed and within > 1:
        raise ValueError("a grouped transposed convolution")
    group, inner = factors.new(groups), factors.new(within)
    factors.unite(channel, (*group, *inner))
    evidence.role(weight, 0, "producer")
    if transposed:
        factors.unite(weight.axes[0], group)
        evidence.role(weight, 1, "producer")
        return (*group, *weight.axes[1])
    factors.unite(weight.axes[0], (*group, *factors.new(factors.size(weight.axes[0]) // groups)))
    factors.unite(weight.axes[1], inner)
    if inner:
        evidence.role(weight, 1, "consumer")
    return weight.axes[0]


POOLS = ("avg_pool{}d", "max_pool{}d", "adaptive_avg_pool{}d", "adaptive_max_pool{}d", "max_pool{}d_with_indices")
UPSAMPLES = ("nearest1d", "nearest2d", "nearest3d", "linear1d", "bilinear2d", "bicubic2d", "trilinear3d")


@rule(*(f"aten.{pool.format(rank)}" for pool in POOLS for rank in (1, 2, 3)), "aten._adaptive_avg_pool2d")
@rule(*(f"aten.upsample_{kind}" for kind in UPSAMPLES), "aten._adaptive_avg_pool3d", "aten._upsample_bilinear2d_aa")
@rule("aten._upsample_nearest_exact1d", "aten._upsample_nearest_exact2d", "aten._upsample_bicubic2d_aa")
def _pool(evidence: Evidence, node: Node, value: Value, *_: Any, **__: Any) -> Result:
    found = re.search(r"(\d)d", name_of(node))
    rank = int(found[1]) if found else 2
    dims = list(range(len(value.axes) - rank, len(value.axes)))
    if isinstance(node.meta["val"], tuple | list):
        return tuple(changed(evidence, node, value, dims, POSITIONS, at) for at in range(len(node.meta["val"])))
    return changed(evidence, node, value, dims, POSITIONS)


@rule("aten.layer_norm", "aten.rms_norm", "aten._fused_rms_norm", "aten.native_layer_norm")
def _layer_norm(evidence: Evidence, node: Node, value: Value, shape: Sequence[int], *args: Any, **_: Any) -> Result:
    for axis in value.axes[len(value.axes) - len(shape) :]:
        evidence.uniform(axis)
        evidence.kind(axis, "stream")
    found = elementwise(evidence, node, [value, *(at for at in args if isinstance(at, Value))])
    return found if not isinstance(node.meta["val"], tuple | list) else (found, None, None)


@rule("aten.group_norm", "aten.native_group_norm")
def _group_norm(evidence: Evidence, node: Node, value: Value, *args: Any, **_: Any) -> Result:
    native = name_of(node) == "aten.native_group_norm"
    groups = args[5] if native else args[0]
    evidence.uniform(value.axes[1], groups)
    evidence.freeze(value, POSITIONS, range(2, len(value.axes)))
    _per_channel(evidence, value, args)
    return (value, None, None) if native else value


def _per_channel(evidence: Evidence, value: Value, parameters: Sequence[Any]) -> None:
    for parameter in parameters:
        if isinstance(parameter, Value):
            evidence.factors.unite(value.axes[1], parameter.axes[0])
            evidence.produce(parameter)


@rule("aten.batch_norm", "aten._native_batch_norm_legit_no_training", "aten.instance_norm", "aten.native_batch_norm")
def _batch_norm(evidence: Evidence, node: Node, value: Value, *args: Any, **_: Any) -> Result:
    _per_channel(evidence, value, args)
    if name_of(node) == "aten.instance_norm":
        evidence.freeze(value, POSITIONS, range(2, len(value.axes)))
    return (value, None, None) if isinstance(node.meta["val"], tuple | list) else value


@rule("aten.embedding")
def _embedding(evidence: Evidence, node: Node, weight: Value, index: Value, *_: Any, **__: Any) -> Value:
    evidence.freeze(weight, "entries of an embedding", [0])
    evidence.produce(weight, skip=[0])
    return Value((*index.axes, weight.axes[1]))


@rule("aten.embedding_bag", "aten._embedding_bag", "aten._embedding_bag_forward_only")
def _embedding_bag(evidence: Evidence, node: Node, weight: Value, index: Value, *args: Any, **_: Any) -> Result:
    evidence.freeze(weight, "entries of an embedding", [0])
    for value in (index, *(at for at in args if isinstance(at, Value))):
        evidence.freeze(value, "entries of a bag")
    evidence.produce(weight, skip=[0])
    found = Value((evidence.factors.fixed(shape_of(node, 0)[0], POSITIONS), weight.axes[1]))
    return (found, *(None for _ in node.meta["val"][1:]))


@rule("aten.scaled_dot_product_attention")
def _attention(
    evidence: Evidence,
    node: Node,
    query: Value,
    key: Value,
    value: Value,
    mask: Value | None = None,
    *_: Any,
    **kwargs: Any,
) -> Value:
    factors = evidence.factors
    for one in (query, key, value):
        if one.constant:
            evidence.produce(one)
        factors.freeze(one.axes[-1], HEAD_DIM)
        factors.freeze(one.axes[-2], POSITIONS)
    factors.unite(query.axes[-1], key.axes[-1])
    factors.unite(key.axes[-2], value.axes[-2])
    heads = [one.axes[-3] if len(one.axes) > 2 else () for one in (query, key, value)]
    if kwargs.get("enable_gqa"):
        factors.unite(heads[1], heads[2])
        repeats = factors.size(heads[0]) // max(factors.size(heads[1]), 1)
        factors.unite(heads[0], (*heads[1], *factors.new(repeats)))
        rows = [Value(one.axes[:-3]) for one in (query, key, value)]
        batch: tuple[Axis, ...] = (*elementwise(evidence, node, rows).axes, heads[0])
    else:
        batch = elementwise(evidence, node, [Value(one.axes[:-2]) for one in (query, key, value)]).axes
    if len(query.axes) > 2:
        evidence.kind(batch[-1], "head")
    if mask is not None:
        elementwise(evidence, node, [Value((*batch, query.axes[-2], key.axes[-2])), mask])
    return Value((*batch, query.axes[-2], value.axes[-1]))
