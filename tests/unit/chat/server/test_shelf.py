"""Models are opened when asked, leave when there is no room, and those that are broken break nothing else."""

import asyncio
import threading
import time

import httpx
import pytest

from netwright.chat.server.refusal import RefusedError
from netwright.chat.server.shelf import Shelf, Volume
from netwright.core.error import UserError
from scripted_server import endless, saying, served

CHAT = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5}


class Closed:
    """A batch that only knows whether it was closed."""

    def __init__(self):
        self.closed = False

    def close(self):
        self.closed = True


def shelf(needs, free, memory=0):
    opened = []

    def opener(name):
        def open():
            opened.append(name)
            return Closed()

        return open

    made = None

    def available():
        return free - sum(one.need for one in made.loaded.values())

    made = Shelf({name: Volume(opener(name), lambda n=need: n) for name, need in needs.items()}, available, memory)
    return made, opened


async def use(made, name):
    async with made.lent(name):
        pass


@pytest.mark.parametrize("memory", [0, 10])
def test_the_one_asked_longest_ago_leaves_first(memory):
    async def story():
        made, opened = shelf({"a": 4, "b": 4, "c": 4, "d": 9}, 10 if not memory else 1000, memory)
        await use(made, "a")
        await use(made, "b")
        await use(made, "a")
        b = made.loaded["b"].batch
        await use(made, "c")
        assert set(made.loaded) == {"a", "c"}
        assert b.closed
        await use(made, "d")
        assert set(made.loaded) == {"d"}
        await use(made, "d")
        assert opened == ["a", "b", "c", "d"]
        await made.close()
        assert made.loaded == {}

    asyncio.run(story())


def test_one_that_is_asked_does_not_leave_and_one_that_is_too_large_never_comes():
    async def story():
        made, _ = shelf({"a": 6, "b": 6, "huge": 11}, 10)
        async with made.lent("a"):
            with pytest.raises(RefusedError, match="does not fit") as told:
                await use(made, "b")
            assert told.value.status == 503
            assert made.state("b") == "failed"
            assert "a" in made.loaded
        await use(made, "b")
        assert (made.state("a"), made.state("b")) == ("not loaded", "ready")
        with pytest.raises(RefusedError, match=r"0\.00 GB"):
            await use(made, "huge")

    asyncio.run(story())


def test_many_who_ask_at_once_open_it_once_and_who_leaves_loses_nothing():
    async def story():
        opened, gate = [], threading.Event()

        def open():
            opened.append(1)
            gate.wait(5)
            return Closed()

        made = Shelf({"a": Volume(open)}, lambda: 1)
        asking = [asyncio.ensure_future(use(made, "a")) for _ in range(5)]
        await asyncio.sleep(0.05)
        assert made.state("a") == "loading"
        asking[0].cancel()
        gate.set()
        await asyncio.gather(*asking[1:])
        assert opened == [1]
        assert made.state("a") == "ready"

    asyncio.run(story())


@pytest.mark.parametrize(
    "fault", [UserError("artifact", "/secret/folder", "model.bin has another sha256", "x"), RuntimeError("/secret"),
              OSError(5, "/secret"), MemoryError()],
)  # fmt: skip
def test_a_broken_model_is_told_and_the_others_answer(fault):
    def broken():
        raise fault

    good, _ = saying("Hello")
    with served({"good": good, "bad": Volume(broken), "unread": Volume(broken, broken)}) as server:
        for name in ("bad", "unread", "bad"):
            reply = httpx.post(f"{server.at}/v1/chat/completions", json={**CHAT, "model": name})
            assert (reply.status_code, reply.json()["error"]["code"]) == (503, "model_unavailable")
            assert "secret" not in reply.text
        assert httpx.post(f"{server.at}/v1/chat/completions", json={**CHAT, "model": "good"}).status_code == 200
        states = httpx.get(f"{server.at}/health").json()["models"]
        assert states == {"good": "ready", "bad": "failed", "unread": "failed"}


def test_models_are_listed_and_switched():
    first, _ = saying("one")
    second, _ = saying("two")
    with served({"a/1": first, "b": second}) as server:
        listed = httpx.get(f"{server.at}/v1/models").json()
        assert [one["id"] for one in listed["data"]] == ["a/1", "b"]
        assert httpx.get(f"{server.at}/v1/models/a/1").json() == listed["data"][0]
        for name in ("c", "../b", "%2e%2e/b", "b%00", "B"):
            reply = httpx.get(f"{server.at}/v1/models/{name}")
            assert reply.status_code == 404
        said = [
            httpx.post(f"{server.at}/v1/chat/completions", json={**CHAT, **more}).json()["choices"][0]["message"][
                "content"
            ]
            for more in ({}, {"model": "b"}, {"model": "a/1"})
        ]
        assert said == ["one", "two", "one"]


def test_a_model_leaves_for_another_only_when_its_replies_have_ended():
    long, decoder = endless(seconds=0.02)
    other, _ = saying("Hello")
    volumes = {"long": Volume(lambda: long, lambda: 6), "other": Volume(lambda: other, lambda: 6)}
    with served(volumes, memory=10) as server, httpx.Client() as client:
        body = {**CHAT, "model": "long", "stream": True, "max_tokens": 10_000}
        with client.stream("POST", f"{server.at}/v1/chat/completions", json=body) as reply:
            lines = reply.iter_lines()
            assert next(lines)
            refused = httpx.post(f"{server.at}/v1/chat/completions", json={**CHAT, "model": "other"})
            assert refused.json()["error"]["code"] == "insufficient_memory"
        deadline = time.monotonic() + 10
        while httpx.post(f"{server.at}/v1/chat/completions", json={**CHAT, "model": "other"}).status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert httpx.get(f"{server.at}/health").json()["models"] == {"long": "not loaded", "other": "ready"}
        assert decoder.count < 10_000
