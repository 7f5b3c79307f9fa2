"""A minute's allowance is never exceeded by more than a burst, and only those who hold a key are known."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.chat.server.keys import Bucket, Holders
from netwright.chat.server.refusal import RefusedError
from netwright.chat.server.settings import Config, Key
from netwright.core.web import hashed


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 1000), st.lists(st.tuples(st.floats(0, 30), st.integers(1, 50)), max_size=60))
def test_no_window_of_a_minute_has_more_than_two_allowances(minute, story):
    clock = Clock()
    bucket, taken = Bucket(minute, clock), []
    for pause, count in story:
        clock.now += pause
        for _ in range(count):
            if not bucket.wait():
                bucket.take(1)
                taken.append(clock.now)
    for at in taken:
        assert sum(at <= other < at + 60 for other in taken) <= 2 * minute + 1


@given(st.integers(1, 100_000), st.floats(0, 1e6))
def test_what_it_says_to_wait_is_enough(minute, spent):
    clock = Clock()
    bucket = Bucket(minute, clock)
    bucket.take(spent)
    clock.now += bucket.wait() * 1.000001 + 1e-6
    assert bucket.wait() < 1e-3


def test_no_limit_is_no_limit():
    bucket = Bucket(0, Clock())
    bucket.take(1e12)
    assert bucket.wait() == 0


def test_each_key_has_its_own_limits():
    clock = Clock()
    keys = {"a": Key(hash=hashed("first-key"), requests=1), "b": Key(hash=hashed("second-key"), tokens=10)}
    holders = Holders(Config(keys=keys), clock)
    a, b = holders.of("Bearer first-key"), holders.of("bearer  second-key ")
    assert (a.name, b.name) == ("a", "b")
    with a.request():
        pass
    with pytest.raises(RefusedError, match="1 requests a minute"), a.request():
        pass
    with b.request():
        b.spent(100)
    with pytest.raises(RefusedError, match="10 tokens a minute") as told, b.request():
        pass
    assert int(told.value.headers["Retry-After"]) == 546
    clock.now += 60
    with a.request():
        assert a.under_way == 1
    assert a.under_way == 0


@given(st.text(max_size=30))
def test_nothing_else_is_a_key(text):
    holders = HOLDERS
    if text.strip() != "right-key":
        with pytest.raises(RefusedError) as told:
            holders.of(f"Bearer {text}")
        assert told.value.status == 401


HOLDERS = Holders(Config(keys={"a": Key(hash=hashed("right-key"))}))
