"""Schedules spend their budget, never step over a level, and end on the finest one."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.core import recipe, table
from netwright.core.error import UserError
from netwright.train.multilevel import SCHEDULES
from netwright.train.multilevel.schedules import Config, Plan, Prolong, Restrict, Seen, Smooth, derived_shares, work

WIDTHS = {1: (1,), 2: (1, 2), 3: (1, 2, 4), 4: (1, 2, 4, 8)}


def events(name, plan, seen=lambda event: Seen(1.0, 0.9, 1.0), **settings):
    """All events of a schedule that is told `seen` after each Smooth."""
    schedule = table.resolve(SCHEDULES, name, "schedule")
    config = Config(schedule=name, width=WIDTHS[len(plan.costs)], **settings)
    running, told, found = schedule(config, plan), None, []
    while True:
        try:
            found.append(running.send(told))
        except StopIteration:
            return found, config
        told = seen(found[-1]) if isinstance(found[-1], Smooth) else None


@settings(deadline=None, max_examples=60)
@given(
    name=st.sampled_from(sorted(set(SCHEDULES) - {"single"})),
    levels=st.integers(2, 4),
    budget=st.integers(40, 800),
    ratio=st.floats(0.1, 1),
    tau=st.sampled_from(["none", "constant", "batch", "decayed"]),
    steps=st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(1, 60)),
    losses=st.lists(st.tuples(st.floats(0.01, 5), st.floats(0.01, 5), st.floats(0.001, 9)), min_size=1, max_size=9),
)
def test_every_schedule_spends_its_budget_and_ends_where_it_should(name, levels, budget, ratio, tau, steps, losses):
    plan = Plan(tuple(ratio**level for level in range(levels)), float(budget))
    told = itertools.cycle(losses)
    pre, post, coarse = steps
    found, config = events(name, plan, lambda event: Seen(*next(told)), tau=tau, pre=pre, post=post, coarse=coarse)
    level = 0
    for event in found:
        assert event.level == level
        level += isinstance(event, Restrict) - isinstance(event, Prolong)
        assert 0 <= level < levels
    assert isinstance(found[-1], Smooth)
    assert level == 0
    spent = sum(work(event, config, plan) for event in found)
    if tau == "none" or name in ("v", "w", "f"):
        assert budget - 1 <= spent <= budget + 2


def test_a_cascade_gives_each_level_its_share():
    found, _ = events("cascade", Plan((1.0, 0.25), 1000.0), shares=(0.6, 0.4))
    assert found == [Restrict(0, fresh=True), Smooth(1, 1600), Prolong(1, last=True), Smooth(0, 600)]


def test_one_v_coalesces_after_a_first_part():
    found, _ = events("coalesce", Plan((1.0, 0.5), 100.0), shares=(0.5, 0.5), first=0.2)
    assert found == [Smooth(0, 20), Restrict(0), Smooth(1, 80), Prolong(1, last=True), Smooth(0, 40)]


def test_w_visits_the_coarsest_level_twice_and_f_once_more_on_the_way_up():
    plan = Plan((1.0, 1.0, 1.0, 1.0), 5000.0)
    smooths = {}
    for name in ("v", "w", "f"):
        found, _ = events(name, plan, pre=1, post=1, coarse=7)
        cycle = found[: found.index(Prolong(1)) + 1]
        smooths[name] = sum(event == Smooth(3, 7) for event in cycle)
    assert smooths == {"v": 1, "w": 4, "f": 3}


def test_auto_stays_on_a_level_that_falls_and_leaves_one_that_does_not():
    plan = Plan((1.0, 0.25), 2000.0)
    falling, _ = events("auto", plan, lambda event: Seen(1.0, 0.5, 1.0 if event.level else 9.0))
    assert [event for event in falling if isinstance(event, Prolong)] == [Prolong(1, last=True)]
    coarse = sum(event.steps for event in falling if isinstance(event, Smooth) and event.level == 1)
    assert coarse == 4000, "half of the work"
    count = itertools.count(1)
    stalled, _ = events("auto", plan, lambda event: Seen(1.0, 0.5 if event.level == 0 or next(count) < 3 else 1.0, 1.0))
    coarse = sum(event.steps for event in stalled if isinstance(event, Smooth) and event.level == 1)
    assert coarse < 400, "the finer level was tried, and kept"


def test_auto_comes_back_from_a_level_that_falls_no_faster():
    told = {1: iter([0.5] * 3 + [0.9] * 1000), 0: itertools.repeat(0.99)}
    found, _ = events("auto", Plan((1.0, 0.25), 2000.0), lambda event: Seen(1.0, next(told[event.level]), 1.0))
    assert Restrict(0) in found, "after a trial"
    assert 1 < sum(isinstance(event, Prolong) for event in found) < 9, "the wait doubles"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"width": [2, 4]}, "finest first"),
        ({"width": [1, 3]}, "powers of two"),
        ({"width": [1, 4]}, "leaves out a level"),
        ({"width": []}, "finest first"),
        ({"resolution": [0.5, 1]}, "begins with 1"),
        ({"length": [1, 0.5, 0.7]}, "does not rise"),
        ({"shares": [0.5, 0.4]}, "sum to 1"),
        ({"shares": [1.0]}, "one a level"),
        ({"schedule": "v", "width": [1]}, "width=[1, 2]"),
        ({"tau": "sometimes"}, "constant"),
        ({"alpha": 1.5}, "0 to 1"),
        ({"shedule": "v"}, 'did you mean "schedule"'),
    ],
)
def test_settings_that_make_no_sense_are_refused_with_a_way_out(settings, says):
    with pytest.raises(UserError, match="multilevel") as refusal:
        recipe.build(Config, settings, "train.multilevel")
    assert says in str(refusal.value)


def test_derived_shares_sum_to_one():
    for levels in range(1, 6):
        assert sum(derived_shares(levels)) == pytest.approx(1)
