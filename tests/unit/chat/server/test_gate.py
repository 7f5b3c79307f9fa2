"""Hosts, origins, sizes, ids and keys: what a request passes before anything answers it."""

import json
import logging
import socket
import time

import httpx
import openai
import pytest

from netwright.chat.server.settings import Key
from netwright.core.web import hashed
from scripted_server import endless, saying, served

CHAT = {"messages": [{"role": "user", "content": "Hi"}]}
STREAM = {**CHAT, "stream": True}
SECRET, OTHER = "a-key-of-somebody", "a-key-of-another"


@pytest.fixture(scope="module")
def locked():
    keys = {
        "few": Key(hash=hashed(SECRET), requests=3, body=2000),
        "tokens": Key(hash=hashed(OTHER), tokens=100),
        "one": Key(hash=hashed("only-one-at-once"), at_once=1),
    }
    batch, _ = saying("Hello, world!", seconds=0.01)
    with served({"m": batch}, keys=keys, cors=("https://pages.example",), stall_s=1.0) as server:
        yield server


def post(server, body=None, path="/v1/chat/completions", key="", **headers):
    if key:
        headers["Authorization"] = f"Bearer {key}"
    content = json.dumps(CHAT if body is None else body) if not isinstance(body, (bytes, str)) else body
    return httpx.post(server.at + path, content=content, headers={"Content-Type": "application/json", **headers})


def fault(reply, status, code):
    assert reply.status_code == status, reply.text
    told = reply.json()["error"]
    assert set(told) == {"message", "type", "param", "code"}
    assert told["code"] == code
    assert isinstance(told["message"], str)
    return told


@pytest.mark.parametrize("host", ["localhost", "localhost:99", "127.0.0.1", "[::1]:8000", "127.8.9.1"])
def test_our_own_names_are_answered(hello, host):
    assert post(hello, Host=host).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "[", "0.0.0.0"])
def test_a_name_that_leads_here_by_rebinding_is_refused(hello, host):
    fault(post(hello, Host=host), 403, "unknown_host")
    fault(httpx.get(f"{hello.at}/health", headers={"Host": host}), 403, "unknown_host")


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "file://"])
def test_a_page_of_another_origin_may_not_ask(hello, origin):
    fault(post(hello, Origin=origin), 403, "unknown_origin")


def test_a_page_of_our_own_may_ask(hello):
    assert post(hello, Origin=hello.at).status_code == 200


def test_cross_origin_requests_are_allowed_to_those_named(locked):
    wanted = {"Origin": "https://pages.example", "Access-Control-Request-Method": "POST"}
    told = httpx.options(f"{locked.at}/v1/chat/completions", headers=wanted)
    assert told.headers["access-control-allow-origin"] == "https://pages.example"
    wanted["Origin"] = "https://evil.example"
    assert "access-control-allow-origin" not in httpx.options(f"{locked.at}/v1/models", headers=wanted).headers


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/nothing"])
@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer wrong", f"Basic {SECRET}", f"Bearer {SECRET}x", "Bearer \xe9"]
)
def test_without_a_key_nothing_is_answered(locked, path, header):
    told = {"Authorization": header.encode("latin-1")} if header else {}
    reply = httpx.post(locked.at + path, json=CHAT, headers=told)
    fault(reply, 401, "invalid_api_key")
    assert reply.headers["www-authenticate"] == "Bearer"
    assert SECRET not in reply.text


def test_metrics_and_models_need_a_key_and_health_does_not(locked):
    fault(httpx.get(f"{locked.at}/metrics"), 401, "invalid_api_key")
    fault(httpx.get(f"{locked.at}/v1/models"), 401, "invalid_api_key")
    assert httpx.get(f"{locked.at}/health").json() == {"status": "ready", "models": {"m": "not loaded"}}


def test_the_client_of_openai_tells_errors_apart(locked, hello):
    def ask(server, key, **more):
        with openai.OpenAI(base_url=f"{server.at}/v1", api_key=key, max_retries=0) as client:
            client.chat.completions.create(**{"model": "m", **CHAT, **more})

    with pytest.raises(openai.AuthenticationError) as told:
        ask(locked, "wrong")
    assert told.value.code == "invalid_api_key"
    with pytest.raises(openai.NotFoundError) as told:
        ask(hello, "x", model="../../etc/passwd")
    assert told.value.code == "model_not_found"
    assert told.value.param == "model"
    with pytest.raises(openai.BadRequestError) as told:
        ask(hello, "x", temperature=7)
    assert told.value.param == "temperature"
    with pytest.raises(openai.APIStatusError) as told:
        ask(locked, SECRET, messages=[{"role": "user", "content": "x" * 3000}])
    assert told.value.status_code == 413
    statuses = [post(locked, {**CHAT, "max_tokens": 1}, key=SECRET).status_code for _ in range(5)]
    assert set(statuses[:2]) == {200}
    with pytest.raises(openai.RateLimitError) as told:
        ask(locked, SECRET)
    assert told.value.code == "rate_limit_exceeded"
    assert 1 <= int(told.value.response.headers["retry-after"]) <= 60


