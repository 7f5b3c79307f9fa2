"""Equalization: units are scaled where they are made and scaled back where they are read, so that INT8 loses less.

    even = apply(artifact, task, Config(), Path("runs/x/artifact"))

Inputs of a layer share one grid, so that its largest unit decides how coarsely all others are rounded. Where nothing
but ReLU, pooling or sums lies between, a unit may be divided by any number if what reads it is multiplied (cross-layer
equalization, Nagel et al. 2019, arXiv:1906.04721, section 4.1; SmoothQuant, Xiao et al. 2022, arXiv:2211.10438, does so
behind a layer normalization). The network answers as before, and any engine may quantize it. Which tensors make and
read a unit stands in the coupling (`train.multilevel.coupling`); whether scaling changes the answers, and whether INT8
gains, is tried space by space. Does not know the network.

Shape legend: N units of a space, F what a unit has of a tensor.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from netwright.compress import calibration, retrain
from netwright.compress.calibration import Examples
from netwright.core import workload
from netwright.core.artifact import Artifact
from netwright.core.recipe import Range, plain
from netwright.core.run import Run, progress

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netwright.data.tasks import Task
    from netwright.train.multilevel.spaces import Coupling, Space

SMALLEST = 0.1
"""No unit is scaled up by more than ten: what is hardly seen in examples may be large elsewhere."""
LOOKED = 4
"""Examples on which it is seen whether answers stay: a scale that is not undone changes them all."""
SAME = 1e-4
"""Relative error of answers that are the same but for rounding in fp32."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """On what units are observed."""

    name: Literal["equalize"] = "equalize"
    samples: Annotated[int, Range(2, 100_000)] = 2 * calibration.FEWEST
    """Training examples: half to observe units on, half to see whether INT8 gains."""
    seed: Annotated[int, Range(0, 2**31)] = 0


@dataclass(frozen=True)
class Trial:
    """A space that was scaled, and the relative error of INT8 before and after; kept where it fell."""

    space: str
    before: float
    after: float

    @property
    def kept(self) -> bool:
        return self.after < self.before


def apply(artifact: Artifact, task: Task, config: Config, folder: Path, run: Run | None = None) -> Artifact:
    """The same network with other weights, of format "torch", at `folder`.

    Raises UserError for an artifact that is no network of torch.
    """
    from netwright.models.load import open_model

    check_source(artifact, config)
    model, trials = equalized(open_model(artifact), task, config)
    if run is not None:
        for one in trials:
            what = "" if one.kept else ", left as it was"
            run.note(f"{one.space}: error of INT8 {one.before:.4f} to {one.after:.4f}{what}")
    made_by = {**plain(config), "trials": plain(trials)}
    return retrain.saved(model, artifact, task, folder, workload.read(artifact.folder), artifact.model, made_by)


def check_source(artifact: Artifact, config: Config) -> None:
    """Raises UserError for an artifact whose network cannot be taken apart."""
    retrain.check_source(artifact, "equalize")


def equalized(model: nn.Module, task: Task, config: Config) -> tuple[nn.Module, list[Trial]]:
    """A network of the same answers, and what was tried; the given one is left as it is."""
    import torch

    from netwright.train.multilevel.coupling import trace

    model = copy.deepcopy(model).eval()
    coupling = trace(model, task.example(2))
    order_N = Examples(task, config.seed, config.samples).indices()
    seen, held = ([task.batch("train", at).inputs for at in part_N.split(32)] for part_N in order_N.chunk(2))
    want = answers(model, held)
    grid = on_grid(model, held[0])
    error, trials = rounded(grid, seen, held, want), []
    few = [{name: x[:LOOKED] for name, x in held[0].items()}]
    want_few = answers(model, few)  # examples of a smaller batch may be rounded otherwise in fp32
    largest = maxima(model, coupling, seen)
    with progress("equalizing", len(largest), unit="spaces") as advance, torch.no_grad():
        for space in coupling.spaces:
            if space.name not in largest:
                continue
            most_N = largest[space.name]
            scale_N = (most_N / most_N.max().clamp(min=1e-30)).clamp(min=SMALLEST)
            tried = copy.deepcopy(model)
            rescale(tried, space, scale_N)
            if calibration.distance(answers(tried, few), want_few) < SAME:
                other = moved(grid, tried)
                trial = Trial(space.name, error, rounded(other, seen, held, want))
                if trial.kept and calibration.distance(answers(tried, held), want) >= SAME:
                    continue  # what these few did not show
                trials.append(trial)
                if trial.kept:
                    model, grid, error = tried, other, trial.after
            advance(1, space.name)
    return model, trials


def rescale(model: nn.Module, space: Space, scale_N: Tensor) -> None:
    """Divide what makes the units, a normalization's weights where one comes last, and multiply what reads them."""
    from torch import nn

    from netwright.train.multilevel.matching import units

    norms = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
    parameters = dict(model.named_parameters(remove_duplicate=False))
    owners = {axis.tensor: model.get_submodule(axis.tensor.rpartition(".")[0]) for axis in space.axes}
    normalized = any(isinstance(owners[axis.tensor], norms) for axis in space.axes)
    done = set()  # tied tensors have several names
    for axis in space.axes:
        value = parameters.get(axis.tensor)
        makes = axis.role == "producer"
        last = not normalized or isinstance(owners[axis.tensor], norms)
        if value is None or (makes and not last) or (place := (id(value), axis.dim, axis.start)) in done:
            continue
        done.add(place)
        factor_N1 = (1 / scale_N if makes else scale_N)[:, None]
        part_NF = units(value.data, axis, space.size) * factor_N1
        put(value.data, axis, part_NF, space.size)


