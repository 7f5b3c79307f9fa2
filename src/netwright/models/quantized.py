"""Networks whose layers compute on a grid: weights, and inputs where asked, rounded to few levels.

    quantize(model, {"head": {"weights": 4, "inputs": 8, "group": 0}})
    calibrate(model, batches)
    model_section["quantized"] = stated(model)

Weights lie on a symmetric grid with a step a channel, or a step for every `group` of inputs of it; inputs on an
affine grid with one step a tensor. Training goes on through the rounding as if it were not there (straight-through,
Bengio et al. 2013, arXiv:1308.3432), and learns the steps of weights (LSQ, Esser et al. 2020, arXiv:1902.08153).
torch.export sees quantize and dequantize operators, of which runtimes make integer arithmetic. Master weights stay
in fp32. Does not know why a layer is on a grid, or which should be.

Shape legend: O output channels, I all weights of one of them, G groups, N values of an input.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.ao.quantization.fx import _decomposed  # noqa: F401 - registers the operators of `_ON_GRID`

from netwright.core import recipe
from netwright.core.error import UserError
from netwright.core.recipe import Range

KEY = "quantized"
"""Of an artifact's model section."""
CLIPS = tuple(1 - 0.025 * at for at in range(31))
"""Shares of the largest value at which the squared error of a grid is looked at."""
SAMPLE = 4096
"""Values of an input that are kept of each batch for that."""
_ON_GRID = torch.ops.quantized_decomposed


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Bits of a layer's weights and inputs."""

    weights: Annotated[int, Range(2, 8)] = 8
    inputs: Annotated[int, Range(0, 8)] = 8
    """0 leaves them as they are."""
    group: Annotated[int, Range(0, 2**20)] = 0
    """Inputs of a linear layer that share a step; 0: all of a channel."""

    @property
    def largest(self) -> int:
        """Levels of weights are -largest .. largest."""
        return (1 << (self.weights - 1)) - 1

    @property
    def levels(self) -> int:
        """Levels of inputs are 0 .. levels."""
        return (1 << self.inputs) - 1


class Quantized(nn.Module):
    """What a layer on a grid has beside its own: `weight_step` (O, G, 1) and `input_range` (2,)."""

    grid: Grid
    weight: nn.Parameter
    weight_step: nn.Parameter
    input_range: Tensor
    watching: Callable[[Tensor], None] | None
    """Told of every input while the range is found."""

    def put(self, grid: Grid) -> None:
        """Lay weights on their grid; inputs get a range by `calibrate`."""
        self.grid, self.watching = grid, None
        self.weight_step = nn.Parameter(_steps(self._rows(), grid))
        self.register_buffer("input_range", torch.tensor([0.0, 1.0], device=self.weight.device))

    def _rows(self) -> Tensor:
        """(O, G, weights of a group)."""
        channels = self.weight.shape[0]
        groups = self.weight[0].numel() // self.grid.group if self.grid.group else 1
        return self.weight.reshape(channels, groups, -1)

    def rounded_weight(self) -> Tensor:
        """The weight on its grid, in the shape of the weight."""
        rows_OGI, step, most = self._rows(), self.weight_step, self.grid.largest
        if torch.compiler.is_exporting():
            flat, step_G = (rows_OGI.flatten(0, 1) if self.grid.group else self.weight), step.flatten()
            about = (step_G, torch.zeros_like(step_G, dtype=torch.int64), 0, -most, most, torch.int8)
            rounded: Tensor = _ON_GRID.dequantize_per_channel(_ON_GRID.quantize_per_channel(flat, *about), *about)
            return rounded.reshape(self.weight.shape) if self.grid.group else rounded
        if step.requires_grad and torch.is_grad_enabled():
            slow = (rows_OGI.shape[-1] * most) ** -0.5  # LSQ's scale of a step's gradient, section 2.2
            step = step * slow + (step * (1 - slow)).detach()
        levels_OGI = (rows_OGI / step).clamp(-most, most)
        return ((levels_OGI + (levels_OGI.round() - levels_OGI).detach()) * step).reshape(self.weight.shape)

    def rounded_input(self, x: Tensor) -> Tensor:
        """The input on its grid."""
        if self.watching is not None:
            self.watching(x)
            return x
        if not self.grid.inputs:
            return x
        if torch.compiler.is_exporting():
            about = (*self.frozen, 0, self.grid.levels, torch.uint8)
            answer: Tensor = _ON_GRID.dequantize_per_tensor(_ON_GRID.quantize_per_tensor(x, *about), *about)
            return answer
        step, zero = affine(self.input_range, self.grid.levels)
        return torch.fake_quantize_per_tensor_affine(x.float(), step, zero, 0, self.grid.levels)

    def fix(self) -> None:
        """Take step and zero point of inputs as numbers, as an exported graph has them."""
        step, zero = affine(self.input_range, self.grid.levels or 255)
        self.frozen = (float(step), int(zero))


def _linear(layer: Any, x: Tensor) -> Tensor:
    return nn.functional.linear(layer.rounded_input(x), layer.rounded_weight(), layer.bias)


def _convolution(layer: Any, x: Tensor) -> Tensor:
    answer: Tensor = layer._conv_forward(layer.rounded_input(x), layer.rounded_weight(), layer.bias)
    return answer


def _embedding(layer: Any, ids: Tensor) -> Tensor:
    return nn.functional.embedding(ids, layer.rounded_weight(), layer.padding_idx)


