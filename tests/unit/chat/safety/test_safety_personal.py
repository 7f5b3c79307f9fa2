"""Personal data and secrets in texts that grow: nothing that is found in the whole is settled too early."""

import base64
import json
import random
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.chat.safety import personal
from netwright.chat.safety.finding import joined
from netwright.data.text import private

FILTER = personal.Personal()
BEGIN, END = "-----BEGIN" + " ", "-----END" + " "  # in two, for those who search files for secrets


def part(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def jwt(payload=40, chance=None):
    chance = chance or random.Random(0)
    sign = "".join(chance.choices(string.ascii_letters + "-_", k=86))
    return f"{part({'alg': 'RS256', 'typ': 'JWT', 'kid': 'k1'})}.{part({'sub': 'x' * payload})}.{sign}"


def key(lines=12, last="Ab3d", chance=None, kind="RSA "):
    chance = chance or random.Random(0)
    body = ["".join(chance.choices(string.ascii_letters + string.digits + "+/", k=64)) for _ in range(lines)]
    return "\n".join([f"{BEGIN}{kind}PRIVATE KEY-----", *body, last, f"{END}{kind}PRIVATE KEY-----"])


SECRETS = {
    "e-mail": "ann.lee@shop.org",
    "credit card": "4111 1111 1111 1111",
    "IBAN": "DE89 3704 0044 0532 0130 00",
    "phone": "+49 30 901820",
    "AWS key": "AKIA" + "Q7XK2LMZP4T9WV3B",
    "GitHub token": "ghp" + "_" + "a1B2" * 9,
    "JWT": jwt(),
    "private key": key(),
    "IP address": "84.23.11.200",
    "OpenAI key": "sk" + "-proj-" + "a1B2" * 20,
    "npm token": "npm" + "_" + "Zz09" * 9,
}


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize(
    "frame", ["{}", "it is {} indeed", "({})", '"{}"', "a\n{}\nb", "`{}`", "```\nx = {}\n```", "I: {}, and"]
)
def test_each_kind_is_found_as_a_whole(kind, frame):
    text = frame.format(SECRETS[kind])
    at = text.index(SECRETS[kind])
    assert [(one.kind, one.start, one.end) for one in FILTER.check(text)] == [(kind, at, at + len(SECRETS[kind]))]


@pytest.mark.parametrize(
    "text",
    [
        "４１１１ １１１１ １１１１ １１１１",
        "4111\u200b 1111\u00ad 1111 1111",
        "ann\u2060@shop.org",
        "ａｎｎ@ｓｈｏｐ.ｏｒｇ",
        "+４９ ３０ ９０１８２０",
        "4111\u00a01111\u00a01111\u00a01111",
        "DE89 ３７０４ 0044 0532 0130 00",
    ],
)
def test_look_alikes_make_no_difference(text):
    assert [(one.start, one.end) for one in FILTER.check(text)] == [(0, len(text))]


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1112",
        "DE88 3704 0044 0532 0130 00",
        "version 1.2.3.4",
        "in 2023 there were 4500 of 12000",
        "a@b",
        "THE QUICK BROWN FOX IN 1984 WAS LOUD",
        BEGIN + "CERTIFICATE-----",
        "eyJub3RoaW5n.eyJhIjoxfQ.zz",
        "10 20 30 40 50 60 70",
        "x" * 3000,
        "3.14159265358979323846",
        "",
        "@",
        "def f(a: int) -> str: return a_b[1:2]",
        "https://example.org/a/b?c=d#e",
    ],
)
def test_ordinary_text_passes(text):
    assert [one for one in FILTER.check(text) if one.score >= personal.Config().threshold] == []


def scanned(text, cuts):
    scan, at, found = FILTER.scan(), 0, []
    for cut in [*sorted(cuts), len(text)]:
        before = scan.settled
        more = scan.push(text[at:cut])
        assert all(one.start >= before for one in more)
        assert before <= scan.settled <= cut
        found, at = found + more, max(at, cut)
    before = scan.settled
    more = scan.push("", end=True)
    assert all(one.start >= before for one in more)
    return joined(found + more)


