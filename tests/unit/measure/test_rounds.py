"""Timing by simulated clocks: what is found must be what was put in."""

import contextlib
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.measure.rounds import POOL, Clocks, interleave, mean, paired_ratio, quantiles, rate, t_value, warm


class World:
    """A machine whose clock moves only while something is called."""

    def __init__(self, seed=0, spread=0.05, weather=0.1):
        self.now, self.random = 0.0, np.random.default_rng(seed)
        self.spread, self.weather, self.blocks = spread, weather, []
        self._fresh, self._luck = False, 1.0

    def call(self, name, cost, first=lambda at: 1.0):
        """Something that takes `cost` seconds, times noise, times the luck of its block."""
        counted = [0]

        def run(at):
            if self._fresh:
                self._fresh = False
                self.blocks.append(name)
            self.now += cost * first(counted[0]) * self._luck * math.exp(self.random.normal(0, self.spread))
            counted[0] += 1

        return run

    def placed(self, name, cost):
        """The same, opened in a better or worse place, which makes it some 2 % faster or slower."""
        return lambda: self.call(name, cost * math.exp(self.random.normal(0, 0.02)))

    @contextlib.contextmanager
    def block(self):
        """The energy meter, which is read at the beginning of each block: new luck."""
        self._fresh, self._luck = True, math.exp(self.random.normal(0, self.weather))
        yield None

    @property
    def clocks(self):
        return Clocks(wall=lambda: self.now, cpu=lambda: 1.5 * self.now, meter=self.block)


def race(world, candidates, rounds=10, seconds=1.0, seed=0):
    generator = np.random.default_rng(seed)
    return interleave(candidates, rounds=rounds, seconds=seconds, generator=generator, clocks=world.clocks)


def timed(world, calls, **settings):
    """A race of what stays open."""
    return race(world, [lambda call=call: call for call in calls], **settings)


def test_a_warm_up_lasts_as_long_as_it_gets_faster():
    for slow in (0, 5, 40, 200):
        world = World(spread=0.002, weather=0)
        call = world.call("a", 1e-3, first=lambda at, slow=slow: 1 + max(0, slow - at) / 10)
        count, settled = warm(call, 100.0, world.clocks.wall)
        assert settled
        assert slow <= count <= slow + 5 * POOL


def test_a_warm_up_is_bounded_and_says_that_it_was():
    world = World(spread=0, weather=0)
    count, settled = warm(world.call("a", 1e-3, first=lambda at: 0.9 ** (at / POOL)), 0.02, world.clocks.wall)
    assert not settled
    assert 2 <= count <= 40
    world = World(spread=0, weather=0)
    assert warm(world.call("slow", 100.0), 3.0, world.clocks.wall) == (2, False)


def test_a_first_compilation_of_each_shape_is_not_measured():
    world = World(spread=0.01, weather=0)
    seen = timed(world, [world.call("a", 1e-3, first=lambda at: 100 if at < POOL else 1)])[0]
    assert seen.settled
    assert np.concatenate(seen.seconds).max() < 2e-3


def test_every_round_runs_every_call_once_in_random_order():
    world = World()
    seen = timed(world, [world.call(name, 1e-3) for name in "abc"], rounds=50, seconds=0.5)
    assert [len(one.seconds) for one in seen] == [50, 50, 50]
    turns = [world.blocks[at : at + 3] for at in range(0, 150, 3)]
    assert all(sorted(turn) == ["a", "b", "c"] for turn in turns)
    firsts = [turn[0] for turn in turns]
    assert all(8 <= firsts.count(name) <= 27 for name in "abc")


def test_each_call_gets_its_seconds_and_at_least_one_counted_call_a_round():
    world = World(spread=0, weather=0)
    fast, slow = timed(world, [world.call("fast", 1e-3), world.call("slow", 10.0)], rounds=10, seconds=1.0)
    assert sum(block.sum() for block in fast.seconds) == pytest.approx(1.0, rel=0.02)
    assert [len(block) for block in slow.seconds] == [1] * 10
    assert fast.cpu == pytest.approx([1.5] * 10)
    assert fast.medians == pytest.approx([1e-3] * 10)


