"""Timing several calls against each other so that a busy machine is fair to all of them.

    timed = interleave([open_first, open_second], rounds=20, seconds=2.0, generator=np.random.default_rng(0))
    quantiles(timed[0].seconds, (0.5, 0.9), level=0.95)

Every round opens each candidate anew and gives it a block of time, in random order. The order, because a
slow minute must strike all alike; the opening, because where a model lands in memory makes it some 0.5 %
faster or slower for as long as it stays there, so that two openings of one file differ for certain. What
is called within a block shares its luck; the intervals therefore resample rounds, not calls. This file
knows callables and clocks, nothing of models; the clocks are given, so that a test can simulate them.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netwright.core.stats import Interval

Floats = NDArray[np.float64]
Call = Callable[[int], object]
"""`call(i)` answers the i-th input; inputs repeat after `POOL`."""
Open = Callable[[], Call]
"""Opens a candidate."""
POOL = 8
"""Distinct inputs. A warm-up window holds each once, so that windows are comparable."""
FALLING = 0.02
"""A window whose median is lower than the last one's by more than this share says: not warm yet."""
RESAMPLES = 1000


@dataclass
class Timed:
    """What was seen of one call: seconds of every call by round, and how the warm-up went."""

    seconds: list[Floats] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    """CPU seconds of this process a wall second, by round: the number of threads that were busy."""
    joules: list[float] = field(default_factory=list)
    """Energy of one call by round, where it can be read."""
    warm_up: int = 0
    settled: bool = False

    @property
    def calls(self) -> int:
        return sum(map(len, self.seconds))

    @property
    def medians(self) -> Floats:
        """The median call of each round."""
        return np.array([np.median(block) for block in self.seconds])


@contextlib.contextmanager
def no_meter() -> Iterator[None]:
    """The energy meter of a machine that has none."""
    yield None


@dataclass(frozen=True)
class Clocks:
    """What time and energy are read from; a test gives simulated ones."""

    wall: Callable[[], float] = time.perf_counter
    cpu: Callable[[], float] = time.process_time
    meter: Callable[[], Any] = no_meter
    """A context manager with `joules` afterwards, or that yields None."""


def interleave(
    candidates: Sequence[Open],
    *,
    rounds: int,
    seconds: float,
    generator: np.random.Generator,
    shapes: int = 1,
    warm_up: float = 3.0,
    clocks: Clocks = Clocks(),
    advance: Callable[[], object] = lambda: None,
) -> list[Timed]:
    """Time the candidates in `rounds` rounds, `seconds` in all for each.

    In the first round each is called until it gets no faster, `warm_up` seconds at most. Opened again it
    needs less: two calls, or one of each of the `shapes` among the inputs, for which a runtime may build
    kernels. The first call after that is not counted either. `advance` is told of every block.
    """
    timed = [Timed() for _ in candidates]
    for turn in range(rounds):
        for at in generator.permutation(len(candidates)):
            call = candidates[at]()
            if turn == 0:
                timed[at].warm_up, timed[at].settled = warm(call, warm_up, clocks.wall)
            else:
                for again in range(max(2, shapes)):
                    call(again)
            _block(timed[at], call, turn, seconds / rounds, clocks)
            advance()
    return timed


def warm(call: Call, limit: float, clock: Callable[[], float] = time.perf_counter) -> tuple[int, bool]:
    """Call until the median of a window of calls has stopped falling twice; returns calls, and whether it had.

    A fixed number of calls would be too few for a runtime that compiles a kernel for each new shape, and
    a waste for one that does not.
    """
    begin, window, last, steady, count = clock(), [0.0] * POOL, math.inf, 0, 0
    while steady < 2:
        if count >= 2 and clock() - begin > limit:
            return count, False
        start = clock()
        call(count)
        window[count % POOL] = clock() - start
        count += 1
        if count % POOL == 0:
            median = float(np.median(window))
            steady = steady + 1 if median >= (1 - FALLING) * last else 0
            last = median
    return count, True


