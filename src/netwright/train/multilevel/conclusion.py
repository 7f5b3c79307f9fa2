"""Spaces from evidence: where every atom stands in the parameters, in which role, and whether it may be merged.

A space is free if some parameter axis makes its units, another reads them, and nothing froze it. This file knows no
operators.
"""

from __future__ import annotations

import math
from dataclasses import replace

from torch import nn

from netwright.train.multilevel import factors as atoms
from netwright.train.multilevel.evidence import CONSTANT, HEAD_DIM, INPUT, POSITIONS, TABLE, Evidence, Source
from netwright.train.multilevel.spaces import Axis, Coupling, Kind, Role, Space

TWO_ROLES = "one tensor both makes and reads it"
PRIORITY: tuple[Kind, ...] = ("head", "stream", "channel", "unit")


def concluded(evidence: Evidence, model: nn.Module) -> Coupling:
    """The coupling that the evidence supports."""
    factors = evidence.factors
    for _ in range(2):  # uniting the parts of one normalization may show that another has equal parts
        groups = _normalized(evidence)
    _freeze_uncovered(evidence)
    roles, scaled = _roles(evidence)
    _freeze_roleless(evidence, roles)
    frozen = factors.frozen()
    for atom, count in groups.items():
        size = factors.size((atom,))
        if size % count or size == count:
            frozen.setdefault(atom, f"each of the {count} groups of a normalization has one unit of it")
    axes: dict[int, list[Axis]] = {}
    for (tensor, dim), role in roles.items():
        for place in factors.places(evidence.tensors[tensor][dim]):
            axes.setdefault(place.atom, []).append(Axis(tensor, dim, role, place.start, place.outer, place.inner))
    made = {atom: found for atom, found in axes.items() if any(axis.role == "producer" for axis in found)}
    for atom in [atom for atom, found in made.items() if all(axis.role == "producer" for axis in found)]:
        if frozen.get(atom, POSITIONS) in (POSITIONS, CONSTANT, INPUT, TABLE):
            del made[atom]  # nothing reads it: rows of a table of positions, not units
    _one_factor_each(evidence, made, frozen)
    kinds = _kinds(evidence)
    spaces: list[Space] = []
    taken: dict[str, int] = {}
    for atom, found in made.items():
        kind = "unit" if frozen.get(atom, "").startswith(HEAD_DIM) else kinds.get(atom, "unit")
        name = _name(kind, found)
        taken[name] = taken.get(name, 0) + 1
        spaces.append(
            Space(
                name if taken[name] == 1 else f"{name} ({taken[name]})",
                factors.size((atom,)),
                kind,
                tuple(dict.fromkeys(found)),
                uniform=atom in groups or atom in scaled,
                groups=groups.get(atom, 1),
                scaled=tuple(scaled.get(atom, ())),
                frozen=frozen.get(atom, ""),
            )
        )
    return Coupling(tuple(_whole_attention(spaces, model)), tuple(evidence.notes))


def _normalized(evidence: Evidence) -> dict[int, int]:
    """Atoms that a normalization or mean runs over -> how many groups of their units it has."""
    groups: dict[int, int] = {}
    for axis, count in evidence.norms:
        _normalize(evidence.factors, axis, count, groups)
    return groups


