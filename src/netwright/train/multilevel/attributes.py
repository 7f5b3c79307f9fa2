"""Sizes that modules keep in attributes: which must shrink with the tensors, found by trial.

A head count, a split size or an entry of a configuration equal to an old size is a candidate. The likeliest setting is
tried first; where the network then breaks, the candidates of the module that broke are turned one by one, and a change
is kept when the network gets further or nearer to what it should compute. Does not know how networks were shrunk.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from netwright.train.multilevel.exact import Probe
from netwright.train.multilevel.transfer import Transfer, carried

TRIALS = 200
"""Runs of the coarse network that a search may take."""

STAY = re.compile(
    r"head_?dim|dim_?(per_)?head|head_?size|d_k$|^hd$|max|pos|vocab|seq|len|label|class|layer|depth|kernel|stride|pad|patch"
    r"|image|_id$|eps|groups|window|block|index|type|experts|repeat"
)
"""Names of sizes that are not numbers of units, whatever their value."""

_FIXED = (
    nn.Linear, nn.modules.conv._ConvNd, nn.modules.batchnorm._BatchNorm, nn.Embedding, nn.EmbeddingBag,
    nn.MultiheadAttention, nn.modules.pooling._MaxPoolNd, nn.Upsample, nn.Flatten, nn.Softmax, nn.Dropout,
)  # fmt: skip
"""Layers whose sizes follow from their tensors, or which have none."""


@dataclass(frozen=True)
class Size:
    """One whole number in an attribute: `path` from the module's attributes on; `options`, the likeliest first."""

    module: str
    path: tuple[str | int, ...]
    owner: str
    old: int
    options: tuple[int, ...]

    @property
    def kin(self) -> tuple[Any, ...]:
        """What the same attribute of modules of the same class shares."""
        return (self.owner, self.path, self.old, self.options)


@dataclass
class Outcome:
    """How far a network ran: modules completed, whether it ended, its error, and the modules it broke in."""

    completed: int
    error: float | None
    broken: tuple[str, ...] = ()
    trouble: str = ""

    def better(self, other: Outcome) -> bool:
        if self.error is None or other.error is None:
            further = other.error is None and (self.error is not None or self.completed > other.completed)
            return further
        return self.error < 0.5 * other.error


def settle(coarse: nn.Module, fine: nn.Module, probe: Probe, tolerance: float) -> Outcome:
    """Set attributes of a shrunk copy of `fine` so that it computes what it should; the outcome of the best setting."""
    sizes = list(_candidates(coarse, fine, _Changes(coarse, probe.transfer)))
    trial = probe.ready(coarse)
    search = _Search(trial, probe, sizes, tolerance)
    best = search.run()
    for size, value in search.setting.items():
        _write(coarse, size, value)
    return best


@dataclass
class _Search:
    model: nn.Module
    probe: Probe
    sizes: list[Size]
    tolerance: float
    trials: int = 0
    setting: dict[Size, int] = field(default_factory=dict)

    def run(self) -> Outcome:
        self.setting = {size: size.options[0] for size in self.sizes}
        best = self.outcome(self.setting)
        while not self.done(best) and self.trials < TRIALS:
            found = self.improve(best)
            if found is None:
                break
            best = found
        return best

    def done(self, outcome: Outcome) -> bool:
        return outcome.error is not None and outcome.error <= self.tolerance

    def improve(self, best: Outcome) -> Outcome | None:
        """The first change of one kind of attribute, or of one attribute, that gets further."""
        for change in self.changes(best):
            if self.trials >= TRIALS:
                return None
            setting = {**self.setting, **change}
            outcome = self.outcome(setting)
            if outcome.better(best):
                self.setting = setting
                return outcome
        return None

    def changes(self, best: Outcome) -> Iterator[dict[Size, int]]:
        near = sorted(self.sizes, key=lambda size: -best.broken.index(size.module) if size.module in best.broken else 1)
        kinds = list(dict.fromkeys(size.kin for size in near))
        members = {kin: [size for size in self.sizes if size.kin == kin] for kin in kinds}
        for kin in kinds:
            for value in self.others(members[kin][0]):
                yield dict.fromkeys(members[kin], value)
        if len(self.sizes) > len(kinds):
            for size in near:
                for value in self.others(size):
                    yield {size: value}
        for k, first in enumerate(kinds):  # two at once: a head count and a width that are only right together
            for second in kinds[k + 1 :]:
                if members[first][0].owner == members[second][0].owner:
                    for one in self.others(members[first][0]):
                        for two in self.others(members[second][0]):
                            yield {**dict.fromkeys(members[first], one), **dict.fromkeys(members[second], two)}

    def others(self, size: Size) -> list[int]:
        return [value for value in size.options if value != self.setting[size]]

    def outcome(self, setting: Mapping[Size, int]) -> Outcome:
        self.trials += 1
        for size, value in setting.items():
            _write(self.model, size, value)
        stack: list[str] = []
        completed = 0

        def left(*_: Any) -> None:
            nonlocal completed
            completed += 1
            stack.pop()

        hooks = []
        for name, module in self.model.named_modules():
            hooks.append(module.register_forward_pre_hook(lambda *_, name=name: stack.append(name)))
            hooks.append(module.register_forward_hook(left))
        try:
            return Outcome(completed, self.probe.error(self.model))
        except Exception as trouble:
            return Outcome(completed, None, tuple(stack), f"{type(trouble).__name__}: {trouble}")
        finally:
            for hook in hooks:
                hook.remove()


