"""What one operator call costs, and what is alive meanwhile: the counter behind `models.facts`.

Beside FLOPs and bytes it follows every storage from its birth to the moment nothing refers to it, which on
fake tensors is the moment eager PyTorch would free it. It knows no device, no kernel and no allocator.
"""

from __future__ import annotations

import collections
import contextlib
import math
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from netwright.core.workload import Matrix, Operator
from netwright.models.alive import Alive

aten = torch.ops.aten

FREE = {aten._unsafe_view, aten.lift_fresh, aten.empty, aten.empty_like, aten.new_empty, aten.empty_strided}
FREE |= {aten.new_empty_strided}
"""Operators beside the views that move nothing."""

LOOKUPS = {aten.embedding, aten.index, aten.index_select, aten.gather}
"""Operators that read of their table only the rows they return."""

BAGS = {aten._embedding_bag, aten._embedding_bag_forward_only}
"""Sums of rows of a table, one row an index."""

WRITES = {aten.index_put_, aten.index_copy_, aten.scatter_, aten.index_add_}
"""Operators that touch of their first argument only what they write: a KV cache, for example."""

COPIES = {aten._to_copy, aten.clone}

FILLS = {aten.copy_, aten.fill_, aten.zero_, aten.zeros_like, aten.ones_like, aten.full_like}
"""Operators that do not read their first argument."""

MOVES = LOOKUPS | {aten.clone, aten.copy_, aten.cat, aten._to_copy, aten.constant_pad_nd, aten.roll, aten.repeat}
MOVES |= {aten.zeros, aten.ones, aten.full, aten.arange, aten.stack, aten.new_zeros, aten.new_full, aten.new_ones}
MOVES |= FILLS | {aten.index_put_, aten.index_copy_, aten.scatter_, aten.flip}
"""Operators that move bytes and compute nothing."""

PRODUCTS = {aten.mm: 0, aten.bmm: 0, aten.addmm: 1, aten.baddbmm: 1, aten._scaled_mm: 0, aten._int_mm: 0}
"""Matrix products -> where the first of their two matrices stands."""

