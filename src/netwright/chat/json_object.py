"""Replies that are one JSON object: which tokens may come next, asked as seldom as possible.

    state = START
    for byte in b'{"a": [1, 2': state = advance(state, byte)     # None where that is no beginning of an object
    reply = JsonReply(vocabulary(tokenizer))
    token = reply.choose(logits_V, lambda logits_V: int(logits_V.argmax()))

A state is where in the grammar of RFC 8259 a text stands, and which brackets are open. The automaton reads bytes of
UTF-8, as tokens may end within a character. A token is drawn first and looked at then; only where `TRIES` of them were
wrong all others are looked at, once for each state that looks the same to every token. What it takes is a little less
than the standard: depth, white space and digits are bounded, or a small model goes on with them for ever.

Shape legend: V vocabulary.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from netwright.data.tokenizer import Tokenizer

DEPTH = 64
"""Brackets that may be open."""
WHITE = 100
"""Characters of white space in a row, outside of strings."""
DIGITS = 300
"""Characters of a number."""
TRIES = 4
"""Tokens that are drawn before all are looked at."""
STATES = 256
"""States of which it is remembered what may follow."""

BEFORE, KEY, KEY_OR_END, COLON, VALUE, VALUE_OR_END, NEXT, DONE = range(8)
"""Between words: before the object; where a key, a key or }, a :, a value, a value or ], a comma or a bracket comes;
after the object."""
STRING, ESCAPE, HEX, UTF8, WORD, SIGN, ZERO, WHOLE, POINT, FRACTION, E, E_SIGN, EXPONENT = range(8, 21)
"""Within words: a string, an escape in it, its digits, a character of several bytes; true, false, null; the parts of a
number."""
_BLANK = frozenset(b" \t\n\r")
_DIGIT = frozenset(b"0123456789")
_HEX = frozenset(b"0123456789abcdefABCDEF")
_WORDS = {ord("t"): b"rue", ord("f"): b"alse", ord("n"): b"ull"}
_ENDED = {ZERO, WHOLE, FRACTION, EXPONENT}
"""Numbers that may end here."""
_NUMBER = {  # state -> what leads on to which
    SIGN: ((b"0", ZERO), (b"123456789", WHOLE)),
    ZERO: ((b".", POINT), (b"eE", E)),
    WHOLE: ((b"0123456789", WHOLE), (b".", POINT), (b"eE", E)),
    POINT: ((b"0123456789", FRACTION),),
    FRACTION: ((b"0123456789", FRACTION), (b"eE", E)),
    E: ((b"+-", E_SIGN), (b"0123456789", EXPONENT)),
    E_SIGN: ((b"0123456789", EXPONENT),),
    EXPONENT: ((b"0123456789", EXPONENT),),
}
_FOLLOWS = {  # the first of several bytes -> how many more, and the bounds of the next (RFC 3629)
    **dict.fromkeys(range(194, 224), (1, 128, 191)),
    0xE0: (2, 0xA0, 0xBF), **dict.fromkeys(range(225, 240), (2, 128, 191)), 0xED: (2, 0x80, 0x9F),
    0xF0: (3, 0x90, 0xBF), **dict.fromkeys(range(241, 244), (3, 128, 191)), 0xF4: (3, 0x80, 0x8F),
}  # fmt: skip


class State(NamedTuple):
    """Where a text stands. `left` is what a place still counts or expects, `key` whether a string is one."""

    place: int
    open: bytes = b""
    """Brackets that are open, { and [."""
    left: tuple[int, ...] = ()
    key: bool = False


START = State(BEFORE)


def advance(state: State, byte: int) -> State | None:
    """The state after one more byte; None where no object begins so."""
    place, open, left, key = state
    if place == STRING:
        return _in_string(state, byte)
    if place <= DONE:
        if byte in _BLANK:
            count = left[0] + 1 if left else 1
            return State(place, open, (count,)) if count <= WHITE else None
        return _between(place, open, byte)
    if place == ESCAPE:
        if byte == 0x75:
            return State(HEX, open, (4,), key)
        return State(STRING, open, (), key) if byte in b'"\\/bfnrt' else None
    if place == HEX:
        if byte not in _HEX:
            return None
        return State(HEX, open, (left[0] - 1,), key) if left[0] > 1 else State(STRING, open, (), key)
    if place == UTF8:
        more, low, high = left
        if not low <= byte <= high:
            return None
        return State(UTF8, open, (more - 1, 0x80, 0xBF), key) if more > 1 else State(STRING, open, (), key)
    if place == WORD:
        if byte != left[0]:
            return None
        return State(WORD, open, left[1:]) if len(left) > 1 else State(NEXT, open)
    for accepted, then in _NUMBER[place]:
        if byte in accepted:
            return State(then, open, (left[0] + 1,)) if left[0] < DIGITS else None
    if place not in _ENDED:
        return None
    return State(NEXT, open, (1,)) if byte in _BLANK else _between(NEXT, open, byte)


def _in_string(state: State, byte: int) -> State | None:
    _, open, _, key = state
    if byte == 0x22:
        return State(COLON if key else NEXT, open)
    if byte == 0x5C:
        return State(ESCAPE, open, (), key)
    if byte < 0x20:
        return None
    if byte < 0x80:
        return state
    found = _FOLLOWS.get(byte)
    return State(UTF8, open, found, key) if found else None


def _between(place: int, open: bytes, byte: int) -> State | None:
    """After a byte that is no white space, where a word may begin."""
    letter = chr(byte)
    if place == BEFORE:
        return State(KEY_OR_END, b"{") if letter == "{" else None
    if place in (KEY, KEY_OR_END):
        if letter == '"':
            return State(STRING, open, (), True)
        return _closed(open) if letter == "}" and place == KEY_OR_END else None
    if place == COLON:
        return State(VALUE, open) if letter == ":" else None
    if place in (VALUE, VALUE_OR_END):
        if letter == "]" and place == VALUE_OR_END:
            return _closed(open)
        return _value(open, byte, letter)
    if place == NEXT:
        if letter == ",":
            return State(KEY if open[-1:] == b"{" else VALUE, open)
        return _closed(open) if letter == {b"{": "}", b"[": "]"}[open[-1:]] else None
    return None


def _value(open: bytes, byte: int, letter: str) -> State | None:
    if letter == '"':
        return State(STRING, open)
    if letter in "{[":
        if len(open) >= DEPTH:
            return None
        return State(KEY_OR_END if letter == "{" else VALUE_OR_END, open + letter.encode())
    if byte in _WORDS:
        return State(WORD, open, tuple(_WORDS[byte]))
    if letter == "-":
        return State(SIGN, open, (1,))
    return State(ZERO if letter == "0" else WHOLE, open, (1,)) if byte in _DIGIT else None


def _closed(open: bytes) -> State:
    return State(NEXT, open[:-1]) if len(open) > 1 else State(DONE)


def read(state: State, text: bytes) -> State | None:
    """The state after a text; None where no object begins so."""
    now: State | None = state
    for byte in text:
        if now is None:
            return None
        now = advance(now, byte)
    return now


class Vocabulary:
    """What each token says, in an order in which those that begin alike stand together."""

    def __init__(self, spellings: Sequence[bytes | None]) -> None:
        self.spellings = spellings
        told = sorted((text, at) for at, text in enumerate(spellings) if text)
        self._texts, self._ids = [text for text, _ in told], np.array([at for _, at in told], np.int64)
        self._closing = max((text.count(b"}") + text.count(b"]") for text in self._texts), default=0)
        self._opening = max((text.count(b"{") + text.count(b"[") for text in self._texts), default=0)
        self._longest = max(map(len, self._texts), default=0)
        plain = [at for text, at in told if not set(text) & _SPECIAL and _is_text(text)]
        self._plain = np.zeros(len(spellings), bool)
        """Tokens that stand in any string: they need not be looked at."""
        self._plain[plain] = True
        others = [n for n, (_, at) in enumerate(told) if not self._plain[at]]
        self._other_texts, self._other_ids = [self._texts[n] for n in others], self._ids[others]
        self._lock = threading.Lock()
        self._masks: OrderedDict[State, NDArray[np.bool_]] = OrderedDict()

    def mask(self, state: State) -> NDArray[np.bool_]:
        """Which tokens may follow."""
        near = self._alike(state)
        found = self._masks.get(near)
        if found is None:
            found = self._looked_at(near)
            with self._lock:
                self._masks[near] = found
                if len(self._masks) > STATES:
                    self._masks.popitem(last=False)
        return found

    def _alike(self, state: State) -> State:
        """One state for all in which every token means the same."""
        place, open, left, _ = state
        if len(open) + self._opening <= DEPTH:
            open = open[-self._closing - 1 :]  # no token closes more
        counts = place <= DONE or place in _NUMBER
        if counts and left and left[0] + self._longest < (WHITE if place <= DONE else DIGITS):
            left = (1,)
        return state._replace(open=open, left=left)

    def _looked_at(self, state: State) -> NDArray[np.bool_]:
        within = state.place == STRING
        found_V = self._plain.copy() if within else np.zeros(len(self.spellings), bool)
        texts, ids = (self._other_texts, self._other_ids) if within else (self._texts, self._ids)
        at = 0
        while at < len(texts):
            now: State | None = state
            for count, byte in enumerate(texts[at], 1):
                now = advance(now, byte)  # type: ignore[arg-type]
                if now is None:  # all that begin with this are as wrong
                    at = bisect_left(texts, _after(texts[at][:count]), at + 1)
                    break
            else:
                found_V[ids[at]] = True
                at += 1
        return found_V


_SPECIAL = {0x22, 0x5C, *range(0x20)}


def _is_text(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _after(prefix: bytes) -> bytes:
    """The least text after all that begin with a prefix."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else b"\xff" * (len(prefix) + 1)


@lru_cache(maxsize=4)
def _vocabulary(tokenizer: _Keyed) -> Vocabulary:
    return Vocabulary(tokenizer.tokenizer.spellings)


class _Keyed:
    """A tokenizer, compared by the file it is."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    def __hash__(self) -> int:
        return hash(self.tokenizer.json)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Keyed) and self.tokenizer.json == other.tokenizer.json


def vocabulary(tokenizer: Tokenizer) -> Vocabulary:
    """The vocabulary of a tokenizer, made once."""
    return _vocabulary(_Keyed(tokenizer))


class JsonReply:
    """A reply that is to be one object."""

    def __init__(self, words: Vocabulary) -> None:
        self._words, self._state = words, START

    @property
    def complete(self) -> bool:
        """Whether the object is closed."""
        return self._state.place == DONE

    def choose(self, logits_V: NDArray[np.float32], draw: Callable[[NDArray[np.float32]], int]) -> int:
        """A token that `draw` takes, of those that may come. Raises RuntimeError where there is none."""
        tried_V = logits_V
        for _ in range(TRIES):
            chosen = draw(tried_V)
            text = self._words.spellings[chosen] if chosen < len(self._words.spellings) else None
            now = read(self._state, text) if text else None
            if now is not None:
                self._state = now
                return chosen
            tried_V = tried_V.copy() if tried_V is logits_V else tried_V
            tried_V[chosen] = -np.inf
        mask_V = np.zeros(len(logits_V), bool)
        known = self._words.mask(self._state)[: len(logits_V)]
        mask_V[: len(known)] = known
        if not mask_V.any():
            raise RuntimeError("no token of this vocabulary goes on with a JSON object here")
        chosen = draw(np.where(mask_V, np.nan_to_num(logits_V, nan=-1e30, neginf=-1e30), -np.inf).astype(np.float32))
        now = read(self._state, self._words.spellings[chosen] or b"")
        if now is None or not mask_V[chosen]:
            chosen = int(np.flatnonzero(mask_V)[logits_V[mask_V].argmax()])
            now = read(self._state, self._words.spellings[chosen] or b"")
        assert now is not None
        self._state = now
        return chosen
