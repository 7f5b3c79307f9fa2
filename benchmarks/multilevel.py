"""Training through levels against training the network alone: time, FLOPs and memory to the same test accuracy.

    python benchmarks/multilevel.py tune mnist                   # learning rates, equal trials for each method
    python benchmarks/multilevel.py run mnist --seeds 5          # every method at every budget; goes on after a kill
    python benchmarks/multilevel.py table                        # what was measured so far, as Markdown

Settings stand in multilevel.toml: for each task a network, and methods with their learning rates. What was measured
stands in multilevel.jsonl, a run a line, and is gone on from. Every run has a process of its own; methods alternate
within a seed, so that a busy hour meets all of them. Learning rates are fully decayed at each budget: a budget of a
half is a run of its own, not one read off midway. The clock begins before levels are built and matched, and stands
still while validation runs; results are in seconds of wall clock and of CPU time, of which the latter is worth more
on a machine that does other things too.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

SETTINGS = Path(__file__).with_suffix(".toml")
BUDGETS = (0.25, 0.5, 0.75, 1.0)
LEVEL = 0.9
"""Of the intervals."""
NEVER = 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("tune", "run"):
        one = verbs.add_parser(verb)
        one.add_argument("task", choices=list(_settings()))
        one.add_argument("--methods", nargs="*", help="these alone")
        one.add_argument("--seeds", type=int, default=5 if verb == "run" else 1)
        one.add_argument("--budgets", type=float, nargs="*", default=BUDGETS if verb == "run" else (0.5,))
        one.add_argument("--minutes", type=float, default=1e9, help="begin no run after so many")
    verbs.add_parser("table")
    verbs.add_parser("one").add_argument("job")
    parser.add_argument("--results", type=Path, default=SETTINGS.with_suffix(".jsonl"))
    args = parser.parse_args()
    if args.verb == "one":
        print(json.dumps(measure(json.loads(args.job))))
    elif args.verb == "table":
        print(table(read(args.results)))
    else:
        collect(args)


def _settings() -> dict[str, Any]:
    return tomllib.loads(SETTINGS.read_text(encoding="utf-8"))


def read(path: Path) -> list[dict[str, Any]]:
    """All rows measured so far."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def jobs(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """What is to be measured, seeds outermost and methods innermost."""
    about = _settings()[args.task]
    methods = {name: about["methods"][name] for name in args.methods or about["methods"]}
    for seed in range(args.seeds):
        for budget in args.budgets:
            rates = [about["rates"]] if args.verb == "tune" else [()]
            for name, method in methods.items():
                own = method["lr"]
                set_ = own if isinstance(own, (int, float)) else own[BUDGETS.index(budget)]
                for rate in rates[0] or (set_,):
                    base = {"task": args.task, "method": name, "budget": budget, "seed": seed, "lr": rate}
                    yield base | {"tuning": args.verb == "tune"}


def collect(args: argparse.Namespace) -> None:
    """Measure what has not been measured, each in a process of its own."""
    begin = time.monotonic()
    args.results.parent.mkdir(parents=True, exist_ok=True)
    known = {json.dumps(row["job"], sort_keys=True) for row in read(args.results)}
    todo = [job for job in jobs(args) if json.dumps(job | {"digest": digest(job)}, sort_keys=True) not in known]
    for at, job in enumerate(todo, 1):
        if time.monotonic() - begin > 60 * args.minutes:
            print(f"time is over; {len(todo) - at + 1} runs are left")
            return
        words = [sys.executable, __file__, "one", json.dumps(job)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{job}\n{done.stderr[-3000:]}")
        row = json.loads(done.stdout.splitlines()[-1])
        with args.results.open("a") as handle:
            handle.write(json.dumps(row) + "\n")
        print(
            f"{at}/{len(todo)} {job['method']:>24} budget {job['budget']:<5g} seed {job['seed']} lr {job['lr']:<8g} "
            f"{100 * row['validation']:.2f} / {100 * row['test']:.2f} %  {row['cpu']:.0f} s CPU  {row['wall']:.0f} s",
            flush=True,
        )


def digest(job: dict[str, Any]) -> str:
    """Of the settings behind a job, so that rows of other settings are not taken for it."""
    from netwright.core import recipe

    about = _settings()[job["task"]]
    return recipe.digest({**{k: v for k, v in about.items() if k not in ("methods", "rates", "table")},
                          "method": about["methods"][job["method"]] | {"lr": 0}})[:12]  # fmt: skip


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """One training: accuracies, seconds, FLOPs, peak memory, and the seconds that levels cost beside their steps."""
    from netwright.core import recipe
    from netwright.data import TASKS
    from netwright.data.tasks import open_task
    from netwright.models import MODELS, FromData
    from netwright.train import loop
    from netwright.train.memory import peak_bytes, reset_peak
    from netwright.train.step import Config, choose_device, predictor
    from netwright.train.training import network

    about = _settings()[job["task"]]
    method = about["methods"][job["method"]]
    epochs = job["budget"] * about["train"]["epochs"] * method.get("epochs", 1)
    train = about["train"] | {"lr": job["lr"], "seed": job["seed"], "keep": "last"}
    sections = {
        "task": about["task"],
        "model": about["model"] | method.get("model", {}),
        "train": train | method.get("train", {}) | {"multilevel": method.get("multilevel", {})},
    }
    parsed = recipe.parse(sections, {"task": TASKS, "model": MODELS, "train": Config})
    task = open_task(parsed["task"])
    config = dataclasses.replace(parsed["train"], epochs=epochs)  # perhaps a part of one
    device = choose_device(config.device)

    def fresh() -> Any:
        model = network(parsed, task)
        if isinstance(model, FromData):
            model.initialize(task.batch("train", np_range(min(5000, task.size("train")))).inputs)
        return model

    model = fresh()
    evaluating = Clock(task, "evaluate")
    overhead = Overhead()
    reset_peak(device)
    before = peak_bytes(device)
    wall, cpu = time.perf_counter(), time.process_time()
    fitted = loop.fit(model, task, config)
    wall, cpu = time.perf_counter() - wall - evaluating.wall, time.process_time() - cpu - evaluating.cpu
    memory = peak_bytes(device) - before
    evaluating.stop()
    overhead.stop()
    answer = predictor(model, device, _nothing)
    found = {split: float(task.evaluate(answer, split).correct_N.mean()) for split in ("validation", "test")}
    return {
        "job": job | {"digest": digest(job)},
        **found,
        "wall": wall,
        "cpu": cpu,
        "levels": overhead.seconds(),
        "memory": memory,
        "steps": fitted.step,
        "flops": flops(fresh(), task, config),
        "threads": config.threads,
        "load": os.getloadavg()[0],
        "device": str(device),
    }


def np_range(n: int) -> Any:
    import torch

    return torch.arange(n)


def _nothing() -> Any:
    import contextlib

    return contextlib.nullcontext()


class Clock:
    """Seconds spent in a method of an object; `after` is called when it returns."""

    def __init__(self, of: Any, name: str, after: Callable[[], None] = lambda: None) -> None:
        self.of, self.name, self.wall, self.cpu = of, name, 0.0, 0.0
        kept = getattr(of, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            wall, cpu = time.perf_counter(), time.process_time()
            try:
                return kept(*args, **kwargs)
            finally:
                self.wall += time.perf_counter() - wall
                self.cpu += time.process_time() - cpu
                after()

        setattr(of, name, timed)
        self._kept = kept

    def stop(self) -> None:
        setattr(self.of, self.name, self._kept)


class Overhead:
    """CPU seconds of building levels, of matching units, and of passing between levels."""

    def __init__(self) -> None:
        from netwright.train.multilevel.hierarchy import Hierarchy
        from netwright.train.multilevel.training import Multilevel

        self.first = 0.0
        self.matching, self.passing = Clock(Hierarchy, "_match"), Clock(Multilevel, "_carry_out")
        self.building = Clock(Multilevel, "_build", self._built)

    def stop(self) -> None:
        for clock in (self.building, self.matching, self.passing):
            clock.stop()

    def seconds(self) -> dict[str, float]:
        """Building without the matching in it, and matching with what passes between levels."""
        return {"building": self.building.cpu - self.first, "transfers": self.passing.cpu + self.first}

    def _built(self) -> None:
        self.first = self.matching.cpu  # later matchings are a part of what passes


def flops(model: Any, task: Any, config: Any) -> float:
    """FLOPs of all steps, counted by torch on one step of each level; a tau's gradients by their share of work."""
    from torch.utils.flop_counter import FlopCounterMode

    from netwright.train.loop import begin, settings
    from netwright.train.multilevel import schedules
    from netwright.train.parallel import Team
    from netwright.train.step import Training, choose_device

    with settings(config):
        training = begin(model, task, config, Team("none", 0, 1, choose_device(config.device)))
        each = {}
        for level in training.tally():
            training.enter(level)
            with FlopCounterMode(display=False) as counter:
                Training.one_step(training)
            each[level] = counter.get_total_flops()
        total = float(sum(count * each[level] for level, count in training.tally().items()))
        if config.multilevel.schedule != "single":
            plan = training.plan
            events = training.schedule(config.multilevel, plan)
            taus = sum(
                schedules.work(event, config.multilevel, plan)
                - (event.steps * plan.costs[event.level] if isinstance(event, schedules.Smooth) else 0)
                for event in events
            )
            total += taus * each[0]
    return total


