"""Coarse networks: an ordinary module with the coarse shapes, made from the fine one.

    coarse = coarsen(model, transfer, example)

The fine module is copied with smaller tensors in place of its own, and the sizes that modules keep in attributes
follow: exactly for torch's layers, by trial for others (a head count, a split size), where a network that runs and
computes what the fine one with prolonged weights does is the proof. Ties, hooks, modes, devices and memory layouts
survive. Does not know how the units were matched.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from netwright.core.error import UserError
from netwright.train.multilevel.exact import Example, Probe
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


def coarsen(model: nn.Module, transfer: Transfer, example: Example, factory: Factory | None = None) -> nn.Module:
    """The coarse network, with restricted weights."""
    sizes = {name: aggregation.size for name, aggregation in transfer.aggregations.items()}
    coarse = _filled(factory(sizes), model, transfer) if factory else shrunk(model, transfer)
    probe = Probe(model, transfer, example)
    try:
        error = probe.error(probe.ready(coarse))
    except Exception as trouble:
        raise _unable(f"{type(trouble).__name__}: {trouble}") from trouble
    if not error <= TOLERANCE:
        raise _unable(f"it differs by {error:.1e} from what it should compute")
    return coarse


def _unable(why: str) -> UserError:
    return UserError("factory", why, "a network that can be built smaller", "give a factory")


def shrunk(model: nn.Module, transfer: Transfer) -> nn.Module:
    """A copy with restricted tensors and the attributes of torch's own layers set to them."""
    memo: dict[int, Any] = {}
    with torch.no_grad():
        for name, value in [*model.named_parameters(), *model.named_buffers()]:
            small = _like(transfer.restrict(name, value.detach()), value)
            is_parameter = isinstance(value, nn.Parameter)
            memo[id(value)] = nn.Parameter(small, value.requires_grad) if is_parameter else small
    coarse = copy.deepcopy(model, memo)
    for name, module in coarse.named_modules():
        _resize(module, model.get_submodule(name))
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


def _resize(module: nn.Module, fine: nn.Module) -> None:
    """Set what one of torch's layers says about its sizes to what its tensors have."""
    if isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, nn.modules.batchnorm._NormBase):
        known = next((value for value in (module.weight, module.running_mean) if value is not None), None)
        module.num_features = module.num_features if known is None else len(known)
    elif isinstance(module, (nn.LayerNorm, nn.RMSNorm)) and module.weight is not None:
        module.normalized_shape = tuple(module.weight.shape)
    elif isinstance(module, nn.GroupNorm) and module.weight is not None:
        module.num_channels = len(module.weight)
    elif isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
        module.num_embeddings, module.embedding_dim = module.weight.shape


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
