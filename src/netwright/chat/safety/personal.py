"""Personal data and secrets, as `data.text.private` finds them, in texts that grow too.

    filter = open(Config())
    filter.check("Mail ann@shop.org, card 4111 1111 1111 1111")

E-mail addresses, phone numbers, IBANs and card numbers by their check digits, IP addresses, keys of services, JWTs,
private keys, passwords in settings and URLs. Full-width digits and invisible characters make no difference. Names,
street addresses and birthdays have no form and are not found.

A scan holds back the word that is under way, numbers in groups as long as a group may follow, and never more than
`2 * REACH` characters. So what is longer than `REACH` is found by its beginning, and goes on as long as its letters do:
of a key of any length nothing is shown. What stands glued to a secret of more than 512 characters, without a space, may
be found in part only.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from netwright.chat.safety.finding import Action, Finding, Where, whole
from netwright.core.recipe import Range
from netwright.data.text import private
from netwright.data.text.folding import fold, visible

SCORES = {"sure": 0.99, "likely": 0.8, "possible": 0.4}
REACH = 256
"""Characters of a finding within which it is known for one."""
CONTEXT = 64
"""Characters before that say what something is."""
BODY = 20_000
"""Characters of a private key, at most."""
AT_ONCE = 4096
"""Characters that are searched together."""
_MAYBE = re.compile(r"[0-9@:=_-]|A[KSI]")
"""Every form has one of these."""
_TOKEN = re.compile(r"\b(eyJ[\w-]{10,200})\.[\w-]{4}")
_HEADER = re.compile(r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY(?: BLOCK)?-----")
_END = re.compile(r"-----END [A-Z ]{0,20}PRIVATE KEY(?: BLOCK)?-----")
_LINE = re.compile(r"[A-Za-z0-9+/=\\]*")
_FIELD = re.compile(r"(?:Proc-Type|DEK-Info|Version|Comment): [^\n]{0,100}(?=\n)")
_LETTERS = re.compile(r"[\w-]*", re.ASCII)
_JWT_LETTERS = re.compile(r"[\w.-]*", re.ASCII)
_BEFORE_GROUP = frozenset("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ)")
_GROUP = frozenset("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ(")
_SPACE = re.compile(r"\s")
_DIGIT = re.compile(r"\d", re.ASCII)
_SECRETS = ("key", "token", "JWT")


@dataclass(frozen=True, kw_only=True)
class Config:
    """[safety.personal]: what is done about personal data and secrets."""

    action: Action = "mask"
    where: Where = "reply"
    """In replies alone by default: what a person says of himself to his own machine he means to say."""
    threshold: Annotated[float, Range(0, 1)] = 0.75
    """0.99: check digits agree, or the form is unmistakable; 0.8: the form is usual; 0.4: examples and versions too."""


class Personal:
    """A `Filter` for what has the form of personal data or of a secret."""

    name = "personal"

    def check(self, text: str) -> list[Finding]:
        """Everything in the text that has such a form."""
        return whole(self.scan(), text)

    def scan(self) -> _Scan:
        """A look at a text that grows."""
        return _Scan()


def open(config: Config, folder: Path = Path()) -> Personal:
    """The filter; it has nothing to read."""
    return Personal()


class _Scan:
    """Texts are parted where nothing can go on, at most places between words, and each part is searched by itself.

    `_text` is what came in its visible form and `_places` where that stands, from `CONTEXT` before `_base` on, up to
    which all is told. A part that grows beyond 2 `REACH` is told as far as `REACH` before its end.
    """

    def __init__(self) -> None:
        self.settled = 0
        self._text = ""
        self._places: list[int] = []
        self._came = 0
        self._base = self._looked = 0
        self._part = 0  # where the part under way begins
        self._more: re.Pattern[str] | None = None  # what the secret goes on with that reached to the base
        self._kind = ""
        self._body = 0  # characters of a private key that are left
        self._line = 0  # of its last line

    def push(self, text: str, end: bool = False) -> list[Finding]:
        found: list[Finding] = []
        for at in range(0, len(text), AT_ONCE):
            self._take(text[at : at + AT_ONCE])
            self._go(found, end=False)
        if end:
            self._go(found, end=True)
        self.settled = self._came if end else self._place(self._base)
        return found

    def _take(self, text: str) -> None:
        folded = fold(text, visible)
        self._text += folded.text
        if text.isascii():
            self._places.extend(range(self._came, self._came + len(text)))
        else:
            self._places.extend(self._came + place for place in folded.places)
        self._came += len(text)
        # what is before the context is done with
        spare = self._base - CONTEXT
        if spare > AT_ONCE:
            self._text, self._places = self._text[spare:], self._places[spare:]
            self._base, self._looked, self._part = self._base - spare, self._looked - spare, self._part - spare

    def _place(self, at: int) -> int:
        return self._places[at] if at < len(self._places) else self._came

    def _go(self, found: list[Finding], end: bool) -> None:
        """Tell what can be told."""
        while self._step(found, end):
            pass

    def _step(self, found: list[Finding], end: bool) -> bool:
        """One step on; False where more has to come."""
        if self._body:
            return self._in_body(found, end)
        if self._more:
            return self._goes_on(found)
        while (cut := self._next_cut()) is not None:
            if cut < 0:  # known when more has come
                break
            if cut - self._part > 2 * REACH:
                return self._long(found)
            self._part = cut
            if cut - self._base >= AT_ONCE:
                return self._told(cut, found)
        if len(self._text) - self._part > 2 * REACH:
            return self._long(found)
        if end and self._base < len(self._text):
            return self._told(len(self._text), found)
        if self._part > self._base:
            return self._told(self._part, found)
        return False

    def _next_cut(self) -> int | None:
        """The next place between words across which nothing goes on; -1 where that is not known yet."""
        text = self._text
        while match := _SPACE.search(text, max(self._looked, self._part + 1)):
            at = match.start()
            self._looked = at
            if at - self._part > 2 * REACH:
                return at
            if text[at] == " " and text[at - 1] in _BEFORE_GROUP:
                if at + 1 == len(text):
                    return -1
                if text[at + 1] in _GROUP and _DIGIT.search(text, self._part, at):
                    self._looked = at + 1
                    continue
            begun = text.rfind("-----BEGIN", self._part, at)
            if begun >= 0 and at - begun < CONTEXT and text.find("-----", begun + 10, at) < 0:
                self._looked = at + 1
                continue
            self._looked = at + 1
            return at
        self._looked = max(self._looked, len(text))
        return None

    def _long(self, found: list[Finding]) -> bool:
        """Tell the first half of a part that is too long."""
        if self._part > self._base:
            return self._told(self._part, found)
        return self._told(self._base + REACH, found, seen=self._base + 2 * REACH)

    def _told(self, cut: int, found: list[Finding], seen: int = 0) -> bool:
        """Tell what begins before the cut, of what stands before `seen`. The base is then at the cut, or behind it."""
        seen = seen or cut
        from_ = max(0, self._base - CONTEXT)
        base, self._base, self._part = self._base, cut, cut
        self._looked = max(self._looked if seen == cut else 0, cut)
        window = self._text[from_:seen]
        if not _MAYBE.search(window):
            return True
        header = _HEADER.search(window, base - from_)
        body = header is not None and from_ + header.start() < cut
        if header is not None and body:
            window = window[: header.start()]
        for one in self._searched(window):
            start, stop = from_ + one.start, from_ + one.end
            if start < base < stop:  # a secret before took its beginning
                start = base
            if base <= start < cut:
                secret = one.kind.endswith(_SECRETS)
                letters = _JWT_LETTERS if one.kind == "JWT" else _LETTERS
                if secret and (match := letters.match(self._text, stop, seen)):
                    stop = match.end()
                found.append(self._finding(one.kind, start, stop, SCORES[one.certainty]))
                if stop > self._base:
                    self._base = self._part = stop
                    self._looked = max(self._looked, stop)
                if secret and stop == seen and not body and seen > cut:
                    self._more, self._kind = letters, one.kind
        if header is not None and body:
            start, stop = from_ + header.start(), from_ + header.end()
            found.append(self._finding("private key", start, stop, SCORES["sure"]))
            self._base = self._part = self._looked = stop
            self._more, self._body, self._line = None, BODY, 0
        return True

    def _searched(self, window: str) -> Iterator[private.Private]:
        tokens = [private.Private("JWT", *m.span(), "sure") for m in _TOKEN.finditer(window) if _is_header(m[1])]
        # private keys are told by their lines: in `find` one would hide whatever stands between its ends
        for one in private.find(_HEADER.sub(lambda match: " " * len(match[0]), window)):
            if one.kind not in ("private key", "JWT") and not any(t.start <= one.start < t.end for t in tokens):
                yield one
        yield from tokens

    def _goes_on(self, found: list[Finding]) -> bool:
        """More of a secret that is longer than what is held back."""
        assert self._more
        match = self._more.match(self._text, self._base)
        stop = match.end() if match else self._base
        if stop > self._base:
            found.append(self._finding(self._kind, self._base, stop, SCORES["sure"], goes_on=True))
        self._base = self._part = stop
        self._looked = max(self._looked, stop)
        if stop == len(self._text):
            return False
        self._more = None
        return True

    def _in_body(self, found: list[Finding], end: bool) -> bool:
        """A line of a private key, or what ends it."""
        text, base = self._text, self._base
        at = base
        while at < len(text) and at - base < 16 and text[at].isspace():
            at += 1
        if len(text) - at < 128 and not end:  # a line, or its end, may be under way
            return False
        ended, field = _END.match(text, at), _FIELD.match(text, at)
        line = _LINE.match(text, at, at + 64)
        assert line
        stop, length = 0, line.end() - at
        if ended or field:
            stop, length = (ended or field).end(), 0  # type: ignore[union-attr]
        elif length >= 16 or (length and self._line >= 40) or (length and at == base and self._line):
            stop = line.end()
        stop = min(stop, base + self._body)
        if stop > base:
            found.append(self._finding("private key", base, stop, SCORES["sure"], goes_on=True))
            self._body, self._line = self._body - (stop - base), length if at > base else self._line + length
            self._base = self._part = stop
            self._looked = max(self._looked, stop)
        if ended or stop <= base:
            self._body = 0
        return self._base < len(text)

    def _finding(self, kind: str, start: int, end: int, score: float, goes_on: bool = False) -> Finding:
        how = {0.99: "the form is unmistakable, or check digits agree", 0.8: "the form is usual"}
        reason = how.get(score, "the form is usual, but of examples too")
        return Finding(kind, self._places[start], self._places[end - 1] + 1, score, reason, goes_on)


def _is_header(text: str) -> bool:
    """Whether it is the first part of a JWT."""
    try:
        told = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return False
    return isinstance(told, dict) and "alg" in told
