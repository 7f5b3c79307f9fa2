"""Coarse networks: an ordinary module with the coarse shapes, made from the fine one.

    coarse = coarsen(model, transfer, example)

The fine module is copied with smaller tensors in place of its own, and the sizes that modules keep in attributes
follow: exactly for torch's layers, by trial for others (a head count, a split size), where a network that runs and
computes what the fine one with prolonged weights does is the proof. Ties, hooks, modes, devices and memory layouts
survive. Does not know how the units were matched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from netwright.core.error import UserError
from netwright.train.multilevel.attributes import Outcome, settle
from netwright.train.multilevel.exact import Example, Probe, duplicate
from netwright.train.multilevel.transfer import Transfer

Factory = Callable[[Mapping[str, int]], nn.Module]
"""Space -> new size, to the network of these sizes; spaces that are not named keep theirs."""

TOLERANCE = 1e-5
"""A relative error above this is a mistake, not rounding; some networks compute parts in float32 (about 1e-7)."""


class ScaledLinear(nn.Linear):
    """A linear layer whose weight is also an embedding: its input takes the size of an aggregate as a factor."""

    scale: float = 1.0

    def forward(self, input: Tensor) -> Tensor:
        return nn.functional.linear(input * self.scale, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, scale={self.scale:g}"


class UnbuiltError(UserError):
    """No way was found to build a coarse network; `module` is the one that broke, None if the network ran."""

    def __init__(self, outcome: Outcome, sizes: Mapping[str, int]) -> None:
        self.module = outcome.broken[-1] if outcome.error is None and outcome.broken else None
        if outcome.error is None:
            trouble = outcome.trouble.splitlines()[0][:200]
            self.why = f"{self.module or 'the network'} cannot run with smaller tensors ({trouble})"
        else:
            self.why = f"the smaller network differs by {outcome.error:.1e} from what it should compute"
        wanted = ", ".join(f"{name}: {size}" for name, size in list(sizes.items())[:8])
        super().__init__(
            "factory", self.why, "a network whose sizes follow its tensors or its attributes",
            f"give factory=, a function from {{{wanted}}} to the network of these sizes, or leave kinds out with only=",
        )  # fmt: skip


def coarsen(model: nn.Module, transfer: Transfer, example: Example, factory: Factory | None = None) -> nn.Module:
    """The coarse network, with restricted weights.

    Raises UnbuiltError where no setting of the copy's attributes, or the factory's network, computes what it should.
    """
    sizes = {name: aggregation.size for name, aggregation in transfer.aggregations.items()}
    probe = Probe(model, transfer, example)
    if factory:
        coarse = _filled(factory(sizes), model, transfer)
        try:
            outcome = Outcome(0, probe.error(probe.ready(coarse)))
        except Exception as trouble:
            outcome = Outcome(0, None, (), f"{type(trouble).__name__}: {trouble}")
    else:
        coarse = shrunk(model, transfer)
        outcome = settle(coarse, model, probe, TOLERANCE)
    if outcome.error is None or not outcome.error <= TOLERANCE:
        raise UnbuiltError(outcome, sizes)
    return coarse


def shrunk(model: nn.Module, transfer: Transfer) -> nn.Module:
    """A copy with restricted tensors and the attributes of torch's own layers set to them."""
    memo: dict[int, Any] = {}
    with torch.no_grad():
        for name, value in [*model.named_parameters(), *model.named_buffers()]:
            small = _like(transfer.restrict(name, value.detach()), value)
            is_parameter = isinstance(value, nn.Parameter)
            memo[id(value)] = nn.Parameter(small, value.requires_grad) if is_parameter else small
    coarse = duplicate(model, memo)
    for name, module in coarse.named_modules():
        _resize(name, module, model.get_submodule(name), transfer)
    for space in transfer.coupling.spaces:
        if space.name in transfer.aggregations:
            for name in space.scaled:
                _scale(coarse.get_submodule(name), space.size / transfer.aggregations[space.name].size)
    return coarse


