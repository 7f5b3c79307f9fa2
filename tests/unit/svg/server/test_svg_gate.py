"""Who may ask: by host, by origin, by key; and how many at once."""

import threading
import time

import httpx
import pytest

from netwright.core import web
from netwright.core.error import UserError
from netwright.svg.server import bench as benches
from netwright.svg.server.settings import Config
from svg_server import Held, logo, png, served

LOGO = png(logo(16))
SECRET = "a-key-that-is-mine"
ASKED = "/v1/trace?preset=polygon"


@pytest.fixture(scope="module")
def locked():
    with served(key=web.hashed(SECRET)) as made:
        yield made


def post(server, path=ASKED, **headers):
    return httpx.post(server.at + path, content=LOGO, headers=headers, timeout=30)


def refused(reply, status, code):
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code), reply.text
    return reply


@pytest.mark.parametrize("host", ["localhost", "localhost:99", "127.0.0.1", "[::1]:8000"])
def test_our_own_names_are_answered(server, host):
    assert post(server, "/v1/nothing", Host=host).status_code == 404


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[", "0.0.0.0"])
def test_a_name_that_leads_here_by_rebinding_is_refused(server, host):
    refused(post(server, Host=host), 403, "unknown_host")
    refused(httpx.get(server.at, headers={"Host": host}), 403, "unknown_host")


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "file://", "http://["])
def test_a_page_of_another_origin_may_not_ask(server, origin):
    refused(post(server, Origin=origin), 403, "unknown_origin")


def test_a_page_of_our_own_may_ask(server):
    assert post(server, Origin=server.at).status_code == 200


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer wrong", f"Basic {SECRET}", f"Bearer {SECRET}x", "Bearer \xe9"]
)
@pytest.mark.parametrize("path", [ASKED, "/v1/front", "/v1/about"])
def test_without_the_key_nothing_is_answered(locked, path, header):
    told = {"Authorization": header.encode("latin-1")} if header else {}
    reply = refused(
        httpx.request("GET" if "about" in path else "POST", locked.at + path, headers=told), 401, "invalid_key"
    )
    assert reply.headers["www-authenticate"] == "Bearer"
    assert SECRET not in reply.text


def test_with_the_key_everything_is_answered_under_any_name(locked):
    assert post(locked, Authorization=f"Bearer {SECRET}", Host="svg.example").status_code == 200
    for path in ("/", "/svg.js", "/svg.css", "/health", "/openapi.json"):
        assert httpx.get(locked.at + path).status_code == 200


def test_other_machines_are_answered_with_a_key_only():
    for host in ("0.0.0.0", "::", "192.168.0.7"):
        with pytest.raises(UserError, match="without a key"):
            Config(host=host)
        assert Config(host=host, key=web.hashed(SECRET)).host == host
    with pytest.raises(UserError, match="port"):
        Config(port=70_000)


def test_more_than_may_wait_are_told_to_come_again(monkeypatch):
    Held.made = []
    monkeypatch.setattr(benches, "Tracer", Held)
    with served(waiting=1) as one:
        statuses = []

        def ask():
            statuses.append(post(one).status_code)

        asking = [threading.Thread(target=ask) for _ in range(2)]
        for thread in asking:
            thread.start()
        deadline = time.monotonic() + 20
        while httpx.get(f"{one.at}/health").json() != {"status": "ready", "under_way": 1, "waiting": 1}:
            assert time.monotonic() < deadline
        reply = refused(post(one), 503, "busy")
        assert int(reply.headers["retry-after"]) >= 1
        while any(thread.is_alive() for thread in asking):
            assert time.monotonic() < deadline
            for tracer in Held.made:
                tracer.go.set()
            time.sleep(0.01)
    assert statuses == [200, 200]


def test_a_fault_of_ours_is_told_without_its_words(server, monkeypatch):
    from netwright.svg.server import work

    def broken(*_):
        raise RuntimeError("secret of the machine")
        yield

    monkeypatch.setattr(work, "trace", broken)
    reply = refused(post(server), 500, "internal_error")
    assert "secret" not in reply.text
