"""Threads that trace: in turn, no more than there may be, and none that goes on for nobody."""

import asyncio

import pytest

from netwright.svg.server import bench as benches
from netwright.svg.server.bench import Bench, StoppedError
from netwright.svg.server.refusal import RefusedError
from netwright.svg.setting import DEFAULT
from netwright.svg.tracer import TraceError
from svg_server import Held, logo

PIXELS = __import__("numpy").array(logo())


@pytest.fixture
def bench(monkeypatch):
    """A bench with one thread, on which one more may wait, whose tracers wait to be let go."""
    Held.made = []
    monkeypatch.setattr(benches, "Tracer", Held)
    made = Bench(at_once=1, waiting=1, seconds=60)
    yield made
    made.close()
    assert all(one.closed or one.stopped or not one.begun.is_set() for one in Held.made)


def traces(job):
    yield {"svg": job.tracer.trace(PIXELS, DEFAULT)}


async def begun(job):
    while not job.tracer.begun.is_set():
        await asyncio.sleep(0.005)


def run(work):
    asyncio.run(asyncio.wait_for(work, 30))


def test_what_is_found_comes_in_order_and_then_nothing(bench):
    async def main():
        job = bench.begin(lambda job: iter([{"n": 1}, {"n": 2}]))
        assert [await job.take(), await job.take(), await job.take()] == [{"n": 1}, {"n": 2}, None]

    run(main())


def test_what_the_work_raises_is_raised(bench):
    def work(job):
        yield {"n": 1}
        raise TraceError("no")

    async def main():
        job = bench.begin(work)
        assert await job.take() == {"n": 1}
        with pytest.raises(TraceError, match="no"):
            await job.take()

    run(main())


def test_a_tracer_goes_on_with_the_next_job_if_it_was_not_stopped(bench):
    async def main():
        used = []
        for _ in range(3):
            job = bench.begin(lambda job: used.append(job.tracer) or iter([{}]))
            while await job.take() is not None:
                pass
            while bench.under_way:
                await asyncio.sleep(0.005)
        assert used[0] is used[1] is used[2]

    run(main())


def test_too_many_are_told_to_come_again_and_are_taken_later(bench):
    async def main():
        first, second = bench.begin(traces), bench.begin(traces)
        await begun(first)
        assert (bench.under_way, bench.waiting) == (1, 1)
        with pytest.raises(RefusedError) as told:
            bench.begin(traces)
        assert (told.value.status, told.value.headers["Retry-After"]) == (503, "5")
        first.tracer.go.set()
        assert "<svg" in (await first.take())["svg"]
        assert await first.take() is None
        assert "<svg" in (await second.take())["svg"]
        third = bench.begin(lambda job: iter([{}]))
        assert await third.take() == {}

    run(main())


def test_a_job_that_is_stopped_ends_at_once_with_its_tracer(bench):
    async def main():
        job, other = bench.begin(traces), bench.begin(traces)
        await begun(job)
        tracer = job.tracer
        job.stop()
        job.stop(ValueError("too late"))
        with pytest.raises(StoppedError):
            await job.take()
        assert tracer.stopped
        await begun(other)
        assert other.tracer is not tracer
        other.tracer.go.set()
        assert "<svg" in (await other.take())["svg"]

    run(main())


def test_a_job_that_is_stopped_while_it_waits_is_never_begun(bench):
    done = []

    async def main():
        first, second = bench.begin(traces), bench.begin(lambda job: done.append(1) or iter([{}]))
        await begun(first)
        second.stop()
        with pytest.raises(StoppedError):
            await second.take()
        first.tracer.go.set()
        while bench.under_way or bench.waiting:
            await asyncio.sleep(0.005)

    run(main())
    assert done == []


def test_a_job_that_takes_too_long_is_ended_and_told_so(monkeypatch):
    monkeypatch.setattr(benches, "Tracer", Held)
    made = Bench(at_once=1, waiting=0, seconds=0.05)

    async def main():
        job = made.begin(traces)
        with pytest.raises(RefusedError, match="longer than 0.05 s") as told:
            await job.take()
        assert told.value.status == 422

    run(main())
    made.close()


def test_a_job_that_has_ended_stops_no_other(bench):
    async def main():
        job = bench.begin(lambda job: iter([{}]))
        assert await job.take() == {}
        assert await job.take() is None
        while bench.under_way:
            await asyncio.sleep(0.005)
        other = bench.begin(traces)
        await begun(other)
        job.stop()
        assert not other.tracer.stopped
        other.tracer.go.set()
        assert "<svg" in (await other.take())["svg"]

    run(main())


def test_a_bench_that_is_halted_begins_nothing_more(bench):
    async def main():
        job = bench.begin(traces)
        await begun(job)
        bench.halt()
        with pytest.raises(RefusedError, match="stopping"):
            await job.take()
        with pytest.raises(RefusedError, match="stopping"):
            bench.begin(traces)

    run(main())
