"""The HTTP endpoint as a friend and as an enemy: slow clients, huge bodies, strange paths, wrong values."""

import contextlib
import json
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netwright.core import artifact, workload
from netwright.core.error import UserError
from netwright.core.workload import Operator, Workload
from netwright.hardware import catalog
from netwright.predict import learned, server

NET = Workload(name="net", batch=1, parameters=10, operators=(Operator(name="mm", flops=1e9),))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    about = {"format": "torch", "precision": "fp32", "inputs": {}, "task": {"name": "mnist"}, "model": {"name": "cnn"}}
    for place in ("below/mine", "secret"):
        artifact.create(folder / place, lambda draft: workload.write(NET, draft), **about)
    (folder / "below" / "link").symlink_to(folder / "secret")
    (folder / "below" / "config.json").write_text("{}")
    (folder / "below" / "code.py").write_text("raise SystemExit")
    return folder / "below"


@pytest.fixture(scope="module")
def address(root):
    patch = pytest.MonkeyPatch()
    patch.setattr(learned, "rows", lambda *_: None)
    patch.setattr(learned, "check", lambda: None)
    patch.setattr(server, "HEADER_SECONDS", 0.4)
    listening = server.listener(root, "127.0.0.1", 0)
    thread = threading.Thread(target=listening.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not listening.started:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    yield listening.servers[0].sockets[0].getsockname()
    listening.should_exit = True
    thread.join(10)
    patch.undo()


def get(address, path, body=None, method=None):
    request = urllib.request.Request(f"http://{address[0]}:{address[1]}{path}", data=body, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as fault:
        return fault.code, fault.read()


def ask(address, path="/predict", **query):
    status, body = get(address, f"{path}?{urllib.parse.urlencode(query, doseq=True)}")
    return status, json.loads(body)


def test_a_prediction(address):
    status, told = ask(address, model="Qwen3-8B", device="l40s", batch=4)
    assert status == 200
    by = {one["quantity"]: one for one in told["predictions"]}
    assert by["time_per_output_token"]["low"] < by["time_per_output_token"]["value"]
    assert by["latency"]["conditions"]["batch"] == 4
    assert told["refused"] == []


def test_a_prediction_as_json(address):
    question = {"model": "Qwen3-8B", "device": ["l4", "h100"], "batch": 2, "parallel": "tp=2", "price": "spot"}
    status, body = get(address, "/predict", json.dumps(question).encode())
    told = json.loads(body)
    assert status == 200
    assert {one["device"] for one in told["predictions"]} == {"NVIDIA L4", "NVIDIA H100 SXM"}
    assert told["predictions"][0]["conditions"]["devices"] == 2


def test_advice(address):
    status, told = ask(address, "/advise", model="Qwen3-8B", max_per_token=0.02, objective="latency", batch=1)
    assert status == 200
    assert told["choices"][0]["rank"] == 1
    assert told["excluded"]


def test_the_rest_of_the_interface(address):
    status, body = get(address, "/")
    assert (status, body[:15]) == (200, b"<!doctype html>")
    request = urllib.request.Request(f"http://{address[0]}:{address[1]}/", headers={"Accept": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as reply:
        told = json.load(reply)
    takes = {name for path in told.values() for name in path.get("takes", ())} - {"needs"}
    assert takes == set(server.KNOWN)
    assert json.loads(get(address, "/devices")[1])["devices"] == [device.name for device in catalog.all()]


def test_an_artifact_below_the_root(address):
    status, told = ask(address, model="mine", device="l4")
    assert (status, told["model"]) == (200, "net")


@pytest.mark.parametrize(
    "model",
    [
        "../secret", "mine/../../secret", "link", "/etc/passwd", "..", ".", "", "mine\0", "config.json", "code.py",
        "//etc/passwd", "file:///etc/passwd", "os:getcwd", "code:main", "%2e%2e/secret", "x" * 3000, "a=b",
    ],
)  # fmt: skip
def test_no_other_file_can_be_named(address, root, model):
    status, told = ask(address, model=model, device="l4")
    assert status == 400
    assert told["error"]["setting"] in ("model", "a")
    assert str(root.parent) not in json.dumps(told)
    assert "Traceback" not in json.dumps(told)


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"device": "rtx 9090"}, "device"),
        ({"device": []}, "device"),
        ({"device": 7}, "device"),
        ({"device": ["l4"] * 1000}, "device"),
        ({"batch": "many"}, "batch"),
        ({"batch": -1}, "batch"),
        ({"batch": True}, "batch"),
        ({"batch": 10**30}, "batch"),
        ({"batch": 1.5}, "batch"),
        ({"precision": "fp7"}, "precision"),
        ({"parallel": "tp=x"}, "parallel"),
        ({"devices": 0}, "devices"),
        ({"electricity": "dear"}, "electricity"),
        ({"price": "stolen"}, "price"),
        ({"training": "perhaps"}, "training"),
        ({"bacth": 1}, "bacth"),
        ({"model": None}, "model"),
        ({"model": ["Qwen3-8B"]}, "model"),
    ],
    ids=str,
)
def test_wrong_values_are_told(address, changes, setting):
    question = {"model": "Qwen3-8B", "device": "l4", **changes}
    status, body = get(address, "/predict", json.dumps(question).encode())
    assert status == 400
    assert json.loads(body)["error"]["setting"] == setting


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"7", b'"x"', b"\xff\xfe", b"[" * 50_000, b"NaN", b'{"model": "Qwen3-8B"}']
)
def test_bodies_that_are_no_question(address, body):
    status, told = get(address, "/predict", body, "POST")
    assert status == 400
    assert json.loads(told)["error"]["allowed"]


