"""Each filter keeps what its definition says, never nothing; the same seed gives the same tokens."""

import itertools

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from netwright.chat import sampling
from netwright.chat.sampling import Sampler, Sampling
from netwright.core.error import UserError

LOGITS = arrays(np.float32, st.integers(1, 40), elements=st.integers(-30, 30).map(lambda n: n / 2))
"""Halves of whole numbers, so that there are ties."""
BAD = arrays(np.float32, st.integers(1, 8), elements=st.sampled_from([0.0, 1.0, np.nan, np.inf, -np.inf]))


@given(LOGITS, st.integers(1, 50))
def test_top_k_keeps_the_k_likeliest_and_of_ties_the_first(logits, k):
    ids, _ = sampling.kept(logits, Sampling(temperature=1, top_k=k))
    wanted = sorted(range(len(logits)), key=lambda at: (-logits[at], at))[:k]
    assert ids.tolist() == [at for at in wanted if logits[at] > logits.max() - 700]


@given(LOGITS, st.floats(0, 1))
def test_top_p_keeps_the_fewest_that_reach_p(logits, p):
    ids, kept = sampling.kept(logits, Sampling(temperature=1, top_p=p))
    assert len(ids) >= 1
    assert kept[:-1].sum() < max(p, 1e-12) or len(ids) == 1
    if p < 1:
        assert kept.sum() >= p - 1e-6
    assert logits[ids].min() >= max([x for at, x in enumerate(logits) if at not in ids], default=-np.inf)


@given(LOGITS, st.floats(0, 1))
def test_min_p_keeps_what_is_at_least_so_likely(logits, share):
    ids, _ = sampling.kept(logits, Sampling(temperature=1, min_p=share))
    p = np.exp(sampling.logprobs(logits))
    clear = {at for at in range(len(logits)) if p[at] > share * p.max() * (1 + 1e-9)}
    allowed = {at for at in range(len(logits)) if p[at] >= share * p.max() * (1 - 1e-9)}
    assert clear <= set(ids.tolist()) <= allowed


@given(LOGITS, st.floats(0.01, 5), st.integers(0, 9), st.floats(0, 1), st.floats(0, 1), st.integers(0, 2**63 - 1))
def test_what_is_chosen_was_kept_and_a_seed_chooses_the_same(logits, temperature, k, top_p, min_p, seed):
    told = Sampling(temperature=temperature, top_k=k, top_p=top_p, min_p=min_p, seed=seed)
    ids, _ = sampling.kept(logits, told)
    chosen = [[sampler.choose(logits) for _ in range(5)] for sampler in (Sampler(told), Sampler(told))]
    assert set(chosen[0]) <= set(ids.tolist())
    assert chosen[0] == chosen[1]


@example(np.zeros(2, np.float32), 5e-324)
@given(BAD, st.floats(0, 5))
def test_broken_logits_still_choose_a_token(logits, temperature):
    assert 0 <= Sampler(Sampling(temperature=temperature, top_p=0.5)).choose(logits) < len(logits)


@given(LOGITS, st.lists(st.integers(-3, 45)), st.floats(0.1, 10))
def test_a_penalty_touches_what_was_seen_alone_and_once(logits, seen, penalty):
    after = sampling.penalized(logits, seen, penalty)
    for at, (x, y) in enumerate(zip(logits, after, strict=True)):
        wanted = (x / penalty if x > 0 else x * penalty) if at in seen else x
        assert y == pytest.approx(wanted, rel=1e-5)


def test_temperature_makes_flat_or_sharp():
    logits = np.array([0.0, 1.0, 2.0], np.float32)
    counts = {}
    for temperature in (0.25, 1.0, 4.0):
        sampler = Sampler(Sampling(temperature=temperature, seed=3))
        counts[temperature] = np.bincount([sampler.choose(logits) for _ in range(4000)], minlength=3) / 4000
        wanted = np.exp(logits / temperature) / np.exp(logits / temperature).sum()
        assert counts[temperature] == pytest.approx(wanted, abs=0.035)


@pytest.mark.parametrize(
    ("name", "value"),
    [("temperature", -1), ("temperature", float("nan")), ("temperature", "hot"), ("top_k", 1.5), ("top_p", 1.1),
     ("min_p", -0.1), ("penalty", 0), ("max_tokens", 0), ("max_tokens", True), ("seed", -1), ("logprobs", 21),
     ("beams", 0), ("stop", ("",)), ("stop", ("a",) * 17), ("stop", "abc")],
)  # fmt: skip
def test_what_is_out_of_range_is_named(name, value):
    with pytest.raises(UserError, match=rf"sampling\.{name} = "):
        Sampling(**{name: value})


def test_settings_by_name():
    assert sampling.from_words({"stop": "END", "top_k": 3}) == Sampling(stop=("END",), top_k=3)
    assert sampling.from_words({"stop": ["a", "b"]}).stop == ("a", "b")
    with pytest.raises(UserError, match='did you mean "top_k"'):
        sampling.from_words({"topk": 3})
    with pytest.raises(UserError, match="beams draw nothing"):
        Sampling(beams=2, temperature=0.5)


@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 4))
def test_enough_beams_find_the_likeliest_reply(seed, vocabulary, length):
    table = np.random.default_rng(seed).normal(size=(vocabulary + 1, vocabulary)).astype(np.float32) * 3

    def after(ids):
        return table[ids[-1] if ids else vocabulary]

    ids, score = sampling.beam_search(after, vocabulary**length, length, ends=())

    def logprob(path):
        return sum(sampling.logprobs(after(path[:at]))[one] for at, one in enumerate(path)) / length

    best = max(itertools.product(range(vocabulary), repeat=length), key=lambda path: logprob(list(path)))
    assert score == pytest.approx(logprob(list(best)), abs=1e-9)
    assert logprob(ids) == pytest.approx(score, abs=1e-9)


def test_a_beam_ends_with_an_end():
    def after(ids):
        return np.array([5.0, 0.0, 4.0] if len(ids) < 2 else [0.0, 9.0, 0.0], np.float32)

    ids, _ = sampling.beam_search(after, 2, 10, ends=(1,))
    assert ids == [0, 0, 1]


def test_frequency_and_presence_count_in_the_reply_alone():
    logits_V = np.array([3.0, 2.5, 2.0, 1.0], np.float32)
    seen = [0, 0, 0, 1, 1, 2]
    assert Sampler(Sampling(presence=1.0)).choose(logits_V, seen, prompt=6) == 0
    assert Sampler(Sampling(presence=1.0)).choose(logits_V, seen, prompt=0) == 0
    assert Sampler(Sampling(frequency=1.0)).choose(logits_V, seen, prompt=0) == 2
    assert Sampler(Sampling(frequency=1.0)).choose(logits_V, seen, prompt=3) == 0
    assert Sampler(Sampling(frequency=-2.0)).choose(logits_V, seen, prompt=3) == 1
    changed = sampling.discouraged(logits_V, [1, 1, 3], 0.5, 0.25)
    assert changed.tolist() == [3.0, 1.25, 2.0, 0.25]
    assert logits_V.tolist() == [3.0, 2.5, 2.0, 1.0]
    assert sampling.discouraged(logits_V, [], 1, 1).tolist() == logits_V.tolist()
