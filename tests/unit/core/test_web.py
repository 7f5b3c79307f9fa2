"""Keys, names and origins of a server, by property; what a stranger may send in a header."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.core import web
from netwright.core.error import UserError

KEYS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=web.SHORTEST_KEY, max_size=60)


@settings(deadline=None)
@given(KEYS, KEYS)
def test_a_kept_key_fits_itself_alone(key, other):
    kept = web.hashed(key)
    assert key not in kept
    assert web.fits(kept, key)
    assert web.fits(kept, other) == (key == other)
    assert web.hashed(key) != kept, "the salt is new each time"
    assert web.hashed(key, kept.split(":")[1]) == kept


@settings(deadline=None)
@given(st.text())
def test_whatever_is_sent_fits_no_key_that_it_is_not(sent):
    assert not web.fits(web.hashed("the-only-key"), sent + "?")


@pytest.mark.parametrize("key", ["short", "with a space", "ümlaut-key", "line\nbreak", ""])
def test_keys_that_are_none_are_refused_without_being_shown(key):
    with pytest.raises(UserError, match="at least 8") as fault:
        web.hashed(key)
    assert not key or key not in str(fault.value)


def test_new_keys_are_keys_and_differ():
    assert web.hashed(web.new_key())
    assert web.new_key() != web.new_key()


@pytest.mark.parametrize(
    ("header", "key"),
    [("Bearer abc", "abc"), ("bearer  abc ", "abc"), ("Basic abc", ""), ("abc", ""), ("", ""), ("Bearer", "")],
)
def test_the_key_of_a_header(header, key):
    assert web.bearer(header) == key


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "[::1]", "localhost"])
def test_this_machine_is_answered_without_a_key(host):
    web.check_bind("host", host, False, "--key")
    assert web.is_loopback(host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.168.1.5", "localhost.example.org", "example.org", "", "127.0.0.1.x"]
)
def test_others_are_answered_with_a_key_only(host):
    with pytest.raises(UserError, match="without a key"):
        web.check_bind("host", host, False, "--key")
    web.check_bind("host", host, True, "--key")


@pytest.mark.parametrize(
    ("header", "name"),
    [("localhost:80", "localhost"), ("[::1]:9", "::1"), ("a.b", "a.b"), ("", ""), ("[", ""), ("u@evil:1", "evil")],
)
def test_the_name_of_a_host(header, name):
    assert web.host_name(header) == name


@settings(deadline=None)
@given(st.text())
def test_any_header_has_a_name_or_none(header):
    assert isinstance(web.host_name(header), str)
    assert not web.is_own_origin("https://evil.example", header.replace("evil.example", ""))


@pytest.mark.parametrize(
    ("origin", "own"),
    [
        ("http://a:8", True),
        ("http://a", False),
        ("http://a:9", False),
        ("null", False),
        ("http://[", False),
        ("", False),
    ],
)
def test_an_origin_is_ours_or_not(origin, own):
    assert web.is_own_origin(origin, "a:8") == own


def test_a_page_may_load_its_own_files_and_nothing_else():
    policy = web.page_headers("'self' blob:")["Content-Security-Policy"]
    told = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert told["default-src"] == told["frame-ancestors"] == told["form-action"] == told["base-uri"] == "'none'"
    assert told["img-src"] == "'self' blob:"
    assert told["script-src"] == told["style-src"] == "'self'"


class Transport:
    """Notes that it was cut."""

    cut = False

    def abort(self):
        self.cut = True


def test_a_connection_is_cut_by_its_client():
    connections, one, other = web.Connections(), Transport(), Transport()
    connections.add(("127.0.0.1", 1), one)
    connections.add(("127.0.0.1", 2), other)
    connections.cut({"client": ["127.0.0.1", 1]})
    connections.cut({"client": ["127.0.0.1", 3]})
    connections.cut({})
    assert (one.cut, other.cut) == (True, False)
