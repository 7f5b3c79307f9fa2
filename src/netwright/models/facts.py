"""What a model costs, found by tracing it without running it: FLOPs, bytes and parameters per operator.

    workload = trace(model, {"images": torch.empty(1, 3, 32, 32)})
    step = trace_training(model, {"images": torch.empty(8, 3, 32, 32)}, optimizer="adamw")

The model runs on fake tensors, which have shapes and no memory, so a model larger than this machine
can be traced. Counted are the operators that eager PyTorch dispatches, with attention and recurrent layers
as the fused calls they are on most devices; a compiler that fuses more moves fewer bytes. A trace under
`torch.autocast` counts what autocast makes of the model. This file knows no device and no time, and no model
whose work depends on the values it reads.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses import fake_tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from torch.nn.parameter import is_lazy
from torch.utils import _pytree as pytree

from netwright.core.error import UserError, did_you_mean
from netwright.core.workload import OPTIMIZERS, Workload
from netwright.models.counter import Counter, storage, tensors
from netwright.models.fused import Fused

UNFIT = {
    "Jitted modules": ("TorchScript hides its operators", "trace the nn.Module that it was made from"),
    "SparseTensorImpl": ("sparse tensors have no size that a shape tells", "to_dense() before"),
}
"""Part of what torch says -> what it means, and what to do."""

Inputs = Mapping[str, Any]
"""Name -> tensor, or tensors in lists, tuples and mappings: caches of keys and values, for example."""


def trace(model: nn.Module, inputs: Inputs, name: str = "", batch: int | None = None) -> Workload:
    """The operators of one inference call `model(**inputs)`.

    Only the shapes and dtypes of `inputs` are used; the first one has the batch first, unless `batch` says how
    many items they hold. FLOPs are those of `torch.utils.flop_counter` for matrix products, convolutions and
    attention, and one per element for the rest. Raises UserError where the model's work depends on values,
    and what the model raises for inputs that do not fit it.
    """
    name, batch = name or type(model).__name__, _batch(inputs) if batch is None else batch
    with _as(model, False), torch.no_grad(), _fake(model, inputs) as (weights, fakes), _told(name):
        counter = Counter(weights.values(), tensors(fakes))
        with counter, Fused(counter):
            functional_call(model, weights, kwargs=fakes)
    return Workload(
        name=name,
        batch=batch,
        parameters=parameters(model),
        operators=tuple(counter.operators),
        peak_bytes=counter.activations.peak,
        stored_bytes=_stored(weights, counter),
        notes=_notes(counter),
    )


def trace_training(
    model: nn.Module,
    inputs: Inputs,
    loss: Callable[[Any], Tensor] | None = None,
    optimizer: str = "adamw",
    name: str = "",
    batch: int | None = None,
) -> Workload:
    """The operators of one training step: forward and backward pass, and the optimizer's update.

    `loss` makes a scalar of what the model answers; without it, the mean of every floating answer. `optimizer`
    is one of `core.workload.OPTIMIZERS`, and counted as one pass over the weights it trains. `peak_bytes` and
    `kept_bytes` hold inputs and activations; weights, gradients and optimizer state come on top. Raises what
    `trace` does, and UserError for an unknown optimizer or a model in which nothing is trained.
    """
    if optimizer not in OPTIMIZERS:
        raise UserError("optimizer", optimizer, did_you_mean(optimizer, OPTIMIZERS), 'optimizer="adamw"')
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise UserError("model", type(model).__name__, "none of its parameters require a gradient", "facts.trace")
    name, batch = name or type(model).__name__, _batch(inputs) if batch is None else batch
    with _as(model, True), torch.enable_grad(), _fake(model, inputs) as (weights, fakes), _told(name):
        counter = Counter(weights.values(), tensors(fakes))
        trained = [weight for weight in weights.values() if weight.requires_grad]
        for weight in trained:
            weight.register_post_accumulate_grad_hook(counter.gradient_of)
        with counter, Fused(counter):
            value = (loss or _mean)(functional_call(model, weights, kwargs=fakes))
            kept = counter.activations.now
            counter.backward()
            value.backward()
    update = OPTIMIZERS[optimizer]
    counter.record(
        optimizer,
        float(update.flops * sum(weight.numel() for weight in trained)),
        weight_bytes=float(update.moves * sum(weight.numel() * weight.element_size() for weight in trained)),
        dtype=Counter.dtype_of(trained[0]),
    )
    return Workload(
        name=name,
        batch=batch,
        parameters=parameters(model),
        operators=tuple(counter.operators),
        kind="training",
        peak_bytes=counter.activations.peak,
        stored_bytes=_stored(weights, counter),
        kept_bytes=kept,
        notes=_notes(counter),
    )


def parameters(model: nn.Module) -> int:
    """Trainable numbers; shared ones count once."""
    return sum(parameter.numel() for parameter in model.parameters())


def _notes(counter: Counter) -> tuple[str, ...]:
    return tuple(f"{name} ({n}): counted as one FLOP an element" for name, n in sorted(counter.opaque.items()))


def _stored(weights: Mapping[str, Tensor], counter: Counter) -> float:
    """Parameters and buffers, and what is made of them alone while the model runs: autocast's copies, for example."""
    sizes = {storage(weight): float(weight.untyped_storage().nbytes()) for weight in weights.values()}
    return sum(sizes.values()) + counter.copies.peak


