"""Secrets and personal data are found with their kind and place; numbers that only look like them are not.

The secrets are put together here, so that no scanner of this repository takes them for real ones.
"""

import base64
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netwright.data.text.private import Private, find, masked


def jwt(head):
    parts = [base64.urlsafe_b64encode(json.dumps(one).encode()).decode().rstrip("=") for one in (head, {"sub": "1"})]
    return ".".join([*parts, "c2lnbmF0dXJlLXNpZ25hdHVyZS1zaWduYXR1cmU"])


KEY = "-----BEGIN RSA PRIVATE" + " KEY-----"
FOUND = [
    ("AWS key", "AKIA" + "IOSFODNN7EXAMPLE", "sure"),
    ("GitHub token", "ghp" + "_" + "a1B2" * 9, "sure"),
    ("GitLab token", "glpat" + "-" + "a1B2c" * 4, "sure"),
    ("Slack token", "xox" + "b-123456789012-abcdefghijkl", "sure"),
    ("Stripe key", "sk" + "_live_" + "a1B2" * 6, "sure"),
    ("Google key", "AI" + "za" + "a1B2c" * 7, "sure"),
    ("OpenAI key", "sk" + "-proj-" + "a1B2" * 12, "sure"),
    ("Anthropic key", "sk" + "-ant-api03-" + "a1B2" * 12, "sure"),
    ("Hugging Face token", "hf" + "_" + "aB" * 17, "sure"),
    ("npm token", "npm" + "_" + "a1B2" * 9, "sure"),
    ("private key", f"{KEY}\nMIIEow\nabc\n" + KEY.replace("BEGIN", "END"), "sure"),
    ("JWT", jwt({"alg": "HS256", "typ": "JWT"}), "sure"),
    ("e-mail", "jane.doe+news@mail.company.co.uk", "sure"),
    ("e-mail", "someone@example.com", "possible"),
    ("e-mail", "noreply@company.com", "possible"),
    ("phone", "+49 30 1234 5678", "likely"),
    ("phone", "+44 (0)20 7946 0958", "likely"),
    ("phone", "(415) 555-2671", "likely"),
    ("phone", "415-555-2671", "likely"),
    ("phone", "415 555 2671", "likely"),
    ("phone", "1-415-555-2671", "likely"),
    ("phone", "0151 23456789", "likely"),
    ("IBAN", "de89370400440532013000", "sure"),
    ("IBAN", "DE89 3704 0044 0532 0130 00", "sure"),
    ("IBAN", "GB82WEST12345698765432", "sure"),
    ("IBAN", "FR14 2004 1010 0505 0001 3M02 606", "sure"),
    ("credit card", "4111 1111 1111 1111", "sure"),
    ("credit card", "5500-0055-5555-5559", "sure"),
    ("credit card", "3782 822463 10005", "sure"),
    ("credit card", "4012888888881881", "likely"),
    ("IP address", "81.2.69.142", "likely"),
    ("IP address", "192.168.1.1", "possible"),
    ("IP address", "203.0.113.9", "possible"),
]


@pytest.mark.parametrize(("kind", "said", "certainty"), FOUND)
@pytest.mark.parametrize("around", ["{}", "before {} after", "é: «{}», 日本", '{{"x": "{}"}}', "a\n{}\nb", "({})."])
def test_what_is_private_is_found_where_it_stands(kind, said, certainty, around):
    text = around.format(said)
    assert [(one.kind, text[one.start : one.end], one.certainty) for one in find(text)] == [(kind, said, certainty)]


@pytest.mark.parametrize(
    ("text", "kind", "said", "certainty"),
    [
        ("postgres://me:s3cr3t!Pw@db.host.com/x", "password in a URL", "s3cr3t!Pw", "sure"),
        ("https://user:<password>@host.com", "password in a URL", "<password>", "possible"),
        ('password = "Tr0ub4dor&3x"', "password", "Tr0ub4dor&3x", "likely"),
        ("{'api_key': 'q8Wz-71kPx-mm2'}", "password", "q8Wz-71kPx-mm2", "likely"),
    ],
)
def test_passwords(text, kind, said, certainty):
    assert Private(kind, text.index(said), text.index(said) + len(said), certainty) in find(text)


@pytest.mark.parametrize(
    "text",
    [
        "version 1.2.3.4 and v10.11.12.13", "torch==2.13.0.1", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.456",
        "d41d8cd98f00b204e9800998ecf8427e", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "550e8400-e29b-41d4-a716-446655440000", "ISBN 978-3-16-148410-0", "9783161484100", "ISBN 0-306-40615-2",
        "1234567890123456", "4111 1111 1111 1112", "0000 0000 0000 0000", "3.14159265358979", "4.012888888881881",
        "1,234,567,890", "2024-01-15 12:30:45", "12345-6789", "1 + 2 = 3, 3 +4 = 7", "x +1234567", "+1.5",
        "10+20 30 40",
        "DE89 3704 0044 0532 0130 01", "XX82 WEST 1234 5698 7654 32", "THIS IS NOT AN IBAN AT ALL", "AB12 CDEF",
        "@decorator", "a@b", "user @ host.com", "@mention.me", "foo@bar", "https://host:8080/@x", "a@b..c",
        'password = "your-password"', 'password: "********"', "password = 'aaaaaaaaaa'", 'token = "<your token>"',
        "http://host.com:80/a:b@", "sk-short", "hf_transfer", "AKIAshort", "eyJhbGciOiJub25lIn0", "npm_config_cache",
        jwt({"typ": "no algorithm"}), "ghp_short", "$5 + 10 15 20 = 50", "#### 4155552671",
        "Reads 1.0.0.0", "1999-2000-2001", "(555) 12-345",
    ],
)  # fmt: skip
def test_what_only_looks_like_it_is_not_flagged(text):
    assert [one for one in find(text) if one.certainty != "possible"] == []


def test_a_block_without_an_end_and_two_that_overlap():
    assert find(f"x {KEY} y") == [Private("private key", 2, 2 + len(KEY), "sure")]
    url = "https://jane:pa55w0rd@mail.company.com"
    assert [one.kind for one in find(url)] == ["password in a URL"]


def test_masking():
    text = "write to jane@company.com or call (415) 555-2671."
    assert masked(text, find(text)) == "write to [e-mail] or call [phone]."


PIECES = st.sampled_from([said for _, said, _ in FOUND] + list("@.:/+-_ '\"=0123456789aeyJ\n"))


@given(st.lists(PIECES, max_size=25).map("".join))
def test_spans_are_in_order_and_do_not_overlap(text):
    found = find(text)
    ends = [0, *(one.end for one in found)]
    assert all(end <= one.start < one.end <= len(text) for end, one in zip(ends, found, strict=False))
    for one in found:
        if one.kind == "IBAN":
            assert text[one.start : one.start + 2].isalpha()


@pytest.mark.parametrize(
    "piece", ["a", "@", "1 ", "1", "eyJ", "://a:", ".a", "A1", "+1 ", KEY, "password='", "1.", "aB3-"]
)
def test_hostile_texts_take_no_longer_than_others(piece):
    text = piece * (300_000 // len(piece))
    begun = time.perf_counter()
    find(text)
    assert time.perf_counter() - begun < 10
