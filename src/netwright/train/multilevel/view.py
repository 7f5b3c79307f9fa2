"""What people see of multilevel training: the levels in numbers, and its pictures.

    found = summary(hierarchy)                                  # rows for a table or JSON
    paths = draw(hierarchy, folder)                             # hierarchy.svg, feature_maps.svg or attention.svg
    paths = after_training(model, task, config, run.folder, run.metrics())

Figures need matplotlib (extra "plot"); a training without it goes without them. Does not know how levels were trained.
"""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn

from netwright.core.run import console
from netwright.data.tasks import Task
from netwright.models import facts
from netwright.train.multilevel.exact import Example, call
from netwright.train.multilevel.hierarchy import Hierarchy
from netwright.train.multilevel.schedules import Config
from netwright.train.multilevel.views import longest

MOST = 50_000_000
"""Parameters up to which pictures are drawn after a training: a larger network's matching takes more than seconds."""


@dataclass(frozen=True)
class Row:
    """One space, or several alike: sizes on every level, mean similarity of each change of level, or why frozen."""

    name: str
    kind: str
    sizes: tuple[int, ...]
    similarity: tuple[float | None, ...]
    frozen: str
    names: tuple[str, ...]

    @property
    def count(self) -> int:
        """For how many spaces it stands."""
        return len(self.names)


@dataclass(frozen=True)
class Summary:
    """A hierarchy in numbers: of each level parameters and FLOPs relative to the finest, and its spaces.

    FLOPs are None where they cannot be counted.
    """

    parameters: tuple[int, ...]
    flops: tuple[float | None, ...]
    spaces: tuple[Row, ...]
    notes: tuple[str, ...]

    @property
    def coarsened(self) -> list[Row]:
        """Spaces that get smaller, alike ones as one."""
        return _alike([row for row in self.spaces if row.sizes[-1] < row.sizes[0]])

    @property
    def frozen(self) -> list[Row]:
        """Spaces that keep their size, alike ones as one."""
        return _alike([row for row in self.spaces if row.sizes[-1] == row.sizes[0]])


def summary(hierarchy: Hierarchy) -> Summary:
    """Sizes, similarity and cost of every level."""
    levels = hierarchy.levels
    flops = [_flops(level.model, hierarchy.example) for level in levels]
    return Summary(
        parameters=tuple(facts.parameters(level.model) for level in levels),
        flops=tuple(each / flops[0] if each is not None and flops[0] else None for each in flops),
        spaces=tuple(_row(hierarchy, space.name) for space in levels[0].coupling.spaces),
        notes=levels[0].coupling.notes,
    )


def _flops(model: nn.Module, example: Example) -> float | None:
    try:
        return float(facts.trace(_Named(model, example), {"given": _tensors(example)}, batch=1).flops)
    except Exception:  # not every network that runs can be counted; its levels can be looked at all the same
        return None


class _Named(nn.Module):
    """A network whose inputs come in one list, as `facts.trace` passes inputs by name."""

    def __init__(self, model: nn.Module, example: Example) -> None:
        super().__init__()
        self.model, self.names = model, list(example) if isinstance(example, Mapping) else None

    def forward(self, given: list[Any]) -> Any:
        return call(self.model, dict(zip(self.names, given, strict=True)) if self.names else tuple(given))


def _tensors(example: Example) -> list[Any]:
    if isinstance(example, Mapping):
        return list(example.values())
    return list(example) if isinstance(example, tuple) else [example]


def _row(hierarchy: Hierarchy, name: str) -> Row:
    by = [{space.name: space for space in level.coupling.spaces} for level in hierarchy.levels]
    spaces = [level[name] for level in by if name in level]
    found = [level.transfer.aggregations.get(name) for level in hierarchy.levels if level.transfer is not None]
    similarity = [None if a is None or a.similarity is None else float(a.similarity.mean()) for a in found]
    first = spaces[0]
    return Row(name, first.kind, tuple(space.size for space in spaces), tuple(similarity), first.frozen, (name,))


