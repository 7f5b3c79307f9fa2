"""Time of one prediction: in a fresh process, and in one that has answered before.

    python benchmarks/predict_speed.py            # prints a Markdown table

Cold is CPU time of `netwright predict ... --json`, user and system, the median of 7 processes: a wall clock would count
others' load. Warm is the median of 200 calls of `estimate.predict`, as CPU time too, each with another batch so
that nothing is remembered from one to the next.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from netwright.core import artifact, workload
from netwright.core.workload import Matrix, Operator, Workload
from netwright.hardware import catalog
from netwright.predict import estimate, llm
from netwright.predict.learning import store
from netwright.predict.question import Question

RUNS, CALLS = 7, 200
COLD_S, WARM_S, MODEL_B = 1.0, 5e-3, 5_000_000
"""The bars: seconds, seconds, bytes of the fitted predictor."""


def network() -> Workload:
    """Convolutions, normalisations and additions as in a ResNet-50: 176 operators."""
    block = [
        ("convolution", 2.2e8, 2.4e5, 8e5, 8e5, Matrix(m=3136, n=64, k=576)),
        ("batch_norm", 2e5, 5e2, 8e5, 8e5, None),
        ("relu", 2e5, 0.0, 8e5, 8e5, None),
        ("add", 2e5, 0.0, 16e5, 8e5, None),
    ]
    operators = tuple(
        Operator(name=n, flops=f, weight_bytes=w, input_bytes=i, output_bytes=o, dtype="bf16", matrix=m)
        for n, f, w, i, o, m in block * 44
    )
    return Workload(name="like ResNet-50", batch=1, parameters=25_000_000, operators=operators, peak_bytes=5e6)


def cold(model: str) -> float:
    """CPU seconds of one process that predicts."""
    command = [sys.executable, "-m", "netwright", "predict", model, "--device", "l40s", "--batch", "16", "--json"]
    with tempfile.TemporaryFile() as sink, subprocess.Popen(command, stdout=sink, stderr=sink) as child:
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise RuntimeError(f"{command} ended with code {child.returncode}")
    return usage.ru_utime + usage.ru_stime


def warm(model: Workload | llm.LLM) -> float:
    """CPU seconds of a call, the median."""
    device, times = catalog.find("h200"), []
    for batch in range(1, CALLS + 1):
        start = time.process_time()
        estimate.predict(model, device, Question(batch=batch))
        times.append(time.process_time() - start)
    return statistics.median(times)


def main() -> int:
    missed = False
    print("| model | cold, CPU s | warm, ms |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        net = network()
        about = {"format": "torch", "precision": "fp32", "inputs": {}, "task": {"name": "x"}, "model": {"name": "x"}}
        made = artifact.create(Path(folder) / "net", lambda draft: workload.write(net, draft), **about)
        for name, model in ((str(made.folder), net), ("Qwen3-8B", llm.named("Qwen3-8B"))):
            first = statistics.median(cold(name) for _ in range(RUNS))
            again = warm(model)
            missed |= first > COLD_S or again > WARM_S
            print(f"| {model.name} | {first:.2f} | {1e3 * again:.1f} |")
    if store.in_place().is_file():
        size = store.in_place().stat().st_size
        missed |= size > MODEL_B
        print(f"\nThe fitted predictor is {size / 1e6:.2f} MB.")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
