"""Guesses of what comes next, out of what was said already (prompt lookup: Saxena 2023; Yang et al. 2023,
arXiv:2304.04487), and whether they pay.

    lookup = Lookup()
    guess = lookup.propose(ids)                       # what followed the last three tokens when they stood there before
    lookup.checked(len(guess), accepted, seconds)

The decoder reads the token and the guess in one go; guesses that are the tokens it would have chosen are free. Reading
more at once takes longer, so both are measured while it runs, and guessing rests where it does not pay. Replies are
the same either way: a guess never becomes a token that the logits did not choose.
"""

from __future__ import annotations

from collections.abc import Sequence

GRAMS = (3, 2)
"""How many last tokens are looked up: the longer first."""
FEWEST, MOST = 2, 12
"""Tokens of a guess; more after one that was right, fewer after one that was not."""
REST, LONGEST_REST = 8, 256
"""Tokens without a guess after guesses that did not pay, doubled each time."""
FADE = 0.8
"""Weight of what was measured before, at each new measurement."""


class Lookup:
    """Guesses for one reply after another. `propose` is given all ids so far, which only grow within a reply."""

    def __init__(self) -> None:
        self.proposed = self.accepted = 0
        self._ids: list[int] = []
        self._after: dict[tuple[int, ...], int] = {}
        self._plain = 0.0
        self._seconds = self._tokens = 0.0
        self._count, self._rest, self._resting = 4, REST, 0

    def begin(self) -> None:
        """A new reply: the places of tokens are forgotten, what was learned about costs is not."""
        self._ids, self._after = [], {}
        self.proposed = self.accepted = 0

    def propose(self, ids: Sequence[int], most: int = MOST) -> list[int]:
        """A guess at what follows; empty where nothing is known, or while it does not pay."""
        self._learn(ids)
        if self._resting:
            self._resting -= 1
            return []
        if not self._plain:  # what a guess costs more than none is not known yet
            return []
        for length in GRAMS:
            at = self._after.get(tuple(self._ids[-length:])) if len(self._ids) >= length else None
            if at is not None:
                return self._ids[at : at + min(self._count, most)]
        return []

    def plain(self, seconds: float) -> None:
        """A token was read alone, in so many seconds."""
        self._plain = seconds if not self._plain else FADE * self._plain + (1 - FADE) * seconds

    def checked(self, proposed: int, accepted: int, seconds: float) -> None:
        """A guess of so many tokens was read in so many seconds, and so many of them were right."""
        self.proposed, self.accepted = self.proposed + proposed, self.accepted + accepted
        self._seconds = FADE * self._seconds + seconds
        self._tokens = FADE * self._tokens + accepted + 1
        self._count = min(MOST, 2 * self._count) if accepted == proposed else max(FEWEST, accepted + 1)
        if self.pays:
            self._rest = REST
        else:
            self._resting, self._rest = self._rest, min(LONGEST_REST, 2 * self._rest)
            self._seconds = self._tokens = 0.0  # the next trial speaks for itself

    @property
    def pays(self) -> bool:
        """Whether a token with guesses takes no longer than one without."""
        return not self._tokens or self._seconds / self._tokens <= self._plain

    def _learn(self, ids: Sequence[int]) -> None:
        """Where each run of tokens stood last, but for the one at the very end."""
        for at in range(len(self._ids), len(ids)):
            for length in GRAMS:
                if at >= length:
                    self._after[tuple(ids[at - length : at])] = at
        self._ids = list(ids) if len(ids) != len(self._ids) + 1 else [*self._ids, ids[-1]]
