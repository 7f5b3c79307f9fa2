"""The front: ties are never ranked, A/A seldom, and a front is never empty."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.core.artifact import Artifact
from netwright.core.measurement import Measurement, exact
from netwright.core.stats import Interval
from netwright.data.tasks import Evaluation
from netwright.measure.rounds import mean, quantiles, rate
from netwright.study.pareto import Candidate, compare, dominates, front, undecided

OBJECTIVES = ("accuracy", "latency", "throughput", "size", "peak_memory")
EXAMPLES, ROUNDS = 1000, 20
NOWHERE = Artifact(folder=Path(), format="onnx", precision="fp32", task={}, model={}, inputs={})


def measurement(quantity, seen: Interval, **conditions):
    return Measurement(
        quantity=quantity, value=seen.value, low=seen.low, high=seen.high, n=seen.n, conditions=conditions
    )


def candidate(label, correct_N, seconds_RC, size=1000, memory=(100.0, 100.0, 100.0)):
    """What evaluation and bench would say of these observations: calls C by round R."""
    blocks = list(np.asarray(seconds_RC, float))
    (middle,) = quantiles(blocks, [0.5], 0.95)
    medians = [float(np.median(block)) for block in blocks]
    figures = {
        "latency": measurement("latency", middle, session="one", round_medians=medians),
        "throughput": measurement("throughput", rate(blocks, 1, 0.95)),
        "peak_memory": measurement("peak_memory", mean(memory, 0.95)),
        "size": exact("size", size),
    }
    correct_N = np.asarray(correct_N, bool)
    evaluation = Evaluation(correct_N, np.where(correct_N, 0.1, 2.0).astype(np.float32))
    return Candidate(label=label, artifact=NOWHERE, figures=figures, evaluation=evaluation)


def pair(random, faster=1.0, more_correct=0.0, smaller=0, leaner=1.0):
    """Two candidates measured in the same rounds, of which some were slow, on the same examples."""
    hard_N = random.random(EXAMPLES)
    luck_R1 = random.lognormal(0, 0.2, (ROUNDS, 1))
    made = []
    for at, label in enumerate(("first", "second")):
        flips_N = random.random(EXAMPLES) < 0.02
        correct_N = (hard_N < 0.9 + at * more_correct) ^ flips_N
        own_R1 = random.lognormal(0, 0.02, (ROUNDS, 1))
        seconds_RC = 1e-3 * luck_R1 * own_R1 * random.lognormal(0, 0.05, (ROUNDS, 30)) / faster**at
        memory = 1e8 * random.lognormal(0, 0.001, 3) / leaner**at
        made.append(candidate(label, correct_N, seconds_RC, 1000 - at * smaller, memory))
    return made


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_what_is_the_same_is_seldom_called_different(objective):
    random = np.random.default_rng(7)
    ranked = sum(compare(*pair(random), objective).better is not None for _ in range(100))
    assert ranked <= 9  # 95 % quantile of 100 draws at 5 %


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_what_is_different_is_found_and_in_the_right_direction(objective):
    random = np.random.default_rng(8)
    found = [
        compare(*pair(random, faster=1.5, more_correct=0.08, smaller=1, leaner=1.1), objective).better
        for _ in range(30)
    ]
    assert "first" not in found
    # disjoint intervals need more than a paired test does: slow rounds widen those of throughput
    assert found.count("second") >= (20 if objective == "throughput" else 27)


def test_latency_is_compared_in_pairs_where_intervals_would_overlap():
    one, two = pair(np.random.default_rng(9), faster=1.1)
    assert one.figures["latency"].low < two.figures["latency"].high  # slow rounds make both intervals wide
    assert compare(one, two, "latency").better == "second"
    assert "x the time [" in compare(one, two, "latency").why


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_candidate_ties_with_itself(objective):
    one, _ = pair(np.random.default_rng(0))
    same = compare(one, one, objective)
    assert same.better is None
    assert same.why


def test_order_does_not_matter():
    one, two = pair(np.random.default_rng(1), faster=1.3, smaller=5)
    for objective in OBJECTIVES:
        assert compare(one, two, objective).better == compare(two, one, objective).better


def test_a_tie_on_everything_leaves_both_on_the_front_and_says_why():
    one, _ = pair(np.random.default_rng(2))
    two = candidate("twin", one.evaluation.correct_N, np.full((ROUNDS, 5), 1e-3))
    three = candidate("third", one.evaluation.correct_N, np.full((ROUNDS, 5), 1e-3))
    assert front([two, three], OBJECTIVES) == [two, three]
    reasons = undecided([two, three], OBJECTIVES)
    assert [(found.first, found.second, found.objective) for found in reasons] == [
        ("twin", "third", objective) for objective in OBJECTIVES
    ]
    assert all(found.better is None and found.why for found in reasons)


def test_the_reason_of_accuracy_is_in_points():
    correct_N = np.arange(EXAMPLES) % 10 > 0
    worse = candidate("worse", np.where(np.arange(EXAMPLES) < 50, False, correct_N), np.full((ROUNDS, 5), 1e-3))
    better = candidate("better", correct_N, np.full((ROUNDS, 5), 1e-3))
    found = compare(worse, better, "accuracy")
    assert found.better == "better"
    assert found.why.startswith("difference -4.50 points [-5.")


def test_latencies_of_two_sessions_are_not_compared():
    one, two = pair(np.random.default_rng(3))
    two.figures["latency"].conditions["session"] = "another"
    with pytest.raises(ValueError, match="interleaved"):
        compare(one, two, "latency")


def chain(steps):
    """Candidates whose memory rises by little from one to the next, and whose throughput falls likewise."""
    return [
        candidate(
            f"c{at}", np.ones(50), np.full((ROUNDS, 4), 1e-3), memory=[100 + 1.4 * at, 101 + 1.4 * at, 102 + 1.4 * at]
        )
        for at in range(steps)
    ]


def test_neighbours_that_tie_do_not_tie_the_ends():
    found = chain(12)
    assert compare(found[0], found[1], "peak_memory").better is None
    assert dominates(found[0], found[-1], ("peak_memory",))
    assert [c.label for c in front(found, ("peak_memory",))] == ["c0", "c1", "c2", "c3"]


def test_a_circle_of_candidates_does_not_empty_the_front():
    flat = np.full((ROUNDS, 4), 1e-3)
    one, two, three, slow = (candidate(name, np.ones(50), flat) for name in ("one", "two", "three", "slow"))
    for at, each in enumerate((one, two, three)):  # each is faster than the next in two rounds of three
        laps = [1.0 + 0.1 * ((at + turn) % 3) for turn in range(3)]
        each.figures["latency"].conditions["round_medians"] = laps * 40
    slow.figures["latency"].conditions["round_medians"] = [1.5] * 120
    assert dominates(one, two, ("latency",))
    assert dominates(two, three, ("latency",))
    assert dominates(three, one, ("latency",))
    assert front([one, slow, two, three], ("latency",)) == [one, two, three]
    slow.figures["latency"].conditions["round_medians"] = [0.5] * 120  # now it beats the whole circle
    assert front([one, slow, two, three], ("latency",)) == [slow]


def drawn():
    figures = st.tuples(
        st.floats(0.0, 1.0),  # share correct
        st.integers(1, 4),  # ms
        st.integers(1, 3),  # size
        st.tuples(*[st.floats(90.0, 110.0)] * 3),
        st.integers(0, 2**20),
    )
    return st.lists(figures, min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(drawn(), st.sets(st.sampled_from(OBJECTIVES), min_size=1))
def test_a_front_is_never_empty_and_no_member_dominates_another(rows, objectives):
    objectives = tuple(sorted(objectives))
    candidates = []
    for at, (share, slow, size, memory, seed) in enumerate(rows):
        random = np.random.default_rng(seed)
        candidates.append(
            candidate(f"c{at}", random.random(60) < share, 1e-3 * slow * random.lognormal(0, 0.3, (8, 4)), size, memory)
        )
    found = front(candidates, objectives)
    assert found
    assert found == [c for c in candidates if c in found]
    beats = {(a.label, b.label) for a in candidates for b in candidates if dominates(a, b, objectives)}
    for a in found:
        assert all((a.label, b.label) not in beats or reaches(beats, b.label, a.label) for b in found)
    for b in candidates:  # who left the front was beaten by one that it does not beat, not even through others
        if b not in found:
            assert any(w == b.label and not reaches(beats, b.label, a) for a, w in beats)
    for one in undecided(candidates, objectives):
        assert one.better is None


def reaches(beats, start, goal):
    seen, waiting = set(), [start]
    while waiting:
        at = waiting.pop()
        seen.add(at)
        waiting += [b for a, b in beats if a == at and b not in seen]
    return goal in seen
