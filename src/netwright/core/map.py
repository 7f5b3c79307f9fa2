"""One `map`: the same work here, over processes, or over the machines of a Ray cluster.

    results = map(evaluate, candidates, workers=2)

Results come in the order of the items and are the same wherever the work ran; `function` must be
importable by name, and items and results must be plain data (they travel between processes).
"""

from __future__ import annotations

import concurrent.futures
import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, TypeVar

from netwright.core.run import progress
from netwright.core.table import extra

Item = TypeVar("Item")
Result = TypeVar("Result")
Where = Literal["here", "processes", "ray"]


def map(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    where: Where = "processes",
    workers: int = 2,
    title: str = "working",
) -> list[Result]:
    """Apply `function` to every item. The first exception ends the map and is raised here."""
    work: Sequence[Item] = list(items)
    with progress(title, len(work)) as advance:
        if where == "here" or (where == "processes" and (workers == 1 or len(work) < 2)):
            return [_step(function, item, advance) for item in work]
        if where == "ray":
            return _ray(function, work, workers, advance)
        return _processes(function, work, workers, advance)


def _step(function: Callable[[Item], Result], item: Item, advance: Callable[[], None]) -> Result:
    result = function(item)
    advance()
    return result


def _processes(
    function: Callable[[Item], Result], work: Sequence[Item], workers: int, advance: Callable[[], None]
) -> list[Result]:
    # spawn, not fork: a forked child inherits OpenMP's and OpenVINO's locked threads and hangs
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(min(workers, len(work)), mp_context=context) as pool:
        futures = [pool.submit(function, item) for item in work]
        for future in concurrent.futures.as_completed(futures):
            if future.exception() is not None:
                pool.shutdown(cancel_futures=True)
                break
            advance()
        return [future.result() for future in _failed_first(futures)]


def _failed_first(futures: Sequence[concurrent.futures.Future[Result]]) -> Sequence[concurrent.futures.Future[Result]]:
    for future in futures:
        if future.done() and not future.cancelled() and future.exception() is not None:
            future.result()
    return futures


def _ray(
    function: Callable[[Item], Result], work: Sequence[Item], workers: int, advance: Callable[[], None]
) -> list[Result]:
    ray = extra("ray", 'where = "ray"')
    started = not ray.is_initialized()
    if started:
        ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level="error")
    try:
        remote = ray.remote(num_cpus=1, max_retries=0)(function)
        waiting = [remote.remote(item) for item in work]
        left = list(waiting)
        while left:
            finished, left = ray.wait(left)
            try:
                ray.get(finished)
            except ray.exceptions.RayTaskError as fault:
                for other in left:
                    ray.cancel(other, force=True)
                raise fault.cause from fault
            advance()
        results: list[Result] = ray.get(waiting)
        return results
    finally:
        if started:
            ray.shutdown()