_FORWARD: Mapping[type[nn.Module], Callable[[Any, Tensor], Tensor]] = {
    nn.Linear: _linear,
    nn.Conv1d: _convolution,
    nn.Conv2d: _convolution,
    nn.Conv3d: _convolution,
    nn.Embedding: _embedding,
}
_CLASSES = {
    kind: type(f"Quantized{kind.__name__}", (Quantized, kind), {"forward": forward})
    for kind, forward in _FORWARD.items()
}
"""Kind of layer -> the same on a grid; a layer's class is changed in place, so that its tensors keep their names."""


def layers(model: nn.Module) -> dict[str, nn.Module]:
    """The layers that can be put on a grid, by name, in the network's order."""
    return {name: module for name, module in model.named_modules() if type(module) in _CLASSES}


def on_grid(model: nn.Module) -> dict[str, Quantized]:
    """The layers that are on a grid, by name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, Quantized)}


def quantize(model: nn.Module, stated: Any) -> None:
    """Put layers on grids, `{name: {"weights": bits, "inputs": bits, "group": size}}`, in place.

    The statement may come from anywhere: UserError for layers that are not there, and for grids that are none.
    """
    if not isinstance(stated, Mapping):
        raise _refused("no table of layers")
    known = layers(model)
    for name, values in stated.items():
        if name not in known or not isinstance(values, Mapping):
            raise _refused(f"layer {name}")
        grid = recipe.build(Grid, values, f"model.{KEY}.{name}")
        layer = known[name]
        if grid.group and (not isinstance(layer, (nn.Linear, nn.Embedding)) or layer.weight.shape[1] % grid.group):
            raise _refused(f"layer {name}: groups of {grid.group}")
        layer.__class__ = _CLASSES[type(layer)]
        layer.put(grid)  # type: ignore[operator]


def stated(model: nn.Module) -> dict[str, Any]:
    """Which layers are on which grid: plain data for a manifest."""
    return {name: recipe.plain(layer.grid) for name, layer in on_grid(model).items()}


def precision(section: Mapping[str, Any]) -> str:
    """What a file that is written of a model section with grids is called, by its narrowest weights."""
    grids = [recipe.build(Grid, values, KEY) for values in section.get(KEY, {}).values()]
    if not grids:
        return "fp32"
    bits = "int4" if min(grid.weights for grid in grids) <= 4 else "int8"
    return bits if any(grid.inputs for grid in grids) else f"{bits}-weights"


def affine(range_2: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    """Step and zero point (int32) of an affine grid over a range; zero is always one of its levels."""
    low, high = range_2[0].clamp(max=0.0), range_2[1].clamp(min=0.0)
    step = ((high - low) / levels).clamp(min=1e-12)
    return step, (-low / step).round().clamp(0, levels).to(torch.int32)


@torch.no_grad()
def calibrate(model: nn.Module, batches: Iterable[Mapping[str, Tensor]]) -> None:
    """Set the ranges of inputs from real examples: of some clipped ranges, those of the least squared error."""
    watched = {name: layer for name, layer in on_grid(model).items() if layer.grid.inputs}
    ends: dict[str, Tensor] = {}
    kept: dict[str, list[Tensor]] = {name: [] for name in watched}

    def watch(name: str) -> Callable[[Tensor], None]:
        def seen(x: Tensor) -> None:
            flat_N = x.detach().float().flatten()
            both = torch.stack([flat_N.min(), flat_N.max()])
            before = ends.get(name, both)
            ends[name] = torch.stack([torch.minimum(before[0], both[0]), torch.maximum(before[1], both[1])])
            kept[name].append(flat_N[:: max(1, len(flat_N) // SAMPLE)][:SAMPLE].clone())

        return seen

    with _watching(watched, watch):
        for inputs in batches:
            model(**inputs)
    for name, layer in watched.items():
        if name in ends:
            layer.input_range.copy_(_clipped(ends[name], torch.cat(kept[name]), layer.grid.levels))


@contextlib.contextmanager
def _watching(watched: Mapping[str, Quantized], watch: Callable[[str], Callable[[Tensor], None]]) -> Iterator[None]:
    for name, layer in watched.items():
        layer.watching = watch(name)
    try:
        yield
    finally:
        for layer in watched.values():
            layer.watching = None


def _clipped(ends_2: Tensor, seen_N: Tensor, levels: int) -> Tensor:
    """The range whose grid rounds these values with the least squared error."""

    def error(range_2: Tensor) -> float:
        step, zero = affine(range_2, levels)
        return float((torch.fake_quantize_per_tensor_affine(seen_N, step, zero, 0, levels) - seen_N).square().mean())

    return min((ends_2 * clip for clip in CLIPS), key=error)


def _steps(rows_OGI: Tensor, grid: Grid) -> Tensor:
    """Of each row the step whose grid rounds it with the least squared error: (O, G, 1)."""
    rows_OGI = rows_OGI.detach()
    whole_OG1 = rows_OGI.abs().amax(2, keepdim=True).clamp(min=1e-12) / grid.largest
    best_OG1, least_OG1 = whole_OG1, torch.full_like(whole_OG1, torch.inf)
    for clip in CLIPS if rows_OGI.device.type != "meta" else ():
        step_OG1 = whole_OG1 * clip
        rounded_OGI = (rows_OGI / step_OG1).round().clamp(-grid.largest, grid.largest) * step_OG1
        error_OG1 = (rounded_OGI - rows_OGI).square().sum(2, keepdim=True)
        best_OG1 = torch.where(error_OG1 < least_OG1, step_OG1, best_OG1)
        least_OG1 = torch.minimum(error_OG1, least_OG1)
    return best_OG1


def _refused(what: str) -> UserError:
    return UserError(f"model.{KEY}", what, "matrix layers and embeddings of the network, on grids", "make it again")
