"""Pruning: channels, hidden units and heads are taken out of the network, then it is trained on.

    small = apply(artifact, task, Config(keep=0.5), Path("runs/x/artifact"))

A unit goes with everything that makes it and everything that reads it, so that what is left is an ordinary smaller
network, and any runtime is faster with it. Which tensors those are stands in the coupling that multilevel training
derives from torch.export (`train.multilevel.coupling`). Units are judged by the norm of their weights, each tensor's
relative to its mean (Li et al. 2017, arXiv:1608.08710; over coupled layers Fang et al. 2023, arXiv:2301.12900), and
every space loses the same share, as nearly as sizes that runtimes like allow. Whole layers go by `pattern="layers"`,
those first without which the loss on validation examples rises least; single weights by "weights" and "2:4"
(`compress.sparse`). This file does not know the network.

Shape legend: N units of a space.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from netwright.compress import retrain
from netwright.core import workload
from netwright.core.artifact import Artifact
from netwright.core.error import UserError
from netwright.core.recipe import Range, plain
from netwright.core.run import Run, progress

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netwright.data.tasks import Task
    from netwright.train.multilevel.spaces import Space

MULTIPLE = 16
"""Sizes are multiples of this where a space is at least four times as large: so many floats does a vector of AVX-512
hold, and runtimes fill up what is in between. Smaller spaces are pruned only where the large ones are not enough."""
LOOKED = 500
"""Validation examples on which the loss without a layer is looked at."""
SHARES = 40
"""Steps between all units and none at which the network's work is looked at."""


@dataclass(frozen=True, kw_only=True)
class Config(retrain.Retraining):
    """How much is kept, of what, and how long the smaller network is trained on."""

    name: Literal["prune"] = "prune"
    keep: Annotated[float, Range(0.01, 0.99)] = 0.5
    """Share of the network's FLOPs; of its weights where these are set to zero one by one."""
    pattern: Literal["units", "layers", "weights", "2:4"] = "units"
    """What goes. Zeros among weights make a file compress better, and no runtime here faster."""
    kinds: tuple[Literal["unit", "channel", "head", "stream"], ...] = ()
    """Which units may go; all of them where none is named."""


def apply(artifact: Artifact, task: Task, config: Config, folder: Path, run: Run | None = None) -> Artifact:
    """A smaller artifact of format "torch" at `folder`, trained on.

    With a run, training reports to it and goes on after a kill. Raises UserError for an artifact that is no torch
    network, and for a share that cannot be reached.
    """
    import torch

    from netwright.models import facts
    from netwright.models.load import open_model
    from netwright.models.resized import KEY, difference
    from netwright.train import loop

    check_source(artifact, config)
    if config.pattern in ("weights", "2:4"):
        return _sparse(artifact, task, config, folder, run)
    with progress("Pruning", 3, unit="steps") as advance:
        model = open_model(artifact)
        full = facts.trace(model, task.example(1))
        advance(1, "traced")
        small = (shortened if config.pattern == "layers" else pruned)(model, task, config)
        advance(1, "chosen")
        left = facts.trace(small, task.example(1))
        resized = difference(whole(artifact), small)
        advance(1, "checked")
    training = retrain.continued(artifact, config)
    with torch.random.fork_rng(devices=[]):
        loop.fit(small, task, training, run)
    about = {"flops": left.flops / full.flops, "parameters": left.parameters / full.parameters}
    made_by = {**plain(config), **about, "train": plain(training)}
    return retrain.saved(small, artifact, task, folder, left, {**artifact.model, KEY: resized}, made_by)


