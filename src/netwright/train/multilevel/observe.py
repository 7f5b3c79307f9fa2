"""What layers compute on one example, fine and coarse: feature maps of convolutions, attention of heads.

    layers = feature_maps(hierarchy, example)      # of levels 0 and 1, merged channels together
    layers = attention(hierarchy, example)

Both watch an ordinary forward pass: feature maps by hooks on modules, attention by the softmax inside it, whether the
network asks torch for attention or writes it out. The coarse network computes with whatever weights it holds. Does not
know how a figure looks.

Shape legend: H heads, T queries, S keys, E width of a head, N units, C channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from netwright.core.levels import Layer, Tile
from netwright.train.multilevel.exact import Example, call
from netwright.train.multilevel.hierarchy import Hierarchy
from netwright.train.multilevel.matching import Aggregation
from netwright.train.multilevel.spaces import Space

LAYERS = 3
"""Layers of a network that are looked at: the first, one in the middle, the last."""
COLUMNS = 6
"""Merged units that are shown of a layer."""
DARK = 4.0
"""Multiple of an even share that is drawn darkest, where none is greater: a network that heeds all alike is pale."""
TOKENS = 40
"""Tokens of a text that attention is shown over; more would be no larger than a dot each."""


def feature_maps(hierarchy: Hierarchy, example: Example) -> list[Layer]:
    """What merged channels answer to the first example of a batch, on levels 0 and 1; empty where there are none.

    Of a channel's convolution, normalization and activation function the last is shown.
    """
    fine, coarse = hierarchy.levels[0], hierarchy.levels[1]
    assert fine.transfer is not None
    seen = [_outputs(level.model, example) for level in (fine, coarse)]
    found = []
    for space in fine.coupling.free:
        name = _last_maker(space, seen[0])
        if name is None or name not in seen[1]:
            continue
        merged = fine.transfer.aggregations[space.name]
        a, b = seen[0][name], seen[1][name]
        if a.shape[0] == space.size and b.shape[0] == merged.size and min(a.shape[1:]) > 3:
            found.append((name, Layer(title=_sizes(name, "channels", a, b), tiles=_tiles(a, b, merged))))
    order = list(seen[0])
    return _spread([layer for name, layer in sorted(found, key=lambda one: order.index(one[0]))])


def attention(hierarchy: Hierarchy, example: Example) -> list[Layer]:
    """How much each query heeds each key in merged heads, on levels 0 and 1; empty where no heads are merged."""
    fine, coarse = hierarchy.levels[0], hierarchy.levels[1]
    assert fine.transfer is not None
    asked = [_patterns(level.model, example) for level in (fine, coarse)]
    spaces = [space for space in fine.coupling.free if space.kind == "head"]
    found = []
    for at, (a_HTS, b_HTS) in enumerate(zip(*asked, strict=False)):
        fitting = [s for s in spaces if a_HTS.shape[0] % s.size == 0 and a_HTS.shape[0] > b_HTS.shape[0]]
        if not fitting:
            continue
        space = spaces[at] if len(spaces) == len(asked[0]) and spaces[at] in fitting else fitting[0]
        merged = _repeated(fine.transfer.aggregations[space.name], a_HTS.shape[0] // space.size)
        if b_HTS.shape[0] == merged.size:
            title = _sizes(f"attention {at}", "heads", a_HTS, b_HTS)
            found.append(Layer(title=title, tiles=_tiles(_cut(a_HTS), _cut(b_HTS), merged), dark=DARK))
    return _spread(found)


def _sizes(name: str, units: str, fine: Tensor, coarse: Tensor) -> str:
    return f"{name}: {fine.shape[0]} → {coarse.shape[0]} {units}"


def _spread(layers: Sequence[Layer]) -> list[Layer]:
    """The first, the last and some evenly between."""
    if len(layers) <= LAYERS:
        return list(layers)
    return [layers[round(at * (len(layers) - 1) / (LAYERS - 1))] for at in range(LAYERS)]


def _tiles(fine: Tensor, coarse: Tensor, merged: Aggregation) -> tuple[Tile, ...]:
    """Aggregates from the most to the least similar one; those that show nothing last."""
    members = [torch.nonzero(merged.assign == at).flatten().tolist() for at in range(merged.size)]
    value = merged.similarity if merged.similarity is not None else -torch.arange(merged.size).float()
    alive = [at for at in range(merged.size) if coarse[at].std() > 0 or fine[members[at]].std() > 0]
    order = sorted(alive, key=lambda at: -float(value[at]))
    if len(order) > COLUMNS:
        order = [order[round(at * (len(order) - 1) / (COLUMNS - 1))] for at in range(COLUMNS)]
    return tuple(
        Tile(
            units=tuple(members[at]),
            similarity=None if merged.similarity is None else float(value[at]),
            fine=tuple(fine[unit].double().numpy() for unit in members[at]),
            coarse=coarse[at].double().numpy(),
        )
        for at in order
    )


def _repeated(merged: Aggregation, times: int) -> Aggregation:
    """The aggregation of query heads that share keys and values in groups of `times`."""
    if times == 1:
        return merged
    head = torch.arange(len(merged.assign) * times)
    similarity = merged.similarity.repeat_interleave(times) if merged.similarity is not None else None
    return Aggregation(merged.assign[head // times] * times + head % times, merged.size * times, similarity)


def _cut(pattern_HTS: Tensor) -> Tensor:
    """The part that any query heeds, at most so many tokens, in multiples of an even share of all keys in sight.

    The first queries of a causal network have few keys to share their weight among, and would outshine the rest.
    """
    heeded = (pattern_HTS.amax((0, 1)) > 0).nonzero()
    used = min(int(heeded.max()) + 1, TOKENS) if len(heeded) else TOKENS  # what is padded is not heeded
    queries = min(TOKENS, used if pattern_HTS.shape[1] == pattern_HTS.shape[2] else pattern_HTS.shape[1])
    return (pattern_HTS * (pattern_HTS > 0).sum(2, keepdim=True))[:, :queries, :used]


# watching


def _run(model: nn.Module, example: Example) -> None:
    """Call a network in evaluation mode, and put its mode back."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            call(model, example)
    finally:
        for module, mode in modes.items():
            module.training = mode


