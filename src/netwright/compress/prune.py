"""Structured pruning: channels, hidden units and heads are taken out of the network, then it is trained on.

    small = apply(artifact, task, Config(keep=0.5), Path("runs/x/artifact"))

A unit goes with everything that makes it and everything that reads it, so that what is left is an ordinary smaller
network, and any runtime is faster with it. Which tensors those are stands in the coupling that multilevel training
derives from torch.export (`train.multilevel.coupling`). Units are judged by the norm of their weights, each tensor's
relative to its mean (Li et al. 2017, arXiv:1608.08710; over coupled layers Fang et al. 2023, arXiv:2301.12900), and
every space loses the same share. This file does not know the network.

Shape legend: N units of a space.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from netwright.core import artifact as artifacts
from netwright.core import recipe, workload
from netwright.core.artifact import Artifact
from netwright.core.error import UserError
from netwright.core.recipe import Range, plain
from netwright.core.run import Run, progress

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netwright.data.tasks import Task
    from netwright.train.multilevel.spaces import Coupling, Space
    from netwright.train.step import Config as Training

MULTIPLE = 8
"""Sizes are multiples of this where a space is at least four times as large: a vector of AVX2 holds eight floats."""
SHARES = 40
"""Steps between all units and none at which the network's work is looked at."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """How much is kept, of what, and how long the smaller network is trained on."""

    name: Literal["prune"] = "prune"
    keep: Annotated[float, Range(0.01, 0.99)] = 0.5
    """Share of the network's FLOPs."""
    kinds: tuple[Literal["unit", "channel", "head", "stream"], ...] = ()
    """Which units may go; all of them where none is named."""
    epochs: Annotated[int, Range(0, 100_000)] = 0
    """Of training on; 0 for a third of what the network was trained for, at least one."""
    lr: Annotated[float, Range(0, 1000)] = 0.0
    """Learning rate of training on; 0 for half of the network's."""
    seed: Annotated[int, Range(0, 2**31)] = 0
    """Of the order of examples in training on."""
    threads: Annotated[int, Range(0, 4096)] = 0
    """CPU threads of training on; 0 takes all that this process may use."""


def apply(artifact: Artifact, task: Task, config: Config, folder: Path, run: Run | None = None) -> Artifact:
    """A smaller artifact of format "torch" at `folder`, trained on.

    With a run, training reports to it and goes on after a kill. Raises UserError for an artifact that is no torch
    network, and for a share that cannot be reached.
    """
    import torch

    from netwright.models import facts
    from netwright.models.load import open_model, save_model
    from netwright.models.resized import KEY, difference
    from netwright.train import loop

    check_source(artifact)
    with progress("Pruning", 3, unit="steps") as advance:
        model = open_model(artifact)
        full = facts.trace(model, task.example(1))
        advance(1, "traced")
        small = pruned(model, task, config)
        advance(1, "chosen")
        left = facts.trace(small, task.example(1))
        resized = difference(_whole(artifact), small)
        advance(1, "checked")
    training = continued(artifact, config)
    with torch.random.fork_rng(devices=[]):
        loop.fit(small, task, training, run)

    def fill(draft: Path) -> None:
        save_model(small, draft)
        workload.write(left, draft)
        task.write_processor(draft)

    return artifacts.create(
        folder,
        fill,
        format="torch",
        precision="fp32",
        task=artifact.task,
        model={**artifact.model, KEY: resized},
        inputs=artifact.inputs,
        processor=artifact.processor,
        parents=(artifact.digest,),
        made_by={
            "verb": "compress", **plain(config), "flops": left.flops / full.flops,
            "parameters": left.parameters / full.parameters, "train": plain(training),
        },
    )  # fmt: skip


def check_source(artifact: Artifact) -> None:
    """Raises UserError for an artifact whose network cannot be taken apart."""
    if artifact.format != "torch" or artifact.precision != "fp32":
        raise UserError(
            "artifact", artifact.name, 'prune takes an fp32 artifact of format "torch"',
            "give the one it was made from: its digest stands under parents in artifact.json",
        )  # fmt: skip


def continued(artifact: Artifact, config: Config) -> Training:
    """The settings of training on: the network's own, shorter and slower."""
    from netwright.train.step import Config as Training

    known = set(Training.__dataclass_fields__)
    own = {key: value for key, value in dict(artifact.made_by.get("train", {})).items() if key in known}
    first: Training = recipe.build(Training, {k: v for k, v in own.items() if k != "multilevel"}, "train")
    return replace(
        first,
        epochs=config.epochs or max(1, round(first.epochs / 3)),
        lr=config.lr or first.lr / 2,
        seed=config.seed,
        threads=config.threads,
        parallel="none",
    )