def table(rows: Sequence[dict[str, Any]]) -> str:
    """For each task accuracy by budget, and what each method needs to reach the baseline's accuracy."""
    measured = [row for row in rows if not row["job"]["tuning"] and row["job"]["digest"] == digest(row["job"])]
    parts = []
    for task in dict.fromkeys(row["job"]["task"] for row in measured):
        mine = [row for row in measured if row["job"]["task"] == task]
        parts += [f"### {_settings()[task].get('table', task)}\n", _accuracies(mine), "", _ratios(mine), ""]
    return "\n".join(parts)


def _accuracies(rows: Sequence[dict[str, Any]]) -> str:
    budgets = sorted({row["job"]["budget"] for row in rows})
    lines = [
        "| method | seeds | " + " | ".join(f"{100 * b:g} % of the budget" for b in budgets) + " | CPU time | memory |",
        "|---|---" + "|---" * (len(budgets) + 2) + "|",
    ]
    for method in dict.fromkeys(row["job"]["method"] for row in rows):
        mine = [row for row in rows if row["job"]["method"] == method]
        cells = []
        for budget in budgets:
            found = [100 * row["test"] for row in mine if row["job"]["budget"] == budget]
            spread = f" ± {statistics.stdev(found):.2f}" if len(found) > 1 else ""
            cells.append(f"{statistics.mean(found):.2f}{spread}" if found else "")
        whole = [row for row in mine if row["job"]["budget"] == max(budgets)]
        seeds = len({row["job"]["seed"] for row in mine})
        cpu = f"{statistics.mean(row['cpu'] for row in whole):.0f} s" if whole else ""
        memory = f"{statistics.mean(row['memory'] for row in whole) / 1e6:.0f} MB" if whole else ""
        lines.append(f"| {method} | {seeds} | {' | '.join(cells)} | {cpu} | {memory} |")
    return "\n".join(lines)