def put(tensor: Tensor, axis: Any, part_NF: Tensor, size: int) -> None:
    """Write back what `matching.units` took out."""
    moved = tensor.movedim(axis.dim, 0)
    inside = moved[axis.start : axis.start + axis.outer * size * axis.inner]
    inside.copy_(part_NF.reshape(size, axis.outer, -1).movedim(1, 0).reshape(inside.shape))


def maxima(model: nn.Module, coupling: Coupling, batches: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The greatest absolute value of each unit where matrix layers read it: space -> (N,)."""
    import torch

    from netwright.models import quantized

    layers = quantized.layers(model)
    found: dict[str, Tensor] = {}
    readers: dict[str, list[Any]] = {}
    for space in coupling.spaces:
        for axis in space.axes:
            name = axis.tensor.rpartition(".")[0]
            if axis.role == "consumer" and axis.dim == 1 and axis.start == 0 and axis.outer == 1 and name in layers:
                readers.setdefault(name, []).append((space, axis))

    def watch(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def seen(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            axis_of_inputs = -1 if isinstance(module, torch.nn.Linear) else 1
            most_I = inputs[0].detach().abs().movedim(axis_of_inputs, 0).flatten(1).amax(1)
            for space, axis in readers[name]:
                if len(most_I) == space.size * axis.inner:
                    most_N = most_I.view(space.size, axis.inner).amax(1)
                    found[space.name] = torch.maximum(found.get(space.name, most_N), most_N)

        return seen

    handles = [layers[name].register_forward_pre_hook(watch(name)) for name in readers]
    try:
        answers(model, batches)
    finally:
        for handle in handles:
            handle.remove()
    return found


def answers(model: nn.Module, batches: Sequence[Mapping[str, Tensor]]) -> Any:
    """Logits of all examples."""
    import torch

    with torch.inference_mode():
        return torch.cat([model(**inputs).float() for inputs in batches]).numpy()


def on_grid(model: nn.Module, example: Mapping[str, Tensor]) -> nn.Module:
    """The same network on INT8 grids; ranges of inputs are not set."""
    from netwright.compress.quantize import BITS, grids
    from netwright.models import quantized

    made = copy.deepcopy(model)
    quantized.quantize(made, grids(made, *BITS["int8"], group=64, example=example))
    return made


def moved(grid: nn.Module, model: nn.Module) -> nn.Module:
    """A network on grids with the weights of another one; only what has changed is laid on its grid anew.

    To look for all steps took a third of a trial on ResNet-50.
    """
    import torch

    from netwright.models import quantized

    made = copy.deepcopy(grid)
    before = dict(made.named_parameters())
    changed = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    made.load_state_dict(model.state_dict(), strict=False)
    for name, layer in quantized.on_grid(made).items():
        if f"{name}.weight" in changed:
            layer.put(layer.grid)
    return made


def rounded(
    grid: nn.Module, seen: Sequence[Mapping[str, Tensor]], held: Sequence[Mapping[str, Tensor]], want: Any
) -> float:
    """Relative error of the answers of a network on grids, with ranges as these examples have them."""
    from netwright.models import quantized

    quantized.calibrate(grid, seen)
    return calibration.distance(answers(grid, held), want)
