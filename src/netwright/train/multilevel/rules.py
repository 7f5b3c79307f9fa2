"""What each ATen operator says of the axes of its tensors.

A rule takes the evidence, the graph node and the operator's arguments (tensors as `Value`) and gives the result's
`Value`. Elementwise operators unite the axes that they align; contractions make consumers of parameters; shape
operators rearrange factors; whatever depends on how many units there are, or in which order, freezes them. An operator
without a rule is not guessed: the walk in coupling.py freezes what it touches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch.fx import Node

from netwright.train.multilevel.evidence import CONSTANT, Evidence, Value
from netwright.train.multilevel.factors import Axis

Result = Value | tuple[Value | None, ...]
Rule = Callable[..., Result]
F = TypeVar("F", bound=Rule)
RULES: dict[str, Rule] = {}

ORDER = "{} depends on the order or the number of its units"
LOOKED_UP = "its elements are looked up by index"
ACTIVATIONS = "two activations are multiplied and summed over it"


def rule(*names: str) -> Callable[[F], F]:
    """Registers a rule for ATen operators of these names."""

    def register(function: F) -> F:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register


def name_of(node: Node) -> str:
    """`aten.linear` for an operator's node."""
    packet = getattr(node.target, "overloadpacket", node.target)
    return str(packet)


def shape_of(node: Node, output: int | None = None) -> tuple[int, ...]:
    """The result's shape, or that of one of its outputs."""
    found = node.meta["val"]
    return tuple(found.shape if output is None else found[output].shape)


def wrapped(dim: int, value: Value) -> int:
    """A dimension counted from the front."""
    return dim % max(len(value.axes), 1)


# Elementwise ----------------------------------------------------------------------------------------------------


def elementwise(evidence: Evidence, node: Node, values: Sequence[Value]) -> Value:
    """Aligned axes run over the same units; a parameter taking part makes them."""
    rank = max((len(value.axes) for value in values), default=0)
    made = [value for value in values if not value.constant]
    axes: list[Axis] = []
    sources = []
    for back in range(rank, 0, -1):
        aligned = [value for value in values if len(value.axes) >= back and value.axes[-back]]
        for value in aligned[1:]:
            evidence.factors.unite(aligned[0].axes[-back], value.axes[-back])
        axes.append(aligned[0].axes[-back] if aligned else ())
        sources.append(frozenset().union(*(value.source(len(value.axes) - back) for value in aligned)))
    if not made:
        return Value(tuple(axes), True, tuple(sources), stays_linear(node, values))
    for value in values:
        if value.constant:
            evidence.produce(value)
    if name_of(node) == "aten.add" and len(made) > 1 and len({_root(arg) for arg in node.args}) > 1:
        for back in range(1, rank + 1):
            if all(len(value.axes) >= back and value.axes[-back] for value in made):
                evidence.kind(axes[-back], "stream")
    return Value(tuple(axes))


def _root(node: Any) -> Any:
    """Where a chain of functions of one tensor begins: x + x**3 in an approximated GELU adds no branches."""
    while isinstance(node, Node) and torch.Tag.pointwise in getattr(node.target, "tags", ()):
        above = node.all_input_nodes
        if len(above) != 1:
            break
        node = above[0]
    return node


def stays_linear(node: Node, values: Sequence[Value]) -> bool:
    """Whether scaling all the values, made of parameters, scales the result."""
    name = name_of(node)
    if not all(value.linear for value in values):
        return False
    if name in ("aten.add", "aten.sub"):  # a broadcast summand is not shared among those that are summed over
        return len({tuple(map(bool, value.axes)) for value in values}) == 1 and len(values) == 2
    if name in ("aten.mul", "aten.div"):
        return len(values) == 1 and isinstance(node.args[0], Node)
    return name in ("aten.neg", "aten.clone", "aten._to_copy", "aten.detach", "aten.alias", "aten.lift_fresh_copy")