def _outputs(model: nn.Module, example: Example) -> dict[str, Tensor]:
    """Module -> what it answers to the first example, (C, height, width), in the order of the pass."""
    found: dict[str, Tensor] = {}
    leaves = {module: name for name, module in model.named_modules() if not list(module.children())}

    def keep(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.dim() == 4 and output.is_floating_point():
            # a copy: what comes next may write into it
            found[leaves[module]] = output[0].detach().float().cpu().clone()

    handles = [module.register_forward_hook(keep) for module in leaves]
    try:
        _run(model, example)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _last_maker(space: Space, outputs: Mapping[str, Tensor]) -> str | None:
    """The last module that makes the units of a space, or the activation function right behind it."""
    makers = {axis.tensor.rpartition(".")[0] for axis in space.axes if axis.role == "producer"}
    order = list(outputs)
    made = [at for at, name in enumerate(order) if name in makers]
    if not made:
        return None
    at = made[-1]
    follows = order[at + 1] if at + 1 < len(order) else ""
    same = follows and outputs[follows].shape == outputs[order[at]].shape
    return follows if same and _only_a_function(follows, space) else order[at]


def _only_a_function(name: str, space: Space) -> bool:
    return not any(axis.tensor.rpartition(".")[0] == name for axis in space.axes)


def _patterns(model: nn.Module, example: Example) -> list[Tensor]:
    """Attention weights of the first example, (H, T, S), a tensor for each time attention was asked for."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one operator, which shows nothing of what is in it
    watched = _Softmax(_batch(example))
    try:
        with sdpa_kernel(SDPBackend.MATH), watched:
            _run(model, example)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return watched.seen


def _batch(example: Example) -> int:
    first = next(iter(example.values())) if isinstance(example, Mapping) else example
    first = first[0] if isinstance(first, tuple) else first
    return int(first.shape[0]) if isinstance(first, Tensor) and first.dim() else 1


class _Softmax(TorchDispatchMode):
    """Keeps what softmax answers with queries and keys as its last axes, whoever asked for it.

    Scaled dot product attention computed the plain way goes through it too, with its mask and its scale.
    """

    def __init__(self, batch: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.batch = batch
        self.seen: list[Tensor] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = function(*args, **(kwargs or {}))
        if function in _SOFTMAX and answer.dim() in (3, 4) and min(answer.shape[-2:]) > 1:
            # of (B * H, T, S) the first H
            first = answer[0] if answer.dim() == 4 else answer[: len(answer) // self.batch]
            self.seen.append(torch.nan_to_num(first.detach().float()).cpu().clone())
        return answer


_SOFTMAX = {torch.ops.aten._softmax.default, torch.ops.aten._safe_softmax.default}
