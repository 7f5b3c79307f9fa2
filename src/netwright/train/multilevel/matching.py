"""Matching: which units of a space are merged into one.

    s_NN = similarity(space, tensors)
    aggregation = heavy_edge_matching(s_NN, perfect=True, groups=space.groups)

Pairs of similar units are merged, as in algebraic multigrid: heavy-edge matching takes the most similar pair first,
then the most similar one of what remains. A perfect matching leaves at most one unit alone, so that shapes of the
coarse network never depend on the weights. Does not know what happens to the tensors.

Shape legend: N units, F features of a unit, M aggregates, S samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from netwright.core.error import UserError
from netwright.train.multilevel.spaces import Axis, Space

FEATURES = 8192
"""Features a unit that a cosine is taken over: its error is then about 1/sqrt(8192) = 0.011."""
ROUNDS = 24
"""Rounds of mutually best pairs at most; the first that pairs less than a tenth of the units ends them, and edges are
sorted."""
EDGES = 128
"""Edges a unit that are sorted at a time."""


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
    features = []
    for axis in telling:
        x_NF = units(tensors[axis.tensor].detach(), axis, space.size)
        features.append(_scaled(x_NF[:, :: -(-x_NF.shape[1] // share)], f"the weights of {axis.tensor}"))
    return _cosine(torch.cat(features, 1)) if features else torch.zeros(space.size, space.size)


def correlation(samples: Sequence[Tensor]) -> Tensor:
    """Correlation between units over what they computed, (N, N); each entry is (S, N) or (S, N, values)."""
    features = []
    for sample in samples:
        x_SNF = sample.detach().float().reshape(sample.shape[0], sample.shape[1], -1)
        x_NF = (x_SNF - x_SNF.mean(0)).movedim(1, 0).reshape(x_SNF.shape[1], -1)
        features.append(_scaled(x_NF, "the activations"))
    return _cosine(torch.cat(features, 1))


def _scaled(x_NF: Tensor, what: str) -> Tensor:
    x_NF = x_NF.float()
    rms = x_NF.square().mean().sqrt()
    if not torch.isfinite(rms):
        raise UserError("similarity", what, "finite numbers", "go back to weights from before they diverged")
    return x_NF / rms if rms > 0 else x_NF


def _cosine(x_NF: Tensor) -> Tensor:
    x_NF = nn.functional.normalize(x_NF)
    return x_NF @ x_NF.T


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
    s_NN = similarity_NN.detach().clone()
    s_NN.fill_diagonal_(-torch.inf)
    if groups > 1:
        group_N = torch.arange(n, device=s_NN.device) * groups // n
        s_NN.masked_fill_(group_N[:, None] != group_N, -torch.inf)
    pairs = _pairs(s_NN, -torch.inf if perfect else 0.0)
    if count is not None:
        value = similarity_NN[pairs[:, 0], pairs[:, 1]]
        pairs = pairs[value.argsort(descending=True, stable=True)[: max(0, n - count)]]
    return _aggregation(pairs.cpu(), similarity_NN)


def _pairs(s_NN: Tensor, above: float) -> Tensor:
    """The pairs a greedy pass over all edges, heaviest first, would take; (pairs, 2), in no order."""
    found, alive = [], torch.arange(len(s_NN), device=s_NN.device)
    for _ in range(ROUNDS):
        if len(alive) < 2:
            break
        value, best = s_NN.max(1)
        here = torch.arange(len(alive), device=s_NN.device)
        mutual = (best[best] == here) & (here < best) & (value > above)
        if int(mutual.sum()) * 20 < len(alive):
            break
        found.append(torch.stack((alive[here[mutual]], alive[best[mutual]]), 1))
        keep = torch.ones_like(mutual)
        keep[here[mutual]] = keep[best[mutual]] = False
        alive, s_NN = alive[keep], s_NN[keep][:, keep]
    if len(alive) > 1:
        found += [alive[pairs.to(alive.device)] for pairs in _sorted_pairs(s_NN, above)]
    return torch.cat(found) if found else torch.empty(0, 2, dtype=torch.long)


def _sorted_pairs(s_NN: Tensor, above: float) -> Iterator[Tensor]:
    """The same by sorting edges: for similarities in which one unit is the best of nearly all others.

    The heaviest edges are sorted, those of units that are left then, and so on.
    """
    s_NN = s_NN.cpu()
    alive = torch.arange(len(s_NN))
    s_NN = s_NN.masked_fill(torch.ones_like(s_NN, dtype=torch.bool).tril(), -torch.inf)
    while len(alive) > 1:
        sample = s_NN.flatten()[:: max(1, s_NN.numel() // 1_000_000)]
        sample = sample[sample > above]
        wanted = min(len(sample), max(1, len(sample) * EDGES * len(alive) // s_NN.numel()))
        if len(alive) ** 2 <= 4 * EDGES * len(alive) or not len(sample):
            least = s_NN[s_NN > above].amin() if bool((s_NN > above).any()) else None
        else:
            least = sample.topk(wanted).values[-1]
        if least is None:
            return
        taken = _greedy(s_NN, least)
        yield alive[taken]
        keep = torch.ones(len(alive), dtype=torch.bool)
        keep[taken.flatten()] = False
        alive, s_NN = alive[keep], s_NN[keep][:, keep]


def _greedy(s_NN: Tensor, least: Tensor) -> Tensor:
    """Pairs of all edges as heavy as `least`, heaviest first; edges are above the diagonal."""
    free, pairs = torch.ones(len(s_NN), dtype=torch.bool), list[tuple[int, int]]()
    heavy = s_NN >= least
    many = int(heavy.sum()) > 4 * EDGES * len(s_NN)  # ties: nothing to sort
    first, second = (s_NN > least if many else heavy).nonzero(as_tuple=True)
    order = s_NN[first, second].argsort(descending=True, stable=True)
    first, second = first[order], second[order]
    start, step = 0, len(s_NN)
    while start < len(first):
        a, b = first[start : start + step], second[start : start + step]
        both, taken = free[a] & free[b], set[int]()
        for i, j in zip(a[both].tolist(), b[both].tolist(), strict=True):
            if i not in taken and j not in taken:
                taken.update((i, j))
                pairs.append((i, j))
        free[list(taken)] = False
        start, step = start + step, 2 * step
    for i in range(len(s_NN)) if many else ():
        if free[i]:
            partners = ((s_NN[i] == least) & free).nonzero()
            if len(partners):
                pairs.append((i, int(partners[0])))
                free[i] = free[pairs[-1][1]] = False
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