@rule("aten.clone", "aten._to_copy", "aten.to", "aten.contiguous", "aten.detach", "aten.alias", "aten.lift_fresh_copy")
@rule(
    "aten.relu",
    "aten.prelu",
    "aten.copy",
    "aten.fill",
    "aten.nan_to_num",
    "aten._assert_tensor_metadata",
)
@rule(
    "aten.masked_fill",
    "aten.where",
    "aten.zeros_like",
    "aten.ones_like",
    "aten.full_like",
    "aten.gelu",
)
def _elementwise(evidence: Evidence, node: Node, *args: Any, **_: Any) -> Value:
    if name_of(node) == "aten.prelu" and len(args[0].axes) > 1 and args[1].axes and args[1].axes[0]:
        evidence.factors.unite(args[0].axes[1], args[1].axes[0])
        evidence.produce(args[1])
        return Value(args[0].axes)
    if name_of(node) == "aten.copy":
        return elementwise(evidence, node, args[:2])
    return elementwise(evidence, node, [value for value in args if isinstance(value, Value)])


# Shapes ---------------------------------------------------------------------------------------------------------


@rule("aten.view", "aten.reshape", "aten._unsafe_view", "aten.flatten", "aten.unflatten", "aten.view_copy")
def _view(evidence: Evidence, node: Node, value: Value, *_: Any, **__: Any) -> Value:
    factors, new = evidence.factors, shape_of(node)
    old = [factors.size(axis) for axis in value.axes]
    axes: list[Axis] = []
    dims: list[list[int]] = []
    i = j = 0
    while j < len(new):
        stop, end, left, right = i, j, 1, 1
        while end == j or left != right:
            if left < right or (end > j and left == right):
                left, stop = left * old[stop], stop + 1
            elif left > right or end == j:
                right, end = right * new[end], end + 1
        group = list(range(i, stop))
        cut = factors.view([value.axes[dim] for dim in group], new[j:end])
        axes.extend(cut if cut is not None else [factors.fixed(size, "a view cuts its axis") for size in new[j:end]])
        dims.extend([group if size > 1 else [] for size in new[j:end]])
        i, j = stop, end
    return value.arranged(axes, dims)


@rule("aten.permute")
def _permute(evidence: Evidence, node: Node, value: Value, order: Sequence[int]) -> Value:
    order = [wrapped(dim, value) for dim in order]
    return value.arranged([value.axes[dim] for dim in order], [[dim] for dim in order])


@rule("aten.transpose", "aten.t", "aten.numpy_T", "aten.mT")
def _transpose(evidence: Evidence, node: Node, value: Value, one: int = -1, other: int = -2) -> Value:
    order = list(range(len(value.axes)))
    if len(order) > 1:
        order[one], order[other] = order[other], order[one]
    return _permute(evidence, node, value, order)


@rule("aten.unsqueeze", "aten.squeeze")
def _squeeze(evidence: Evidence, node: Node, value: Value, dim: int | Sequence[int] | None = None) -> Value:
    rank = len(value.axes)
    keep = list(range(rank))
    if name_of(node) == "aten.unsqueeze":
        assert isinstance(dim, int)
        axes, dims = list(value.axes), [[old] for old in keep]
        axes.insert(dim % (rank + 1), ())
        dims.insert(dim % (rank + 1), [])
        return value.arranged(axes, dims)
    gone = keep if dim is None else [wrapped(at, value) for at in ([dim] if isinstance(dim, int) else dim)]
    keep = [old for old in keep if old not in gone or value.axes[old]]
    return value.arranged([value.axes[old] for old in keep], [[old] for old in keep])


@rule("aten.expand")
def _expand(evidence: Evidence, node: Node, value: Value, *_: Any, **__: Any) -> Value:
    shape = shape_of(node)
    new = len(shape) - len(value.axes)
    axes = [value.axes[dim - new] if dim >= new else () for dim in range(len(shape))]
    axes = [axis or evidence.factors.new(size) for axis, size in zip(axes, shape, strict=True)]
    return value.arranged(axes, [[dim - new] if dim >= new else [] for dim in range(len(shape))])


@rule("aten.repeat")
def _repeat(evidence: Evidence, node: Node, value: Value, counts: Sequence[int]) -> Value:
    new = len(counts) - len(value.axes)
    axes = [
        (*evidence.factors.new(count), *(value.axes[dim - new] if dim >= new else ()))
        for dim, count in enumerate(counts)
    ]
    return value.arranged(axes, [[dim - new] if dim >= new else [] for dim in range(len(counts))])