def test_a_name_said_twice(address):
    status, body = get(address, "/predict?model=Qwen3-8B&device=l4&batch=1&batch=2")
    assert (status, json.loads(body)["error"]["setting"]) == (400, "query")


def test_a_huge_body_is_not_read_to_its_end(address):
    with socket.create_connection(address, timeout=20) as line:
        line.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n" + b"x" * 200_000)
        assert line.recv(100).startswith(b"HTTP/1.1 413")


def test_other_paths_and_methods(address):
    assert get(address, "/../../etc/passwd")[0] == 404
    assert get(address, "/nothing")[0] == 404
    assert json.loads(get(address, "/nothing")[1])["error"]["setting"] == "path"
    assert get(address, "/predict", method="DELETE")[0] == 404


def test_a_slow_client_is_hung_up_on_and_others_are_served(address):
    lines = [socket.create_connection(address, timeout=10) for _ in range(8)]
    for line in lines:
        line.sendall(b"GET /predict HTTP/1.1\r\nHost: ")
    assert ask(address, model="Qwen3-8B", device="l4")[0] == 200
    for line in lines:
        assert line.recv(10) == b""  # closed
        line.close()


def test_a_client_that_goes_away(address):
    for _ in range(3):
        with socket.create_connection(address, timeout=10) as line:
            line.sendall(b"GET /predict?model=Qwen3-8B&device=l4 HTTP/1.1\r\nHost: x\r\n\r\n")
    time.sleep(0.2)
    assert ask(address, model="Qwen3-8B", device="l4")[0] == 200


def test_too_many_at_once_are_told_to_come_again(address, monkeypatch):
    until = threading.Event()

    def slow(asked, root):
        assert until.wait(20)
        return {}

    monkeypatch.setattr(server, "predictions", slow)
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda: statuses.append(ask(address, model="x")[0])) for _ in range(12)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 15
    while len(statuses) < 12 - server.AT_ONCE and time.monotonic() < deadline:
        time.sleep(0.01)
    until.set()
    for thread in threads:
        thread.join(20)
    assert sorted(statuses) == [200] * server.AT_ONCE + [503] * (12 - server.AT_ONCE)


def test_a_question_that_takes_too_long(address, monkeypatch):
    monkeypatch.setattr(server, "SECONDS", 0.2)
    monkeypatch.setattr(server, "predictions", lambda asked, root: time.sleep(0.8))
    assert ask(address, model="x")[0] == 408
    time.sleep(0.8)


def test_a_fault_of_ours_says_no_more_than_its_kind(address, monkeypatch):
    def broken(asked, root):
        raise RuntimeError("the secret of the house")

    monkeypatch.setattr(server, "predictions", broken)
    status, body = get(address, "/predict?model=x")
    assert status == 500
    assert b"secret" not in body


values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.dictionaries(st.sampled_from(server.KNOWN) | st.text(max_size=8), values, max_size=5))
def test_any_question_is_answered_or_refused(asked):
    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(UserError):
        patch.setattr(learned, "rows", lambda *_: None)
        assert server.predictions({"model": "Qwen3-8B", "device": "h200", **asked}, None)["predictions"]
