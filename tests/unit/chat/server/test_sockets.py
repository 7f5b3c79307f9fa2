"""Conversations over a WebSocket, cancelled, malformed, slow and of strangers."""

import json
import os
import socket
import time

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from netwright.chat.server.settings import Key
from netwright.core.web import hashed
from scripted_server import endless, saying, served

CHAT = {"messages": [{"role": "user", "content": "Hi"}], "temperature": 0}


def place(server):
    return server.at.replace("http", "ws") + "/v1/chat/stream"


def whole(line):
    """Messages until the last one of a reply."""
    found = []
    while True:
        found.append(json.loads(line.recv(10)))
        if "error" in found[-1] or found[-1].get("type") in ("done", "cancelled"):
            return found


def text(messages):
    return "".join(one["choices"][0]["delta"].get("content", "") for one in messages if one.get("choices"))


def test_one_request_after_another(hello):
    with connect(place(hello)) as line:
        for _ in range(3):
            line.send(json.dumps({**CHAT, "stream_options": {"include_usage": True}}))
            found = whole(line)
            assert text(found) == "Hello, world!"
            assert found[-1] == {"type": "done"}
            assert found[-2]["usage"]["completion_tokens"] == 13
            assert found[0]["choices"][0]["delta"]["role"] == "assistant"


def test_a_cancel_ends_the_reply_within_a_token_and_the_connection_goes_on():
    batch, decoder = endless(seconds=0.05)
    with served({"m": batch}) as server, connect(place(server)) as line:
        line.send(json.dumps(CHAT))
        for _ in range(5):
            line.recv(5)
        at = decoder.count
        line.send(json.dumps({"type": "cancel"}))
        found = whole(line)
        assert found[-1] == {"type": "cancelled"}
        assert decoder.count <= at + 2
        line.send(json.dumps({**CHAT, "max_tokens": 3}))
        assert text(whole(line)) == "aaa"
        line.send(json.dumps({"type": "cancel"}))
        line.send(json.dumps({**CHAT, "max_tokens": 2}))
        assert text(whole(line)) == "aa"


def test_a_client_that_leaves_ends_its_reply():
    batch, decoder = endless(seconds=0.05)
    with served({"m": batch}) as server:
        with connect(place(server)) as line:
            line.send(json.dumps(CHAT))
            line.recv(5)
            line.recv(5)
        at = decoder.count
        time.sleep(0.4)
        assert decoder.count <= at + 2
        assert "netwright_replies 0" in httpx.get(f"{server.at}/metrics").text


@pytest.mark.parametrize(
    "sent", ["", "{", "[]", "3", "null", '"x"', "[" * 50_000, b"\x00\x01", "{}", '{"messages": 3}', '{"type": "stop"}',
             '{"messages": [{"role": "user", "content": "Hi"}], "temperature": "warm"}',
             '{"messages": [{"role": "user", "content": "Hi"}], "model": "no"}',
             '{"messages": [{"role": "user", "content": "\\ud800"}]}'],
)  # fmt: skip
def test_what_is_no_request_is_told_and_the_connection_goes_on(hello, sent):
    with connect(place(hello)) as line:
        line.send(sent)
        told = json.loads(line.recv(10))
        assert set(told["error"]) == {"message", "type", "param", "code"}
        line.send(json.dumps(CHAT))
        assert text(whole(line)) == "Hello, world!"


def test_a_second_request_while_one_is_answered():
    batch, _ = endless(seconds=0.02)
    with served({"m": batch}) as server, connect(place(server)) as line:
        line.send(json.dumps({**CHAT, "max_tokens": 40}))
        line.recv(5)
        line.send(json.dumps(CHAT))
        found = whole(line)
        assert found[-1]["error"]["code"] == "busy"
        found += whole(line)
        assert found[-1] == {"type": "done"}


def frame(opcode, payload=b"", fin=True, mask=True, length=None):
    """A frame, right or wrong."""
    size = len(payload) if length is None else length
    head = bytes([(0x80 if fin else 0) | opcode])
    bit = 0x80 if mask else 0
    head += bytes([bit | size]) if size < 126 else bytes([bit | 127]) + size.to_bytes(8, "big")
    return head + (b"\0\0\0\0" if mask else b"") + payload