class _Changes:
    """Old size -> new sizes by module, those that stay too: of its own tensors, its parts, or what is around it."""

    def __init__(self, coarse: nn.Module, transfer: Transfer) -> None:
        self.pairs: dict[str, Counter[tuple[int, int]]] = {}
        merged = {name: aggregation.size for name, aggregation in transfer.aggregations.items()}
        for space, axis, after in carried(transfer.coupling, transfer.aggregations):
            if after is not None:
                n, m = space.size, merged.get(space.name, space.size)
                found = {(n, m), (n * axis.inner, m * after.inner), (axis.outer * n, after.outer * m)}
                whole = (axis.outer * n * axis.inner, after.outer * m * after.inner)
                self._note(transfer.name(axis.tensor), {*found, whole})
        for name, value in [*coarse.named_parameters(), *coarse.named_buffers()]:
            lines = {line.dim: len(line.index) for line in transfer.lines(name, torch.device("cpu"))}
            self._note(name, {(lines.get(dim, size), size) for dim, size in enumerate(value.shape)})

    def _note(self, tensor: str, pairs: set[tuple[int, int]]) -> None:
        self.pairs.setdefault(tensor.rpartition(".")[0], Counter()).update(pairs)

    def around(self, module: str) -> Counter[tuple[int, int]]:
        """The changes in the module or, if there are none, in the nearest one around it that has any."""
        while True:
            prefix = module + "." if module else ""
            inside = [pairs for name, pairs in self.pairs.items() if name.startswith(prefix) or name == module]
            total = sum(inside, Counter[tuple[int, int]]())
            if not module or any(old != new for old, new in total):
                return total
            module = module.rpartition(".")[0]

    def options(self, module: str, name: str, value: int, nested: bool) -> tuple[int, ...]:
        """What the number may become, the likeliest first, itself among it; () if nothing speaks for a change."""
        near, own = self.around(module), self.pairs.get(module, Counter())
        votes = {new: count + own[old, new] for (old, new), count in near.items() if old == value}
        stays, head = STAY.search(name.lower()), "head" in name.lower()
        exact = sorted(votes, key=lambda new: -votes[new])
        multiples = [(old, new) for old, new in near if old != new and value > old and value % old == 0]
        several = sorted({value // old * new for old, new in multiples}) if head or not nested else []
        first = [value] if stays or not exact else several if head and exact == [value] else []
        if head and not stays and not exact:
            first = several
        found = tuple(dict.fromkeys([*first, *exact, value, *several]))
        return found if len(found) > 1 else ()


def _candidates(model: nn.Module, fine: nn.Module, changes: _Changes) -> Iterator[Size]:
    held = set[int]()
    for module_name, module in model.named_modules():
        if isinstance(module, _FIXED):
            continue
        for path, owner, value in _numbers(module, fine.get_submodule(module_name), held):
            name = next(part for part in reversed(path) if isinstance(part, str))
            nested = len(path) > 1 and isinstance(path[1], str)
            options = changes.options("" if nested else module_name, name, value, nested)
            if options:
                yield Size(module_name, path, owner, value, options)


Number = tuple[tuple[str | int, ...], str, int]
"""Path, class that holds it, value."""


def _numbers(module: nn.Module, fine: nn.Module, held: set[int]) -> Iterator[Number]:
    """Whole numbers above 1 in attributes: themselves, in lists, in dictionaries, in plain objects such as a config."""
    base = vars(nn.Module())
    for name, value in vars(module).items():
        if name not in base:
            yield from _within((name,), type(module).__qualname__, value, vars(fine).get(name), held, 2)


def _within(
    path: tuple[str | int, ...], owner: str, value: Any, fine: Any, held: set[int], deeper: int
) -> Iterator[Number]:
    if isinstance(value, int):
        if not isinstance(value, bool) and value > 1:
            yield path, owner, int(value)
    elif isinstance(value, (list, tuple)):
        for k, part in enumerate(value):
            if isinstance(part, int):
                yield from _within((*path, k), owner, part, None, held, 0)
    elif isinstance(value, dict):
        for key, part in value.items():
            if isinstance(key, str) and isinstance(part, int):
                yield from _within((*path, key), owner, part, None, held, 0)
    elif deeper and _plain(value) and value is not fine and id(value) not in held:  # what copies share is not ours
        held.add(id(value))
        for name, part in vars(value).items():
            within = vars(fine).get(name) if _plain(fine) else None
            yield from _within((*path, name), type(value).__qualname__, part, within, held, deeper - 1)


def _plain(value: Any) -> bool:
    """An object of someone's own class that keeps values: a configuration, not a module or a tensor."""
    known = (nn.Module, torch.Tensor, type)
    return hasattr(value, "__dict__") and not isinstance(value, known) and not callable(value)


def _write(model: nn.Module, size: Size, value: int) -> None:
    *steps, last = size.path
    _put(model.get_submodule(size.module), [*steps, last], value)


def _put(holder: Any, path: list[str | int], value: Any) -> Any:
    """The holder with a value put at a path; tuples are made anew, attributes set past any frozen class."""
    key, *rest = path
    if isinstance(holder, dict):
        holder[key] = value
        return holder
    if isinstance(key, str):
        vars(holder)[key] = _put(vars(holder)[key], rest, value) if rest else value
        return holder
    if isinstance(holder, list):
        holder[key] = value
        return holder
    parts = [value if k == key else part for k, part in enumerate(holder)]
    return torch.Size(parts) if isinstance(holder, torch.Size) else tuple(parts)
