"""Networks whose layers compute on a grid: weights, and inputs where asked, rounded to few levels.

    quantize(model, {"head": {"weights": 4, "inputs": 8, "group": 0}, "stages.0": {"outputs": 8}})
    calibrate(model, batches)
    model_section["quantized"] = stated(model)

Weights lie on a symmetric grid with a step a channel, or a step for every `group` of inputs of it; inputs on an
affine grid with one step a tensor. What a module answers can be rounded instead of what layers read: then everything
reads integers, sums too (`shared` finds where). Training goes on through the rounding as if it were not there
(straight-through, Bengio et al. 2013, arXiv:1308.3432), and learns the steps (LSQ, Esser et al. 2020,
arXiv:1902.08153). torch.export sees quantize and dequantize operators, of which runtimes make integer arithmetic.
Master weights stay in fp32. Does not know why a layer is on a grid, or which should be.

Shape legend: O output channels, I all weights of one of them, G groups, N values of an input.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.ao.quantization.fx import _decomposed  # noqa: F401 - registers the operators of `_ON_GRID`
from torch.overrides import TorchFunctionMode

from netwright.core import recipe
from netwright.core.error import UserError
from netwright.core.recipe import Range

KEY = "quantized"
"""Of an artifact's model section."""
CLIPS = tuple(1 - 0.025 * at for at in range(31))
"""Shares of the largest weight at which the squared error of a grid is looked at."""
LEAST = 1e-12
"""Of the steps of inputs."""
ROUNDS = "rounds_outputs"
"""What the grid of a module's answer is called in it."""
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


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """Bits of what a module answers."""

    outputs: Annotated[int, Range(2, 8)] = 8


class Rounding(nn.Module):
    """Values on an affine grid: `step` (1, 1, 1), the level `zero` () of 0."""

    zero: Tensor

    def __init__(self, bits: int, device: torch.device) -> None:
        super().__init__()
        self.levels = (1 << bits) - 1
        """Levels are 0 .. levels."""
        self.step = nn.Parameter(torch.ones(1, 1, 1, device=device) / self.levels)  # learned at the rate of matrices
        self.register_buffer("zero", torch.zeros((), dtype=torch.int32, device=device))
        self.watching: Callable[[Tensor], None] | None = None
        """Told of every value while the range is found."""

    def forward(self, x: Tensor) -> Tensor:
        if self.watching is not None:
            self.watching(x)
            return x
        if torch.compiler.is_exporting():
            about = (*self.frozen, 0, self.levels, torch.uint8)
            answer: Tensor = _ON_GRID.dequantize_per_tensor(_ON_GRID.quantize_per_tensor(x, *about), *about)
            return answer
        if not torch.is_grad_enabled():  # a plain operator, which TorchScript can trace
            return _rounded(x.float(), self.step, self.zero, self.levels)
        learned: Tensor = _Rounded.apply(x.float(), self.step, self.zero, self.levels)  # type: ignore[no-untyped-call]
        return learned

    def fix(self) -> None:
        """Take step and zero point as numbers, as an exported graph has them."""
        self.frozen = (float(self.step.detach().clamp(min=LEAST)), int(self.zero))


class Quantized(nn.Module):
    """What a layer on a grid has beside its own: `weight_step` (O, G, 1), and `inputs` where they are rounded."""

    grid: Grid
    weight: nn.Parameter
    weight_step: nn.Parameter
    inputs: Rounding

    def put(self, grid: Grid) -> None:
        """Lay weights on their grid; inputs get theirs by `calibrate`."""
        self.grid = grid
        self.weight_step = nn.Parameter(_steps(self._rows(), grid))
        if grid.inputs:
            self.inputs = Rounding(grid.inputs, self.weight.device)

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
        return self.inputs(x) if self.grid.inputs else x


def _rounded(x: Tensor, step: Tensor, zero: Tensor, levels: int) -> Tensor:
    return torch.fake_quantize_per_tensor_affine(x, step.clamp(min=LEAST).view(()), zero, 0, levels)