PARTS = st.sampled_from(
    [
        *SECRETS.values(),
        " ",
        "\n",
        "4",
        "111",
        "+49",
        "30",
        "@",
        ".",
        "DE",
        "A",
        "a",
        BEGIN,
        "PRIVATE KEY-----",
        END,
        "eyJ",
        "sk-",
        "/",
        "x" * 100,
        "a1" * 150,
        "_",
        "=",
        '"',
        "password = ",
        "\u200b",
        "１",
        "é",
        ") ",
        "(030) ",
        "-",
        jwt(900),
        key(3, "x"),
        "://u:pa55word@h.de",
        "\\n",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(PARTS, max_size=14), st.lists(st.integers(0, 3000), max_size=30))
def test_chunks_change_nothing(parts, cuts):
    text = "".join(parts)
    assert scanned(text, [min(cut, len(text)) for cut in cuts]) == FILTER.check(text)


@settings(max_examples=60, deadline=None)
@given(st.lists(PARTS, max_size=6))
def test_one_character_at_a_time_is_the_same_and_held_back_in_bounds(parts):
    text = "".join(parts)
    scan, found = FILTER.scan(), []
    for at, one in enumerate(text, 1):
        found += scan.push(one)
        assert at - scan.settled <= 2 * personal.REACH + personal.CONTEXT + text.count("\u200b")
    found += scan.push("", end=True)
    assert joined(found) == FILTER.check(text)


@settings(max_examples=300, deadline=None)
@given(st.lists(PARTS, max_size=12), st.sampled_from([" ", ", ", "\n", "/", ""]))
def test_all_that_is_found_without_a_stream_is_hidden_here(parts, between):
    """What `data.text.private` finds in the whole text is covered, as far as it is no longer than the reach."""
    text = between.join(part for part in parts if part.isascii())
    covered = {at for one in FILTER.check(text) for at in range(one.start, one.end)}
    for one in private.find(text):
        if one.end - one.start <= personal.REACH:
            assert {*range(one.start, one.end)} <= covered, (one, text)


def test_ordinary_words_flow_and_numbers_wait_for_their_groups():
    scan = FILTER.scan()
    for word in ("The", "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog"):
        scan.push(word + " ")
        assert scan._came - scan.settled <= 1
    scan.push("4111 1111 ")
    assert scan._came - scan.settled >= 9
    scan.push("words. ")
    assert scan._came - scan.settled <= 1


def test_a_key_of_any_length_is_hidden_from_its_beginning_on():
    for secret in (jwt(5000), key(200), key(3, "x"), json.dumps(key(30))[1:-1], key(4).replace("\n", "\r\n")):
        text = f"Here it is: {secret} and more words."
        for size in (1, 7, 1000):
            found = scanned(text, range(0, len(text), size))
            assert [(one.start, one.end) for one in found] == [(12, 12 + len(secret))]


def test_a_secret_beside_another_is_found():
    """Found by random texts: a header that hid a key, a token after a dash, an IBAN whose beginning a token took."""
    openai = SECRETS["OpenAI key"]
    glued = f"{BEGIN}PRIVATE KEY-----\n{openai} and words {END}PRIVATE KEY-----"
    for text, hidden in ((glued, openai), (f"a-{jwt()}", jwt()), (f"{jwt(900)}.{SECRETS['IBAN']}.", SECRETS["IBAN"])):
        at = text.index(hidden)
        for size in (1, 50, 10_000):
            covered = {n for one in scanned(text, range(0, len(text), size)) for n in range(one.start, one.end)}
            assert {*range(at, at + len(hidden))} <= covered


def test_words_after_a_private_key_without_an_end_are_shown():
    head = BEGIN + "PRIVATE KEY-----"
    for after in (" is how a file begins.", "\nThe header above is all.", "\n\n\nok", ""):
        (one,) = FILTER.check(head + after)
        assert (one.start, one.end) == (0, len(head))
    (one,) = FILTER.check(key().rpartition("\n")[0] + "\nThat was it, and there is more to be said.")
    assert one.end <= len(key()) - 28


@pytest.mark.parametrize(
    "unit",
    [
        "ordinary words of talk ",
        "a@b.co ",
        "1 ",
        "/a1",
        "A1 ",
        BEGIN,
        "eyJ",
        "sk-",
        "\n",
        "4111 ",
        "@",
        "\u0301",
        "://a:",
    ],
)
def test_long_texts_are_read_whole(unit):
    """`benchmarks/safety.py --linear` measures the time."""
    small, large = (FILTER.check(unit * (count // len(unit))) for count in (20_000, 80_000))
    assert all(0 <= one.start < one.end <= 80_000 for one in large)
    assert len(large) >= len(small)


@given(st.text(max_size=200))
def test_any_text_can_be_read(text):
    for one in FILTER.check(text):
        assert 0 <= one.start < one.end <= len(text)
        assert one.score in personal.SCORES.values()
