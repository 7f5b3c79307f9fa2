"""What a paired comparison allows to say, in one sentence: better by how much, worse, or no difference shown.

    sentence(change, "tuned", "base")       # 'tuned better by 2.1 points [0.9, 3.3], n = 500'

Knows changes that are measured in pairs; does not know of what.
"""

from __future__ import annotations

from collections.abc import Iterable

from netwright.core.measurement import QUANTITIES, Measurement

NEUTRAL = {"accuracy_change": 0.0, "perplexity_ratio": 1.0}
"""Quantities of pairs, and their value where nothing differs."""


def told(change: Measurement) -> bool | None:
    """True where the candidate is shown to be better than the reference, False where worse, None where neither is."""
    neutral = NEUTRAL[change.quantity]
    if change.low <= neutral <= change.high:
        return None
    return (change.value > neutral) == (QUANTITIES[change.quantity].better == "higher")


def of(measured: Iterable[Measurement], candidate: str, reference: str) -> list[str]:
    """The verdicts that some measurements allow: a sentence for each change among them."""
    return [sentence(one, candidate, reference) for one in measured if one.quantity in NEUTRAL]


def sentence(change: Measurement, candidate: str, reference: str = "the reference") -> str:
    """The verdict on a candidate: a change of accuracy in points, of perplexity in percent, with its interval.

    Above 100 % a growth of perplexity is told as a factor.
    """
    points = change.quantity == "accuracy_change"
    unit = "points" if points else "% in perplexity"
    three = [100 * (x - NEUTRAL[change.quantity]) for x in (change.value, change.low, change.high)]
    if not points and change.value > 2:
        unit, three = "times the perplexity", [change.value, change.low, change.high]
    places = 1 if max(map(abs, three)) >= 0.1 else 3
    found, n = told(change), f"n = {change.n:,}"
    if found is None:
        value, low, high = (f"{x:+.{places}f}" for x in three)
        return f"no difference shown between {candidate} and {reference}: {value} {unit} [{low}, {high}], {n}"
    value, low, high = (f"{x:.{places}f}" for x in (three if three[0] >= 0 else [-three[0], -three[2], -three[1]]))
    word = "better" if found else "worse"
    return f"{candidate} {word} than {reference} by {value} {unit} [{low}, {high}], {n}"
