"""What an import did and what it did not believe: for a person and as JSON.

    print(report.text())
    recipe.plain(report)

Coverage is the share of names of devices that a value is stated of: as the source has it, and after the rules.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from netwright.hardware.etl.rules import Finding


@dataclass(frozen=True)
class Proposal:
    """A name that may mean a known device, for a person to look at."""

    alias: str
    device: str
    score: float
    reason: str


@dataclass(frozen=True)
class Rejected:
    """A row that was left out as a whole."""

    at: str
    why: str


@dataclass
class Report:
    """One import: counts of rows and devices, coverage by column, and everything left out, with reasons."""

    source: str
    rows: int = 0
    devices: int = 0
    matched: dict[str, int] = field(default_factory=dict)
    """How names were told: the same name, the same words, a reviewed alias, new -> names."""
    coverage: dict[str, tuple[float, float]] = field(default_factory=dict)
    architectures: tuple[float, float] = (0.0, 0.0)
    """Share of this source's devices without a known architecture: by the source alone, and now."""
    changes: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Table -> rows added and removed."""
    findings: list[Finding] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    proposals: list[Proposal] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """All of it, for JSON; every value as text where it has no number."""
        from netwright.core.recipe import plain

        found: dict[str, Any] = plain(self)
        for one in found["findings"]:
            one["value"] = _finite(one["value"])
        return found

    def text(self, limit: int = 5) -> str:
        """A page for a person: of each reason at most `limit` examples."""
        lines = [f"{self.source}: {self.rows:,} rows, {self.devices:,} devices"]
        lines += ["  names: " + ", ".join(f"{count:,} {how}" for how, count in self.matched.items())]
        unknown = tuple(f"{100 * share:.0f} %" for share in self.architectures)
        lines += [f"  devices without an architecture: {unknown[0]} by this source alone, {unknown[1]} now"]
        changed = {table: pair for table, pair in self.changes.items() if any(pair)}
        said = ", ".join(f"{table} +{added:,} -{removed:,}" for table, (added, removed) in changed.items())
        lines += [f"  changed: {said or 'nothing'}"]
        if self.coverage:
            lines += ["", "  coverage, % of names      before   after"]
            lines += [f"  {name:<24} {100 * b:7.1f} {100 * a:7.1f}" for name, (b, a) in self.coverage.items()]
        if self.findings:
            lines += ["", f"  values not believed as they stand: {len(self.findings):,}"]
            groups: dict[tuple[str, str], list[Finding]] = {}
            for finding in self.findings:
                groups.setdefault((finding.rule, finding.field), []).append(finding)
            for (rule, name), found in sorted(groups.items(), key=lambda pair: -len(pair[1])):
                lines += [f"  {len(found):>6,}  {rule}: {name}"]
                lines += [
                    f"          {_short(f.at)}, {_short(f.device)}: {_short(f.value)}: {f.why}" for f in found[:limit]
                ]
        if self.rejected:
            lines += ["", f"  rows left out: {len(self.rejected):,}"]
            reasons = [row.why.partition(", with other")[0] for row in self.rejected]
            for why, count in Counter(reasons).most_common(4 * limit):
                first = self.rejected[reasons.index(why)].at
                lines += [f"  {count:>6,}  {why} (first: {first})"]
        if self.proposals:
            lines += ["", f"  aliases for a person to look at, unused until then: {len(self.proposals):,}"]
            best = sorted(self.proposals, key=lambda one: -one.score)[: 4 * limit]
            lines += [f"  {one.score:6.2f}  {_short(one.alias)} = {_short(one.device)}? {one.reason}" for one in best]
        return "\n".join(lines)


def together(source: str, parts: Sequence[Report]) -> Report:
    """One report of several imports; coverage by source and column."""
    if len(parts) == 1:
        return parts[0]
    whole = Report(source)
    weights = [part.devices for part in parts]
    for part in parts:
        whole.rows += part.rows
        whole.devices += part.devices
        whole.findings += part.findings
        whole.rejected += part.rejected
        whole.proposals += part.proposals
        whole.coverage |= {f"{part.source}: {name}": pair for name, pair in part.coverage.items()}
        for how, count in part.matched.items():
            whole.matched[how] = whole.matched.get(how, 0) + count
        for table, (added, removed) in part.changes.items():
            had = whole.changes.get(table, (0, 0))
            whole.changes[table] = had[0] + added, had[1] + removed
    mean = [sum(w * part.architectures[i] for w, part in zip(weights, parts, strict=True)) for i in (0, 1)]
    whole.architectures = mean[0] / max(1, sum(weights)), mean[1] / max(1, sum(weights))
    return whole


def share(rows: Iterable[Iterable[str]], total: int) -> dict[str, float]:
    """Name -> share of `total` that have it."""
    counts = Counter(name for row in rows for name in row)
    return {name: count / total for name, count in counts.items()}


def _short(value: object) -> str:
    """A value as it may stand on a terminal, where control characters do harm."""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)[:60]
    return text if text.isprintable() else repr(text)


def _finite(value: object) -> object:
    return str(value) if isinstance(value, float) and value - value != 0 else value