def pruned(model: nn.Module, task: Task, config: Config) -> nn.Module:
    """The smaller network, with the weights of the units that stay.

    What a normalization runs over (a transformer's stream) can only be halved, and goes where nothing else is enough.
    """
    from netwright.models import facts
    from netwright.train.multilevel.coupling import trace

    example = task.example(2)
    coupling = trace(model, example)
    spaces = [s for s in coupling.free if not s.scaled and (not config.kinds or s.kind in config.kinds)]
    if not spaces:
        found = ", ".join(sorted({s.kind for s in coupling.free})) or "none"
        raise UserError("compress.kinds", list(config.kinds), f"this network has {found}", "compress.kinds=[]")
    full = facts.trace(model, task.example(1)).flops
    scores = importance(model, spaces)
    least = 1.0
    narrow = tuple(s for s in spaces if not s.uniform)
    for some in dict.fromkeys((narrow or tuple(spaces), tuple(spaces))):
        low, high, best = 0, SHARES - 1, None
        while low <= high:  # for the largest share of units whose network has no more work than is wanted
            share = (low + high + 1) // 2
            keep = {s.name: chosen(scores[s.name], s, kept(s, share / SHARES)) for s in some}
            small = cut(model, coupling, keep, example)
            work = facts.trace(small, task.example(1)).flops / full
            least = min(least, work)
            if work <= config.keep:
                best, low = small, share + 1
            else:
                high = share - 1
        if best is not None:
            return best
    enough = math.ceil(100 * least) / 100
    raise UserError(
        "compress.keep", config.keep, f"at least {enough:g}: the rest is in what stays", f"compress.keep={enough:g}"
    )


def kept(space: Space, share: float) -> int:
    """How many units of a space stay: at least one a group, and multiples of `MULTIPLE` where it is large."""
    step = MULTIPLE if space.size >= 4 * MULTIPLE and space.kind != "head" else 1
    step = math.lcm(step, space.groups)
    size = max(step, round(space.size * share / step) * step)
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


def cut(model: nn.Module, coupling: Coupling, keep: Mapping[str, Tensor], example: Any) -> nn.Module:
    """A copy of the network with the units of each space that are to stay, space -> (N,)."""
    import torch

    from netwright.train.multilevel.coarsen import coarsen
    from netwright.train.multilevel.matching import Aggregation
    from netwright.train.multilevel.transfer import Transfer

    # A coarse network of these sizes has the structure that is wanted, proven by what it computes; its weights are not.
    merged = {
        name: Aggregation(torch.arange(len(keep_N)) * int(keep_N.sum()) // len(keep_N), int(keep_N.sum()))
        for name, keep_N in keep.items()
        if not bool(keep_N.all())
    }
    every = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    first: dict[int, str] = {}
    aliases = {name: first[id(x)] for name, x in every if first.setdefault(id(x), name) != name}
    transfer = Transfer(coupling, merged, {name: x.shape for name, x in every if name not in aliases}, aliases)
    small = coarsen(model, transfer, example)
    with torch.no_grad():
        for name, value in [*small.named_parameters(), *small.named_buffers()]:
            value.copy_(selected(name, dict(every)[name], coupling, keep, aliases))
    return small


def selected(
    name: str, tensor: Tensor, coupling: Coupling, keep: Mapping[str, Tensor], aliases: Mapping[str, str]
) -> Tensor:
    """The part of a tensor that belongs to units that stay."""
    import torch

    stays = [torch.ones(size, dtype=torch.bool) for size in tensor.shape]
    for space in coupling.spaces:
        for axis in space.axes if space.name in keep else ():
            if aliases.get(axis.tensor, axis.tensor) == name:
                inside = slice(axis.start, axis.start + axis.outer * space.size * axis.inner)
                stays[axis.dim][inside] &= keep[space.name].repeat_interleave(axis.inner).repeat(axis.outer)
    for dim, mask in enumerate(stays):
        tensor = tensor.index_select(dim, mask.nonzero().flatten())
    return tensor.detach()


def _whole(artifact: Artifact) -> nn.Module:
    """The network as its settings alone say, so that what was pruned twice is told from there."""
    import torch

    from netwright.models import load
    from netwright.models.resized import KEY

    plain_model = {key: value for key, value in artifact.model.items() if key != KEY}
    with torch.random.fork_rng(devices=[]):
        return load.build(replace(artifact, model=plain_model))
