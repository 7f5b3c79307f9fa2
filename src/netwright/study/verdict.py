"""What the measurements of a study allow to say, in sentences, and which candidate they speak for.

Knows candidates and their comparison; does not know how a report looks.
"""

from __future__ import annotations

from collections.abc import Sequence

from netwright.core.measurement import Measurement
from netwright.measure.bench import compare
from netwright.study.pareto import Candidate, undecided


def within(change: Measurement, max_drop: float) -> bool | None:
    """Whether a change of accuracy is shown to stay within a limit; None where the interval holds the limit."""
    return True if change.low >= -max_drop else False if change.high < -max_drop else None


def choose(best: Sequence[Candidate], max_drop: float) -> Candidate | None:
    """The fastest candidate of a front that is shown to lose no more than it may."""
    kept = [c for c in best if within(c.figures["accuracy_change"], max_drop)]
    return min(kept, key=lambda c: c.figures["latency"].value) if kept else None


def sentences(candidates: Sequence[Candidate], best: Sequence[Candidate], max_drop: float) -> list[str]:
    """The verdict: the first candidate is the reference, `best` is the front."""
    limit = f"{100 * max_drop:g} points"
    chosen = choose(best, max_drop)
    if chosen is None:
        said = [f"No candidate on the front is shown to lose at most {limit} of accuracy."]
    else:
        kept = [c for c in best if within(c.figures["accuracy_change"], max_drop)]
        pairs = [{pair.first, pair.second} for pair in undecided(kept, ["latency"])]
        tied = [c.label for c in kept if {c.label, chosen.label} in pairs]
        text = f"{chosen.label} answers in {chosen.figures['latency']} and is shown to lose at most {limit} of accuracy"
        said = [text + (f"; its latency cannot be told from that of {_and(tied)}." if tied else ".")]
        if chosen is not candidates[0]:
            said.append(_against(candidates[0], chosen))
    unknown = [c.label for c in candidates if within(c.figures["accuracy_change"], max_drop) is None]
    if unknown:
        stay = "stays" if len(unknown) == 1 else "stay"
        said.append(f"Whether {_and(unknown)} {stay} within {limit} cannot be said from this test set.")
    return said


def _against(reference: Candidate, chosen: Candidate) -> str:
    time = compare(reference.figures["latency"], chosen.figures["latency"])
    size = reference.figures["size"].value / chosen.figures["size"].value
    change = chosen.figures["accuracy_change"]
    return (
        f"Against {reference.label} it is {_number(time.value)} times as fast [{_number(time.low)}, "
        f"{_number(time.high)}] and takes {_number(100 / size)} % of the room; accuracy changes by "
        f"{100 * change.value:+.2f} points [{100 * change.low:+.2f}, {100 * change.high:+.2f}]."
    )


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _and(labels: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(labels[:-1]), labels[-1])))
