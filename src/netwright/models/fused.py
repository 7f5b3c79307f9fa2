"""Attention and recurrent layers, traced as the fused calls they are on most devices.

PyTorch on a CPU takes some of them apart into a handful of operators a token, other devices do not; so a trace
would depend on where it was taken. Here the call is answered with empty tensors of the right shapes, and the
counter is told what it costs: for that, values do not matter. Within one call nothing else is counted.

Does not know recurrent cells that are called step by step: they are counted as the products they are.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from netwright.core.workload import Attention, Matrix

if TYPE_CHECKING:
    from netwright.models.counter import Counter

RECURRENT = {torch.lstm: "lstm", torch.gru: "gru", torch.rnn_tanh: "rnn", torch.rnn_relu: "rnn"}


class Fused(TorchFunctionMode):
    """While it is entered, those calls go to `counter` as one operator, or two a recurrent layer."""

    def __init__(self, counter: Counter) -> None:
        super().__init__()
        self._counter = counter

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is not functional.scaled_dot_product_attention and func not in RECURRENT:
            return func(*args, **kwargs)
        with torch.no_grad(), self._counter.paused():  # says what the answer looks like, or what is wrong with the call
            answer = func(*args, **kwargs)
        if func in RECURRENT:
            return _recurrent(self._counter, RECURRENT[func], args, answer)
        return _attention(self._counter, args, kwargs, answer)


def _attention(counter: Counter, args: Any, kwargs: Any, answer: Tensor) -> Tensor:
    names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    mask = given.get("attn_mask")
    return _Attention.apply(  # type: ignore[no-any-return]
        counter, answer, bool(given.get("is_causal")), mask, given["query"], given["key"], given["value"]
    )


class _Attention(torch.autograd.Function):
    """Keeps query, key, value, answer and a logsumexp a row, as FlashAttention does (Dao et al. 2022)."""

    @staticmethod
    def forward(ctx: Any, counter: Any, answer: Any, causal: bool, mask: Any, q: Any, k: Any, v: Any) -> Any:
        q, k, v = (tensor.to(answer.dtype) for tensor in (q, k, v))
        made = answer.new_empty(answer.shape)
        heads = [tensor.shape[-3] if tensor.dim() > 2 else 1 for tensor in (q, k)]
        ctx.counter, ctx.shape = counter, Attention(
            batch=math.prod(q.shape[:-3]), heads=heads[0], kv_heads=heads[1], queries=q.shape[-2], keys=k.shape[-2],
            head_dim=q.shape[-1], value_dim=v.shape[-1], causal=causal,
        )  # fmt: skip
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
        ctx.counter.add(name, flops, [gradient, q, k, v, made], gradients, attention=a)
        return None, None, None, None, *gradients


def _recurrent(counter: Counter, name: str, args: Any, answer: Any) -> Any:
    packed = isinstance(args[1], Tensor) and isinstance(args[2], (Tensor, tuple)) and not isinstance(args[3], bool)
    data, parameters, layers = args[0], args[3] if packed else args[2], args[5] if packed else args[4]
    directions = 2 if (args[8] if packed else args[7]) else 1
    positions = data.shape[:-1].numel()
    steps = len(args[1]) if packed else data.shape[1 if args[8] else 0] if data.dim() == 3 else data.shape[0]
    about = (name, layers, directions, positions, steps)
    return _Recurrent.apply(counter, about, answer, data, *parameters)


class _Recurrent(torch.autograd.Function):
    """The products of a layer's inputs are one matrix product for all steps; those of its state follow one another.

    A step of LSTM, GRU or plain RNN multiplies 4, 3 or 1 gates' weights with its input and with its state:
    2 * gates * hidden * (input + hidden) FLOPs a position (Hochreiter and Schmidhuber 1997; Cho et al. 2014).
    """

    @staticmethod
    def forward(ctx: Any, counter: Any, about: Any, answer: Any, data: Any, *parameters: Any) -> Any:
        made = torch.utils._pytree.tree_map(lambda tensor: tensor.new_empty(tensor.shape), answer)
        ctx.counter, ctx.about, kept = counter, about, []
        # every layer's gates and state: what a fused layer writes for its backward pass
        if any(ctx.needs_input_grad):
            rows = sum(p.shape[0] + p.shape[1] for p in parameters if p.dim() == 2 and p.shape[0] > p.shape[1])
            kept = [data.new_empty(about[3] * rows // 2)]
        ctx.save_for_backward(data, *parameters, made[0], *kept)
        ctx.count = len(parameters)
        _layers(counter, about, data, parameters, made[0], 1)
        return made

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        data, parameters = ctx.saved_tensors[0], ctx.saved_tensors[1 : 1 + ctx.count]
        given = [tensor.new_empty(tensor.shape) for tensor in (data, *parameters)]
        _layers(ctx.counter, ctx.about, data, parameters, gradients[0], 2)
        return None, None, None, *given


def _layers(counter: Any, about: Any, data: Any, parameters: Any, made: Any, times: int) -> None:
    """Tells the counter both products of every layer and direction, `times` over."""
    name, layers, directions, positions, steps = about
    each = len(parameters) // (layers * directions)
    suffix = "_backward" if times > 1 else ""
    for at in range(layers * directions):
        own = parameters[at * each : (at + 1) * each]
        size, dtype = data.element_size(), counter.dtype_of(data)
        matrices = [tensor for tensor in own if tensor.dim() == 2]
        inner, state = matrices[0], matrices[1]
        width = made.shape[-1] // directions
        for part, weights, wide, deep in (
            ("", [inner], inner.shape[1], inner.shape[0]),
            ("_recurrence", matrices[1:] + [t for t in own if t.dim() == 1], inner.shape[0], width),
        ):
            shape = Matrix(m=positions, n=inner.shape[0], k=inner.shape[1])
            if part:
                rows = max(round(positions / max(steps, 1)), 1)
                shape = Matrix(m=rows, n=state.shape[0], k=state.shape[1], count=steps)
            counter.record(
                f"{name}{part}{suffix}",
                2.0 * times * positions * sum(t.numel() for t in weights if t.dim() == 2),
                weight_bytes=times * sum(t.numel() for t in weights) * size,
                input_bytes=times * positions * wide * size,
                output_bytes=times * positions * deep * size,
                dtype=dtype,
                matrix=shape,
            )
