"""Forms as browsers, curl and httpx write them, and as nobody should: parsed, or refused, never a fault of ours."""

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.svg.server import form
from netwright.svg.server.refusal import RefusedError

FIELDS = st.dictionaries(
    st.from_regex(r"[a-z_]{1,20}", fullmatch=True),
    st.text(st.characters(codec="ascii", exclude_categories=["C"]), max_size=50),
    max_size=5,
)


def written(content, fields):
    """A form as httpx writes it: body and boundary."""
    request = httpx.Request("POST", "http://x", files={"image": ("a b.png", content)}, data=fields)
    return request.read(), request.headers["content-type"].split("boundary=")[1].encode()


@settings(deadline=None)
@given(st.binary(max_size=300), FIELDS)
def test_what_was_written_is_read(content, fields):
    found = form.parsed(*written(content, fields))
    assert found.content == content
    assert dict(found.fields) == fields


@settings(deadline=None)
@given(st.binary(max_size=200), st.binary(min_size=1, max_size=10))
def test_any_bytes_are_a_form_or_refused(body, boundary):
    refused = None
    try:
        form.parsed(body, boundary)
    except RefusedError as fault:
        refused = fault
    assert refused is None or (refused.status, refused.code) == (400, "malformed_form")


@settings(deadline=None)
@given(st.data())
def test_a_form_cut_anywhere_is_refused(data):
    body, boundary = written(b"\x89PNG and more", {"mode": "curves"})
    end = data.draw(st.integers(0, len(body) - len(b"--\r\n") - 1))
    with pytest.raises(RefusedError, match="cannot be read"):
        form.parsed(body[:end], boundary)


def part(head, value=b"v", boundary=b"X"):
    return b"--" + boundary + b"\r\n" + head + b"\r\n\r\n" + value + b"\r\n"


FILE = part(b'Content-Disposition: form-data; name="image"; filename="a.png"', b"bytes")
FIELD = part(b'Content-Disposition: form-data; name="mode"', b"curves")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (FIELD + b"--X--\r\n", "no file"),
        (FILE + FILE + b"--X--", "several files"),
        (FILE + FIELD + FIELD + b"--X--", "said twice"),
        (FILE + part(b"Content-Type: text/plain") + b"--X--", "no name"),
        (FILE + part(b'Content-Disposition: form-data; filename="x"') + b"--X--", "no name"),
        (FILE + part(b'Content-Disposition: attachment; name="x"') + b"--X--", "no name"),
        (FILE + b"--X\r\nno headers--X--", "no headers|cut short"),
        (FILE + part(b"A: " + b"b" * 5000) + b"--X--", "no headers"),
        (FILE + part(b'Content-Disposition: form-data; name="long"', b"x" * 2000) + b"--X--", "1000 bytes"),
        (FILE + b"".join(part(b'Content-Disposition: form-data; name="%d"' % n) for n in range(40)), "16 parts"),
        (b"hello", "boundary is nowhere"),
        (b"", "boundary is nowhere"),
    ],
)
def test_forms_that_are_none(body, told):
    with pytest.raises(RefusedError, match=told):
        form.parsed(body, b"X")


def test_a_files_bytes_are_taken_as_they_are():
    tricky = b"\r\n--Y\r\n\r\n\x00--X"
    made = part(b'content-disposition:form-data; name="image"; filename="..\\..\\x"', tricky) + FIELD + b"--X--"
    assert form.parsed(b"preamble\r\n" + made, b"X").content == tricky


@pytest.mark.parametrize(
    "kind",
    ["multipart/form-data", "multipart/mixed; boundary=X", "multipart/form-data; boundary=", "multipart/",
     "multipart/form-data; boundary=" + "x" * 200, 'multipart/form-data; boundary="'],
)  # fmt: skip
def test_forms_without_a_boundary(server, kind):
    reply = httpx.post(f"{server.at}/v1/trace", content=FILE + b"--X--", headers={"Content-Type": kind}, timeout=30)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "malformed_form"), reply.text