@rule("aten.select")
def _select(evidence: Evidence, node: Node, value: Value, dim: int, index: int) -> Value:
    dim = wrapped(dim, value)
    evidence.freeze(value, "single elements are taken from it", [dim])
    keep = [old for old in range(len(value.axes)) if old != dim]
    return value.arranged([value.axes[old] for old in keep], [[old] for old in keep])


@rule("aten.unbind")
def _unbind(evidence: Evidence, node: Node, value: Value, dim: int = 0) -> Result:
    return (_select(evidence, node, value, dim, 0),) * len(node.meta["val"])


def piece(evidence: Evidence, value: Value, dim: int, start: int, stop: int) -> Value:
    """Elements start to stop of one axis."""
    factors, axis = evidence.factors, value.axes[dim]
    size = factors.size(axis)
    rest: Axis | None = axis
    for at in (stop, start):  # the tail goes first, so that `start` still counts from the front
        if rest is None or at in (0, factors.size(rest)):
            continue
        halves = factors.cut(rest, at)
        rest = None if halves is None else halves[0 if at == stop else 1]
    if rest is None or stop <= start:
        factors.freeze(axis, "a slice cuts through its blocks")
        rest = factors.fixed(stop - start, "a slice cuts through its blocks")
    axes = list(value.axes)
    axes[dim] = axis if stop - start == size else rest
    return value.arranged(axes, [[old] for old in range(len(axes))])


