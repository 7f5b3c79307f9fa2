"""Pieces come in order and to whom they belong, however many threads make them; who takes nothing is left."""

import asyncio
import threading

import pytest

from netwright.chat.batch import Batch, Reply
from netwright.chat.sampling import Sampling
from netwright.chat.server.flow import Flow, LeftError, Post
from netwright.chat.turn import Piece


class Threads(Batch):
    """A batch in which every reply has a thread that makes pieces as fast as it can."""

    def __init__(self, pieces):
        self.pieces, self.threads = pieces, []

    def submit(self, prompt, sampling=Sampling(), take=None):  # noqa: B008
        reply = Reply(prompt, sampling, take)

        def run():
            for at in range(self.pieces):
                reply.put(Piece(f"{prompt[0]}:{at} "))
            reply.put(Piece("", finish="stop"))

        self.threads.append(threading.Thread(target=run))
        self.threads[-1].start()
        return reply


def test_thousands_of_pieces_of_many_threads_arrive_in_order():
    async def story():
        post, batch = Post(asyncio.get_running_loop()), Threads(500)

        async def client(name):
            flow = Flow(post, 10_000)
            for at in range(3):
                flow.submit(batch, [name * 10 + at], Sampling())
            texts = ["", "", ""]
            while parts := await flow.take():
                for at, piece in parts:
                    texts[at] += piece.text
            assert flow.left == 0
            return texts

        found = await asyncio.gather(*(client(name) for name in range(16)))
        for name, texts in enumerate(found):
            for at, text in enumerate(texts):
                assert text == "".join(f"{name * 10 + at}:{n} " for n in range(500))

    asyncio.run(story())


def test_who_takes_nothing_is_left_and_keeps_no_more_than_some():
    async def story():
        flow = Flow(Post(asyncio.get_running_loop()), 100)
        batch = Threads(5000)
        flow.submit(batch, [1], Sampling())
        await asyncio.to_thread(batch.threads[0].join)
        await asyncio.sleep(0.05)
        assert len(flow.rest()) <= 102
        assert flow.replies[0].cancelled.is_set()
        with pytest.raises(LeftError):
            await flow.take()

    asyncio.run(story())


def test_a_fault_is_a_part_and_cancelling_wakes_who_waits():
    async def story():
        flow = Flow(Post(asyncio.get_running_loop()))
        batch = Threads(0)
        flow.submit(batch, [1], Sampling())
        assert [piece.finish for _, piece in await flow.take()] == ["stop"]
        assert await flow.take() == []
        silent = Flow(Post(asyncio.get_running_loop()))
        silent.left = 1
        asyncio.get_running_loop().call_later(0.02, silent.cancel, LeftError())
        with pytest.raises(LeftError):
            await silent.take()

    asyncio.run(story())


def test_a_loop_that_has_ended_harms_nobody():
    loop = asyncio.new_event_loop()
    post = Post(loop)
    loop.close()
    post.put(lambda part: None, (0, Piece("x")))