def _sparse(artifact: Artifact, task: Task, config: Config, folder: Path, run: Run | None) -> Artifact:
    """The network with zeros among its weights, trained on."""
    import torch

    from netwright.compress import sparse
    from netwright.models.load import WEIGHTS, open_model
    from netwright.train import loop

    training = retrain.continued(artifact, config)
    model = open_model(artifact)
    forwards = round(training.epochs * (task.size("train") // training.batch)) * training.accumulate
    share = 0.5 if config.pattern == "2:4" else 1 - config.keep
    sparse.sparsify(model, config.pattern, share, forwards)  # type: ignore[arg-type]
    with torch.random.fork_rng(devices=[]):
        loop.fit(model, task, training, run)
    zeros = sparse.bake(model)
    work = workload.read(artifact.folder)
    made_by = {**plain(config), "zeros": zeros, "train": plain(training)}
    made = retrain.saved(model, artifact, task, folder, work, artifact.model, made_by)
    if run is not None:
        before, after = (sparse.packed(one.path(WEIGHTS)) for one in (artifact, made))
        run.note(f"{100 * zeros:.1f} % of the weights are zero; zlib makes {after:,} bytes of them, {before:,} before")
    return made


def shortened(model: nn.Module, task: Task, config: Config) -> nn.Module:
    """The network without some of its layers: the least harmful first, until the work is small enough."""
    import copy

    import torch

    from netwright.models import facts
    from netwright.models.resized import Skip

    small = copy.deepcopy(model).eval()
    full = facts.trace(small, task.example(1)).flops
    indices = torch.randperm(task.size("validation"), generator=torch.Generator().manual_seed(config.seed))[:LOOKED]
    batch = task.batch("validation", indices)
    names = skippable(small, task.example(2))
    work = 1.0
    while work > config.keep:
        losses = {name: _loss_without(small, name, task, batch) for name in names}
        if not losses:
            least = math.ceil(100 * work) / 100
            raise UserError(
                "compress.keep", config.keep, f"at least {least:g}: no other layer can go", f"compress.keep={least:g}"
            )
        gone = min(losses, key=losses.__getitem__)
        owner, _, leaf = gone.rpartition(".")
        setattr(small.get_submodule(owner), leaf, Skip())
        names = [name for name in names if name != gone and not name.startswith(f"{gone}.")]
        work = facts.trace(small, task.example(1)).flops / full
    return small


def skippable(model: nn.Module, example: Mapping[str, Tensor]) -> list[str]:
    """Layers of the network's lists that have a matrix and answer in the shape that they are given."""
    import torch
    from torch import nn

    lists = [
        (name, module) for name, module in model.named_modules() if isinstance(module, (nn.Sequential, nn.ModuleList))
    ]
    inside = [(f"{name}.{leaf}" if name else leaf, child) for name, module in lists for leaf, child in
              module.named_children() if any(x.dim() > 1 for x in child.parameters())]  # fmt: skip
    found: list[str] = []
    handles = []
    for name, child in inside:

        def hook(module: nn.Module, inputs: Any, answer: Any, name: str = name) -> None:
            if inputs and isinstance(answer, torch.Tensor) and inputs[0].shape == answer.shape:
                found.append(name)

        handles.append(child.register_forward_hook(hook))
    try:
        with torch.inference_mode():
            model(**example)
    finally:
        for handle in handles:
            handle.remove()
    return [name for name, _ in inside if name in found]


def _loss_without(model: nn.Module, name: str, task: Task, batch: Any) -> float:
    import torch

    from netwright.models.resized import Skip

    owner, _, leaf = name.rpartition(".")
    place, kept = model.get_submodule(owner), model.get_submodule(name)
    setattr(place, leaf, Skip())
    with torch.inference_mode():
        loss = float(task.loss(model, batch))
    setattr(place, leaf, kept)
    return loss


def check_source(artifact: Artifact, config: Config) -> None:
    """Raises UserError for an artifact whose network cannot be taken apart."""
    retrain.check_source(artifact, "prune")


def pruned(model: nn.Module, task: Task, config: Config) -> nn.Module:
    """The smaller network, with the weights of the units that stay.

    What a normalization runs over (a transformer's stream) can only be halved, and goes where nothing else is enough.
    """
    from netwright.models import facts
    from netwright.train.multilevel.coupling import trace
    from netwright.train.multilevel.part import part

    example = task.example(2)
    coupling = trace(model, example)
    spaces = [s for s in coupling.free if not s.scaled and (not config.kinds or s.kind in config.kinds)]
    if not spaces:
        found = ", ".join(sorted({s.kind for s in coupling.free})) or "none"
        raise UserError("compress.kinds", list(config.kinds), f"this network has {found}", "compress.kinds=[]")
    full = facts.trace(model, task.example(1)).flops
    scores = importance(model, spaces)

    def smaller(sizes: Mapping[str, int]) -> tuple[nn.Module, float]:
        keep = {s.name: chosen(scores[s.name], s, sizes[s.name]) for s in spaces if s.name in sizes}
        small = part(model, coupling, keep, example)
        return small, facts.trace(small, task.example(1)).flops / full

    least = 1.0
    large = tuple(s for s in spaces if not s.uniform and s.size >= 4 * MULTIPLE)
    narrow = tuple(s for s in spaces if not s.uniform)
    for some in filter(None, dict.fromkeys((large, narrow, tuple(spaces)))):
        low, high, best, sizes = 0, SHARES - 1, None, {}
        while low <= high:  # for the largest share of units whose network has no more work than is wanted
            share = (low + high + 1) // 2
            tried = {s.name: kept(s, share / SHARES) for s in some}
            small, work = smaller(tried)
            least = min(least, work)
            if work <= config.keep:
                best, sizes, low = small, tried, share + 1
            else:
                high = share - 1
        if best is not None:
            return filled(best, sizes, some, scores, smaller, config.keep)
    enough = math.ceil(100 * least) / 100
    raise UserError(
        "compress.keep", config.keep, f"at least {enough:g}: the rest is in what stays", f"compress.keep={enough:g}"
    )


def filled(
    small: nn.Module, sizes: Mapping[str, int], spaces: Sequence[Space], scores: Mapping[str, Tensor],
    smaller: Callable[[Mapping[str, int]], tuple[nn.Module, float]], most: float,
) -> nn.Module:  # fmt: skip
    """Equal shares rounded to steps leave work over: spaces get a step back, the one that lost most first."""
    sizes, open_ = dict(sizes), {s.name: s for s in spaces if not s.uniform}

    def lost(name: str) -> float:
        best_N = scores[name].sort(descending=True).values
        return float(best_N[sizes[name] :].sum() / best_N.sum())

    while open_:
        name = max(open_, key=lost)
        size = sizes[name] + step(open_[name])
        if size <= open_[name].size:
            more, work = smaller({**sizes, name: size})
            if work <= most:
                small, sizes[name] = more, size
                continue
        del open_[name]  # what does not fit now does not fit later
    return small


def step(space: Space) -> int:
    """What sizes of a space are multiples of: its groups, and `MULTIPLE` where it is large."""
    return math.lcm(MULTIPLE if space.size >= 4 * MULTIPLE and space.kind != "head" else 1, space.groups)


def kept(space: Space, share: float) -> int:
    """How many units of a space stay: at least one a step."""
    step_ = step(space)
    size = max(step_, round(space.size * share / step_) * step_)
    if space.uniform:  # what a normalization runs over can only be halved and halved again here
        while space.size % size:
            size += 1
    return min(size, space.size)


def importance(model: nn.Module, spaces: list[Space]) -> dict[str, Tensor]:
    """Squared norm of what makes and reads each unit, each tensor's over its mean: space -> (N,)."""
    import torch

    from netwright.train.multilevel.matching import units

    parameters = dict(model.named_parameters(remove_duplicate=False))
    found = {}
    for space in spaces:
        total_N = torch.zeros(space.size, dtype=torch.float64)
        for axis in space.axes:
            if axis.tensor in parameters:
                norm_N = units(parameters[axis.tensor].detach().double(), axis, space.size).square().sum(1)
                total_N += norm_N / norm_N.mean().clamp(min=1e-30)
        found[space.name] = total_N
    return found


def chosen(score_N: Tensor, space: Space, size: int) -> Tensor:
    """The units that stay, as a mask: the best, as many in each group."""
    import torch

    keep_GN = torch.zeros(space.groups, space.size // space.groups, dtype=torch.bool)
    best_GN = score_N.view(space.groups, -1).argsort(dim=1, descending=True, stable=True)[:, : size // space.groups]
    return keep_GN.scatter(1, best_GN, value=True).flatten()


def whole(artifact: Artifact) -> nn.Module:
    """The network as its settings alone say, so that what was pruned twice is told from there."""
    import torch

    from netwright.models import load
    from netwright.models.resized import KEY

    plain_model = {key: value for key, value in artifact.model.items() if key != KEY}
    with torch.random.fork_rng(devices=[]):
        return load.build(replace(artifact, model=plain_model))
