"""The front: which candidates no other one beats, said only as far as the measurements carry.

Two candidates are compared by what they shared: accuracy on the same examples, latency in the same
interleaved rounds, everything else by intervals. Where the interval of a difference holds zero they are
not ranked; latencies are, where they differ by more than `SAME`. Does not know how a candidate was made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from netwright.core import workload
from netwright.core.artifact import Artifact
from netwright.core.measurement import Measurement, better
from netwright.data.tasks import Evaluation
from netwright.measure import bench, quality

SAME = 0.02
"""Share by which latencies must differ to be called different: 1 % was seen to turn round in a second series."""
Objective = Literal["accuracy", "latency", "throughput", "size", "peak_memory", "energy", "cost"]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An artifact with its figures by quantity, and what it answered on every test example."""

    label: str
    artifact: Artifact
    figures: Mapping[str, Measurement]
    evaluation: Evaluation
    chain: str = ""
    """The methods it went through."""


@dataclass(frozen=True)
class Comparison:
    """Two candidates on one objective: which is better, if that can be said, and the reason in words."""

    first: str
    second: str
    objective: Objective
    better: str | None
    why: str


def compare(a: Candidate, b: Candidate, objective: Objective) -> Comparison:
    """Rank two candidates on one objective, or refuse to."""
    if objective == "accuracy":
        change = quality.accuracy_change(a.evaluation, b.evaluation)
        first_wins = None if change.low <= 0 <= change.high else change.value > 0
        why = f"difference {100 * change.value:+.2f} points [{100 * change.low:+.2f}, {100 * change.high:+.2f}]"
    elif objective == "latency":
        ratio = bench.compare(a.figures["latency"], b.figures["latency"])
        first_wins = True if ratio.high < 1 / (1 + SAME) else False if ratio.low > 1 + SAME else None
        why = f"{ratio.value:.2f}x the time [{ratio.low:.2f}, {ratio.high:.2f}]"
    else:
        first_wins = better(a.figures[objective], b.figures[objective])
        why = f"{a.figures[objective]} against {b.figures[objective]}"
    winner = None if first_wins is None else a.label if first_wins else b.label
    return Comparison(a.label, b.label, objective, winner, why)


def dominates(a: Candidate, b: Candidate, objectives: Sequence[Objective]) -> bool:
    """`a` is better on one objective at least, and on none worse, as far as can be said; no slower for certain."""
    winners = [compare(a, b, objective).better for objective in objectives]
    if a.label not in winners or b.label in winners:
        return False
    return "latency" not in objectives or bench.compare(a.figures["latency"], b.figures["latency"]).high <= 1 + SAME


def front(candidates: Sequence[Candidate], objectives: Sequence[Objective]) -> list[Candidate]:
    """The candidates that no other dominates, in their order.

    Ties are not transitive, so that a can dominate b, b c, and c a. Of such a circle no member is better
    than another: each stays unless one from outside the circle dominates a member. No front is empty.
    """
    beaten_by = {b.label: {a.label for a in candidates if dominates(a, b, objectives)} for b in candidates}
    above = {label: _ancestors(label, beaten_by) for label in beaten_by}
    return [c for c in candidates if all(c.label in above[other] for other in above[c.label])]


def _ancestors(label: str, beaten_by: Mapping[str, set[str]]) -> set[str]:
    """All that dominate a candidate, directly or through others."""
    found: set[str] = set()
    waiting = [label]
    while waiting:
        waiting += sorted(beaten_by[waiting.pop()] - found - set(waiting))
        found.update(waiting)
    return found


def undecided(candidates: Sequence[Candidate], objectives: Sequence[Objective]) -> list[Comparison]:
    """All pairs that are not ranked on an objective, with the reason."""
    return [
        comparison
        for at, a in enumerate(candidates)
        for b in candidates[at + 1 :]
        for objective in objectives
        if (comparison := compare(a, b, objective)).better is None
    ]


def works(candidates: Sequence[Candidate]) -> list[tuple[str, Candidate]]:
    """Candidates that compute different things, the first of each, called by precision or else by chain."""
    found: dict[str, Candidate] = {}
    seen: set[str] = set()
    for one in candidates:
        if workload.FILE not in one.artifact.files:
            continue
        digest = workload.read(one.artifact.folder).digest
        name = one.artifact.precision if one.artifact.precision not in found else one.chain
        if digest not in seen and name and name not in found:
            seen.add(digest)
            found[name] = one
    return sorted(found.items())


def hypervolume(points: Sequence[tuple[float, ...]], reference: tuple[float, ...]) -> float:
    """Volume that points dominate below a reference, each coordinate to be small.

    By slices of the last coordinate, which suits fronts of tens of points (Zitzler and Thiele 1998 define it).
    """
    inside = [p for p in points if all(x < r for x, r in zip(p, reference, strict=True))]
    if not inside:
        return 0.0
    if len(reference) == 1:
        return reference[0] - min(p[0] for p in inside)
    heights = sorted({p[-1] for p in inside})
    total = 0.0
    for low, high in zip(heights, [*heights[1:], reference[-1]], strict=True):
        below = [p[:-1] for p in inside if p[-1] <= low]
        total += (high - low) * hypervolume(below, reference[:-1])
    return total
