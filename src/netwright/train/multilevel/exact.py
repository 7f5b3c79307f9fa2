"""Whether a fine network with prolonged weights computes what the coarse one does, measured.

Both networks are copied, in float64 where they can be run so, and given random coarse weights: those at hand moved by
a fifth of their size or more, so that biases of zero, statistics of a fresh normalization and attention that is still
even cannot hide a mistake.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from netwright.core.error import UserError
from netwright.train.multilevel.transfer import Transfer

Example = Tensor | tuple[Any, ...] | Mapping[str, Any]
"""What a network is called with: one tensor, positional or named arguments."""


def call(model: nn.Module, example: Example) -> Any:
    """The network's answer, with the example on its device and in its precision."""
    anchor = next((value for value in model.state_dict().values() if value.is_floating_point()), None)

    def fit(value: Any) -> Any:
        if not isinstance(value, Tensor) or anchor is None:
            return value
        dtype = anchor.dtype if value.is_floating_point() else value.dtype
        return value.to(anchor.device, dtype)

    if isinstance(example, Mapping):
        return model(**{name: fit(value) for name, value in example.items()})
    return model(*map(fit, example)) if isinstance(example, tuple) else model(fit(example))


def numbers(output: Any) -> list[Tensor]:
    """The floating tensors of an output: of containers, mappings and dataclasses too."""
    if isinstance(output, Tensor):
        return [output] if output.is_floating_point() else []
    if isinstance(output, Mapping):
        return [value for part in output.values() for value in numbers(part)]
    if isinstance(output, (list, tuple)):
        return [value for part in output for value in numbers(part)]
    if dataclasses.is_dataclass(output):
        return [value for field in dataclasses.fields(output) for value in numbers(getattr(output, field.name))]
    return []


@contextlib.contextmanager
def quiet(model: nn.Module) -> Iterator[None]:
    """Without gradients, and with the random state put back."""
    devices = sorted({value.device for value in model.state_dict().values() if value.device.type == "cuda"}, key=str)
    with torch.no_grad(), torch.random.fork_rng(devices):
        yield


def duplicate(model: nn.Module, memo: dict[int, Any] | None = None) -> nn.Module:
    """A deep copy, with what `memo` has in the place of tensors (by id)."""
    try:
        return copy.deepcopy(model, memo)
    except Exception as trouble:
        why = f"{type(model).__name__} ({type(trouble).__name__}: {str(trouble).splitlines()[0][:200]})"
        raise UserError(
            "model", why, "a module that copy.deepcopy can copy", "keep no computed tensors in its attributes"
        ) from trouble


class Probe:
    """A fine network with prolonged weights, its answer kept, to hold coarse ones against.

    `coarse` is a network of the coarse shapes, or None: then `transfer` makes the weights that it would have.
    """

    def __init__(self, fine: nn.Module, transfer: Transfer, example: Example, seed: int = 0) -> None:
        self.transfer, self.example = transfer, example
        model = duplicate(fine).eval()
        for dtype in (torch.float64, torch.float32):
            self.dtype = dtype
            try:
                model.to(dtype)
                with quiet(model):
                    call(model, example)
                break
            except Exception:  # whatever a network raises that computes parts of itself in float32
                if dtype == torch.float32:
                    raise
        tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        generator = torch.Generator().manual_seed(seed)
        with quiet(model):
            self.values = {name: moved(transfer.restrict(name, value), generator) for name, value in tensors.items()}
            for name, value in tensors.items():
                value.copy_(transfer.prolong(name, self.values[name]))
            self.expected = numbers(call(model, example))

    def ready(self, coarse: nn.Module) -> nn.Module:
        """A copy of a coarse network with the probe's weights."""
        model = duplicate(coarse).to(self.dtype).eval()
        with torch.no_grad():
            for name, value in [*model.named_parameters(), *model.named_buffers()]:
                value.copy_(self.values[name])
        return model

    def error(self, ready: nn.Module) -> float:
        """The largest |fine - coarse| / max |fine| of any output; infinite where shapes differ or nothing is finite."""
        with quiet(ready):
            found = numbers(call(ready, self.example))
        if [value.shape for value in found] != [value.shape for value in self.expected]:
            return float("inf")
        return max(map(_relative, self.expected, found), default=0.0)


def moved(value: Tensor, generator: torch.Generator) -> Tensor:
    """A tensor a fifth of its size away, a matrix at least half of Kaiming's; one of positive numbers stays so."""
    if not value.is_floating_point() or value.numel() == 0:
        return value.clone()
    noise = torch.randn(value.shape, generator=generator).to(value)
    finite = value.isfinite()
    whole = bool(finite.all())
    if bool((value > 0).all()):
        moved = noise.mul_(0.2).exp_().mul_(value)
    else:
        known = value if whole else value[finite]
        rms = float(known.double().square().mean().sqrt()) if known.numel() else 0.0
        least = 0.5 / (value.numel() / len(value)) ** 0.5 if value.dim() > 1 else 0.1
        moved = noise.mul_(max(0.2 * rms, least)).add_(value)
    return moved if whole else torch.where(finite, moved, value)


def _relative(expected: Tensor, found: Tensor) -> float:
    finite = expected.isfinite()
    if not torch.equal(finite, found.isfinite()):
        return float("inf")
    if not bool(finite.any()):
        return 0.0 if expected.numel() == 0 else float("inf")
    scale = expected[finite].abs().max().clamp(min=torch.finfo(expected.dtype).tiny)
    return float((expected[finite] - found[finite]).abs().max() / scale)
