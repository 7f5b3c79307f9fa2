"""Attention and recurrent layers, traced as the fused calls they are on most devices.

PyTorch on a CPU takes some of them apart into a handful of operators a token, other devices do not; so a trace
would depend on where it was taken. Here the call is answered with empty tensors of the right shapes, and the
counter is told what it costs: for that, values do not matter. Within one call nothing else is counted.

Does not know recurrent cells that are called step by step: they are counted as the products they are.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from netwright.core.workload import Attention, Matrix

if TYPE_CHECKING:
    from netwright.models.counter import Counter

SDPA = functional.scaled_dot_product_attention

FLEXIBLE = "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG"

RECURRENT = {torch.lstm: "lstm", torch.gru: "gru", torch.rnn_tanh: "rnn", torch.rnn_relu: "rnn"}


class Fused(TorchFunctionMode):
    """While it is entered, those calls go to `counter` as one operator, or two a recurrent layer."""

    def __init__(self, counter: Counter) -> None:
        super().__init__()
        self._counter = counter

    def __enter__(self) -> Fused:
        # nn.MultiheadAttention calls it where a mode does not see it
        functional.scaled_dot_product_attention = lambda *args, **kwargs: self.__torch_function__(
            SDPA, (), args, kwargs
        )
        # flex attention would compile itself here
        self._flexible = sys.modules.get("torch.nn.attention.flex_attention")
        if self._flexible:
            setattr(self._flexible, FLEXIBLE, True)
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *fault: Any) -> None:
        functional.scaled_dot_product_attention = SDPA
        if self._flexible:
            setattr(self._flexible, FLEXIBLE, False)
        super().__exit__(*fault)  # type: ignore[no-untyped-call]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is not SDPA and func not in RECURRENT:
            return func(*args, **kwargs)
        # says what the answer looks like, or what is wrong with the call
        with torch.no_grad(), self._counter.paused(), torch._C.DisableTorchFunction():
            answer = func(*args, **kwargs)
        if func in RECURRENT:
            return _recurrent(self._counter, RECURRENT[func], args, answer)
        return _attention(self._counter, args, kwargs, answer)


def _attention(counter: Counter, args: Any, kwargs: Any, answer: Tensor) -> Tensor:
    names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    mask = given.get("attn_mask")
    return _Attention.apply(  # type: ignore[no-any-return, no-untyped-call]
        counter, answer, bool(given.get("is_causal")), mask, given["query"], given["key"], given["value"]
    )


class _Attention(torch.autograd.Function):
    """Keeps query, key, value, answer and a logsumexp a row, as FlashAttention does (Dao et al. 2022)."""

    @staticmethod
    def forward(ctx: Any, counter: Any, answer: Any, causal: bool, mask: Any, q: Any, k: Any, v: Any) -> Any:
        q, k, v = (tensor.to(answer.dtype) for tensor in (q, k, v))
        made = torch.empty_like(answer)  # with its strides: heads are innermost but one, so that joining them is free
        heads = [tensor.shape[-3] if tensor.dim() > 2 else 1 for tensor in (q, k)]
        ctx.counter, ctx.shape = counter, Attention(
            batch=math.prod(q.shape[:-3]), heads=heads[0], kv_heads=heads[1], queries=q.shape[-2], keys=k.shape[-2],
            head_dim=q.shape[-1], value_dim=v.shape[-1], causal=causal,
        )  # fmt: skip
        ctx.mask = mask if ctx.needs_input_grad[3] else None
        ctx.save_for_backward(q, k, v, made, made.new_empty(made.shape[:-1], dtype=torch.float32))
        given = [q, k, v] if mask is None else [q, k, v, mask]
        counter.add("scaled_dot_product_attention", ctx.shape.flops, given, [made], attention=ctx.shape)
        return made

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        q, k, v, made, _ = ctx.saved_tensors
        gradients = [tensor.new_empty(tensor.shape) for tensor in (q, k, v)]
        a: Attention = ctx.shape
        # the scores once more, and a product for each of the gradients of scores, values, queries and keys
        flops = 2.0 * a.batch * a.heads * a.queries * a.keys * (3 * a.head_dim + 2 * a.value_dim)
        name = "scaled_dot_product_attention_backward"
        mask = None if ctx.mask is None else ctx.mask.new_empty(ctx.mask.shape)  # a learned bias
        wrote = gradients if mask is None else [*gradients, mask]
        ctx.counter.add(name, flops, [gradient, q, k, v, made], wrote, attention=a)
        return None, None, None, mask, *gradients


@dataclass(frozen=True)
class _Layers:
    """Recurrent layers in one call: `positions` are the items of all `steps` together."""

    name: str
    layers: int
    directions: int
    positions: int
    steps: int
    parameters: int
    keeps: bool
    """For a backward pass."""

    def own(self, parameters: Any) -> list[Any]:
        """The parameters of each layer and direction."""
        each = self.parameters // (self.layers * self.directions)
        return [parameters[at : at + each] for at in range(0, self.parameters, each)]


def _recurrent(counter: Counter, name: str, args: Any, answer: Any) -> Any:
    packed = isinstance(args[1], Tensor) and isinstance(args[2], (Tensor, tuple)) and not isinstance(args[3], bool)
    data, state, parameters = args[0], args[2 if packed else 1], args[3 if packed else 2]
    layers, directions = args[5 if packed else 4], 2 if args[8 if packed else 7] else 1
    time = 1 if data.dim() == 3 and not packed and args[8] else 0
    steps = len(args[1]) if packed else data.shape[time]
    keeps = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (data, *parameters))
    about = _Layers(name, layers, directions, data.shape[:-1].numel(), steps, len(parameters), keeps)
    states = [state] if isinstance(state, Tensor) else list(state)
    given = [*parameters, data, *states]
    if torch.is_autocast_enabled(data.device.type):  # cuDNN's recurrent layers follow autocast, those of a CPU do not
        dtype = torch.get_autocast_dtype(data.device.type)
        given, answer = [tensor.to(dtype) for tensor in given], [tensor.to(dtype) for tensor in answer]
    return _Recurrent.apply(counter, about, tuple(answer), *given)  # type: ignore[no-untyped-call]


class _Recurrent(torch.autograd.Function):
    """The products of a layer's inputs are one matrix product for all steps; those of its state follow one another.

    A step of LSTM, GRU or plain RNN multiplies 4, 3 or 1 gates' weights with its input and with its state:
    2 * gates * hidden * (input + hidden) FLOPs a position (Hochreiter and Schmidhuber 1997; Cho et al. 2014).
    """

    @staticmethod
    def forward(ctx: Any, counter: Any, about: Any, answer: Any, *given: Any) -> Any:
        made = tuple(tensor.new_empty(tensor.shape) for tensor in answer)
        ctx.counter, ctx.about, kept = counter, about, []
        if about.keeps:  # gates and states of every layer: what a fused one writes for its backward pass
            rows = sum(own[0].shape[0] + own[1].shape[1] for own in about.own(given))
            kept = [given[0].new_empty(about.positions * rows)]
        ctx.save_for_backward(*given, made[0], *kept)
        ctx.count = len(given)
        _layers(counter, about, given, made[0].shape[-1], 1)
        return made

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        given = ctx.saved_tensors[: ctx.count]
        _layers(ctx.counter, ctx.about, given, gradients[0].shape[-1], 2)
        return None, None, None, *(tensor.new_empty(tensor.shape) for tensor in given)


def _layers(counter: Counter, about: _Layers, given: Any, wide: int, times: int) -> None:
    """Tells the counter both products of every layer and direction, `times` over."""
    suffix, positions = "_backward" if times > 1 else "", about.positions
    size, dtype = given[0].element_size(), counter.dtype_of(given[0])
    for inner, state, *others in about.own(given):
        gates, rows = inner.shape[0], max(round(positions / max(about.steps, 1)), 1)
        follows = sum(tensor.numel() for tensor in (state, *others))
        for name, matrix, weights, reads, writes in (
            (about.name, inner, inner.numel(), inner.shape[1], gates),
            (f"{about.name}_recurrence", state, follows, gates, wide // about.directions),
        ):
            first = matrix is inner
            products = sum(t.numel() for t in ([inner] if first else [state, *others]) if t.dim() == 2)
            counter.record(
                name + suffix,
                2.0 * times * positions * products,
                weight_bytes=float(times * weights * size),
                input_bytes=float(times * positions * reads * size),
                output_bytes=float(times * positions * writes * size),
                dtype=dtype,
                matrix=Matrix(
                    m=positions if first else rows, n=gates, k=matrix.shape[1], count=1 if first else about.steps
                ),
            )
