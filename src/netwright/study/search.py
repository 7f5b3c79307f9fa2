"""The search: methods x settings x formats x threads, by successive halving, then by measuring what could be best.

    chosen = search(trials)

Networks that need training begin with few epochs; of each round the better half, by Pareto rank of validation accuracy
and work, goes on with twice as many (successive halving, Jamieson and Talwalkar 2016, arXiv:1502.07943). What is left
is combined with every finish, format and count of threads, and of these only what the predictor cannot rule out is
measured (`study.guided`). Knows no method's inside.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from netwright.compress import chain
from netwright.core import workload
from netwright.core.artifact import Artifact
from netwright.core.measurement import readable
from netwright.hardware import detect
from netwright.measure import bench
from netwright.predict import roofline
from netwright.study import guided
from netwright.study.trials import Chosen, Trials, label

SCALES = 0.5
"""Power of threads that latency is thought to fall with: 1 where arithmetic bounds it, 0 where memory or calls do."""
ROUND = 0.5
"""Share of networks that go on to the next round."""


def search(trials: Trials) -> list[Chosen]:
    """The candidates that are measured for the report."""
    networks = halve(trials)
    pairs = candidates(trials, networks)
    made = trials.made_all(pairs)
    changes = [trials.change(one).value for one in made]
    threads = sorted({detect.usable_threads() if count == 0 else count for count in trials.config.threads})
    every = [(at, count) for at in range(len(made)) for count in threads or [trials.threads]]
    chosen = explored(trials, pairs, made, changes, every)
    several = len(threads) > 1
    return [
        Chosen(
            label(*pairs[at]) + (f", {count} thread{'' if count == 1 else 's'}" if several else ""),
            made[at], count, pairs[at][0],
        )
        for at, count in chosen
    ]  # fmt: skip


def halve(trials: Trials) -> list[str]:
    """Chains that make networks, each with the epochs it won; those that need no training come as they are."""
    space = list(dict.fromkeys(["", *trials.config.networks]))
    free = [text for text in space if not trials.trainings(text)]
    alive = [text for text in space if trials.trainings(text)]
    whole = max((one.epochs for text in alive for one in trials.trainings(text).values()), default=1)
    rounds = max(1, min(math.floor(math.log2(whole)) + 1, math.ceil(math.log2(max(1, len(alive)))) or 1))
    for turn in range(rounds):
        share = 2 ** (turn - rounds + 1)
        tried = [with_epochs(trials, text, share) for text in alive]
        cost = sum(one.seconds for text in tried for one in trials.trainings(text).values())
        if cost > trials.left:
            left = readable(max(0.0, trials.left), "s")
            trials.decide("Stop halving", f"a round takes about {readable(cost, 's')}, and {left} are left")
            return [*free, *(with_epochs(trials, text, share / 2) for text in alive if turn)]
        made = trials.made_all([(text, "") for text in tried])
        scores = np.array([(-trials.change(one).value, trials.work(one) * bits(one)) for one in made])
        if turn + 1 == rounds:
            return [*free, *tried]
        kept = sorted(by_rank(scores)[: math.ceil(ROUND * len(alive))])
        gone = [tried[at] for at in range(len(tried)) if at not in kept]
        trials.decide(f"Round {turn + 1}: {len(kept)} of {len(alive)} networks go on",
                      f"behind in accuracy and work were {'; '.join(gone)}")  # fmt: skip
        alive = [alive[at] for at in kept]
    return free


def candidates(trials: Trials, networks: Sequence[str]) -> list[tuple[str, str]]:
    """(chain, format) of everything that could be measured."""
    found = []
    for text, finish, format in itertools.product(networks, ("", *trials.config.finishes), trials.config.formats):
        on_grids = any(step.name == "qat" or chain.written([step]) == "int4" for step in trials.steps(text))
        if finish and (on_grids or format == "program"):
            continue
        whole = f" {chain.BETWEEN} ".join(filter(None, (text, finish)))
        if chain.possible(trials.steps(whole), format):
            found.append((whole, format))
    return found


def explored(
    trials: Trials,
    pairs: Sequence[tuple[str, str]],
    made: Sequence[Artifact],
    changes: Sequence[float],
    every: Sequence[tuple[int, int]],
) -> list[tuple[int, int]]:
    """Of (artifact, threads) those that were measured: what a prediction could not rule out."""
    measured = guided.explore(known(trials, pairs, made, changes, every), lambda k: latency(trials, made, every[k]))
    trials.decide(
        f"Measure {len(measured)} of {len(every)} candidates",
        "the others are slower than one as accurate and as small, as far as predictions can be wrong here, or are "
        f"expected to add less than {100 * guided.ENOUGH:g} % to the front",
    )
    return [every[k] for k in measured]


def known(
    trials: Trials,
    pairs: Sequence[tuple[str, str]],
    made: Sequence[Artifact],
    changes: Sequence[float],
    every: Sequence[tuple[int, int]],
) -> list[guided.Known]:
    """What each of (artifact, threads) is known to be before it is measured."""
    here = detect.machine()
    batch = min(trials.recipe["bench"].batch)
    found = []
    for at, threads in every:
        one = made[at]
        work = workload.read(one.folder).at_batch(batch)
        predicted = roofline.predict(work, here)[0].value * (detect.usable_threads() / threads) ** SCALES
        alike = {"runtime": f"{one.format} {one.precision}", "work": pairs[at][0], "threads": str(threads)}
        found.append(guided.Known(changes[at], float(bench.deployed(one)), predicted, alike))
    return found


def latency(trials: Trials, made: Sequence[Artifact], which: tuple[int, int]) -> float:
    """Seconds of a call of one of (artifact, threads), after a first look."""
    at, threads = which
    return trials.quick([made[at]], [threads])[0].value


def with_epochs(trials: Trials, text: str, share: float) -> str:
    """The same chain with a share of the epochs of its trainings, at least one."""
    parts = [part.strip() for part in text.split(chain.BETWEEN)]
    for at, training in trials.trainings(text).items() if share < 1 else ():
        own = [word for word in parts[at].split() if not word.startswith("epochs=")]
        parts[at] = " ".join([*own, f"epochs={max(1, round(share * training.epochs))}"])
    return f" {chain.BETWEEN} ".join(parts)


def bits(made: Artifact) -> float:
    """Bits of the weights that a network's files will have."""
    from netwright.export import stored

    return {"int4": 4.0, "int8": 8.0}.get(stored(made).removesuffix("-weights"), 32.0)


def by_rank(scores_N2: np.ndarray) -> list[int]:
    """Places in the order of Pareto rank, lower scores first; within a rank the first coordinate decides."""
    left, order = list(range(len(scores_N2))), []
    while left:
        front = [
            at for at in left
            if not any((scores_N2[o] <= scores_N2[at]).all() and (scores_N2[o] < scores_N2[at]).any() for o in left)
        ]  # fmt: skip
        order += sorted(front, key=lambda at: float(scores_N2[at, 0]))
        left = [at for at in left if at not in front]
    return order