def _normalize(factors: atoms.Factors, axis: atoms.Axis, count: int, groups: dict[int, int]) -> None:
    for atom in factors.resolve(axis):
        parts = factors.segments(atom)
        size = factors.size((atom,))
        within = math.gcd(count, size)
        if within != min(count, size):
            factors.freeze((atom,), "the groups of a normalization cut through its units")
        if parts:
            equal = len({factors.size(part) for part in parts}) == 1 and within % len(parts) in (0, within)
            if not equal or (within > 1 and within % len(parts)):
                factors.freeze((atom,), "it is normalized together with units of other spaces")
                return
            for part in parts[1:]:
                factors.unite(parts[0], part)
            _normalize(factors, parts[0], max(within // len(parts), 1), groups)
        else:
            groups[atom] = math.lcm(groups.get(atom, 1), within)
        count //= within


def _roles(evidence: Evidence) -> tuple[dict[Source, Role], dict[int, dict[str, None]]]:
    """One role for every parameter axis; for tied embeddings, the nn.Linear modules that also read each atom."""
    factors = evidence.factors
    roles: dict[Source, Role] = {}
    scaled: dict[int, dict[str, None]] = {}
    for (tensor, dim), seen in evidence.roles.items():
        consumers = [module for role, module in seen if role == "consumer"]
        mixed = 0 < len(consumers) < len(seen)
        roles[tensor, dim] = "producer" if mixed or not consumers else "consumer"
        if not mixed:
            continue
        if not all(consumers):
            factors.freeze(evidence.tensors[tensor][dim], TWO_ROLES)
            evidence.notes.setdefault(f"{tensor}: {TWO_ROLES} along axis {dim}", None)
            continue
        for atom in factors.leaves(evidence.tensors[tensor][dim]):
            scaled.setdefault(atom, {}).update(dict.fromkeys(consumers))
    return roles, scaled


def _freeze_uncovered(evidence: Evidence) -> None:
    """A sum over units with a weight that is the same for all of them would grow with their copies."""
    factors = evidence.factors
    for axis, sources in evidence.reads:
        for tensor in {tensor for tensor, _ in sources} or {""}:
            parts = [evidence.tensors[name][dim] for name, dim in sources if name == tensor]
            covered = {atom for part in parts for atom in factors.leaves(part)}
            for atom in set(factors.leaves(axis)) - covered:
                factors.freeze((atom,), "it is summed over with one weight for all its units")


def _freeze_roleless(evidence: Evidence, roles: dict[Source, Role]) -> None:
    """A parameter axis that runs over units without a known role cannot be coarsened with them."""
    for tensor, axes in evidence.tensors.items():
        for dim, axis in enumerate(axes):
            if (tensor, dim) not in roles:
                evidence.factors.freeze(axis, f"what {tensor} does along axis {dim} is not known")


def _one_factor_each(evidence: Evidence, made: dict[int, list[Axis]], frozen: dict[int, str]) -> None:
    """Of two free factors of one axis the outer one is merged: whole groups, whole heads with all their repeats."""
    factors = evidence.factors
    todo = [axis for axes in evidence.tensors.values() for axis in axes]
    while todo:
        outer: set[int] = set()
        for atom in factors.resolve(todo.pop()):
            free = {leaf for leaf in factors.leaves((atom,)) if leaf in made and leaf not in frozen}
            for leaf in sorted(free - outer) if outer else ():
                size = "/".join(str(factors.size((whole,))) for whole in sorted(outer))
                frozen[leaf] = f"it lies within each of {size} units that are merged instead"
            outer = outer or free
            todo.extend(factors.segments(atom))


def _kinds(evidence: Evidence) -> dict[int, Kind]:
    kinds: dict[int, Kind] = {}
    for axis, kind in evidence.kinds:
        for atom in evidence.factors.leaves(axis):
            if PRIORITY.index(kind) < PRIORITY.index(kinds.get(atom, "unit")):
                kinds[atom] = kind
    return kinds


def _name(kind: Kind, axes: list[Axis]) -> str:
    """After the first tensor that makes the units: its module, or its own name if it is not a plain weight."""
    first = next(axis.tensor for axis in axes if axis.role == "producer")
    for ending in (".weight", "_weight", ".bias"):
        first = first.removesuffix(ending)
    return {"stream": f"stream: {first}", "head": f"heads: {first}"}.get(kind, first)


def _whole_attention(spaces: list[Space], model: nn.Module) -> list[Space]:
    """nn.MultiheadAttention has one width for its input and for all its heads: neither is merged without the other."""
    pairs: list[tuple[Source, Source]] = []
    for path, module in model.named_modules():
        if isinstance(module, nn.MultiheadAttention):
            prefix = f"{path}." if path else ""
            first = "in_proj_weight" if module.in_proj_weight is not None else "q_proj_weight"
            pairs.append(((prefix + first, 1), (prefix + "out_proj.weight", 1)))
    changed = True
    while changed:
        changed = False
        free = {
            (axis.tensor, axis.dim): at for at, space in enumerate(spaces) if not space.frozen for axis in space.axes
        }
        for pair in pairs:
            found = [free[source] for source in pair if source in free]
            if len(found) == 1:
                other = "heads" if pair[0] in free else "input"
                why = f"nn.MultiheadAttention has one width for input and heads, and its {other} cannot be merged"
                spaces[found[0]] = replace(spaces[found[0]], frozen=why)
                changed = True
                break
    return spaces
