"""Levels in depth: a network with every other block of its lists left out, and how it grows back.

    chains = find_chains(model, coupling)
    thin(model, chains)                        # in place, on a copy
    close(model, passage, outputs)             # second blocks of pairs begin as the identity

A chain is a run of alike blocks in an nn.ModuleList or nn.Sequential that write to a residual stream. A block whose
last layers are zero passes the stream on, so a network that grows by such blocks computes what it did (as in
Net2DeeperNet, Chen et al. 2016, arXiv:1511.05641). Does not know what is between levels in width.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from netwright.train.multilevel.passage import Chain, Passage
from netwright.train.multilevel.spaces import Coupling

COUNTS = ("num_layers", "num_hidden_layers", "n_layer", "n_layers", "depth")
"""Attributes that say how many blocks there are; nothing else of a network is touched."""


def find_chains(model: nn.Module, coupling: Coupling) -> list[Chain]:
    """All runs of alike residual blocks, outermost lists first; lists within the blocks of a chain are left."""
    written = {axis.tensor for space in coupling.spaces if space.kind == "stream" for axis in space.axes}
    found: list[Chain] = []
    for place, module in model.named_modules():
        if not isinstance(module, (nn.ModuleList, nn.Sequential)):
            continue
        if any(place.startswith(f"{chain.place}.") for chain in found):
            continue
        at = 0
        for _, run in itertools.groupby(module, key=_signature):
            count = len(list(run))
            inside = any(name.startswith(f"{place}.{at}.") for name in written)
            if count > 1 and inside:
                found.append(Chain(place, at, count))
            at += count
    return found


def _signature(block: nn.Module) -> tuple[object, ...]:
    return type(block), tuple((name, tuple(x.shape)) for name, x in block.state_dict().items())


def thin(model: nn.Module, chains: Sequence[Chain]) -> None:
    """Leave out the second block of every pair, in place."""
    for chain in chains:
        blocks = model.get_submodule(chain.place)
        kept = [block for at, block in enumerate(blocks.children()) if not chain.second(at)]
        total = len(blocks._modules)
        blocks._modules.clear()
        for at, block in enumerate(kept):
            blocks._modules[str(at)] = block
        owner = model.get_submodule(chain.place.rpartition(".")[0])
        for of in (owner, getattr(owner, "config", None), getattr(model, "config", None)):
            for name in COUNTS:
                if getattr(of, name, None) == total:
                    setattr(of, name, len(kept))


def thinner(chains: Sequence[Chain]) -> list[Chain]:
    """The chains of the thin network that can be halved again."""
    return [Chain(chain.place, chain.first, chain.kept) for chain in chains if chain.kept > 1]


def outputs(model: nn.Module, coupling: Coupling, passage: Passage) -> list[list[str]]:
    """Ways to close the second blocks: tensors to set to zero, the more plausible way first.

    What a block adds to the stream is made by its matrices that write there, or by the normalizations after them.
    """
    tensors = dict(model.named_parameters())
    names = {
        axis.tensor
        for space in coupling.spaces if space.kind == "stream"
        for axis in space.axes if axis.role == "producer" and axis.tensor in tensors and passage.second(axis.tensor)
    }  # fmt: skip
    matrices = {name.rpartition(".")[0] for name in names if tensors[name].dim() > 1}
    kind = nn.modules.batchnorm._BatchNorm
    norms = {owner for owner in (n.rpartition(".")[0] for n in names) if isinstance(model.get_submodule(owner), kind)}
    ways = [
        sorted(name for name in names if name.rpartition(".")[0] in owners) for owners in (norms, matrices) if owners
    ]
    return [way for way in ways if way]


@torch.no_grad()
def close(model: nn.Module, names: Sequence[str]) -> None:
    """Set these parameters to zero."""
    tensors = dict(model.named_parameters())
    for name in names:
        tensors[name].zero_()


def passes_on(model: nn.Module, chains: Sequence[Chain], names: Sequence[str], example: Mapping[str, Tensor]) -> bool:
    """Whether a network whose second blocks have these parameters zero computes what the thin one does.

    The model is changed.
    """
    close(model, names)
    thinned = copy.deepcopy(model)
    thin(thinned, chains)
    with torch.no_grad():
        a, b = (_answers(each.eval()(**example)) for each in (model, thinned))
    return len(a) == len(b) and all(torch.allclose(x, y, rtol=1e-4, atol=1e-5) for x, y in zip(a, b, strict=True))


def _answers(answer: object) -> list[Tensor]:
    return [x for x in pytree.tree_leaves(answer) if isinstance(x, Tensor) and x.is_floating_point()]