def _alike(rows: Sequence[Row]) -> list[Row]:
    """Rows whose names differ by numbers only, with the same sizes, as one: "blocks.0–11.up"."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault((_pattern(row.name), row.kind, row.sizes, row.frozen), []).append(row)
    return [own[0] if len(own) == 1 else _joined(own) for own in groups.values()]


def _pattern(name: str) -> str:
    """A name with * for its numbers, without what tells namesakes apart: a trailing (2)."""
    return re.sub(r"(?<![A-Za-z])\d+(?![A-Za-z])", "*", re.sub(r" \(\d+\)$", "", name))


def _joined(rows: Sequence[Row]) -> Row:
    columns = zip(*(row.similarity for row in rows), strict=True)
    known = [[value for value in column if value is not None] for column in columns]
    means = tuple(sum(values) / len(values) if values else None for values in known)
    names = list(dict.fromkeys(re.sub(r" \(\d+\)$", "", row.name) for row in rows))
    first = rows[0]
    return Row(_ranged(names), first.kind, first.sizes, means, first.frozen, tuple(row.name for row in rows))


def _ranged(names: Sequence[str]) -> str:
    """Alike names as one: "blocks.0–11.up" where one number runs, "groups.0.1 … groups.2.4" else."""
    if len(names) == 1:
        return names[0]
    parts = [re.split(r"(\d+)", name) for name in names]
    differ = [at for at, column in enumerate(zip(*parts, strict=False)) if len(set(column)) > 1]
    if len(differ) == 1 and len({len(part) for part in parts}) == 1:
        numbers = [int(part[differ[0]]) for part in parts]
        runs = numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        told = f"{numbers[0]}–{numbers[-1]}" if runs and len(numbers) > 2 else ",".join(map(str, numbers))
        return "".join([*parts[0][: differ[0]], told, *parts[0][differ[0] + 1 :]])
    return f"{names[0]} … {names[-1].rpartition(': ')[2]}"


# pictures


def hierarchy_figure(hierarchy: Hierarchy, found: Summary | None = None, title: str = "Levels") -> Any:
    """Levels, and which units merged; alike spaces as one, with the similarity of all and the pairs of the first."""
    from netwright.core import levels as figures

    found = found or summary(hierarchy)
    shown = [figures.Level(parameters=p, flops=f) for p, f in zip(found.parameters, found.flops, strict=True)]
    order = {kind: at for at, kind in enumerate(("stream", "head", "channel", "unit"))}
    bands = sorted((_band(hierarchy, row) for row in found.coarsened), key=lambda band: order.get(band.kind, 9))
    return figures.hierarchy(shown, bands, title)


def _band(hierarchy: Hierarchy, row: Row) -> Any:
    from netwright.core import levels as figures

    merges = []
    for level in hierarchy.levels[:-1]:
        assert level.transfer is not None
        own = [level.transfer.aggregations[name] for name in row.names if name in level.transfer.aggregations]
        if own:
            known = [a.similarity for a in own if a.similarity is not None]
            similarity = torch.cat(known).double().numpy() if known else None
            merges.append(figures.Merge(assign=own[0].assign.numpy(), similarity=similarity))
    return figures.Band(name=row.name, kind=row.kind, sizes=row.sizes, merges=tuple(merges), count=row.count)


def draw(
    hierarchy: Hierarchy,
    folder: Path,
    example: Example | None = None,
    found: Summary | None = None,
    title: str = "Levels",
) -> list[Path]:
    """Write hierarchy.svg and, for an `example` to compute on, feature_maps.svg or attention.svg, if there are any.

    Raises UserError without matplotlib.
    """
    from netwright.core import levels as figures

    made = {"hierarchy": hierarchy_figure(hierarchy, found, title)}
    if example is not None:
        looks = restricted(hierarchy)
        from netwright.train.multilevel.observe import attention, feature_maps

        maps, heads = feature_maps(looks, example), attention(looks, example)
        if maps:
            made["feature_maps"] = figures.tiles(maps, "Feature maps, fine and coarse", MAPS)
        if heads:
            made["attention"] = figures.tiles(heads, "Attention, fine and coarse", HEADS)
    return [save(figure, folder / f"{name}.svg") for name, figure in made.items()]


MAPS = "over a column: channels that merge, and their similarity; the coarse weights are restricted ones"
HEADS = (
    "a row is a query, a column a key; an even share of attention is pale, four times as much or more dark; "
    "over a column: heads that merge, and their similarity"
)


def save(figure: Any, path: Path) -> Path:
    """Write a figure as SVG; returns its path."""
    from netwright.core import figure as style

    style.save(figure, path)
    return path


def restricted(hierarchy: Hierarchy) -> Hierarchy:
    """The two finest levels, the coarser one a copy that holds the restricted weights of the finer one."""
    fine, coarse = hierarchy.levels[0], hierarchy.levels[1]
    two = Hierarchy(
        [fine, type(coarse)(copy.deepcopy(coarse.model), coarse.coupling)], hierarchy.matching, hierarchy.by,
        hierarchy.example,
    )  # fmt: skip
    two.restrict(0)
    return two


# of a training


def after_training(
    model: nn.Module, task: Task, config: Config, folder: Path, rows: Sequence[Mapping[str, Any]]
) -> list[Path]:
    """Write a multilevel training's pictures into its folder's plots/: work.svg, and those of the trained network.

    The hierarchy is that of the trained weights, matched anew. What cannot be drawn is told and left out: a training
    that has ended does not fail for its pictures.
    """
    plots = folder / "plots"
    paths: list[Path] = []
    try:
        from netwright.core import levels as figures

        paths.append(save(figures.work({config.schedule: rows}), plots / "work.svg"))
        if max(config.width) > 1 and facts.parameters(model) <= MOST:
            widths = len(set(config.width))
            hierarchy = Hierarchy.build(
                model, longest(task), widths, config.matching, config.similarity, only=config.kinds
            )
            paths += draw(hierarchy, plots, task.example(1))
    except Exception as fault:
        if find_spec("matplotlib"):  # without it there are no pictures at all, which is said elsewhere
            console.print(f"A picture of the levels is missing ({fault}).", highlight=False, markup=False)
    return paths


def shares(rows: Sequence[Mapping[str, Any]]) -> dict[int, float]:
    """Level -> its share of all work, from rows of metrics.jsonl; empty for a training that had no levels.

    What a change of level costs is counted to the level that is left.
    """
    spent: dict[int, float] = {}
    level, before = 0, 0.0
    for row in rows:
        if row.get("work") is None:
            continue
        spent[level] = spent.get(level, 0.0) + max(0.0, float(row["work"]) - before)
        before = max(before, float(row["work"]))
        if row.get("to_level") is not None:
            level = int(row["to_level"])
    total = sum(spent.values())
    return {level: spent[level] / total for level in sorted(spent)} if total else {}


def changes(rows: Sequence[Mapping[str, Any]]) -> int:
    """How often the level changed; a row that a resumed run wrote twice counts once."""
    levels = [0, *(int(row["to_level"]) for row in rows if row.get("to_level") is not None)]
    return sum(a != b for a, b in itertools.pairwise(levels))


def told(rows: Sequence[Mapping[str, Any]], made_by: Mapping[str, Any]) -> str:
    """`Levels: cascade, 2 changes of level; share of work: level 0 60 %, level 1 40 %`; empty for one level alone.

    `made_by` is that of the training's artifact.
    """
    schedule = made_by.get("train", {}).get("multilevel", {}).get("schedule", "single")
    had = [f"level {level} {100 * share:.0f} %" for level, share in shares(rows).items()]
    if schedule == "single" or not had:
        return ""
    times = changes(rows)
    return f"Levels: {schedule}, {times} change{'s' * (times != 1)} of level; share of work: {', '.join(had)}"
