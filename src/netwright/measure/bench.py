"""Speed, memory, size and energy of artifacts on this machine, measured against each other.

    measured = bench([fp32, int8], task, Config(batch=(1, 64)))

All candidates are timed in one process, in interleaved rounds that open them anew (`rounds` says why), on
the same real inputs, which differ from call to call. Peak memory is that of a fresh process each. What
was executed, the threads, the load of the machine and the CPUs that were busy stand in the conditions. It
does not know how an artifact was made.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray

from netwright import export
from netwright.core import workload
from netwright.core.artifact import Artifact
from netwright.core.error import UserError
from netwright.core.measurement import Measurement, exact
from netwright.core.recipe import Range
from netwright.core.run import Run, progress
from netwright.core.stats import Interval
from netwright.hardware import detect
from netwright.hardware.catalog import HERE
from netwright.hardware.power import Energy
from netwright.measure import memory
from netwright.measure.rounds import (
    POOL,
    Call,
    Clocks,
    Open,
    Timed,
    interleave,
    mean,
    no_meter,
    paired_ratio,
    quantiles,
    rate,
)

if TYPE_CHECKING:
    from netwright.data.tasks import Task

PROCESSES = 3
"""Fresh processes a candidate for its peak memory."""
RECORDS = ("workload.json", "certificate.json", "card.md")
"""Files of an artifact that no deployment carries."""
Inputs = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Config:
    """How long to measure, and in which calls."""

    batch: Annotated[tuple[int, ...], Range(1, 1_000_000)] = (1, 64)
    threads: Annotated[int, Range(0, 4096)] = 0
    """0: as many as this process may use."""
    seconds: Annotated[float, Range(0.01, 86_400)] = 2.0
    """Measured time of each candidate at each batch size."""
    rounds: Annotated[int, Range(6, 10_000)] = 20
    level: Annotated[float, Range(0.5, 0.999)] = 0.95
    """Confidence of the intervals."""
    memory: bool = True
    """Peak memory, of fresh processes that take seconds each."""
    seed: Annotated[int, Range(0, 2**31)] = 0


def bench(
    artifacts: Sequence[Artifact],
    task: Task,
    config: Config | None = None,
    run: Run | None = None,
    threads: Sequence[int] = (),
) -> list[Measurement]:
    """Measure every artifact at every batch size; measurements come in the order of artifacts.

    Per artifact: size; per batch size: latency (p50), p90, p99, throughput, peak memory, and energy where
    this machine tells. `threads` has those of each artifact; without it all have `config.threads`. An artifact
    may stand there twice: its place is in the conditions. Raises UserError when one cannot be opened or run.
    """
    config = config or Config()
    if not artifacts or not config.batch:
        raise UserError(
            "bench", list(config.batch), "one artifact and one batch size or more", "netwright bench --help"
        )
    threads = list(threads) or [threads_of(config)] * len(artifacts)
    inputs = {batch: draw(task, batch, config.seed) for batch in config.batch}
    works = [{batch: _work(artifact, batch) for batch in config.batch} for artifact in artifacts]
    stated = [_stated(artifact, own) for artifact, own in zip(artifacts, threads, strict=True)]
    lanes = [(at, batch) for at in range(len(artifacts)) for batch in config.batch]
    about = {"session": secrets.token_hex(4), "load_before": os.getloadavg()[0]}
    with progress("timing", len(lanes) * config.rounds) as advance:
        timed = interleave(
            [_opener(artifacts[at], threads[at], inputs[batch]) for at, batch in lanes],
            rounds=config.rounds,
            seconds=config.seconds,
            generator=np.random.default_rng(config.seed),
            shapes=max(_shapes(inputs[batch]) for batch in config.batch),
            clocks=Clocks(meter=_meter()),
            advance=advance,
        )
    about["load_after"] = os.getloadavg()[0]
    peaks = _peaks(artifacts, {batch: inputs[batch][0] for batch in config.batch}, threads) if config.memory else []
    measured = []
    for at, artifact in enumerate(artifacts):
        conditions = {**about, **stated[at], "threads": threads[at], "place": at}
        measured.append(exact("size", deployed(artifact), device=HERE, artifact=artifact.digest, conditions=conditions))
        for lane, (owner, batch) in enumerate(lanes):
            if owner == at:
                place: dict[str, Any] = {
                    "artifact": artifact.digest,
                    "device": HERE,
                    "workload": works[at][batch],
                    "level": config.level,
                }
                place["conditions"] = {**conditions, "batch": batch}
                measured += _speed(timed[lane], batch, place)
                if peaks:
                    measured.append(_memory(peaks[at], batch, place))
                if run is not None and not timed[lane].settled:
                    run.note(f"{artifact.name}, batch {batch}: still getting faster when the warm-up ended")
    return measured


def compare(a: Measurement, b: Measurement) -> Interval:
    """Latency of `a` over that of `b` by the rounds they shared: 0.5 is twice as fast.

    Sharper than comparing their intervals, because what slowed a round slowed both. Raises ValueError for
    measurements that were not interleaved with each other.
    """
    if a.quantity != "latency" or b.quantity != "latency" or a.conditions["session"] != b.conditions["session"]:
        raise ValueError("only latencies of one interleaved session can be paired")
    first, second = (np.array(one.conditions["round_medians"]) for one in (a, b))
    return paired_ratio(first, second, min(a.level, b.level))


def expected_seconds(candidates: int, config: Config) -> float:
    """About how long `bench` takes: timing, 0.1 s for each opening, 2 s for each fresh process."""
    return candidates * (len(config.batch) * (config.seconds + 0.1 * config.rounds) + 2 * PROCESSES)


def deployed(artifact: Artifact) -> int:
    """Bytes of what a deployment carries: weights, graph, processor."""
    return sum(file.size for name, file in artifact.files.items() if name not in RECORDS)


def threads_of(config: Config) -> int:
    """The threads asked for, or all CPUs that this process may use."""
    detect.check_threads("bench.threads", config.threads)
    return config.threads or detect.usable_threads()


def draw(task: Task, batch: int, seed: int) -> list[Inputs]:
    """`POOL` batches of validation examples, each other ones."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    size = task.size("validation")
    picks = [torch.randint(0, size, (batch,), generator=generator) for _ in range(POOL)]
    return [{name: x.numpy() for name, x in task.batch("validation", indices).inputs.items()} for indices in picks]