def quantiles(rounds: Sequence[Floats], wanted: Sequence[float], level: float, seed: int = 0) -> list[Interval]:
    """Quantiles over all calls, with intervals from a bootstrap over rounds (Davison and Hinkley 1997, 3.8).

    Every round counts alike, however many calls it had: a slow round has few, and would hardly be heard. So
    it is what a call meets that comes at any moment, and agrees with `paired_ratio`: on a busy machine a
    p50 over calls once said 0.3 ms where 11 of 20 rounds had taken 116 ms a call.

    Few rounds make percentile intervals too narrow; they are expanded as Hesterberg proposes
    (2015, https://doi.org/10.1080/00031305.2015.1089789, 4.2). Simulated with 20 rounds that differ twice as
    much as calls do, a 95 % interval held the median in 95 %, the p90 in 90 % and the p99 in 53 % of
    trials: no 20 rounds tell how bad the worst in a hundred is. Read a p99 as that of these rounds.
    """
    order = np.argsort(np.concatenate(rounds), kind="stable")
    sorted_N = np.concatenate(rounds)[order]
    round_N = np.repeat(np.arange(len(rounds)), [len(block) for block in rounds])[order]
    share_N = 1 / np.array([len(block) for block in rounds])[round_N]

    def weighted(share: Floats) -> Floats:
        below_N = share.cumsum()
        places_Q = np.searchsorted(below_N, np.array(wanted) * below_N[-1])
        values_Q: Floats = sorted_N[np.minimum(places_Q, len(sorted_N) - 1)]
        return values_Q

    answers_RQ = np.empty((RESAMPLES, len(wanted)))
    picks_RB = np.random.default_rng(seed).integers(0, len(rounds), (RESAMPLES, len(rounds)))
    for at, picks_B in enumerate(picks_RB):
        answers_RQ[at] = weighted(np.bincount(picks_B, minlength=len(rounds))[round_N] * share_N)
    values_Q = weighted(share_N)
    return [_expanded(float(value), answers_RQ[:, at], len(rounds), level) for at, value in enumerate(values_Q)]


def rate(rounds: Sequence[Floats], items: int, level: float, seed: int = 0) -> Interval:
    """Items a second over all calls, `items` in each, with an interval from the same bootstrap."""
    calls_B, seconds_B = np.array([len(block) for block in rounds]), np.array([block.sum() for block in rounds])
    picks_RB = np.random.default_rng(seed).integers(0, len(rounds), (RESAMPLES, len(rounds)))
    answers_R = items * calls_B[picks_RB].sum(1) / seconds_B[picks_RB].sum(1)
    return _expanded(float(items * calls_B.sum() / seconds_B.sum()), answers_R, len(rounds), level)


def mean(values: Sequence[float] | Floats, level: float) -> Interval:
    """Mean of a few observations, with Student's interval. Needs two or more."""
    x = np.asarray(values, dtype=np.float64)
    half = t_value(level, len(x) - 1) * float(x.std(ddof=1)) / math.sqrt(len(x))
    return Interval(float(x.mean()), float(x.mean()) - half, float(x.mean()) + half, len(x))


def paired_ratio(a: Floats, b: Floats, level: float) -> Interval:
    """a / b over the same rounds: the median, with the interval of the sign test.

    It bears rounds in which one of the two was struck by something else, and is exact whatever the
    distribution. Where there are too few rounds for the level (6 are needed for 0.95), Student's interval
    of the logarithm takes its place.
    """
    ratios = np.sort(a / b)
    n, tail, left_out = len(ratios), 0.0, -1
    while (tail := tail + math.comb(n, left_out + 1) / 2**n) <= (1 - level) / 2:
        left_out += 1
    if left_out < 0:
        found = mean(np.log(ratios), level)
        return Interval(math.exp(found.value), math.exp(found.low), math.exp(found.high), n)
    return Interval(float(np.median(ratios)), float(ratios[left_out]), float(ratios[n - 1 - left_out]), n)


def t_value(level: float, freedom: int) -> float:
    """Two-sided quantile of Student's distribution: 4.303 for 0.95 and 2 degrees of freedom."""
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(freedom * math.pi)
    # the angle whose tangent is t / sqrt(freedom) makes the density a power of a cosine on a finite interval
    angle = np.linspace(0, math.pi / 2, 20_001)
    density = 2 * scale * math.sqrt(freedom) * np.cos(angle) ** (freedom - 1)
    below = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2) * (angle[1] - angle[0])])
    return math.tan(float(np.interp(level, below, angle))) * math.sqrt(freedom)


def _block(timed: Timed, call: Call, turn: int, seconds: float, clocks: Clocks) -> None:
    laps: list[float] = []
    with clocks.meter() as energy:
        call(turn)
        begin, cpu = clocks.wall(), clocks.cpu()
        last = begin
        while not laps or last - begin < seconds:
            call(turn + 1 + len(laps))
            now = clocks.wall()
            laps.append(now - last)
            last = now
        wall, cpu = last - begin, clocks.cpu() - cpu
    timed.seconds.append(np.array(laps))
    timed.cpu.append(cpu / wall if wall > 0 else 0.0)
    if energy is not None and energy.joules is not None:
        timed.joules.append(energy.joules / (len(laps) + 1))


def _expanded(value: float, answers_R: Floats, rounds: int, level: float) -> Interval:
    reach = math.sqrt(rounds / (rounds - 1)) * t_value(level, rounds - 1)
    tail = (1 - math.erf(reach / math.sqrt(2))) / 2
    low, high = np.quantile(answers_R, [tail, 1 - tail])
    return Interval(value, min(float(low), value), max(float(high), value), rounds)
