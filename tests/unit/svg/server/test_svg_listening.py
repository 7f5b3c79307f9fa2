"""Clients that go, dawdle or never read, and a server that is told to stop: no tracer works for nobody."""

import json
import socket
import threading
import time

import httpx
import psutil
import pytest

from netwright.svg import measured
from netwright.svg.server import bench as benches
from svg_server import Held, logo, png, served

LOGO = png(logo(32))


@pytest.fixture
def held(monkeypatch):
    Held.made = []
    monkeypatch.setattr(benches, "Tracer", Held)
    return Held


def until(true):
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def connection(server, head, body=b""):
    host, port = server.at.removeprefix("http://").split(":")
    made = socket.create_connection((host, int(port)), timeout=20)
    made.sendall(f"{head}\r\nHost: {host}\r\n".encode() + body)
    return made


def sent(server, path, content=LOGO):
    return connection(server, f"POST {path} HTTP/1.1", b"Content-Length: %d\r\n\r\n" % len(content) + content)


def ended(made):
    """Everything that still comes over a connection that the server closes."""
    found = b""
    with made:
        while part := made.recv(65536):
            found += part
    return found


def whole(made):
    """Whether an answer comes to its end, and is not cut."""
    try:
        return ended(made).endswith(b"0\r\n\r\n")
    except ConnectionError:
        return False


@pytest.mark.parametrize("path", ["/v1/trace", "/v1/trace?stream=true", "/v1/front"])
def test_a_client_that_goes_ends_its_trace(held, path):
    with served() as server:
        made = sent(server, path)
        until(lambda: any(one.begun.is_set() for one in held.made))
        tracer = next(one for one in held.made if one.begun.is_set())
        assert not tracer.stopped
        made.close()
        until(lambda: tracer.stopped)
        until(lambda: httpx.get(f"{server.at}/health").json() == {"status": "ready", "under_way": 0, "waiting": 0})


def test_headers_that_do_not_come_are_not_waited_for():
    with served(header_s=0.2) as server:
        assert ended(connection(server, "POST /v1/trace HTTP/1.1")) == b""


def test_a_body_that_does_not_come_is_not_waited_for():
    with served(stall_s=0.2) as server:
        made = connection(server, "POST /v1/trace HTTP/1.1", b"Content-Length: 500\r\n\r\nabc")
        told = ended(made)
        assert b"408" in told.split(b"\r\n")[0]
        assert b"did not come in time" in told


def test_a_client_that_goes_while_it_sends_leaves_nothing(held):
    with served() as server:
        made = connection(server, "POST /v1/trace HTTP/1.1", b"Content-Length: 500\r\n\r\nabc")
        made.close()
        reply = httpx.post(f"{server.at}/v1/trace", content=b"no image", timeout=20)
        assert reply.status_code == 400
        assert not any(one.begun.is_set() for one in held.made)


def large(*_, **__):
    """An SVG that fills every buffer."""
    return f'<svg width="32" height="32" xmlns="http://www.w3.org/2000/svg"><!-- {"x" * 4_000_000} --></svg>'


def test_a_client_that_reads_nothing_is_cut_off(monkeypatch):
    monkeypatch.setattr(measured, "written", large)
    with served(stall_s=0.3) as server:
        made = sent(server, "/v1/front")
        until(lambda: server.server_state.connections)
        until(lambda: not server.server_state.connections)
        assert not whole(made)


def test_a_server_that_is_told_to_stop_ends_what_is_under_way(held):
    with served() as server:
        found = {}

        def ask():
            found["reply"] = httpx.post(f"{server.at}/v1/front", content=LOGO, timeout=30)

        asking = threading.Thread(target=ask)
        asking.start()
        until(lambda: any(one.begun.is_set() for one in held.made))
        server.should_exit = True
        asking.join(20)
    last = json.loads(found["reply"].text.splitlines()[-1])
    assert last["event"] == "error"
    assert last["error"]["code"] == "stopping"
    assert all(one.stopped or one.closed for one in held.made if one.begun.is_set())


def children():
    return set(psutil.Process().children())


def test_no_process_is_left_behind():
    before = children()
    with served() as server:
        assert httpx.post(f"{server.at}/v1/trace?preset=polygon", content=LOGO, timeout=30).status_code == 200
        assert len(children() - before) == 1
    assert children() == before