def _mean(answer: Any) -> Tensor:
    floating = [tensor.mean() for tensor in tensors(answer) if tensor.is_floating_point() and tensor.requires_grad]
    if not floating:
        raise UserError("loss", None, "the model answers nothing that has a gradient", "pass loss=")
    return torch.stack(floating).sum() if len(floating) > 1 else floating[0]


def _batch(inputs: Inputs) -> int:
    given = tensors(dict(inputs))
    if not given:
        raise UserError("inputs", dict(inputs), "at least one tensor, by the name of its argument", "pass inputs")
    return int(given[0].shape[0]) if given[0].dim() else 1


@contextlib.contextmanager
def _told(name: str) -> Iterator[None]:
    """Say in a person's words that a model's work depends on values, or that an operator has no shape rule."""
    try:
        yield
    except (fake_tensor.DataDependentOutputException, fake_tensor.DynamicOutputShapeException) as fault:
        raise _dependent(name, str(fault)) from fault
    except (fake_tensor.UnsupportedOperatorException, fake_tensor.UnsupportedFakeTensorException) as fault:
        raise _without_rule(name, str(fault)) from fault
    except RuntimeError as fault:
        if ".numpy() is not supported" in str(fault):
            raise _dependent(name, "a conversion to NumPy") from fault
        if "no fake impl registered" in str(fault):
            raise _without_rule(name, str(fault).splitlines()[0]) from fault
        for part, (why, way) in UNFIT.items():
            if part in str(fault):
                raise UserError("model", name, why, way) from fault
        raise


def _without_rule(name: str, what: str) -> UserError:
    return UserError("model", name, f"no rule says what shape it answers with: {what}", "torch.library.register_fake")


def _dependent(name: str, what: str) -> UserError:
    return UserError(
        "model", name, f"its work depends on the values of its inputs ({what}), and a trace has none",
        "trace the part that computes, without the part that selects (non-maximum suppression, early exit, packing)",
    )  # fmt: skip


@contextlib.contextmanager
def _fake(model: nn.Module, inputs: Inputs) -> Iterator[tuple[dict[str, Tensor], dict[str, Any]]]:
    """Stand-ins, without memory, for the model's parameters and buffers and for the inputs."""
    if any(is_lazy(parameter) for parameter in model.parameters()):
        raise UserError(
            "model", type(model).__name__, "the sizes of its lazy layers are not known", "call it once before"
        )
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    named = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    fast_path = torch.backends.mha.get_fastpath_enabled()
    # the fused encoder layer is one operator without a FLOP formula, and only some versions and devices take it
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with mode:
            yield (
                {name: mode.from_tensor(tensor) for name, tensor in named.items()},
                pytree.tree_map_only(Tensor, mode.from_tensor, dict(inputs)),
            )
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)


@contextlib.contextmanager
def _as(model: nn.Module, training: bool) -> Iterator[None]:
    """In training or evaluation mode for a while; afterwards every module is as it was."""
    before = [(module, module.training) for module in model.modules()]
    model.train(training)
    try:
        yield
    finally:
        for module, was in before:
            module.training = was