def _ratios(rows: Sequence[dict[str, Any]]) -> str:
    """Time that the baseline needs over what each method needs for the baseline's accuracy less 0.1 points."""
    base = [row for row in rows if row["job"]["method"] == "single"]
    if not base:
        return ""
    budgets = sorted({row["job"]["budget"] for row in base})
    best = max(budgets, key=lambda budget: _mean(base, budget, "validation"))  # a longer one may overfit
    target = _mean(base, best, "test") - 0.001
    lines = [
        f"Target: {100 * target:.2f} %, less by 0.1 points than the baseline's mean at the budget that is best for it "
        f"on validation ({100 * best:g} %). Ratios above 1 mean faster than the baseline to the same accuracy, with "
        f"{100 * LEVEL:g} % intervals over seeds.\n",
        "| method | CPU time | wall clock | FLOPs | building levels | transfers and matching |",
        "|---|---|---|---|---|---|",
    ]
    for method in dict.fromkeys(row["job"]["method"] for row in rows):
        mine = [row for row in rows if row["job"]["method"] == method]
        cells = [_speedup(base, mine, target, kind) for kind in ("cpu", "wall", "flops")]
        over = [100 * statistics.mean(row["levels"][k] / row["cpu"] for row in mine) for k in ("building", "transfers")]
        lines.append(f"| {method} | {' | '.join(cells)} | {over[0]:.1f} % | {over[1]:.1f} % |")
    return "\n".join(lines)


