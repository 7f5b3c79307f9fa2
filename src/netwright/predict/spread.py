"""Spread: a positive number between its bounds, and the arithmetic of such numbers.

    Spread(2.0, 1.0, 4.0) * Spread(3.0, 3.0, 3.0)      # Spread(value=6.0, low=3.0, high=12.0)

Times of one program on one device are off in the same direction, so bounds of sums add. Factors of a
product (a time and a price) are off independently: their relative errors add as squares, in logarithms.
This file does not know what the numbers mean, nor the confidence of the bounds: it keeps what they had.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """`low <= value <= high`, all positive and finite; ValueError otherwise."""

    value: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not (0 < self.low <= self.value <= self.high < math.inf):
            raise ValueError(f"{self.value} [{self.low}, {self.high}] is no positive number between bounds")

    def __add__(self, other: Spread) -> Spread:
        return Spread(self.value + other.value, self.low + other.low, self.high + other.high)

    def __mul__(self, other: Spread | float) -> Spread:
        if not isinstance(other, Spread):
            return Spread(self.value * other, self.low * other, self.high * other)
        value = self.value * other.value
        down = math.hypot(math.log(self.value / self.low), math.log(other.value / other.low))
        up = math.hypot(math.log(self.high / self.value), math.log(other.high / other.value))
        return Spread(value, value * math.exp(-down), value * math.exp(up))

    def __truediv__(self, other: Spread | float) -> Spread:
        return self * (other.inverse() if isinstance(other, Spread) else 1 / other)

    def inverse(self) -> Spread:
        return Spread(1 / self.value, 1 / self.high, 1 / self.low)

    def at_most(self, bound: float) -> Spread:
        """Cut at a bound that nothing can exceed."""
        return Spread(min(self.value, bound), min(self.low, bound), min(self.high, bound))


def exactly(value: float) -> Spread:
    return Spread(value, value, value)
