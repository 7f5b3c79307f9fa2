"""Secrets and personal data in a text: each with its kind, where it stands, and how certain that is.

    for one in find(text):
        print(one.kind, text[one.start : one.end], one.certainty)

`sure`: the form is unmistakable, or check digits agree. `likely`: the form is usual, and little else has it.
`possible`: an example address, a version that looks like an address. Names, street addresses and birthdays have
no form and are not found. This file does not know records.
"""

from __future__ import annotations

import base64
import binascii
import bisect
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

Certainty = Literal["sure", "likely", "possible"]
_RANK = {"sure": 0, "likely": 1, "possible": 2}


@dataclass(frozen=True, slots=True)
class Private:
    """Something that should perhaps not be learned: text[start:end]."""

    kind: str
    start: int
    end: int
    certainty: Certainty


_KEYS = (
    ("AWS key", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    ("GitHub token", r"\bgh[pousr]_[A-Za-z0-9]{36,255}\b|\bgithub_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}\b"),
    ("GitLab token", r"\bglpat-[\w-]{20,64}\b"),
    ("Slack token", r"\bxox[abprs]-(?:\d{6,}-)+[A-Za-z0-9-]{10,}"),
    ("Stripe key", r"\b[sr]k_(?:live|test)_[A-Za-z0-9]{16,200}\b"),
    ("Google key", r"\bAIza[\w-]{35}(?![\w-])"),
    ("Anthropic key", r"\bsk-ant-[\w-]{32,200}"),
    ("OpenAI key", r"\bsk-(?:proj-|svcacct-)[\w-]{32,200}|\bsk-[A-Za-z0-9]{40,64}\b"),
    ("Hugging Face token", r"\bhf_[A-Za-z0-9]{30,64}\b"),
    ("npm token", r"\bnpm_[A-Za-z0-9]{36}\b"),
    ("PyPI token", r"\bpypi-AgEIcHlwaS[\w-]{50,400}"),
    ("SendGrid key", r"\bSG\.[\w-]{22}\.[\w-]{43}\b"),
)
_KEY = re.compile("|".join(f"({form})" for _, form in _KEYS))
_BLOCK = re.compile(r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY(?: BLOCK)?-----")
_BLOCK_END = re.compile(r"-----END [A-Z ]{0,20}PRIVATE KEY(?: BLOCK)?-----")
_JWT = re.compile(r"\beyJ[\w-]{10,4000}\.eyJ[\w-]{4,8000}\.[\w-]{20,2000}")
_URL = re.compile(r"://([^\s/:@'\"]{0,64}):([^\s/@'\"]{1,128})@[\w.-]")
_ASSIGNED = re.compile(
    r"(?i)\b(?:pass(?:word|wd|phrase)|api[_-]?key|secret(?:[_-]?key)?|access[_-]?token|auth[_-]?token)"
    r"['\"]?\s{0,3}(?:[:=]|=>)\s{0,3}['\"]([^'\"\s]{8,200})['\"]"
)
_PLACEHOLDER = re.compile(
    r"(?i)^[<${*x.%\[]|^(?:your|my|the|example|change|placeholder|secret|password|pass|token)\b|\*{3}"
)
_MAIL = re.compile(r"[A-Za-z0-9][\w.+%-]{0,63}$", re.ASCII)
_HOST = re.compile(r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})\.){1,8}[A-Za-z]{2,24}\b")
_NOBODY = re.compile(
    r"(?i)@(?:[\w-]+\.)*example\.(?:com|org|net)$|\.(?:test|invalid|example|localhost)$|^(?:git|no-?reply|user|info)@"
)
_ABROAD = re.compile(r"(?<![\w.+/=-])\+\d{1,3}(?:[ .-]?\(\d{1,4}\))?(?:[ .-]?\d{2,5}){2,5}(?![\w-])(?!\.\d)")
_AMERICAN = re.compile(
    r"(?<![\w.+/=-])(?:1[-. ])?(?:(?:\([2-9]\d\d\) ?|[2-9]\d\d[-.])[2-9]\d\d[-.]|[2-9]\d\d [2-9]\d\d )"
    r"\d{4}(?![\w-])(?!\.\d)"
)
_MOBILE = re.compile(r"(?<![\w.+/=-])01[5-7]\d[ /-]?\d{7,8}(?![\w-])(?!\.\d)")
"""German mobile numbers as they are written at home."""
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
_IBAN_SMALL = re.compile(r"\b[a-z]{2}\d{2}[a-z0-9]{11,27}\b")
_IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AT": 20, "BE": 16, "BG": 22, "BR": 29, "CH": 21, "CY": 28, "CZ": 24, "DE": 22, "DK": 18,
    "EE": 20, "ES": 24, "FI": 18, "FR": 27, "GB": 22, "GI": 23, "GR": 27, "HR": 21, "HU": 28, "IE": 22, "IL": 23,
    "IS": 26, "IT": 27, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "MC": 27, "MT": 31, "NL": 18, "NO": 15, "PK": 24,
    "PL": 28, "PT": 25, "RO": 24, "RS": 22, "SA": 24, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "TN": 24, "TR": 26,
    "UA": 29,
}  # fmt: skip
_CARD = re.compile(r"(?<![\w.-])(?:\d{4}([ -])\d{4}\1\d{4}\1\d{4}|\d{4}([ -])\d{6}\2\d{5}|\d{13,19})(?![\w-])(?!\.\d)")
_ISSUER = re.compile(
    r"4\d{12}(?:\d{3}){0,2}$|5[1-5]\d{14}$|2[2-7]\d{14}$|3[47]\d{13}$|6(?:011|5\d\d)\d{12}$|35\d{14}$|62\d{14,17}$"
)
_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IP = re.compile(rf"(?<![\w.-])(?:{_OCTET}\.){{3}}{_OCTET}(?![\w-])(?!\.\w)")
_VERSION = re.compile(r"(?i)(?:\bv|versions?|release|build|firmware|driver|==|>=|<=|~=|§|section|chapter)\.?\s{0,2}$")


