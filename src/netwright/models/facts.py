"""What a model costs, found by tracing it without running it: FLOPs, bytes and parameters per operator.

    workload = trace(model, {"images": torch.empty(1, 3, 32, 32)})

The model runs on fake tensors, which have shapes and no memory, so a model larger than this machine
can be traced. Counted are the operators that eager PyTorch dispatches; a compiler that fuses them moves
fewer bytes. This file knows no device and no time.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, sdpa_flop_count

from netwright.core.workload import Operator, Workload

aten = torch.ops.aten

FREE = {aten._unsafe_view, aten.lift_fresh, aten.empty, aten.empty_like, aten.new_empty}
"""Operators beside the views that move nothing."""

LOOKUPS = {aten.embedding, aten.index, aten.index_select, aten.gather}
"""Operators that read of their table only the rows they return."""

MOVES = LOOKUPS | {aten.clone, aten.copy_, aten.cat, aten._to_copy, aten.constant_pad_nd, aten.roll, aten.repeat}
MOVES |= {aten.zeros, aten.ones, aten.full, aten.fill_, aten.arange}
"""Operators that move bytes and compute nothing."""

DTYPES = {torch.float64: "fp64", torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
DTYPES |= {torch.int8: "int8", torch.uint8: "int8", torch.float8_e4m3fn: "fp8", torch.float8_e5m2: "fp8"}


def trace(model: nn.Module, inputs: Mapping[str, Tensor], name: str = "") -> Workload:
    """The operators of one inference call `model(**inputs)`.

    `inputs` have the batch first; only their shapes and dtypes are used. FLOPs are those of
    `torch.utils.flop_counter` for matrix products, convolutions and attention, and one per element for
    the rest. Raises what the model raises for inputs that do not fit it.
    """
    with _evaluating(model), torch.no_grad(), _fake(model, inputs) as (weights, fakes), _Count(weights) as count:
        functional_call(model, weights, kwargs=fakes)
    return Workload(
        name=name or type(model).__name__,
        batch=next(iter(inputs.values())).shape[0],
        parameters=parameters(model),
        operators=tuple(count.operators),
    )


def parameters(model: nn.Module) -> int:
    """Trainable numbers; shared ones count once."""
    return sum(parameter.numel() for parameter in model.parameters())


class _Count(TorchDispatchMode):
    """Writes down every operator that is dispatched."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operators: list[Operator] = []
        self._weights = {_storage(weight) for weight in weights.values()}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        given, made = _tensors((args, kwargs)), _tensors(result)
        if made and not _is_free(func, given, made[0]):
            output_bytes = sum(map(_bytes, made))
            weight_bytes = sum(_bytes(tensor) for tensor in given if _storage(tensor) in self._weights)
            input_bytes = sum(_bytes(tensor) for tensor in given if _storage(tensor) not in self._weights)
            if func._overloadpacket in LOOKUPS:
                weight_bytes, input_bytes = 0.0, output_bytes + sum(map(_bytes, given[1:]))
            operator = Operator(
                name=func._overloadpacket.__name__,
                flops=_flops(func._overloadpacket, args, kwargs, result),
                weight_bytes=weight_bytes,
                input_bytes=input_bytes,
                output_bytes=output_bytes,
                dtype=_dtype(made, given),
            )
            self.operators.append(operator)
        return result


def _flops(packet: Any, args: Any, kwargs: Any, result: Any) -> float:
    if packet in flop_registry:
        return float(flop_registry[packet](*args, **kwargs, out_val=result))
    if packet is aten._scaled_dot_product_flash_attention_for_cpu:  # the registry has only its CUDA siblings
        query, key, value = (tensor.shape for tensor in args[:3])
        return float(sdpa_flop_count(query, key, value))
    if packet in MOVES:
        return 0.0
    return float(max(tensor.numel() for tensor in _tensors((args, kwargs, result))))


def _is_free(func: Any, given: list[Tensor], result: Tensor) -> bool:
    packet = func._overloadpacket
    if packet is aten._to_copy:
        return bool(given) and given[0].dtype == result.dtype and given[0].device == result.device
    return func.is_view or packet in FREE


def _dtype(*groups: list[Tensor]) -> str:
    """What it computes in: the first floating result, else the first floating argument, else fp32."""
    floating = [tensor.dtype for group in groups for tensor in group if tensor.is_floating_point()]
    small = [tensor.dtype for group in groups for tensor in group if tensor.dtype == torch.int8]
    return DTYPES.get((floating + small + [torch.float32])[0], "fp32")


def _bytes(tensor: Tensor) -> float:
    """What reading the tensor takes; an expanded dimension is read once."""
    held = math.prod(n for n, step in zip(tensor.shape, tensor.stride(), strict=True) if step)
    return float(held * tensor.element_size())


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, Tensor)]


@contextlib.contextmanager
def _fake(model: nn.Module, inputs: Mapping[str, Tensor]) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
    """Stand-ins, without memory, for the model's parameters and buffers and for the inputs."""
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    named = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    fast_path = torch.backends.mha.get_fastpath_enabled()
    # the fused encoder layer is one operator without a FLOP formula, and only some versions and devices take it
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with mode:
            yield (
                {name: mode.from_tensor(tensor) for name, tensor in named.items()},
                {name: mode.from_tensor(tensor) for name, tensor in inputs.items()},
            )
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)


@contextlib.contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """In evaluation mode for a while; afterwards every module is as it was."""
    before = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, was in before:
            module.training = was