def _opener(artifact: Artifact, threads: int, inputs: Sequence[Inputs]) -> Open:
    def open() -> Call:
        runner = export.open(artifact, threads)
        return lambda at: runner(inputs[at % len(inputs)])

    return open


def _shapes(inputs: Sequence[Inputs]) -> int:
    return len({tuple(x.shape for x in one.values()) for one in inputs})


def _meter() -> Any:
    with Energy() as trial:
        pass
    return no_meter if trial.joules is None else Energy


def _stated(artifact: Artifact, threads: int) -> dict[str, Any]:
    runner = export.open(artifact, threads)
    return {
        "name": artifact.name,
        "format": artifact.format,
        "precision": artifact.precision,
        "executed": runner.precision,
        "layers": dict(runner.layers),
    }


def _speed(timed: Timed, batch: int, place: dict[str, Any]) -> list[Measurement]:
    seen: dict[str, Any] = {"calls": timed.calls, "warm_up_calls": timed.warm_up, "settled": timed.settled}
    seen["cpus_busy"] = float(np.mean(timed.cpu))
    names = {"latency": 0.5, "latency_p90": 0.9, "latency_p99": 0.99}
    found = dict(zip(names, quantiles(timed.seconds, list(names.values()), place["level"]), strict=True))
    found["throughput"] = rate(timed.seconds, batch, place["level"])
    if len(timed.joules) >= 2:
        each = mean(timed.joules, place["level"])
        found["energy"] = Interval(each.value / batch, max(0.0, each.low) / batch, each.high / batch, each.n)
    own: dict[str, Any] = {"latency": {"round_medians": timed.medians.tolist()}}
    own["energy"] = {"counter": "the whole chip while it ran, what is idle included"}
    return [_measurement(name, one, place, {**seen, **own.get(name, {})}) for name, one in found.items()]


def _memory(peaks: list[dict[str, int]], batch: int, place: dict[str, Any]) -> Measurement:
    seen = mean([float(peak[str(batch)]) for peak in peaks], place["level"])
    return _measurement("peak_memory", seen, place, {"after_imports": float(np.mean([p["import"] for p in peaks]))})


def _measurement(quantity: str, seen: Interval, place: dict[str, Any], more: dict[str, Any]) -> Measurement:
    about = {**place, "conditions": {**place["conditions"], **more}}
    return Measurement(quantity=quantity, value=seen.value, low=seen.low, high=seen.high, n=seen.n, **about)


def _peaks(
    artifacts: Sequence[Artifact], batches: Mapping[int, Inputs], threads: Sequence[int]
) -> list[list[dict[str, int]]]:
    with progress("memory of fresh processes", len(artifacts) * PROCESSES) as advance:
        found: list[list[dict[str, int]]] = []
        for artifact, own in zip(artifacts, threads, strict=True):
            found.append([])
            for _ in range(PROCESSES):
                found[-1].append(memory.peak(artifact, batches, own))
                advance()
    return found


def _work(artifact: Artifact, batch: int) -> str | None:
    if workload.FILE not in artifact.files:
        return None
    return workload.read(artifact.folder).at_batch(batch).digest