@rule("aten.slice", "aten.narrow")
def _slice(
    evidence: Evidence,
    node: Node,
    value: Value,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Value:
    dim = wrapped(dim, value)
    size = evidence.factors.size(value.axes[dim])
    if step != 1:
        return changed(evidence, node, value, [dim], "every second element is taken")
    begin = min(max((start or 0) + (size if (start or 0) < 0 else 0), 0), size)
    return piece(evidence, value, dim, begin, begin + shape_of(node)[dim])


@rule(
    "aten.split", "aten.split_with_sizes", "aten.chunk", "aten.tensor_split", "aten.unsafe_split", "aten.unsafe_chunk"
)
def _split(evidence: Evidence, node: Node, value: Value, sizes: Any, dim: int = 0) -> Result:
    dim = wrapped(dim, value)
    parts, start = [], 0
    for output in range(len(node.meta["val"])):
        stop = start + shape_of(node, output)[dim]
        parts.append(piece(evidence, value, dim, start, stop))
        start = stop
    return tuple(parts)


@rule("aten.glu")
def _glu(evidence: Evidence, node: Node, value: Value, dim: int = -1) -> Value:
    dim = wrapped(dim, value)
    half = evidence.factors.size(value.axes[dim]) // 2
    halves = [piece(evidence, value, dim, start, start + half) for start in (0, half)]
    return elementwise(evidence, node, halves)


@rule("aten.cat", "aten.concat")
def _cat(evidence: Evidence, node: Node, values: Sequence[Value], dim: int = 0) -> Value:
    values = [value for value in values if math.prod(evidence.factors.size(axis) for axis in value.axes)]
    dim = wrapped(dim, values[0])
    made = not all(value.constant for value in values)
    for value in values:
        if made and value.constant:
            evidence.produce(value)
        for other, axis in enumerate(value.axes):
            if other != dim:
                evidence.factors.unite(values[0].axes[other], axis)
    axes = list(values[0].axes)
    axes[dim] = evidence.factors.concatenate(value.axes[dim] for value in values)
    sources = tuple(frozenset().union(*(value.source(at) for value in values)) for at in range(len(axes)))
    return Value(tuple(axes), not made, () if made else sources, all(value.linear for value in values))


@rule("aten.slice_scatter", "aten.select_scatter")
def _scatter(evidence: Evidence, node: Node, value: Value, source: Value, dim: int = 0, *_: Any, **__: Any) -> Value:
    dim = wrapped(dim, value)
    evidence.freeze(value, "parts of it are written over", [dim])
    inner = list(value.axes)
    if name_of(node) == "aten.select_scatter":
        del inner[dim]
    else:
        evidence.freeze(source, "parts of it are written over", [dim])
        inner[dim] = source.axes[dim] if len(source.axes) == len(value.axes) else ()
    elementwise(evidence, node, [Value(tuple(inner)), source])
    if value.constant:
        evidence.produce(value)
    return Value(value.axes)


def changed(
    evidence: Evidence, node: Node, value: Value, dims: Sequence[int], why: str, output: int | None = None
) -> Value:
    """A result whose `dims` are other elements than those of the value; the other axes are kept."""
    evidence.freeze(value, why, dims)
    shape = shape_of(node, output)
    axes = [evidence.factors.fixed(shape[dim], why) if dim in dims else axis for dim, axis in enumerate(value.axes)]
    return value.arranged(axes, [[dim] for dim in range(len(axes))])


@rule("aten.constant_pad_nd", "aten.pad", "aten.reflection_pad1d", "aten.reflection_pad2d", "aten.replication_pad2d")
def _pad(evidence: Evidence, node: Node, value: Value, padding: Sequence[int], *_: Any, **__: Any) -> Value:
    last = len(value.axes) - 1
    dims = [last - at // 2 for at, count in enumerate(padding) if count]
    return changed(evidence, node, value, dims, "it is padded")


@rule("aten.flip", "aten.roll")
def _reorder(evidence: Evidence, node: Node, value: Value, amounts: Any, dims: Sequence[int] = ()) -> Value:
    moved = (amounts if name_of(node) == "aten.flip" else dims) or range(len(value.axes))
    evidence.freeze(value, ORDER.format(name_of(node)), [wrapped(dim, value) for dim in moved])
    return value.arranged(value.axes, [[dim] for dim in range(len(value.axes))])


@rule("aten.gather", "aten.take_along_dim")
def _gather(evidence: Evidence, node: Node, value: Value, dim: int, index: Value, **_: Any) -> Value:
    factors, dim = evidence.factors, wrapped(dim, value)
    axes = list(index.axes)
    for at, axis in enumerate(value.axes):
        if at != dim and factors.size(axis) == factors.size(axes[at]):
            factors.unite(axis, axes[at])
            axes[at] = axis
        else:
            evidence.freeze(value, LOOKED_UP, [at])
            evidence.freeze(index, LOOKED_UP, [at])
    if value.constant:
        evidence.produce(value)
    return Value(tuple(axes))


@rule("aten.view_as_complex", "aten.view_as_real")
def _complex(evidence: Evidence, node: Node, value: Value) -> Value:
    pair = "real and imaginary part"
    kept = list(range(len(shape_of(node)) if name_of(node) == "aten.view_as_complex" else len(value.axes)))
    evidence.freeze(value, pair, range(len(kept), len(value.axes)))
    axes, dims = [value.axes[dim] for dim in kept], [[dim] for dim in kept]
    if name_of(node) == "aten.view_as_real":
        axes, dims = [*axes, evidence.factors.fixed(2, pair)], [*dims, []]
    return value.arranged(axes, dims)


@rule("aten.index", "aten.index_select")
def _index(evidence: Evidence, node: Node, value: Value, *args: Any) -> Value:
    if name_of(node) == "aten.index_select":
        return changed(evidence, node, value, [wrapped(args[0], value)], LOOKED_UP)
    indices = args[0]
    dims = [dim for dim, index in enumerate(indices) if index is not None]
    evidence.freeze(value, LOOKED_UP, dims)
    together = elementwise(evidence, node, [indices[dim] for dim in dims])
    kept = [dim for dim in range(len(value.axes)) if dim not in dims]
    front = dims[0] if dims == list(range(dims[0], dims[-1] + 1)) else 0
    new = [(axis, list[int]()) for axis in together.axes]
    arranged = [(value.axes[dim], [dim]) for dim in kept]
    arranged[front:front] = new
    found = value.arranged([axis for axis, _ in arranged], [old for _, old in arranged])
    if value.constant and not together.constant:
        evidence.produce(found)
        return Value(found.axes)
    return found


@rule(
    "aten.arange",
    "aten.linspace",
    "aten.eye",
    "aten.scalar_tensor",
    "aten.tril_indices",
    "aten.triu_indices",
    "aten.full",
)
@rule("aten.zeros", "aten.ones", "aten.empty", "aten.new_zeros", "aten.new_ones", "aten.new_full", "aten.new_empty")
def _filled(evidence: Evidence, node: Node, *_: Any, **__: Any) -> Value:
    same = name_of(node).removeprefix("aten.").removeprefix("new_") in ("zeros", "ones", "full", "empty")
    axes = [evidence.factors.new(size) for size in shape_of(node)]
    for axis in () if same else axes:
        evidence.factors.freeze(axis, CONSTANT)
    return Value(tuple(axes), True, tuple(frozenset() for _ in axes), False)


@rule("aten.tril", "aten.triu")
def _triangle(evidence: Evidence, node: Node, value: Value, *_: Any) -> Value:
    evidence.freeze(value, ORDER.format(name_of(node)), [len(value.axes) - 2, len(value.axes) - 1])
    return value


# Reductions -----------------------------------------------------------------------------------------------------

KEEPING = ("aten.amax", "aten.amin", "aten.max", "aten.min", "aten.any", "aten.all", "aten.aminmax")
MEANS = ("aten.mean", "aten.var", "aten.var_mean", "aten.std")


@rule("aten.sum", "aten.prod", "aten.linalg_vector_norm", "aten.norm", "aten.logsumexp", "aten.argmax", "aten.argmin")
@rule("aten.median", *KEEPING, *MEANS)
def _reduce(evidence: Evidence, node: Node, value: Value, *args: Any, **kwargs: Any) -> Result:
    name = name_of(node)
    values = [at for at in args if isinstance(at, Value)]
    if values:  # max(a, b)
        return elementwise(evidence, node, [value, *values])
    dims = reduced(node, value)
    biased = name == "aten.mean" or kwargs.get("correction", 1) == 0 or (len(args) > 1 and args[1] is False)
    indexed = name in ("aten.max", "aten.min") and any(use.args[1] == 1 and use.users for use in node.users)
    for dim in dims:
        if name in MEANS and biased:
            evidence.uniform(value.axes[dim])
        elif name not in KEEPING or indexed:
            evidence.factors.freeze(value.axes[dim], f"{name} over it")
    single = not isinstance(node.meta["val"], tuple | list)
    rank = len(shape_of(node, None if single else 0))
    kept = (
        list(range(len(value.axes)))
        if rank == len(value.axes)
        else [d for d in range(len(value.axes)) if d not in dims]
    )
    found = value.arranged([() if dim in dims else value.axes[dim] for dim in kept], [[dim] for dim in kept])
    if name not in ("aten.sum", "aten.mean") and found.constant:
        found = Value(found.axes, True, found.sources, False)
    return found if single else (found,) * len(node.meta["val"])


def reduced(node: Node, value: Value) -> list[int]:
    """The dimensions a reduction runs over, by its schema."""
    given: Any = None
    for position, argument in enumerate(node.target._schema.arguments):  # type: ignore[union-attr]
        if argument.name == "dim":
            given = node.args[position] if position < len(node.args) else node.kwargs.get("dim")
    if given is None or given == []:
        return list(range(len(value.axes)))
    return [wrapped(dim, value) for dim in ([given] if isinstance(given, int) else given)]


@rule("aten.softmax", "aten._softmax", "aten.log_softmax", "aten._log_softmax", "aten._safe_softmax", "aten.cumsum")
@rule("aten.cumprod", "aten.sort", "aten.argsort", "aten.topk", "aten.logcumsumexp", "aten.cummax", "aten.renorm")
def _along(evidence: Evidence, node: Node, value: Value, *args: Any, **kwargs: Any) -> Result:
    why = ORDER.format(name_of(node))
    position = 1 if name_of(node) == "aten.topk" else 0
    dim = wrapped(kwargs.get("dim", args[position] if len(args) > position else -1), value)
    if isinstance(node.meta["val"], tuple | list):
        return tuple(changed(evidence, node, value, [dim], why, at) for at in range(len(node.meta["val"])))
    return changed(evidence, node, value, [dim], why)
