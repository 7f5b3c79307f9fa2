"""Jobs shared out to processes; one that takes its process down is tried again, then given up, and the rest goes on.

    for job, result in each(open_bench, jobs, workers=2):
        ...                                               # a result, or Failed("its process died (exit -9)")

Each process opens its own bench once (a context manager that yields the function which does a job) and ends when its
parent has gone. Results come in the order in which they are done.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

J = TypeVar("J")
R = TypeVar("R")
Bench = Callable[[], AbstractContextManager[Callable[[J], R]]]


@dataclass(frozen=True)
class Failed:
    """Why a job has no result."""

    why: str


@dataclass(eq=False)
class _Worker(Generic[J]):
    process: Any
    pipe: Connection
    job: J | None = None
    tries: int = field(default=0)


def each(bench: Bench[J, R], jobs: Iterable[J], workers: int, tries: int = 2) -> Iterator[tuple[J, R | Failed]]:
    """Do the jobs in `workers` processes. `bench` and jobs are pickled; an exception of a job is its Failed."""
    waiting = [(job, 0) for job in jobs][::-1]
    crew: list[_Worker[J]] = []

    def give(worker: _Worker[J] | None = None) -> None:
        """The next job, if there is one, to a worker or to a new one."""
        if not waiting:
            return
        if worker is None:
            worker = _started(bench)
            crew.append(worker)
        worker.job, tried = waiting.pop()
        worker.tries = tried + 1
        with contextlib.suppress(OSError):  # it died already: the wait below sees that
            worker.pipe.send(worker.job)

    try:
        for _ in range(workers):
            give()
        while busy := {worker.pipe: worker for worker in crew if worker.job is not None}:
            for pipe in wait(list(busy)):
                worker = busy[pipe]  # type: ignore[index]
                job, worker.job = worker.job, None
                assert job is not None
                try:
                    answer = worker.pipe.recv()
                except (EOFError, OSError):
                    worker.process.join(5)
                    code = worker.process.exitcode
                    _end(worker)
                    crew.remove(worker)
                    if worker.tries < tries:
                        waiting.append((job, worker.tries))
                    give()
                    if worker.tries >= tries:
                        yield job, Failed(f"its process died (exit {code})")
                else:
                    give(worker)
                    yield job, answer
    finally:
        for worker in crew:
            _end(worker)


def _started(bench: Bench[J, R]) -> _Worker[J]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(bench, theirs))
    process.start()
    theirs.close()
    return _Worker(process, ours)


def _end(worker: _Worker[Any]) -> None:
    worker.pipe.close()
    if worker.job is None:
        worker.process.join(5)  # its bench is put away
    worker.process.kill()
    worker.process.join()
    worker.process.close()


def _work(bench: Bench[J, R], pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    with bench() as work:
        while True:
            try:
                job = pipe.recv()
            except (EOFError, OSError):
                return
            answer: Any
            try:
                answer = work(job)
            except Exception as fault:
                answer = Failed(f"{type(fault).__name__}: {fault}"[:300])
            try:
                pipe.send(answer)
            except OSError:
                return
