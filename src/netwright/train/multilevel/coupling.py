"""The coupling of any module: its spaces, derived from the graph that torch.export gives of it.

    coupling = trace(model, (images,))
    for space in coupling.free: print(space.name, space.kind, space.size)

Every parameter starts with an atom of its own for each axis. The operators of the exported ATen graph unite, cut and
freeze them (rules.py, layers.py). A space is an atom that some parameter makes and another reads; it is frozen if its
units reach an input or output of the network, or an operator that cannot bear two equal units instead of one. Neither
the values of weights nor, but for nn.Linear and nn.MultiheadAttention, the classes of modules are looked at.
"""

from __future__ import annotations

import inspect
import io
import itertools
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from netwright.train.multilevel import layers  # noqa: F401  registers its rules
from netwright.train.multilevel.conclusion import concluded
from netwright.train.multilevel.evidence import CONSTANT, INPUT, TABLE, Evidence, Source, Value
from netwright.train.multilevel.rules import RULES, Result, elementwise, name_of
from netwright.train.multilevel.spaces import Coupling

WRAPPERS = (
    "wrap_with_set_grad_enabled",
    "wrap_with_autocast",
    "tag_activation_checkpoint",
    "wrap_activation_checkpoint",
)

OPAQUE = tuple(f"aten.{kind}{cell}" for kind in ("lstm", "gru", "rnn_tanh", "rnn_relu") for cell in ("", "_cell"))
"""Not taken apart: their modules keep weights in a list of their own, which a smaller copy cannot follow."""


def trace(model: nn.Module, example: tuple[Any, ...] | Mapping[str, Any] | Tensor) -> Coupling:
    """The spaces of a model, seen on one example: a tensor, a tuple of arguments, or a mapping of keyword arguments.

    The model is traced in eval mode and left as it was. Never raises for a model that cannot be exported: the coupling
    then has no spaces and a note says why. Cost: a few seconds, most of it in torch.export.
    """
    evidence = Evidence()
    try:
        _walk_program(evidence, _exported(model, example), model)
    except Exception as error:  # torch.export raises nearly every kind, and sizes that depend on data show up later
        first = (str(error).strip().splitlines() or [""])[0]
        return Coupling((), notes=(f"torch.export: {type(error).__name__}: {first}",))
    _freeze_shared(evidence, model)
    return concluded(evidence, model)


