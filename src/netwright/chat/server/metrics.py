"""Counts of what a server does, as Prometheus reads them (text format 0.0.4).

metrics.requests.add(1, path="/v1/models", status="200")
text = metrics.text(gauges)
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence

CONTENT = "text/plain; version=0.0.4; charset=utf-8"
FIRST = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Bounds of seconds to the first token."""
EACH = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
"""Bounds of seconds a token."""
Gauge = tuple[str, str, Mapping[str, str], float]
"""Name, what it is, labels, value."""


class Counter:
    """A number that only grows, for each set of labels."""

    def __init__(self, name: str, about: str) -> None:
        self.name, self.about = name, about
        self.values: dict[tuple[tuple[str, str], ...], float] = {}

    def add(self, count: float, **labels: str) -> None:
        """Count."""
        key = tuple(labels.items())
        self.values[key] = self.values.get(key, 0) + count

    def lines(self) -> Iterator[str]:
        """Its text."""
        yield from _head(self.name, self.about, "counter")
        for key, value in self.values.items():
            yield f"{self.name}{_labels(key)} {value:g}" if value < 1e6 else f"{self.name}{_labels(key)} {int(value)}"


class Histogram:
    """How often a value was at most each of some bounds."""

    def __init__(self, name: str, about: str, bounds: Sequence[float]) -> None:
        self.name, self.about, self.bounds = name, about, bounds
        self.counts, self.sum = [0] * (len(bounds) + 1), 0.0

    def add(self, value: float, times: int = 1) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.sum += value * times

    def lines(self) -> Iterator[str]:
        """Its text."""
        yield from _head(self.name, self.about, "histogram")
        total = 0
        for bound, count in zip([*map(str, self.bounds), "+Inf"], self.counts, strict=True):
            total += count
            yield f'{self.name}_bucket{{le="{bound}"}} {total}'
        yield f"{self.name}_sum {self.sum}"
        yield f"{self.name}_count {total}"


class Metrics:
    """What is counted of a server."""

    def __init__(self) -> None:
        self.requests = Counter("netwright_requests_total", "Requests that were answered, by route and status.")
        self.tokens = Counter("netwright_tokens_total", "Tokens of prompts and replies, by model.")
        self.cancelled = Counter("netwright_cancelled_total", "Requests whose client left, or took nothing.")
        self.faults = Counter("netwright_stream_faults_total", "Streams that had begun and ended in a fault, by code.")
        self.first = Histogram("netwright_first_token_seconds", "From a request to its first token.", FIRST)
        self.each = Histogram("netwright_token_seconds", "Each token after the first: a reply's mean.", EACH)

    def text(self, gauges: Iterable[Gauge]) -> str:
        """All of it."""
        lines = [
            line
            for one in (self.requests, self.tokens, self.cancelled, self.faults, self.first, self.each)
            for line in one.lines()
        ]
        named: set[str] = set()
        for name, about, labels, value in gauges:
            lines += _head(name, about, "gauge") if name not in named else []
            named.add(name)
            lines.append(f"{name}{_labels(tuple(labels.items()))} {value}")
        return "\n".join(lines) + "\n"


def _head(name: str, about: str, kind: str) -> Iterator[str]:
    yield f"# HELP {name} {about}"
    yield f"# TYPE {name} {kind}"


def _labels(key: tuple[tuple[str, str], ...]) -> str:
    def escaped(text: str) -> str:
        return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

    return "{" + ",".join(f'{name}="{escaped(value)}"' for name, value in key) + "}" if key else ""