class _Rounded(torch.autograd.Function):
    """Values on an affine grid. Gradients pass where they lie within it; that of the step is LSQ's (equation 3)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor, zero: Tensor, levels: int) -> Tensor:
        ctx.save_for_backward(x, step, zero)
        ctx.levels = levels
        return _rounded(x, step, zero, levels)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (gradient,), (x, step, zero) = gradients, ctx.saved_tensors
        at = x / step.clamp(min=LEAST).view(()) + zero
        inside = (at >= 0) & (at <= ctx.levels)
        nearest = at.round().clamp_(0, ctx.levels)
        moves = torch.where(inside, nearest - at, nearest - zero)
        slow = (x[0].numel() * ctx.levels) ** -0.5  # section 2.2
        return gradient * inside, (gradient * moves).sum().mul(slow).view_as(step), None, None


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
    known, every = layers(model), dict(model.named_modules())
    for name, values in stated.items():
        if name not in every or not isinstance(values, Mapping):
            raise _refused(f"layer {name}")
        if "outputs" in values:
            _round_outputs(every[name], recipe.build(Outputs, values, f"model.{KEY}.{name}").outputs)
            continue
        if name not in known:
            raise _refused(f"layer {name}")
        grid = recipe.build(Grid, values, f"model.{KEY}.{name}")
        layer = known[name]
        if grid.group and (not isinstance(layer, (nn.Linear, nn.Embedding)) or layer.weight.shape[1] % grid.group):
            raise _refused(f"layer {name}: groups of {grid.group}")
        layer.__class__ = _CLASSES[type(layer)]
        layer.put(grid)  # type: ignore[operator]


def _round_outputs(module: nn.Module, bits: int) -> None:
    if ROUNDS in dict(module.named_children()):
        raise _refused("outputs that are on a grid already")
    device = next((x.device for x in module.parameters()), torch.get_default_device())
    module.add_module(ROUNDS, Rounding(bits, device))
    module.register_forward_hook(lambda module, inputs, answer: getattr(module, ROUNDS)(answer))


def stated(model: nn.Module) -> dict[str, Any]:
    """What is on which grid: plain data for a manifest."""
    found: dict[str, Any] = {name: recipe.plain(layer.grid) for name, layer in on_grid(model).items()}
    for name, rounding in roundings(model).items():
        owner, _, leaf = name.rpartition(".")
        if leaf == ROUNDS:
            found[owner] = {"outputs": rounding.levels.bit_length()}
    return found


def roundings(model: nn.Module) -> dict[str, Rounding]:
    """The grids of inputs and outputs, by name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, Rounding)}


@torch.no_grad()
def shared(model: nn.Module, inputs: Mapping[str, Tensor]) -> dict[str, list[str]]:
    """Modules whose answer several read, layers that can be on a grid, or one of these and a sum -> those layers.

    Rounded for each layer alone, it would be kept in floating point beside, for a sum or for the others.
    """
    made: dict[int, str] = {}
    """Of a tensor's id: the innermost module that answered it."""
    held: list[Tensor] = []
    """All that were seen, so that their ids stay their own."""
    reads: dict[int, list[str]] = {}
    added: set[int] = set()
    calls: Counter[str] = Counter()

    def answered(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def seen(module: nn.Module, given: Any, answer: Any) -> None:
            calls[name] += 1
            if isinstance(answer, Tensor):
                held.append(answer)
                made.setdefault(id(answer), name)

        return seen

    def read(name: str) -> Callable[[nn.Module, Any], None]:
        def seen(module: nn.Module, given: Any) -> None:
            if given and isinstance(given[0], Tensor):
                held.append(given[0])
                reads.setdefault(id(given[0]), []).append(name)

        return seen

    changing = ("add_", "__iadd__")

    class Sums(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            name = getattr(func, "__name__", "")
            if name in ("add", "__add__", "__radd__", *changing):
                operands = [x for x in args if isinstance(x, Tensor)]
                held.extend(operands)
                added.update(map(id, operands))
            if name in changing:
                made.pop(id(args[0]), None)  # from now on it is another
            return func(*args, **(kwargs or {}))

    known = layers(model)
    handles = [module.register_forward_hook(answered(name)) for name, module in model.named_modules() if name]
    handles += [layer.register_forward_pre_hook(read(name)) for name, layer in known.items()]
    try:
        with Sums():
            model(**inputs)
    finally:
        for handle in handles:
            handle.remove()
    return {
        name: reads[at]
        for at, name in made.items()
        if at in reads
        and len(reads[at]) + (at in added) > 1
        and name not in known
        and calls[name] == 1
        and all(calls[layer] == 1 for layer in reads[at])
    }


def precision(section: Mapping[str, Any]) -> str:
    """What a file that is written of a model section with grids is called, by its narrowest weights."""
    grids = [recipe.build(Grid, values, KEY) for values in section.get(KEY, {}).values() if "outputs" not in values]
    if not grids:
        return "fp32"
    bits = "int4" if min(grid.weights for grid in grids) <= 4 else "int8"
    return bits if any(grid.inputs for grid in grids) else f"{bits}-weights"


def affine(range_2: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    """Step and zero point (int32) of an affine grid over a range; zero is always one of its levels."""
    low, high = range_2[0].clamp(max=0.0), range_2[1].clamp(min=0.0)
    step = ((high - low) / levels).clamp(min=LEAST)
    return step, (-low / step).round().clamp(0, levels).to(torch.int32)


@torch.no_grad()
def calibrate(model: nn.Module, batches: Iterable[Mapping[str, Tensor]]) -> None:
    """Set the grids of inputs from real examples, from the least to the greatest value seen.

    To clip them to where the squared error is least cost ResNet-50 more than it won: what is rare and large matters.
    """
    ends: dict[str, Tensor] = {}

    def watch(name: str) -> Callable[[Tensor], None]:
        def seen(x: Tensor) -> None:
            both_2 = torch.stack(x.detach().float().aminmax())
            before_2 = ends.get(name, both_2)
            ends[name] = torch.stack([torch.minimum(before_2[0], both_2[0]), torch.maximum(before_2[1], both_2[1])])

        return seen

    watched = roundings(model)
    for name, one in watched.items():
        one.watching = watch(name)
    try:
        for inputs in batches:
            model(**inputs)
    finally:
        for one in watched.values():
            one.watching = None
    for name, range_2 in ends.items():
        step, zero = affine(range_2, watched[name].levels)
        watched[name].step.fill_(step)
        watched[name].zero.copy_(zero)


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