def find(text: str) -> list[Private]:
    """What was found, by its place. Of two that overlap the surer one is told."""
    found = [one for look in _LOOKS for one in look(text)]
    # user:password@host looks like an e-mail address from the password on
    found.sort(key=lambda one: (_RANK[one.certainty], one.kind == "e-mail", one.start - one.end, one.start))
    taken: list[Private] = []  # by their place
    for one in found:
        at = bisect.bisect(taken, one.start, key=lambda other: other.start)
        if (at == 0 or taken[at - 1].end <= one.start) and (at == len(taken) or one.end <= taken[at].start):
            taken.insert(at, one)
    return taken


def masked(text: str, found: list[Private]) -> str:
    """The text with each of these replaced by its kind in brackets."""
    for one in sorted(found, key=lambda one: -one.start):
        text = f"{text[: one.start]}[{one.kind}]{text[one.end :]}"
    return text


def _keys(text: str) -> Iterator[Private]:
    for match in _KEY.finditer(text):
        yield Private(_KEYS[(match.lastindex or 1) - 1][0], *match.span(), "sure")


def _blocks(text: str) -> Iterator[Private]:
    at, ends = 0, [match.span() for match in _BLOCK_END.finditer(text)]
    while begun := _BLOCK.search(text, at):
        after = bisect.bisect(ends, (begun.end(), 0))
        ended = ends[after][1] if after < len(ends) else None
        at = ended if ended and ended <= begun.end() + 20_000 else begun.end()
        yield Private("private key", begun.start(), at, "sure")


def _tokens(text: str) -> Iterator[Private]:
    for match in _JWT.finditer(text) if "eyJ" in text else ():
        head = match[0].partition(".")[0]
        try:
            told = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
        except (ValueError, binascii.Error, RecursionError):
            continue
        if isinstance(told, dict) and "alg" in told:
            yield Private("JWT", *match.span(), "sure")


def _passwords(text: str) -> Iterator[Private]:
    for match in _URL.finditer(text):
        if not (match[2].isdecimal() and len(match[2]) <= 5):  # a port
            yield Private("password in a URL", *match.span(2), "possible" if _PLACEHOLDER.search(match[2]) else "sure")
    for match in _ASSIGNED.finditer(text):
        if not _PLACEHOLDER.search(match[1]) and _bits(match[1]) >= 2.8:
            yield Private("password", *match.span(1), "likely")


def _bits(text: str) -> float:
    """Shannon's entropy a character: 2 for "passpass", above 3 for what a generator makes."""
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())


def _mails(text: str) -> Iterator[Private]:
    at = text.find("@")
    while at >= 0:
        before, after = _MAIL.search(text, max(0, at - 64), at), _HOST.match(text, at)
        if before and after and ".." not in before[0]:
            known = "possible" if _NOBODY.search(before[0] + after[0]) else "sure"
            yield Private("e-mail", before.start(), after.end(), known)  # type: ignore[arg-type]
        at = text.find("@", at + 1)


def _phones(text: str) -> Iterator[Private]:
    for match in _ABROAD.finditer(text) if "+" in text else ():
        if 9 <= sum(map(str.isdecimal, match[0])) <= 15:
            yield Private("phone", *match.span(), "likely" if re.search(r"[ .()-]", match[0]) else "possible")
    for form in (_AMERICAN, _MOBILE):
        for match in form.finditer(text):
            yield Private("phone", *match.span(), "likely")


def _accounts(text: str) -> Iterator[Private]:
    for match in (*_IBAN.finditer(text), *_IBAN_SMALL.finditer(text)):
        said = match[0].replace(" ", "").upper()
        length = _IBAN_LENGTHS.get(said[:2], 0)
        if length and len(said) >= length:  # a word in capitals may follow
            digits = "".join(str(int(letter, 36)) for letter in said[4:length] + said[:4])
            end, left = match.start(), length
            while left:
                left -= text[end] != " "
                end += 1
            if int(digits) % 97 == 1:
                yield Private("IBAN", match.start(), end, "sure")


def _cards(text: str) -> Iterator[Private]:
    for match in _CARD.finditer(text):
        digits = re.sub(r"\D", "", match[0])
        if _ISSUER.match(digits) and _luhn(digits):
            yield Private("credit card", *match.span(), "sure" if match[1] or match[2] else "likely")


def _luhn(digits: str) -> bool:
    doubled = (2 * int(digit) if n % 2 else int(digit) for n, digit in enumerate(reversed(digits)))
    return sum(n - 9 if n > 9 else n for n in doubled) % 10 == 0


def _addresses(text: str) -> Iterator[Private]:
    for match in _IP.finditer(text):
        parts = [int(part) for part in match[0].split(".")]
        if _VERSION.search(text, max(0, match.start() - 16), match.start()):
            continue
        inside = parts[0] in (0, 10, 127, 255) or parts[:2] in ([192, 168], [169, 254]) or max(parts) < 32
        inside = inside or (parts[0] == 172 and 16 <= parts[1] < 32) or tuple(parts[:3]) in _DOCUMENTATION
        yield Private("IP address", *match.span(), "possible" if inside else "likely")


_DOCUMENTATION = {(192, 0, 2), (198, 51, 100), (203, 0, 113)}
_LOOKS: tuple[Callable[[str], Iterator[Private]], ...] = (
    _keys, _blocks, _tokens, _passwords, _mails, _phones, _accounts, _cards, _addresses,
)  # fmt: skip