def _exported(model: nn.Module, example: tuple[Any, ...] | Mapping[str, Any] | Tensor) -> Any:
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    if isinstance(example, Mapping):
        kwargs = dict(example)
    else:
        args = example if isinstance(example, tuple) else (example,)
    if "use_cache" in inspect.signature(model.forward).parameters:
        kwargs.setdefault("use_cache", False)  # a key-value cache among the outputs would freeze the heads
    printed = redirect_stderr(io.StringIO())  # torch.export prints a graph that it cannot finish
    with _evaluating(model), torch.no_grad(), warnings.catch_warnings(), printed:
        warnings.simplefilter("ignore")
        program = torch.export.export(model, args, kwargs, strict=False)
        table = torch.export.default_decompositions()
        for operator in list(table.keys()):
            if str(getattr(operator, "overloadpacket", operator)) in (*RULES, *OPAQUE):
                del table[operator]
        return program.run_decompositions(table)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode, without the fused attention of nn.MultiheadAttention, and random numbers as before."""
    modes = {module: module.training for module in model.modules()}
    fast = torch.backends.mha.get_fastpath_enabled()
    try:
        with torch.random.fork_rng(devices=[]):
            for module in modes:
                module.training = False
            torch.backends.mha.set_fastpath_enabled(False)
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for module, mode in modes.items():
            module.training = mode


def _walk_program(evidence: Evidence, program: Any, model: nn.Module) -> None:
    signature = program.graph_signature
    names = _canonical(model)
    state = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    inputs: dict[str, Value | None] = {}
    for node in program.graph.nodes:
        if node.op == "placeholder" and isinstance(node.meta.get("val"), Tensor):
            tensor = names.get(state.get(node.name, ""), "")
            inputs[node.name] = _parameter(evidence, node, tensor) if tensor else _outside(evidence, node, signature)
    for value in _walk(evidence, program.graph_module, inputs):
        evidence.freeze(value, "an output of the network")


def _canonical(model: nn.Module) -> dict[str, str]:
    """Every name of a parameter or buffer -> its first name."""
    found: dict[str, str] = {}
    for members in (model.named_parameters, model.named_buffers):
        first: dict[int, str] = {}
        for name, tensor in members(remove_duplicate=False):
            found[name] = first.setdefault(id(tensor), name)
    return found


def _freeze_shared(evidence: Evidence, model: nn.Module) -> None:
    """Freezes tensors of different names and shapes over one memory: each would need its own coarse values."""
    tensors = [*model.named_parameters(), *model.named_buffers()]
    known = [(value, name) for name, value in tensors if value.device.type != "meta" and value.numel()]
    ranges = []
    for value, name in known:
        reach = sum((size - 1) * stride for size, stride in zip(value.shape, value.stride(), strict=True)) + 1
        ranges.append((str(value.device), value.data_ptr(), value.data_ptr() + reach * value.element_size(), name))
    ranges.sort()
    for (device, _, end, name), (other_device, start, _, other) in itertools.pairwise(ranges):
        if device == other_device and start < end:
            why = f"{name} and {other} share memory"
            evidence.notes.setdefault(why, None)
            for axis in (*evidence.tensors.get(name, ()), *evidence.tensors.get(other, ())):
                evidence.factors.freeze(axis, why)


def _parameter(evidence: Evidence, node: Node, tensor: str) -> Value:
    real = node.meta["val"]
    if tensor not in evidence.tensors:
        axes = evidence.tensors[tensor] = tuple(map(evidence.factors.new, real.shape))
        if not real.dtype.is_floating_point:
            evidence.freeze(Value(axes), TABLE)
    axes = evidence.tensors[tensor]
    return Value(axes, True, tuple(frozenset({(tensor, dim)}) for dim in range(len(axes))))


def _outside(evidence: Evidence, node: Node, signature: Any) -> Value:
    """An input, or a constant that is neither parameter nor buffer."""
    given = node.name in signature.user_inputs
    why = INPUT if given else CONSTANT
    axes = tuple(evidence.factors.fixed(size, why) for size in node.meta["val"].shape)
    return Value(axes) if given else Value(axes, True, tuple(frozenset[Source]() for _ in axes))


def _walk(evidence: Evidence, module: GraphModule, inputs: Mapping[str, Value | None]) -> list[Value]:
    """Follows a graph; gives its output tensors."""
    values: dict[Node, Any] = {}
    for node in module.graph.nodes:
        if node.op == "placeholder":
            values[node] = inputs.get(node.name)
        elif node.op == "get_attr":
            values[node] = _attribute(evidence, module, node)
        elif node.op == "call_function":
            values[node] = _call(evidence, node, values)
        elif node.op == "output":
            return _tensors(torch.fx.node.map_arg(node.args, values.get))
    return []


def _attribute(evidence: Evidence, module: GraphModule, node: Node) -> Any:
    found: Any = module
    for part in str(node.target).split("."):
        found = getattr(found, part)
    if not isinstance(found, Tensor):
        return found
    axes = tuple(evidence.factors.fixed(size, CONSTANT) for size in found.shape)
    return Value(axes, True, tuple(frozenset[Source]() for _ in axes))


def _tensors(found: Any) -> list[Value]:
    if isinstance(found, Value):
        return [found]
    if isinstance(found, Mapping):
        found = list(found.values())
    parts = found if isinstance(found, Sequence) and not isinstance(found, str) else ()
    return [value for part in parts for value in _tensors(part)]


def _call(evidence: Evidence, node: Node, values: dict[Node, Any]) -> Any:
    args: Any = torch.fx.node.map_arg(node.args, values.get)
    kwargs: Any = torch.fx.node.map_arg(node.kwargs, values.get)
    if getattr(node.target, "__name__", "") == "getitem":
        return args[0][args[1]] if args[0] is not None else None
    name = name_of(node)
    if name in WRAPPERS:
        inner = next(arg for arg in args if isinstance(arg, GraphModule))
        operands = args[args.index(inner) + 1 :]
        names = [at.name for at in inner.graph.nodes if at.op == "placeholder"]
        return tuple(_walk(evidence, inner, dict(zip(names, operands, strict=True))))
    if node.meta.get("val") is None:
        return None  # an assertion
    inputs = _tensors([args, list(kwargs.values())])
    try:
        if name in RULES:
            found = RULES[name](evidence, node, *args, **kwargs)
        elif torch.Tag.pointwise in getattr(node.target, "tags", ()):
            found = elementwise(evidence, node, inputs)
        else:
            return _unknown(evidence, node, inputs, f"{name} has no rule")
        if _agrees(evidence, node, found):
            return found
        return _unknown(evidence, node, inputs, f"{name} gave another shape than its rule")
    except Exception as error:  # a rule that does not know this use of its operator must not stop the derivation
        return _unknown(evidence, node, inputs, f"{name}: {error or type(error).__name__}")


def _agrees(evidence: Evidence, node: Node, found: Result) -> bool:
    """Whether the axes have the sizes of the traced tensors."""
    traced = node.meta["val"]
    pairs = zip(traced, found, strict=True) if isinstance(found, tuple) else [(traced, found)]
    return all(
        value is None or tuple(map(evidence.factors.size, value.axes)) == tuple(real.shape) for real, value in pairs
    )


def _unknown(evidence: Evidence, node: Node, inputs: Sequence[Value], why: str) -> Any:
    """Freezes all that an operator touches; its results are new and frozen."""
    traced = node.meta.get("val")
    if inputs:
        evidence.notes.setdefault(f"{why}: all axes of its tensors are frozen", None)
    for value in inputs:
        evidence.freeze(value, why)

    def result(real: Any) -> Any:
        if isinstance(real, tuple | list):
            return tuple(map(result, real))
        if not isinstance(real, Tensor):
            return None
        return Value(tuple(evidence.factors.fixed(int(size), why) for size in real.shape))

    return result(traced)
