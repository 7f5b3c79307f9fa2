"""A study of a CIFAR-10 network by search: what its front reaches, whether it holds, and what predictions save.

    python benchmarks/study.py front     # the front, its gains over FP32, and each dominance measured a second time
    python benchmarks/study.py guided    # candidates measured, and hypervolume, against measuring all of them
    python benchmarks/study.py guided --recipe recipes/fashion-mnist.toml     # of another network

Everything made is a run in --runs and is found again. The second measurement is a session of its own, hours or
minutes later; accuracies are counts on the same test split and do not change.
"""

from __future__ import annotations

import argparse
import itertools
import math
import tomllib
from dataclasses import replace
from pathlib import Path

from compress import NETWORK
from netwright.core import recipe
from netwright.core.run import Run
from netwright.hardware import detect
from netwright.measure import bench
from netwright.study import guided, pareto, search, stages
from netwright.study.study import SECTIONS, measured
from netwright.study.trials import REFERENCE, Chosen, Trials
from netwright.train import training

STUDY = {
    "bench": {"batch": [1], "threads": 1, "seconds": 1.0, "memory": False},
    "study": {
        "strategy": "search",
        "networks": ["prune keep=0.7", "distill keep=0.5", "distill keep=0.25", "qat to=int4 epochs=1"],
        "finishes": ["int8", "bf16", "int8-weights"],
        "threads": [1, 2],
    },
    "qat": {"threads": 1}, "prune": {"threads": 1}, "distill": {"threads": 1}, "quantize": {"samples": 256},
}  # fmt: skip
OBJECTIVES: tuple[pareto.Objective, ...] = ("accuracy", "latency", "size")
DROP = 0.005


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=list(VERBS))
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--recipe", type=Path, help="of another network and task")
    args = parser.parse_args()
    network = tomllib.loads(args.recipe.read_text()) if args.recipe else NETWORK
    asked = recipe.parse({**network, **STUDY}, SECTIONS)
    with Run.start(args.runs, "benchmark", {"recipe": asked.digest, "verb": args.verb}) as run:
        VERBS[args.verb](opened(asked, args.runs, run))


def opened(asked: recipe.Recipe, runs: Path, run: Run) -> Trials:
    trained = training.train(asked, runs)
    assert trained is not None
    task, _ = training.prepare(asked)
    return Trials(asked, trained, task, runs, run)


def front(trials: Trials) -> None:
    """The front of one thread: batch, threads and examples are the same for all that are compared."""
    chosen = [one for one in search.search(trials) if one.threads == 1]
    whole = [Chosen(f"{format} FP32", trials.made("", format), 1) for format in trials.config.formats]
    names = {one.artifact.digest for one in chosen}
    missing = [one for one in whole if one.artifact.digest not in names]
    every = [Chosen(REFERENCE, trials.trained.artifact, 1), *missing, *chosen]
    first = measured(every, trials.recipe, trials.task, trials.runs)
    base = min((c for c in first if c.label.upper().endswith("FP32")), key=lambda c: c.figures["latency"].value)
    print(f"against {base.label}, the fastest in FP32: {base.figures['latency']}, {base.figures['size']}")
    ahead = pareto.front(first, OBJECTIVES)
    for one in sorted(first, key=lambda c: c.figures["latency"].value):
        ratio = bench.compare(one.figures["latency"], base.figures["latency"])
        smaller = base.figures["size"].value / one.figures["size"].value
        change = one.figures["accuracy_change"]
        print(
            f"{'*' if one in ahead else ' '} {one.label:<60} {one.figures['accuracy']}  {100 * change.value:+.2f} "
            f"[{100 * change.low:+.2f}, {100 * change.high:+.2f}]  {one.figures['latency']}  {one.figures['size']}  "
            f"latency x size {smaller / ratio.value:.1f}x less [{smaller / ratio.high:.1f}, {smaller / ratio.low:.1f}]"
        )
    again = remeasured(trials, every, first)
    claims = [(a, b) for a, b in itertools.permutations(range(len(first)), 2)
              if pareto.dominates(first[a], first[b], OBJECTIVES)]  # fmt: skip
    twice = sum(pareto.dominates(again[a], again[b], OBJECTIVES) for a, b in claims)
    against = [(first[a].label, first[b].label) for a, b in claims
               if any(pareto.compare(again[a], again[b], o).better == again[b].label for o in OBJECTIVES)]  # fmt: skip
    print(f"of {len(claims)} claimed dominances {twice} are claimed again; contradicted: {against or 'none'}")


def remeasured(trials: Trials, every: list[Chosen], first: list[pareto.Candidate]) -> list[pareto.Candidate]:
    config: bench.Config = trials.recipe["bench"]
    _, speeds = stages.benched(trials.runs, [one.artifact for one in every], config, fresh=True)
    latencies = [one for one in speeds if one.quantity == "latency"]
    return [
        replace(one, figures={**one.figures, "latency": latency}) for one, latency in zip(first, latencies, strict=True)
    ]


def guided_search(trials: Trials) -> None:
    """Measures all candidates, in the order in which the guided search would."""
    pairs = search.candidates(trials, search.halve(trials))
    made = trials.made_all(pairs)
    changes = [trials.change(one).value for one in made]
    threads = sorted({detect.usable_threads() if count == 0 else count for count in trials.config.threads})
    every = [(at, count) for at in range(len(made)) for count in threads]
    known = search.known(trials, pairs, made, changes, every)
    seconds = {at: search.latency(trials, made, which) for at, which in enumerate(every)}
    chosen = guided.explore(known, lambda at: seconds[at])
    points = {at: guided.point(known[at], seconds[at]) for at in seconds}
    reference = guided.beyond(list(points.values()))
    whole = pareto.hypervolume(list(points.values()), reference)
    for count in range(1, len(chosen) + 1):
        share = pareto.hypervolume([points[at] for at in list(chosen)[:count]], reference) / whole
        print(f"{count:>3} of {len(every)} ({100 * count / len(every):.0f} %): {100 * share:.2f} % of the hypervolume")
    errors = sorted(abs(math.log(known[at].predicted / seconds[at])) for at in seconds)
    print(f"median error of the predictions before anything was measured: {math.expm1(errors[len(errors) // 2]):.0%}")


VERBS = {"front": front, "guided": guided_search}

if __name__ == "__main__":
    main()
