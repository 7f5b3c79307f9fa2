"""What a server did over time is counted once, outlives it, and is told in as few points as a page can draw."""

import asyncio
import json
import sys
import time

import httpx
import pytest

from netwright.chat.history.nodes import About
from netwright.chat.history.store import History
from netwright.chat.server import monitor, reevaluation
from netwright.chat.server.answering import Desk
from netwright.chat.server.metrics import Metrics
from netwright.chat.server.monitor import Monitor
from netwright.chat.server.reevaluation import Reevaluation
from netwright.chat.server.settings import Config
from netwright.chat.server.shelf import Shelf, Volume
from netwright.core.error import UserError
from scripted_server import saying, served


@pytest.fixture
def watched(tmp_path):
    desk = Desk(Config(), Shelf({}, lambda: 0), Metrics())
    with History.open(tmp_path) as history:
        yield Monitor(history, desk), desk, history


def test_what_is_counted_is_counted_once(watched):
    one, desk, _ = watched
    desk.metrics.requests.add(3, route="/x", status="200")
    desk.metrics.requests.add(1, route="/x", status="500")
    desk.metrics.requests.add(2, route="/x", status="404")
    desk.metrics.tokens.add(40, model="m", kind="reply")
    desk.metrics.tokens.add(400, model="m", kind="prompt")
    desk.metrics.first.add(0.5)
    desk.metrics.each.add(0.1, 39)
    row = one.sample()
    counted = [row[name] for name in ("requests", "refused", "errors", "tokens", "replies")]
    assert counted == [6, 2, 1, 40, 1]
    one.keep(row)
    again = one.sample()
    assert all(again[name] == 0 for name in monitor.ADDED)
    one.keep({**again, "time": row["time"] + 0.001})
    told = one.series(1)
    (point,) = told["points"]
    assert point["first_token"] == 0.5
    assert point["per_second"] == pytest.approx(10)
    assert point["memory"] > 1e6


def test_many_samples_become_few_points_and_old_ones_go(watched):
    one, _, history = watched
    now = time.time()
    empty = {**one.sample(), **dict.fromkeys(monitor.ADDED, 0), "seconds": 30.0}
    for at in range(500):
        one.keep({**empty, "time": now - 3600 * 24 + at * 172, "requests": 1})
    points = one.series(24)["points"]
    assert 200 < len(points) <= monitor.POINTS + 1
    assert all(point["first_token"] is None for point in points)
    assert sum(point["requests"] for point in points) > 0
    one.keep({**empty, "time": now + monitor.KEPT_S + 3600 * 23})
    assert one.series(24 * 31)["points"][0]["time"] >= now - 3600 * 2
    history.close()
    assert len(Monitor(history, one._desk).series(24 * 31 + 48)["points"]) >= 1


def test_feedback_and_evaluations_are_told(watched):
    one, _, history = watched
    chat = history.new()
    history.add(chat, "user", "Hi")
    with history.begin(chat, About(model="m")) as reply:
        reply.write("Hello")
        message = reply.finish("stop")
    history.rate(chat, message, -1, "<b>rude</b>")
    one.judged("m", "abc", [{"quantity": "perplexity", "value": 3.0, "low": 2.5, "high": 3.5}])
    told = one.series(1)
    assert (told["feedback"]["good"], told["feedback"]["bad"]) == (0, 1)
    assert told["feedback"]["notes"][0]["note"] == "<b>rude</b>"
    (found,) = told["evaluations"]
    assert (found["model"], found["quantity"], found["low"]) == ("m", "perplexity", 2.5)


def test_an_evaluation_runs_beside_the_server_and_one_that_fails_says_why(watched, tmp_path, monkeypatch):
    one, _, _ = watched
    script = tmp_path / "netwright.py"
    measured = {"quantity": "perplexity", "value": 2.0, "low": 1.0, "high": 3.0, "artifact": "d", "conditions": {}}
    told = json.dumps({"models": [{"measurements": [{**measured, "conditions": {"score": "right"}}, measured]}]})
    script.write_text(
        "import os, sys, time\n"
        "time.sleep(0.5)\n"
        f"assert os.nice(0) == {reevaluation.LOWEST}\n"
        "assert os.environ['OMP_NUM_THREADS'] == '1'\n"
        f"print({told!r}) if 'good' in sys.argv[2] else sys.exit('broken file')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert sys.executable
    volumes = {name: Volume(lambda: None, folder=tmp_path / name) for name in ("good", "bad")}
    again = Reevaluation(one, Shelf(volumes, lambda: 0), Config(evaluate_hours=1, evaluate_text="x.txt"), tmp_path)
    asyncio.run(again.judge("good"))
    found = one.series(1)["evaluations"]
    assert [row["quantity"] for row in found] == ["perplexity, right", "perplexity"]
    with pytest.raises(UserError, match="broken file"):
        asyncio.run(again.judge("bad"))
    with pytest.raises(UserError, match=r"serve\.evaluate_hours"):
        Config(evaluate_hours=1)


def test_the_route_tells_the_series(tmp_path, monkeypatch):
    monkeypatch.setattr(monitor, "EVERY_S", 0.05)
    batch, _ = saying("Hi")
    with (
        History.open(tmp_path) as history,
        served({"m": batch}, history=history) as server,
        httpx.Client(base_url=server.at) as api,
    ):
        for _ in range(100):
            told = api.get("/api/monitor", params={"hours": 1}).json()
            if told["points"] and any(point["requests"] for point in told["points"]):
                break
            time.sleep(0.05)
        assert any(point["requests"] > 0 for point in told["points"])
        assert api.get("/api/monitor", params={"hours": -1}).status_code == 400
        assert api.get("/monitor").status_code == 200