def test_tokens_a_minute_and_requests_at_once(locked):
    taken = 0
    for _ in range(10):
        reply = post(locked, key=OTHER)
        if reply.status_code == 429:
            break
        taken += reply.json()["usage"]["total_tokens"]
    fault(reply, 429, "rate_limit_exceeded")
    assert taken >= 100
    slow, _ = endless(seconds=0.02, longest=500)
    key = Key(hash=hashed("only-one-at-once"), at_once=1)
    with httpx.Client() as client, served({"m": slow}, keys={"one": key}) as server:
        headers = {"Authorization": "Bearer only-one-at-once"}
        with client.stream("POST", f"{server.at}/v1/chat/completions", json=STREAM, headers=headers) as it:
            lines = it.iter_lines()  # closing it would close the connection
            assert next(lines)
            fault(post(server, key="only-one-at-once"), 429, "rate_limit_exceeded")
        deadline = time.monotonic() + 5
        while post(server, {**CHAT, "max_tokens": 1}, key="only-one-at-once").status_code == 429:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_body_that_says_it_is_too_large_is_refused_before_it_comes(hello):
    with socket.create_connection(("127.0.0.1", int(hello.at.rpartition(":")[2]))) as line:
        head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        line.sendall(f"{head}Content-Length: 99000000\r\n\r\n".encode())
        line.settimeout(5)
        told = line.recv(10000) + line.recv(10000)
    assert b"413" in told.partition(b"\r\n")[0]
    assert b"request_too_large" in told


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "99999999999999999999"])
def test_a_wrong_length_is_no_fault_of_ours(hello, length):
    with socket.create_connection(("127.0.0.1", int(hello.at.rpartition(":")[2]))) as line:
        line.sendall(f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n".encode())
        line.settimeout(5)
        assert line.recv(10000).split()[1] in (b"400", b"413")


def test_a_body_that_grows_beyond_its_limit_is_cut(hello):
    def parts():
        for _ in range(12):
            yield b" " * 1_000_000

    reply = httpx.post(f"{hello.at}/v1/completions", content=parts(), headers={"Content-Type": "application/json"})
    fault(reply, 413, "request_too_large")
    assert post(hello).status_code == 200


def test_ten_megabytes_are_read_and_more_text_than_the_model_takes_is_refused_at_once(tmp_path):
    batch, decoder = saying("x", longest=1000)
    with served({"m": batch}) as server:
        begin = time.perf_counter()
        body = json.dumps({"messages": [{"role": "user", "content": "word " * 1_990_000}]})
        assert 9_900_000 < len(body) < 10_000_000
        fault(post(server, body), 400, "context_length_exceeded")
        assert time.perf_counter() - begin < 5
        assert decoder.count == 0


def test_a_body_that_dawdles_is_given_up(locked):
    with socket.create_connection(("127.0.0.1", int(locked.at.rpartition(":")[2]))) as line:
        key = "Authorization: Bearer only-one-at-once\r\n"
        head = f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n{key}Content-Length: 100\r\n\r\n{{"
        line.sendall(head.encode())
        line.settimeout(8)
        told = line.recv(10000)
    assert told.split()[1] == b"408"


def test_ids_are_given_back_and_strange_ones_replaced(hello):
    assert post(hello, **{"X-Request-Id": "mine-1"}).headers["x-request-id"] == "mine-1"
    assert post(hello, b"{", **{"X-Request-Id": "mine-2"}).headers["x-request-id"] == "mine-2"
    other = post(hello, **{"X-Request-Id": "not nice"}).headers["x-request-id"]
    assert len(other) == 32


def test_a_line_is_logged_of_each_request_and_no_text_of_it():
    lines = []

    class Kept(logging.Handler):
        def emit(self, record):
            lines.append(record.getMessage())

    logger = logging.getLogger("netwright.serve")
    before, logger.handlers, logger.propagate = logger.handlers, [Kept()], False
    logger.setLevel(logging.INFO)
    try:
        batch, _ = saying("An answer of mine")
        with served({"m": batch}, log=True, keys={"anna": Key(hash=hashed(SECRET))}) as server:
            body = {"messages": [{"role": "user", "content": "A private question"}], "user": "nobody"}
            post(server, body, key=SECRET, **{"X-Request-Id": "q1"})
            post(server, body, key=SECRET + "x")
            post(server, {**body, "temperature": "private"}, key=SECRET)
    finally:
        logger.handlers = before
    told = [json.loads(line) for line in lines]
    assert [one["status"] for one in told] == [200, 401, 400]
    assert told[0].items() >= {"id": "q1", "key": "anna", "model": "m", "tokens": 17}.items()
    assert told[0]["seconds"] > told[0]["first_token"] > 0
    whole = "".join(lines)
    assert "rivate" not in whole
    assert "answer of mine" not in whole
    assert SECRET not in whole