DTYPES = {torch.float64: "fp64", torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
DTYPES |= {torch.int8: "int8", torch.uint8: "int8", torch.float8_e4m3fn: "fp8", torch.float8_e5m2: "fp8"}


class Counter(TorchDispatchMode):
    """Writes down every operator that is dispatched, and the `activations` and `copies` of weights alive meanwhile.

    `weights` are the tensors that are there whatever the batch; what is computed from them alone is one of
    them. After `backward()` has been called, products of two activations are gradients of weights. `opaque`
    counts operators whose FLOPs nobody here knows.
    """

    supports_higher_order_operators = True  # flex attention

    def __init__(self, weights: Iterable[Tensor], inputs: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operators: list[Operator] = []
        self.opaque: collections.Counter[str] = collections.Counter()
        self.activations, self.copies = Alive(), Alive()
        self._paused = self._backward = False
        self._weights = {storage(weight) for weight in weights}
        self._made_by: dict[int, tuple[tuple[int, float], ...]] = {}
        for tensor in inputs:
            self._born(tensor)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if self._paused:
            return result
        packet = getattr(func, "_overloadpacket", func)  # operators of a higher order have none
        given, made = tensors((args, kwargs)), tensors(result)
        if made and not _is_free(func, given, made[0]):
            if packet in LOOKUPS | BAGS | WRITES:
                self._add_rows(packet, args, given, made)
            else:
                read = given[1:] if packet in FILLS else given
                name, flops = _name(packet, args), _flops(packet, args, kwargs, result)
                before = self._made_by.get(storage(read[0]), ()) if packet in COPIES and read else ()
                self.add(name, flops, read, made, before, matrix=self._matrix(packet, args, made))
                if _is_opaque(func):
                    self.opaque[str(packet)] += 1
        of_weights = bool(given) and packet not in FREE and all(storage(tensor) in self._weights for tensor in given)
        for tensor in made:
            self._born(tensor, of_weights)
        return result

    def add(
        self, name: str, flops: float, given: list[Tensor], made: list[Tensor], before: Any = (), **shape: Any
    ) -> None:
        """One operator that reads all of `given` and writes all of `made`; a copy names who made its original."""
        weights = [tensor for tensor in given if storage(tensor) in self._weights]
        inputs = [tensor for tensor in given if storage(tensor) not in self._weights]
        of_weights = len(weights) == len(given) > 0
        out = sum(map(bytes_of, made))
        self.record(
            name,
            flops,
            weight_bytes=sum(map(bytes_of, weights)) + (out if of_weights else 0.0),
            input_bytes=sum(map(bytes_of, inputs)),
            output_bytes=0.0 if of_weights else out,
            dtype=_dtype(made, given),
            **shape,
        )
        at = len(self.operators) - 1
        self._made_by |= {storage(tensor): (*before, (at, bytes_of(tensor))) for tensor in made}

    def record(self, name: str, flops: float, **about: Any) -> None:
        """One operator, its bytes as they are said."""
        self.operators.append(Operator(name=name, flops=flops, **about))

    def backward(self) -> None:
        """From here on gradients are computed."""
        self._backward = True

    def gradient_of(self, weight: Tensor) -> None:
        """A weight's gradient has been computed: it is no activation, and whoever wrote it wrote a weight."""
        if weight.grad is None or (key := storage(weight.grad)) in self._weights:
            return
        read = 0.0  # of a copy: the gradient that another operator wrote
        for at, size in self._made_by.get(key, ()):
            operator = self.operators[at]
            written, read = min(size, operator.output_bytes), min(read, operator.input_bytes)
            self.operators[at] = replace(
                operator,
                weight_bytes=operator.weight_bytes + written + read,
                input_bytes=operator.input_bytes - read,
                output_bytes=operator.output_bytes - written,
            )
            read = written
        self._weights.add(key)
        self.activations.forget(key)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        was, self._paused = self._paused, True
        try:
            yield
        finally:
            self._paused = was

    @staticmethod
    def dtype_of(tensor: Tensor) -> str:
        """What a tensor computes in."""
        return _dtype([tensor])

    def _add_rows(self, packet: Any, args: Any, given: list[Tensor], made: list[Tensor]) -> None:
        """An operator that touches some rows of its first argument, and all of the others."""
        others = sum(bytes_of(tensor) for tensor in given[1:])
        if packet in WRITES:
            values = bytes_of(given[-1])
            self.record(
                packet.__name__, 0.0 if packet in MOVES else float(given[-1].numel()),
                input_bytes=others, output_bytes=values, dtype=_dtype(made),
            )  # fmt: skip
            return
        rows = float(made[0].numel())
        if packet in BAGS:
            rows = float(args[1].numel() * args[0].shape[1])
            made = made[:1]
        self.record(
            "embedding_bag" if packet in BAGS else packet.__name__,
            rows if packet in BAGS else 0.0,
            input_bytes=rows * given[0].element_size() + others,
            output_bytes=sum(map(bytes_of, made)),
            dtype=_dtype(made),
        )

    def _matrix(self, packet: Any, args: Any, made: list[Tensor]) -> Matrix | None:
        """The product that a call is; see `Matrix` for convolutions, whose backward pass is two of them."""
        if packet in PRODUCTS:
            a, b = args[PRODUCTS[packet] :][:2]
            count = a.shape[0] if a.dim() == 3 else 1
            return Matrix(m=a.shape[-2], n=b.shape[-1], k=a.shape[-1], count=count, grows=self._grows(a, b))
        if packet is aten.convolution:
            return convolution(args[0].shape, args[1].shape, made[0].shape, args[6], args[8])
        if packet is aten.convolution_backward:
            one = convolution(args[1].shape, args[2].shape, args[0].shape, args[7], args[9])
            return replace(one, count=one.count * sum(map(bool, args[10][:2])))
        return None

    def _grows(self, a: Tensor, b: Tensor) -> Literal["m", "n", "k", "count"]:
        if storage(b) in self._weights:
            return "m"
        if storage(a) in self._weights:
            return "n"
        if a.dim() == 3:
            return "count"
        return "k" if self._backward else "m"

    def _born(self, tensor: Tensor, of_weights: bool = False) -> None:
        key = storage(tensor)
        if key in self.activations or key in self._weights:
            return
        held = tensor.untyped_storage()
        weakref.finalize(held, self._died, key).atexit = False
        if of_weights:
            self._weights.add(key)
        (self.copies if of_weights else self.activations).born(key, float(held.nbytes()))

    def _died(self, key: int) -> None:
        self.activations.died(key)
        self.copies.died(key)
        self._weights.discard(key)
        self._made_by.pop(key, None)


def convolution(given: Any, weight: Any, made: Any, transposed: bool, groups: int) -> Matrix:
    """The implicit product of a convolution, from the shapes of its input, weight and output.

    Transposed ones multiply every input pixel with the whole kernel, and add up where the results overlap.
    """
    kernel = math.prod(weight[2:])
    if transposed:
        return Matrix(m=given[0] * math.prod(given[2:]), n=weight[1] * kernel, k=weight[0] // groups, count=groups)
    return Matrix(m=made[0] * math.prod(made[2:]), n=weight[0] // groups, k=weight[1] * kernel, count=groups)


def bytes_of(tensor: Tensor) -> float:
    """What reading the tensor takes; an expanded dimension is read once."""
    held = math.prod(n for n, step in zip(tensor.shape, tensor.stride(), strict=True) if step)
    return float(held * tensor.element_size())


def storage(tensor: Tensor) -> int:
    """What tells one storage from another, while both are alive."""
    return int(tensor.untyped_storage()._cdata)


def tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, Tensor)]


def _name(packet: Any, args: Any) -> str:
    """A convolution's says whether it sees all channels: one that does not runs far below the peak rate."""
    if packet is aten.convolution and (groups := args[8]) > 1:
        return "depthwise_convolution" if groups == args[0].shape[1] else "grouped_convolution"
    return str(packet.__name__)


def _flops(packet: Any, args: Any, kwargs: Any, result: Any) -> float:
    if packet is aten.convolution_backward:  # torch's formula counts grouped weights' gradients as if ungrouped
        one = convolution(args[1].shape, args[2].shape, args[0].shape, args[7], args[9])
        return float(one.flops * sum(map(bool, args[10][:2])))
    if packet in (aten._int_mm, aten._grouped_mm):
        return 2.0 * int(args[0].numel()) * int(args[1].shape[-1])
    if packet in flop_registry:
        return float(flop_registry[packet](*args, **kwargs, out_val=result))
    if packet in MOVES:
        return 0.0
    return float(max(tensor.numel() for tensor in tensors((args, kwargs, result))))


def _is_opaque(func: Any) -> bool:
    """Whether it does more than an operation an element, and there is no formula for how much."""
    packet = getattr(func, "_overloadpacket", func)
    if packet in flop_registry or getattr(func, "namespace", "") in ("aten", "prims", "prim"):
        return any(part in packet.__name__ for part in ("linalg", "fft", "trilinear", "cdist"))
    return True


def _is_free(func: Any, given: list[Tensor], result: Tensor) -> bool:
    packet = getattr(func, "_overloadpacket", func)
    if packet is aten._to_copy:
        return bool(given) and given[0].dtype == result.dtype and given[0].device == result.device
    return getattr(func, "is_view", False) or packet in FREE


def _dtype(*groups: list[Tensor]) -> str:
    """What it computes in: the first floating result, else the first floating argument, else fp32."""
    floating = [tensor.dtype for group in groups for tensor in group if tensor.is_floating_point()]
    small = [tensor.dtype for group in groups for tensor in group if tensor.dtype == torch.int8]
    return DTYPES.get((floating + small + [torch.float32])[0], "fp32")