@pytest.mark.parametrize(
    "sent", [frame(1, b"{}", mask=False), frame(3), frame(0, b"x"), frame(9, b"x" * 126), frame(1, b"\xff\xfe"),
             frame(8, b"\x00"), frame(8, b"\x03\xe8\xff"), frame(1, b"", length=2**62), b"\xff" * 50,
             frame(1, b"{", fin=False) + frame(1, b"}"), bytes([0xC1, 0x80, 0, 0, 0, 0]),
             os.urandom(500), frame(1, b"x")[:3]],
)  # fmt: skip
def test_malformed_frames_end_their_connection_only(hello, sent):
    port = int(hello.at.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.settimeout(5)
        line.sendall(
            b"GET /v1/chat/stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        assert b"101" in line.recv(2000)
        line.sendall(sent)
        line.shutdown(socket.SHUT_WR)
        while line.recv(10_000):
            pass
    with connect(place(hello)) as again:
        again.send(json.dumps(CHAT))
        assert text(whole(again)) == "Hello, world!"


def test_a_message_that_is_too_large_ends_the_connection():
    batch, _ = saying("x")
    with served({"m": batch}, body=1000) as server, connect(place(server)) as line:
        line.send("x" * 5000)
        told = []
        with pytest.raises(ConnectionClosed):
            told += iter(line.recv, None)
        assert told == [] or "request_too_large" in told[0]
    with served({"m": saying("x")[0]}) as server, connect(place(server)) as line:
        line.send("\U0001f600" * 2_000_000)
        assert "error" in json.loads(line.recv(10))


def test_pages_of_others_and_strangers_are_refused():
    keys = {"a": Key(hash=hashed("a-key-of-mine"), requests=2)}
    with served({"m": saying("Hello")[0]}, keys=keys) as server:
        for headers in ({}, {"Authorization": "Bearer wrong-key-there"}):
            with pytest.raises(InvalidStatus) as told, connect(place(server), additional_headers=headers):
                pass
            assert told.value.response.status_code == 401
            assert json.loads(told.value.response.body)["error"]["code"] == "invalid_api_key"
        right = {"Authorization": "Bearer a-key-of-mine"}
        with (
            pytest.raises(InvalidStatus) as told,
            connect(place(server), additional_headers=right, origin="https://evil.example"),
        ):
            pass
        assert told.value.response.status_code == 403
        with connect(place(server), subprotocols=["netwright", "bearer.a-key-of-mine"], origin=server.at) as line:
            assert line.subprotocol == "netwright"
            for _ in range(2):
                line.send(json.dumps(CHAT))
                assert text(whole(line)) == "Hello"
            line.send(json.dumps(CHAT))
            assert whole(line)[-1]["error"]["code"] == "rate_limit_exceeded"
    with served({"m": saying("Hello")[0]}) as server:
        with pytest.raises(InvalidStatus), connect(place(server), origin="http://evil.example"):
            pass
        with pytest.raises(InvalidStatus), connect(place(server), additional_headers={"Host": "evil.example"}):
            pass


def test_a_client_that_reads_nothing_is_cut():
    batch, decoder = endless()
    with served({"m": batch}, stall_s=0.5, max_tokens=1_000_000) as server:
        line = socket.socket()
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.connect(("127.0.0.1", int(server.at.rpartition(":")[2])))
        line.sendall(
            b"GET /v1/chat/stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        assert b"101" in line.recv(2000)
        body = json.dumps({**CHAT, "max_tokens": 900_000}).encode()
        line.sendall(b"\x81\xfe" + len(body).to_bytes(2, "big") + b"\0\0\0\0" + body)
        deadline = time.monotonic() + 10
        while "netwright_cancelled_total 1" not in httpx.get(f"{server.at}/metrics").text:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        line.close()
        assert decoder.count < 200_000
