"""Threads that trace, each job with a tracer of its own; and how what they find travels to the loop.

    bench = Bench(at_once=2, waiting=8, seconds=180.0)
    job = bench.begin(lambda job: iter([{"event": "done"}]))       # raises RefusedError 503
    while (item := await job.take()) is not None: ...              # raises what the work raised
    job.stop()                                                     # everybody has gone: its tracer is killed

A thread never waits for a client: what it finds is kept until it is taken, and a job finds some tens of things at most.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from netwright.svg.server.refusal import RefusedError, busy
from netwright.svg.tracer import Tracer

Item = Mapping[str, Any]


class StoppedError(Exception):
    """Nobody waits for this job any more."""


class Job:
    """What is done for one request."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._items = loop, asyncio.Queue[Item | BaseException | None]()
        self._lock, self._tracer = threading.Lock(), Tracer()
        self._fault: BaseException | None = None
        self.working = False

    @property
    def tracer(self) -> Tracer:
        """This job's own, in its thread."""
        return self._tracer

    @property
    def stopped(self) -> bool:
        """Whether there is nothing left to do."""
        return self._fault is not None

    async def take(self) -> Item | None:
        """What was found next; None at the end. Raises what the work raised, or what `stop` was given."""
        item = await self._items.get()
        if isinstance(item, BaseException):
            raise item
        return item

    def stop(self, fault: BaseException | None = None) -> None:
        """From any thread: kill the tracer, and let whoever waits have the fault."""
        with self._lock:
            if self._fault is not None:
                return
            self._fault = fault or StoppedError()
            self._tracer.stop()
        self.put(self._fault)

    def put(self, item: Item | BaseException | None) -> None:
        """From any thread: one more for `take`."""
        with contextlib.suppress(RuntimeError):  # the loop has ended, and all who waited
            self._loop.call_soon_threadsafe(self._items.put_nowait, item)

    def lend(self, tracer: Tracer) -> None:
        """Work with a tracer whose process runs already."""
        with self._lock:
            if self._fault is None:
                self._tracer = tracer

    def give_back(self) -> Tracer | None:
        """The tracer, where it was not stopped: another job may have it, and `stop` no longer reaches it."""
        with self._lock:
            tracer, self._tracer = self._tracer, Tracer()
            if self._fault is None:
                self._fault = StoppedError()
                return tracer
        tracer.close()
        return None


class Bench:
    """So many jobs at once, and so many that wait."""

    def __init__(self, at_once: int, waiting: int, seconds: float) -> None:
        self.at_once, self._most, self._seconds = at_once, at_once + waiting, seconds
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="svg")
        self._jobs: set[Job] = set()
        self._idle: list[Tracer] = []
        self._lock = threading.Lock()
        self.halted = False
        """Whether nothing is begun any more."""

    @property
    def under_way(self) -> int:
        """Jobs that trace."""
        return sum(job.working for job in list(self._jobs))

    @property
    def waiting(self) -> int:
        """Jobs that wait for a thread."""
        return len(self._jobs) - self.under_way

    def begin(self, work: Callable[[Job], Iterator[Item]]) -> Job:
        """In the loop: do this as soon as a thread is free. Raises RefusedError where too many wait."""
        if self.halted:
            raise RefusedError(503, "the server is stopping", "stopping", headers={"Retry-After": "5"})
        if len(self._jobs) >= self._most:
            raise busy(f"{self._most} images are traced or wait")
        loop = asyncio.get_running_loop()
        job = Job(loop)
        self._jobs.add(job)
        timer: list[asyncio.TimerHandle] = []

        def begun() -> None:
            timer.append(loop.call_later(self._seconds, job.stop, _too_slow(self._seconds)))

        def ended() -> None:
            self._jobs.discard(job)
            for one in timer:
                one.cancel()

        def run() -> None:
            job.working = True
            _tell(loop, begun)
            try:
                self._work(job, work)
            finally:
                job.working = False
                _tell(loop, ended)

        self._threads.submit(run)
        return job

    def halt(self) -> None:
        """Begin nothing more, and stop what is under way; whoever waits is told so."""
        self.halted = True
        for job in list(self._jobs):
            job.stop(RefusedError(503, "the server is stopping", "stopping", headers={"Retry-After": "5"}))

    def close(self) -> None:
        """Halt, and end every tracer."""
        self.halt()
        self._threads.shutdown(wait=True, cancel_futures=True)
        with self._lock:
            idle, self._idle = self._idle, []
        for tracer in idle:
            tracer.close()

    def _work(self, job: Job, work: Callable[[Job], Iterator[Item]]) -> None:
        with self._lock:
            idle = self._idle.pop() if self._idle and not job.stopped else None
        if idle is not None:
            job.lend(idle)
        end: BaseException | None = None
        try:
            if not job.stopped:
                for item in work(job):
                    job.put(item)
                    if job.stopped:
                        break
        except BaseException as fault:
            end = fault
        tracer = job.give_back()
        with self._lock:
            if tracer is not None:
                self._idle.append(tracer)
            elif idle is not None:
                idle.close()
        job.put(end)  # last: whoever waits may stop the job then, and must reach no tracer that others have


def _tell(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended
        loop.call_soon_threadsafe(call)


def _too_slow(seconds: float) -> RefusedError:
    why = f"tracing took longer than {seconds:g} s, which is what a request may take"
    return RefusedError(422, why, "too_slow", "image", "make the image smaller")