def _like(small: Tensor, value: Tensor) -> Tensor:
    """A tensor of its own memory, laid out as the fine one."""
    small = small.clone() if small.data_ptr() == value.data_ptr() else small
    if value.dim() == 4 and not value.is_contiguous() and value.is_contiguous(memory_format=torch.channels_last):
        return small.contiguous(memory_format=torch.channels_last)
    return small


def _resize(name: str, module: nn.Module, fine: nn.Module, transfer: Transfer) -> None:
    """Set what one of torch's layers says about its sizes to what its tensors have."""
    if isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, nn.modules.conv._ConvNd):
        module.groups = _groups(f"{name}.weight" if name else "weight", fine, transfer)
        one, other = module.weight.shape[0], module.weight.shape[1] * module.groups
        module.out_channels, module.in_channels = (other, one) if module.transposed else (one, other)
    elif isinstance(module, nn.modules.batchnorm._NormBase):
        known = next((value for value in (module.weight, module.running_mean) if value is not None), None)
        module.num_features = module.num_features if known is None else len(known)
    elif isinstance(module, (nn.LayerNorm, nn.RMSNorm)) and module.weight is not None:
        module.normalized_shape = tuple(module.weight.shape)
    elif isinstance(module, nn.GroupNorm) and module.weight is not None:
        module.num_channels = len(module.weight)
    elif isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
        module.num_embeddings, module.embedding_dim = module.weight.shape
    elif isinstance(module, nn.MultiheadAttention):
        module.embed_dim = module.out_proj.weight.shape[0]
        module.num_heads = module.out_proj.weight.shape[1] // module.head_dim
        separate = not module._qkv_same_embed_dim
        module.kdim = module.k_proj_weight.shape[1] if separate else module.embed_dim
        module.vdim = module.v_proj_weight.shape[1] if separate else module.embed_dim


def _groups(weight: str, fine: nn.Module, transfer: Transfer) -> int:
    """Groups of a convolution; they are fewer where its groups are units (depthwise ones: its channels)."""
    assert isinstance(fine, nn.modules.conv._ConvNd)
    groups, within = fine.groups, fine.weight.shape[0] // fine.groups
    for space in transfer.coupling.free:
        if fine.groups > 1 and space.name in transfer.aggregations:
            fewer = space.size - transfer.aggregations[space.name].size
            for axis in space.axes:  # a concatenation has several, each over its own part of the groups
                if transfer.name(axis.tensor) == transfer.name(weight) and axis.dim == 0 and axis.inner % within == 0:
                    groups -= axis.outer * fewer * axis.inner // within
    return groups


def _scale(module: nn.Module, factor: float) -> None:
    assert isinstance(module, nn.Linear)
    if not isinstance(module, ScaledLinear):
        module.__class__ = ScaledLinear
    module.__dict__["scale"] = vars(module).get("scale", 1.0) * factor


def _filled(coarse: nn.Module, model: nn.Module, transfer: Transfer) -> nn.Module:
    """What a factory made, checked against the shapes due, with restricted weights."""
    due = dict([*model.named_parameters(), *model.named_buffers()])
    found = dict([*coarse.named_parameters(), *coarse.named_buffers()])
    wrong = [
        f"{name}: {tuple(transfer.shape(name, value.shape))}, not {tuple(found[name].shape) if name in found else None}"
        for name, value in due.items()
        if name not in found or found[name].shape != transfer.shape(name, value.shape)
    ]
    if wrong or len(found) != len(due):
        raise UserError("factory", "; ".join(wrong) or "other tensors", "the coarse shapes", "mend the factory")
    with torch.no_grad():
        for name, value in due.items():
            found[name].data = _like(transfer.restrict(name, value.detach()), value)
            found[name].requires_grad_(value.requires_grad)
    return coarse.train(model.training)