def test_the_first_call_of_a_block_is_not_counted():
    world = World(spread=0, weather=0)
    switch = {"a": 0.0}

    def cold(at):
        world.now += 5e-3 if switch["a"] else 1e-3
        switch["a"] = 0.0

    def other(at):
        world.now += 1e-3
        switch["a"] = 1.0

    seen = timed(world, [cold, other], rounds=8, seconds=0.08)[0]
    assert np.concatenate(seen.seconds).max() == pytest.approx(1e-3)


def test_calls_of_one_round_see_the_same_inputs_in_the_same_order():
    asked = {"a": [], "b": []}
    world = World()

    def call(name):
        def run(at):
            world.now += 0.03
            asked[name].append(at)

        return run

    timed(world, [call("a"), call("b")], rounds=6, seconds=0.6)
    assert asked["a"] == asked["b"]
    assert len(set(asked["a"])) > 6


def test_energy_is_that_of_one_call():
    class Meter:
        joules = None

        def __enter__(self):
            self.begin = world.now
            return self

        def __exit__(self, *fault):
            self.joules = 10 * (world.now - self.begin)  # 10 W

    world = World(spread=0, weather=0)
    clocks = Clocks(wall=lambda: world.now, cpu=lambda: world.now, meter=Meter)
    call = world.call("a", 0.01)
    seen = interleave([lambda: call], rounds=6, seconds=0.6, generator=np.random.default_rng(0), clocks=clocks)[0]
    assert seen.joules == pytest.approx([0.1] * 6)


def trial(seed, faster=1.0):
    """Two candidates in bad weather: do their p50 intervals overlap? And the paired ratio."""
    world = World(seed)
    candidates = [world.placed("a", 1e-3), world.placed("b", 1e-3 / faster)]
    a, b = race(world, candidates, rounds=20, seconds=0.4, seed=seed)
    (first,), (second,) = (quantiles(one.seconds, [0.5], 0.95, seed) for one in (a, b))
    ratio = paired_ratio(a.medians, b.medians, 0.95)
    return first.low <= second.high and second.low <= first.high, ratio


def test_the_same_thing_twice_is_rarely_called_different():
    trials = [trial(seed) for seed in range(120)]
    by_interval = sum(not overlap for overlap, _ in trials)
    by_ratio = sum(not ratio.low <= 1 <= ratio.high for _, ratio in trials)
    assert by_interval <= 3  # disjoint 95 % intervals: 0.6 % expected
    assert by_ratio <= 11  # the sign test of 20 rounds errs in 4.1 %: 5 expected


def test_every_round_opens_anew_or_the_same_thing_would_differ():
    """Opened once, a candidate keeps its place: the paired ratio then sees a difference that is none."""
    excluded = 0
    for seed in range(40):
        world = World(seed, weather=0.01)
        a, b = timed(world, [world.placed("a", 1e-3)(), world.placed("b", 1e-3)()], rounds=20, seconds=0.4, seed=seed)
        ratio = paired_ratio(a.medians, b.medians, 0.95)
        excluded += not ratio.low <= 1 <= ratio.high
    assert excluded > 20


def test_what_is_opened_again_sees_every_shape_before_it_is_timed():
    asked, world = [], World()

    def opened():
        asked.append([])

        def run(at):
            world.now += 0.01
            asked[-1].append(at)

        return run

    generator = np.random.default_rng(0)
    interleave([opened], rounds=6, seconds=0.06, generator=generator, shapes=5, clocks=world.clocks)
    assert len(asked) == 6
    assert [calls[:5] for calls in asked[1:]] == [[0, 1, 2, 3, 4]] * 5
    assert len(asked[0]) > len(asked[1])


