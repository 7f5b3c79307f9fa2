"""Weights set to zero: by magnitude, to a target that rises while the network is trained on, or two of every four.

    sparsify(model, "weights", 0.9, forwards=1000)
    ...                                                    # the one training loop
    bake(model)

The share of zeros rises as a cubic (Zhu and Gupta 2017, arXiv:1710.01878, equation 1) over the first `RISING` of the
training; weights that are masked get no gradient, and may come back at the next look if they are large enough. Of four
neighbouring input channels the two smallest go at once (2:4, Mishra et al. 2021, arXiv:2104.08378). Masks are buffers
while the network is trained, so that a training that was killed goes on exactly. Zeros make a file compress better; no
runtime here is faster with them. Does not know why a network is made sparse.

Shape legend: O output channels, I input channels, G groups of four.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

Pattern = Literal["weights", "2:4"]
RISING = 0.7
"""Share of the training in which zeros grow more; the rest mends."""
LOOKS = 40
"""How often masks are drawn anew in that time."""
SMALL = 32
"""Weights of a channel below which a layer stays dense: there is little to win, and first layers hurt most."""


class Sparse(nn.Module):
    """A layer with `kept` beside its own: of its weight's shape, and bool, so that no running average blurs it."""

    weight: nn.Parameter
    kept: Tensor

    def masked(self) -> Tensor:
        """The weight with its zeros."""
        return self.weight * self.kept


def _linear(layer: Any, x: Tensor) -> Tensor:
    return nn.functional.linear(x, layer.masked(), layer.bias)


def _convolution(layer: Any, x: Tensor) -> Tensor:
    answer: Tensor = layer._conv_forward(x, layer.masked(), layer.bias)
    return answer


_FORWARD: Mapping[type[nn.Module], Callable[[Any, Tensor], Tensor]] = {
    nn.Linear: _linear, nn.Conv1d: _convolution, nn.Conv2d: _convolution, nn.Conv3d: _convolution,
}  # fmt: skip
_CLASSES = {kind: type(f"Sparse{kind.__name__}", (Sparse, kind), {"forward": f}) for kind, f in _FORWARD.items()}
_DENSE = {sparse: kind for kind, sparse in _CLASSES.items()}


def sparsify(model: nn.Module, pattern: Pattern, target: float, forwards: int) -> None:
    """Mask the network's matrix layers, in place; masks follow the weights during `forwards` training passes."""
    for layer in [m for m in model.modules() if type(m) in _CLASSES and fits(m, pattern)]:
        layer.register_buffer("kept", torch.ones_like(layer.weight, dtype=torch.bool))  # type: ignore[arg-type]
        layer.__class__ = _CLASSES[type(layer)]
    model.register_buffer("passes", torch.zeros((), dtype=torch.int64))
    looks = max(1, round(RISING * forwards / LOOKS))

    def look(module: nn.Module, inputs: Any) -> None:
        if not module.training:
            return
        passes: Any = module.passes
        done = int(passes)
        passes += 1
        share = target if pattern == "2:4" else sparsity(done, RISING * forwards, target)
        if done % looks == 0 or done == int(RISING * forwards):
            draw(module, pattern, share)

    model._looking = model.register_forward_pre_hook(look)  # type: ignore[assignment]
    draw(model, pattern, target if pattern == "2:4" else 0.0)


def fits(layer: nn.Module, pattern: Pattern) -> bool:
    """Whether a layer is large enough to be worth zeros, and has its inputs in fours where that matters."""
    weight: Any = layer.weight
    return bool(weight[0].numel() >= SMALL and (pattern == "weights" or weight.shape[1] % 4 == 0))


def sparsity(done: float, rising: float, target: float) -> float:
    """Share of zeros after `done` passes: a cubic from 0 to the target."""
    return target * (1 - (1 - min(1.0, done / max(1.0, rising))) ** 3)


@torch.no_grad()
def draw(model: nn.Module, pattern: Pattern, share: float) -> None:
    """Draw the masks of all layers anew from the sizes of their weights."""
    for layer in model.modules():
        if isinstance(layer, Sparse):
            size = layer.weight.abs()
            layer.kept.copy_(_largest_two(size) if pattern == "2:4" else _largest(size, share))


def _largest(size: Tensor, share: float) -> Tensor:
    count = round(share * size.numel())
    if count == 0:
        return torch.ones_like(size, dtype=torch.bool)
    kept = torch.ones(size.numel(), dtype=torch.bool, device=size.device)
    kept[size.flatten().argsort(stable=True)[:count]] = False
    return kept.view(size.shape)


def _largest_two(size: Tensor) -> Tensor:
    moved = size.movedim(1, -1)
    fours_G4 = moved.reshape(-1, 4)
    kept_G4 = torch.zeros_like(fours_G4, dtype=torch.bool).scatter(1, fours_G4.topk(2, dim=1).indices, True)
    return kept_G4.view(moved.shape).movedim(-1, 1)


@torch.no_grad()
def bake(model: nn.Module) -> float:
    """Write the zeros into the weights and make ordinary layers of them again; returns the share of zeros."""
    zeros = total = 0
    for layer in model.modules():
        if isinstance(layer, Sparse):
            layer.weight.mul_(layer.kept)
            zeros += int((layer.weight == 0).sum())
            total += layer.weight.numel()
            del layer.kept
            layer.__class__ = _DENSE[type(layer)]  # type: ignore[assignment]
    model._looking.remove()  # type: ignore[operator,union-attr]
    del model._looking, model.passes
    return zeros / max(1, total)


def packed(path: Path) -> int:
    """Bytes of a weights file once it is compressed by zlib: what zeros save on disk and on the way."""
    return len(zlib.compress(path.read_bytes(), 6))
