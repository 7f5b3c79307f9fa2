"""A server that is told to stop: replies come to their end, or are told why not; slow headers are closed."""

import json
import socket
import threading
import time

import httpx
import openai
import pytest

from netwright.chat.batch import InTurn
from netwright.chat.engine import Engine
from netwright.core import listening
from scripted_server import TOKENIZER, Slow, saying, served

CHAT = {"messages": [{"role": "user", "content": "Hi"}], "temperature": 0}


def stopping(server):
    server.should_exit = True
    return time.monotonic()


def replying(server, count):
    """Waits until so many replies are under way: a request that is not accepted yet is refused when a server stops."""
    deadline = time.monotonic() + 60
    while f"netwright_replies {count}" not in httpx.get(f"{server.at}/metrics").text:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def asked_until_refused(server):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        httpx.get(f"{server.at}/health")


def test_replies_under_way_come_to_their_end():
    batch, _ = saying("Hello, world!", seconds=0.08)
    with served({"m": batch}, drain_s=20) as server:
        found = {}

        def ask(stream):
            body = {**CHAT, "stream": stream}
            found[stream] = httpx.post(f"{server.at}/v1/chat/completions", json=body, timeout=30).text

        asking = [threading.Thread(target=ask, args=(stream,)) for stream in (True, False)]
        for one in asking:
            one.start()
        replying(server, 2)
        stopping(server)
        with pytest.raises(httpx.ConnectError):
            asked_until_refused(server)
        for one in asking:
            one.join(20)
    assert json.loads(found[False])["choices"][0]["message"]["content"] == "Hello, world!"
    assert found[True].endswith("data: [DONE]\n\n")
    assert '"error"' not in found[True]


def test_replies_that_take_too_long_are_told_so():
    decoder = Slow(lambda ids: 64, 0.05)
    batch = InTurn([Engine(one, TOKENIZER, lookup=False) for one in (decoder, Slow(lambda ids: 64, 0.05))])
    with served({"m": batch}, drain_s=0.5) as server:
        found = {}

        def ask():
            found["reply"] = httpx.post(f"{server.at}/v1/chat/completions", json=CHAT, timeout=30)

        asking = threading.Thread(target=ask)
        asking.start()
        with openai.OpenAI(base_url=f"{server.at}/v1", api_key="x", max_retries=0) as client:
            stream = client.chat.completions.create(model="m", messages=CHAT["messages"], stream=True)
            first = [next(stream)]
            replying(server, 2)
            begin = stopping(server)
            with pytest.raises(openai.APIError, match="stopping"):
                first += list(stream)
        asking.join(10)
        server.thread.join(10)
        assert not server.thread.is_alive()
        assert 0.4 < time.monotonic() - begin < 8
        assert (found["reply"].status_code, found["reply"].json()["error"]["code"]) == (503, "stopping")
        count = decoder.count
        time.sleep(0.2)
        assert decoder.count == count


def test_headers_that_dawdle_are_closed(monkeypatch):
    monkeypatch.setattr(listening, "HEADER_S", 0.3)
    batch, _ = saying("x")
    with served({"m": batch}) as server:
        for begun in (b"", b"GET /health HTTP/1.1\r\nHost: loc"):
            with socket.create_connection(("127.0.0.1", int(server.at.rpartition(":")[2]))) as line:
                line.sendall(begun)
                line.settimeout(5)
                assert line.recv(1000) == b""


@pytest.mark.parametrize(
    "sent", [b"\x00\xff\x16\x03\x01" * 20, b"GET / HTTP/9.9\r\n\r\n", b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
             b"GET / HTTP/1.1\r\nA: " + b"b" * 100_000 + b"\r\n\r\n",
             b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
             b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"],
)  # fmt: skip
def test_what_is_no_http_ends_its_connection_only(hello, sent):
    with socket.create_connection(("127.0.0.1", int(hello.at.rpartition(":")[2]))) as line:
        line.settimeout(5)
        line.sendall(sent)
        try:
            told = line.recv(1000)
        except ConnectionResetError:
            told = b""
    assert told == b"" or told.split()[1] in (b"400", b"403", b"431"), told
    assert httpx.get(f"{hello.at}/health").status_code == 200