def test_a_real_difference_is_found():
    trials = [trial(seed, faster=1.5) for seed in range(40)]
    assert sum(ratio.low > 1 for _, ratio in trials) >= 38
    assert np.mean([ratio.value for _, ratio in trials]) == pytest.approx(1.5, rel=0.05)


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Rounds differ twice as much as calls: an interval over calls as if independent would hold it in some 20 %."""
    held = {"p50": 0, "p90": 0, "rate": 0}
    random = np.random.default_rng(5)
    truth = {"p50": 1.0, "p90": math.exp(1.2816 * math.hypot(0.1, 0.05))}
    truth["rate"] = 1 / math.exp((0.1**2 + 0.05**2) / 2)
    for seed in range(150):
        rounds = [np.exp(random.normal(random.normal(0, 0.1), 0.05, 60)) for _ in range(20)]
        p50, p90 = quantiles(rounds, [0.5, 0.9], 0.95, seed)
        seen = {"p50": p50, "p90": p90, "rate": rate(rounds, 1, 0.95, seed)}
        for name, one in seen.items():
            held[name] += one.low <= truth[name] <= one.high
    assert held["p50"] >= 133  # 95 % of 150 less two and a half standard errors
    assert held["rate"] >= 133
    assert held["p90"] >= 125  # 90 % seen over 300 trials: 20 rounds hold few bad ones


blocks = st.lists(st.lists(st.floats(1e-7, 1e3), min_size=1, max_size=30).map(np.array), min_size=2, max_size=8)


@settings(max_examples=60, deadline=None)
@given(blocks, st.floats(0.5, 0.999))
def test_quantiles_of_anything_are_ordered_and_inside(rounds, level):
    every = np.concatenate(rounds)
    found = quantiles(rounds, (0.5, 0.9, 0.99), level)
    for one in found:
        assert every.min() <= one.low <= one.value <= one.high <= every.max()
    assert found[0].value <= found[1].value <= found[2].value
    speed = rate(rounds, 4, level)
    assert 0 < speed.low <= speed.value <= speed.high


def test_a_slow_round_counts_as_much_as_a_fast_one_of_many_calls():
    slow, fast = [np.full(2, 0.116)] * 11, [np.full(300, 0.0003)] * 9
    (middle,) = quantiles([*slow, *fast], [0.5], 0.95)
    assert middle.value == 0.116
    other = [np.full(1000, 0.00004)] * 20
    (steady,) = quantiles(other, [0.5], 0.95)
    medians = [np.array([np.median(block) for block in blocks]) for blocks in ([*slow, *fast], other)]
    assert paired_ratio(*medians, 0.95).value == pytest.approx(middle.value / steady.value)


def test_student():
    for level, freedom, expected in [(0.95, 1, 12.706), (0.95, 2, 4.303), (0.95, 9, 2.262), (0.99, 4, 4.604)]:
        assert t_value(level, freedom) == pytest.approx(expected, abs=2e-3)
    assert t_value(0.95, 100_000) == pytest.approx(1.960, abs=2e-3)
    seen = mean([1.0, 2.0, 3.0], 0.95)
    assert (seen.value, seen.n) == (2.0, 3)
    assert seen.high == pytest.approx(2 + 4.3027 / math.sqrt(3), abs=1e-3)


def test_the_paired_ratio_bears_a_struck_round():
    a, b = np.full(10, 2.0), np.full(10, 1.0)
    a[3] = 200.0
    assert paired_ratio(a, b, 0.95).high == 2.0
    few = paired_ratio(np.array([2.0, 2.2, 1.8]), np.ones(3), 0.95)
    assert few.low < 1.8  # three rounds cannot say 95 % by signs
    assert few.high > 2.2


def test_paired_ratio_takes_the_ranks_of_the_sign_test():
    ratios = np.arange(1.0, 11.0)
    assert (paired_ratio(ratios, np.ones(10), 0.95).low, paired_ratio(ratios, np.ones(10), 0.95).high) == (2.0, 9.0)
    assert paired_ratio(ratios[:6], np.ones(6), 0.95).low == 1.0
    assert paired_ratio(ratios, np.ones(10), 0.997).low == 1.0
