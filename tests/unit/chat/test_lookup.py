"""Guesses come from what was said, and rest where they do not pay."""

from netwright.chat.lookup import LONGEST_REST, MOST, Lookup


def test_what_followed_before_is_guessed():
    lookup = Lookup()
    assert lookup.propose([1, 2, 3, 4, 5, 1, 2, 3]) == []  # what a token costs is not known yet
    lookup.plain(1.0)
    assert lookup.propose([1, 2, 3, 4, 5, 1, 2, 3]) == [4, 5, 1, 2]
    assert lookup.propose([1, 2, 3, 4, 5, 1, 2, 3, 9]) == []
    assert lookup.propose([1, 2, 3, 4, 5, 1, 2, 3, 9, 1, 2], most=1) == [3]


def test_right_guesses_grow_and_wrong_ones_shrink():
    lookup = Lookup()
    lookup.plain(1.0)
    ids = [*range(40), 0, 1, 2]
    sizes = []
    for _ in range(4):
        guess = lookup.propose(ids)
        sizes.append(len(guess))
        lookup.checked(len(guess), len(guess), 1.0)
    assert sizes == [4, 8, MOST, MOST]
    lookup.checked(MOST, 0, 0.5)
    assert len(lookup.propose(ids)) == 2
    assert (lookup.proposed, lookup.accepted) == (4 + 8 + 3 * MOST, 4 + 8 + 2 * MOST)


def test_guesses_that_do_not_pay_rest_ever_longer():
    lookup = Lookup()
    lookup.plain(1.0)
    ids = [*range(10), 0, 1, 2]
    trials = []
    for at in range(2000):
        ids = [*range(10), 0, 1, 2]
        guess = lookup.propose(ids)
        if guess:
            trials.append(at)
            lookup.checked(len(guess), 0, 2.0)
    assert len(trials) < 15
    assert trials[-1] - trials[-2] == LONGEST_REST + 1
    lookup.checked(4, 4, 1.5)
    assert lookup.pays
