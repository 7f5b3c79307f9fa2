"""A/A test of `measure.bench`, for real: the same artifact twice must rarely be called different.

    python benchmarks/aa.py [TRIALS]

Each trial trains nothing: a small CNN with random weights is benched against itself in ONNX Runtime. Three
questions are asked: are the 95 % intervals of the latency disjoint, does the paired ratio exclude 1, and would a study
rank the two, whose intervals must lie outside of `study.pareto.SAME`? An honest answer is rare for the first, 4.1 % for
the second (a sign test of 20 rounds), and rare for the third.

Measured on two CPU cores under a load of 6 to 7, 40 trials:

| | intervals disjoint | paired ratio excludes 1 |
|---|---|---|
| each candidate opened once | 30 (75 %) | 38 (95 %) |
| opened anew in every round | 0 (0 to 9 %) | 2 (5 %; 1 to 17 %) |

On an idle machine, 100 trials opened anew in every round: 0 disjoint (0 to 3.7 %), 2 ratios that exclude 1 (2 %; 0.6 to
7.0 %), none that a study would rank.

On an Intel Xeon with AVX-512, under a load of 20 on two cores, 100 trials: 0 disjoint, 4 ratios that exclude 1 (4 %;
1.6 to 9.8 %), none that a study would rank.

The ratios lay between 0.985 and 1.018 before and between 0.995 and 1.006 after: two openings of one file
do differ, by where they land in memory, for as long as they stay open.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import torch

from netwright import export
from netwright.core import artifact, recipe
from netwright.core.measurement import better
from netwright.core.stats import proportion
from netwright.data import synthetic
from netwright.measure import bench, memory
from netwright.models import cnn, load
from netwright.study.pareto import SAME


def main(trials: int) -> None:
    memory.peak = lambda artifact, batches, threads: {"import": 0, "1": 0}  # type: ignore[assignment]  # not asked here
    torch.manual_seed(0)
    task = synthetic.open(synthetic.Config(side=28))
    config = cnn.Config()
    model = cnn.build(config, task.inputs, len(task.classes))
    with tempfile.TemporaryDirectory() as folder:
        source = artifact.create(
            Path(folder) / "source",
            lambda draft: load.save_model(model, draft) and None,
            format="torch",
            precision="fp32",
            task={**recipe.plain(task.config), "classes": list(task.classes)},
            model=recipe.plain(config),
            inputs=recipe.plain(task.inputs),
        )
        twin = export.write(source, "onnx", task, Path(folder) / "onnx", n=50)
        apart = excluded = ranked = 0
        ratios = []
        for trial in range(trials):
            settings = bench.Config(batch=(1,), threads=1, seconds=1.0, seed=trial)
            first, second = (one for one in bench.bench([twin, twin], task, settings) if one.quantity == "latency")
            ratio = bench.compare(first, second)
            apart += better(first, second) is not None
            excluded += not ratio.low <= 1 <= ratio.high
            ranked += ratio.low > 1 + SAME or ratio.high < 1 / (1 + SAME)
            ratios.append(ratio.value)
    print(f"trials {trials}, load {os.getloadavg()[0]:.1f}")
    for question, count in (("intervals disjoint", apart), ("paired ratio excludes 1", excluded), ("ranked", ranked)):
        share = proportion(count, trials)
        print(f"{question}: {count} = {share.value:.3f} [{share.low:.3f}, {share.high:.3f}]")
    print(f"ratios from {min(ratios):.3f} to {max(ratios):.3f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
