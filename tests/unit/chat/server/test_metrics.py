"""What is counted is what happened, in a form that Prometheus reads."""

import re

import httpx
import pytest

from netwright.chat.server.metrics import Counter, Histogram, Metrics
from scripted_server import saying, served

LINE = re.compile(r'[a-z_]+(\{([a-z_]+="([^"\\\n]|\\["\\n])*",?)*\})? [0-9.e+-]+')


def test_a_histogram_adds_up():
    one = Histogram("x", "about", (1.0, 2.0))
    for value, times in ((0.5, 1), (1.0, 2), (1.5, 1), (99, 3)):
        one.add(value, times)
    assert list(one.lines())[2:] == [
        'x_bucket{le="1.0"} 3', 'x_bucket{le="2.0"} 4', 'x_bucket{le="+Inf"} 7', "x_sum 301.0", "x_count 7",
    ]  # fmt: skip


def test_labels_are_escaped():
    one = Counter("x", "about")
    one.add(2, a='"\n\\')
    assert list(one.lines())[-1] == 'x{a="\\"\\n\\\\"} 2'


def test_a_large_count_loses_nothing():
    one = Counter("x", "about")
    one.add(123_456_789)
    assert list(one.lines())[-1] == "x 123456789"


@pytest.mark.parametrize("stream", [True, False])
def test_what_a_server_tells(stream):
    batch, _ = saying("Hello")
    with served({"m": batch}) as server:
        asked = {"messages": [{"role": "user", "content": "Hi"}], "stream": stream, "n": 2}
        for _ in range(3):
            assert httpx.post(f"{server.at}/v1/chat/completions", json=asked).status_code == 200
        httpx.get(f"{server.at}/no%0Asuch%22path")
        reply = httpx.get(f"{server.at}/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = [line for line in reply.text.splitlines() if not line.startswith("#")]
    assert all(LINE.fullmatch(line) for line in lines), lines
    told = dict(line.rsplit(" ", 1) for line in lines)
    assert told['netwright_requests_total{route="/v1/chat/completions",status="200"}'] == "3"
    assert told['netwright_requests_total{route="other",status="404"}'] == "1"
    assert told['netwright_tokens_total{model="m",kind="reply"}'] == "30"
    assert told["netwright_first_token_seconds_count"] == "6"
    assert told["netwright_token_seconds_count"] == "24"
    assert told['netwright_queue_depth{model="m"}'] == "0"
    assert told["netwright_replies"] == "0"
    assert float(told["process_resident_memory_bytes"]) > 1e7


def test_nothing_is_counted_before_anything_happens():
    assert "netwright_requests_total{" not in Metrics().text([])