def _mean(rows: Sequence[dict[str, Any]], budget: float, what: str) -> float:
    return statistics.mean(row[what] for row in rows if row["job"]["budget"] == budget)


def _speedup(base: Sequence[dict[str, Any]], rows: Sequence[dict[str, Any]], target: float, kind: str) -> str:
    seeds = sorted({row["job"]["seed"] for row in rows} & {row["job"]["seed"] for row in base})
    ratio = np.array([needed(_mean_curve(base, [s], kind), target) / needed(_mean_curve(rows, [s], kind), target)
                      for s in seeds])  # fmt: skip
    whole = needed(_mean_curve(base, seeds, kind), target) / needed(_mean_curve(rows, seeds, kind), target)
    if not np.isfinite(whole) or whole == 0:
        return "not reached"
    if len(seeds) < 3:
        return f"{whole:.2f}"
    generator = np.random.default_rng(0)
    drawn = []
    for _ in range(2000):
        some = list(generator.choice(seeds, len(seeds)))
        drawn.append(needed(_mean_curve(base, some, kind), target) / needed(_mean_curve(rows, some, kind), target))
    low, high = np.quantile(np.nan_to_num(drawn, nan=0.0, posinf=NEVER), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    above = f"{high:.2f}" if high < NEVER / 2 else "no bound"  # in many resamples the baseline never comes there
    reached = int(np.isfinite(ratio).sum())
    return f"{whole:.2f} [{low:.2f}, {above}]" + (f", {reached} of {len(seeds)} seeds" if reached < len(seeds) else "")


def _mean_curve(rows: Sequence[dict[str, Any]], seeds: Sequence[int], kind: str) -> list[tuple[float, float]]:
    """(seconds or FLOPs, accuracy) of each budget, averaged over seeds, in order."""
    points = []
    for budget in sorted({row["job"]["budget"] for row in rows}):
        at = {row["job"]["seed"]: row for row in rows if row["job"]["budget"] == budget}
        found = [at[seed] for seed in seeds if seed in at]
        if found:
            points.append((statistics.mean(r[kind] for r in found), statistics.mean(r["test"] for r in found)))
    return points


def needed(points: Sequence[tuple[float, float]], target: float) -> float:
    """Seconds (or FLOPs) to an accuracy, interpolated in their logarithm; infinite where it is never reached.

    Where the cheapest run reaches it already, that run's: the ratio is then a lower bound.
    """
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if y0 >= target:
            return x0
        if y1 >= target:
            return float(x0 * (x1 / x0) ** ((target - y0) / (y1 - y0)))
    return points[-1][0] if points and points[-1][1] >= target else float("inf")


if __name__ == "__main__":
    main()
