"""Matching: which units of a space are merged into one.

    S_NN = similarity(space, tensors)
    aggregation = heavy_edge_matching(S_NN, perfect=True, groups=space.groups)

Pairs of similar units are merged, as in algebraic multigrid: heavy-edge matching takes the most similar pair first,
then the most similar one of what remains. A perfect matching leaves at most one unit alone, so that shapes of the
coarse network never depend on the weights. Does not know what happens to the tensors.

Shape legend: N units, F features of a unit, M aggregates, S samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from netwright.core.error import UserError
from netwright.train.multilevel.spaces import Axis, Space

FEATURES = 8192
"""Features a unit that a cosine is taken over: its error is then about 1/sqrt(8192) = 0.011."""
ROUNDS = 24
"""Rounds of mutually best pairs before what remains is sorted; random similarities of 4096 units need about 20."""


@dataclass(frozen=True, eq=False)
class Aggregation:
    """Units of one space -> aggregates, numbered by their smallest unit.

    `similarity` is the mean over the pairs within an aggregate, 1 for a unit alone; None where it was not looked at.
    """

    assign: Tensor
    size: int
    similarity: Tensor | None = None

    @property
    def counts(self) -> Tensor:
        """Units in each aggregate."""
        return torch.bincount(self.assign, minlength=self.size)


def units(tensor: Tensor, axis: Axis, size: int) -> Tensor:
    """The part of a tensor that an axis runs over, as (N, F)."""
    moved = tensor.movedim(axis.dim, 0)[axis.start : axis.start + axis.outer * size * axis.inner]
    return moved.reshape(axis.outer, size, -1).movedim(1, 0).reshape(size, -1)


def similarity(space: Space, tensors: Mapping[str, Tensor]) -> Tensor:
    """Cosine between the weights that make two units, (N, N); in a residual stream also those that read it.

    Every tensor is divided by its root mean square first, so that a large layer does not drown the others. Tensors
    with more features than their share of `FEATURES` are sampled at equal distances. Raises UserError for a weight
    that is not finite.
    """
    axes = [axis for axis in space.axes if axis.tensor in tensors]
    telling = [axis for axis in axes if space.kind == "stream" or axis.role == "producer"] or axes
    share = max(64, FEATURES // max(1, len(telling)))
    gram: Tensor | None = None
    for axis in telling:
        x_NF = units(tensors[axis.tensor].detach(), axis, space.size)
        x_NF = x_NF[:, :: -(-x_NF.shape[1] // share)].float()
        scale = x_NF.square().mean()
        if not torch.isfinite(scale):
            raise UserError(
                "similarity", axis.tensor, "finite weights", "restore the weights from before they diverged"
            )
        if scale > 0:
            part = (x_NF @ x_NF.T) / scale
            gram = part if gram is None else gram.add_(part)
    if gram is None:
        return torch.zeros(space.size, space.size)
    return _normalized(gram)


def correlation(samples: list[Tensor]) -> Tensor:
    """Correlation between units over what they computed, (N, N); each entry is (S, N) or (S, N, values)."""
    gram: Tensor | None = None
    for sample in samples:
        x_SNF = sample.detach().float().reshape(sample.shape[0], sample.shape[1], -1)
        x_SNF = x_SNF - x_SNF.mean(0)
        scale = x_SNF.square().mean()
        if not torch.isfinite(scale):
            raise UserError("similarity", "activation", "finite activations", "match by weight or mend the network")
        if scale > 0:
            x_NF = x_SNF.movedim(1, 0).reshape(x_SNF.shape[1], -1)
            part = (x_NF @ x_NF.T) / scale
            gram = part if gram is None else gram.add_(part)
    if gram is None:
        return torch.zeros(samples[0].shape[1], samples[0].shape[1])
    return _normalized(gram)


def _normalized(gram_NN: Tensor) -> Tensor:
    norm_N = gram_NN.diagonal().clamp(min=torch.finfo(gram_NN.dtype).tiny).sqrt()
    return gram_NN / norm_N / norm_N[:, None]


def heavy_edge_matching(
    similarity_NN: Tensor, perfect: bool = True, groups: int = 1, count: int | None = None
) -> Aggregation:
    """Pairs, the most similar first; equal similarities in the order of the units' numbers.

    Without `perfect` only units of positive similarity are paired. Pairs lie within one of `groups` equal contiguous
    groups. `count` asks for so many aggregates, more than half of the units, and leaves the least similar pairs
    unmerged.
    """
    n = len(similarity_NN)
    if not torch.isfinite(similarity_NN).all():
        raise UserError("similarity", "not a number", "finite similarities", "look for weights that are not finite")
    S_NN = similarity_NN.detach().clone()
    S_NN.fill_diagonal_(-torch.inf)
    if groups > 1:
        group_N = torch.arange(n, device=S_NN.device) * groups // n
        S_NN.masked_fill_(group_N[:, None] != group_N, -torch.inf)
    pairs = _pairs(S_NN, -torch.inf if perfect else 0.0)
    if count is not None:
        value = similarity_NN[pairs[:, 0], pairs[:, 1]]
        pairs = pairs[value.argsort(descending=True, stable=True)[: max(0, n - count)]]
    return _aggregation(pairs.cpu(), similarity_NN)


def _pairs(S_NN: Tensor, above: float) -> Tensor:
    """The pairs a greedy pass over all edges, heaviest first, would take; (pairs, 2), in no order."""
    found, alive = [], torch.arange(len(S_NN), device=S_NN.device)
    for _ in range(ROUNDS):
        if len(alive) < 2:
            break
        value, best = S_NN.max(1)
        here = torch.arange(len(alive), device=S_NN.device)
        mutual = (best[best] == here) & (here < best) & (value > above)
        if not mutual.any():
            break
        found.append(torch.stack((alive[here[mutual]], alive[best[mutual]]), 1))
        keep = torch.ones_like(mutual)
        keep[here[mutual]] = keep[best[mutual]] = False
        alive, S_NN = alive[keep], S_NN[keep][:, keep]
    if len(alive) > 1:
        found.append(alive[_sorted_pairs(S_NN, above).to(alive.device)])
    return torch.cat(found) if found else torch.empty(0, 2, dtype=torch.long)


def _sorted_pairs(S_NN: Tensor, above: float) -> Tensor:
    """The same by sorting all edges: for similarities in which one unit is the best of nearly all others."""
    n = len(S_NN)
    first, second = torch.triu_indices(n, n, 1, device=S_NN.device)
    value = S_NN[first, second]
    allowed = value > above
    first, second, value = first[allowed], second[allowed], value[allowed]
    order = value.argsort(descending=True, stable=True)
    first, second = first[order].cpu(), second[order].cpu()
    free, pairs, start, step = torch.ones(n, dtype=torch.bool), [], 0, n
    while start < len(first):
        a, b = first[start : start + step], second[start : start + step]
        both = free[a] & free[b]
        taken = set[int]()
        for i, j in zip(a[both].tolist(), b[both].tolist(), strict=True):
            if i not in taken and j not in taken:
                taken.update((i, j))
                pairs.append((i, j))
        free[list(taken)] = False
        start, step = start + step, 2 * step
    return torch.tensor(pairs, dtype=torch.long).reshape(-1, 2)


def _aggregation(pairs: Tensor, similarity_NN: Tensor) -> Aggregation:
    n = len(similarity_NN)
    leader = torch.arange(n)
    low, high = pairs.min(1).values if len(pairs) else pairs[:, 0], pairs.max(1).values if len(pairs) else pairs[:, 1]
    leader[high] = low
    _, assign = leader.unique(sorted=True, return_inverse=True)
    size = int(assign.max()) + 1 if n else 0
    mean = torch.ones(size)
    mean[assign[low]] = similarity_NN[low, high].float().cpu()
    return Aggregation(assign, size, mean)


def fixed_pairs(n: int, groups: int = 1) -> Aggregation:
    """Unit i with i + n/2 in each group, whatever the weights (Zou et al., ICLR 2024); an odd one stays alone."""
    group = n // groups
    half = -(-group // 2)
    unit = torch.arange(n)
    return Aggregation(unit // group * half + unit % group % half, half * groups)


By = Literal["weight", "activation"]
"""What similarity is taken from."""
