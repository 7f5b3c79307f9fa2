"""Accuracy, latency and size of what the peers made, all in one process and in turn.

    python benchmarks/peers/figures.py FOLDER

A file runs where its format runs: .onnx in ONNX Runtime, .xml in OpenVINO, a compiled .pt2 in torch, each on one thread
with one image. Latency is wall time, as a ratio to FP32 of the same runtime and to the fastest FP32 of all.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import openvino
import torch
from numpy.typing import NDArray

from netwright.core.stats import proportion
from netwright.measure import rounds

Floats = NDArray[np.float32]
Answer = Callable[[Floats], Any]
FIRST = {"onnx": "fp32-onnx", "xml": "fp32-openvino", "pt2": "torch-fp32-compiled"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=10.0, help="of timing each file")
    args = parser.parse_args()
    torch.set_num_threads(1)
    found = files(args.folder)
    test, labels = np.load(args.folder / "test.npy"), np.load(args.folder / "labels.npy")
    images = [test[at : at + 1] for at in range(rounds.POOL)]

    def opener(path: Path) -> rounds.Open:
        def opened() -> rounds.Call:
            answer = load(path)
            return lambda i: answer(images[i % rounds.POOL])

        return opened

    timed = rounds.interleave(
        [opener(path) for path in found.values()], rounds=args.rounds, seconds=args.seconds,
        generator=np.random.default_rng(0),
    )  # fmt: skip
    medians = dict(zip(found, (one.medians for one in timed), strict=True))
    fastest = min(
        (name for name in FIRST.values() if name in medians), key=lambda name: float(np.median(medians[name]))
    )
    print(f"load {os.getloadavg()[0]:.1f}; fastest in FP32: {fastest}")
    print("| file | runtime | accuracy, % | latency | of FP32 in its runtime | of the fastest FP32 | bytes |")
    print("|---|---|---|---|---|---|---|")
    for name, path in found.items():
        answer = load(path)
        right = sum(int(np.argmax(answer(test[at : at + 1])) == labels[at]) for at in range(len(labels)))
        share = proportion(right, len(labels))
        own, best = (ratio(medians[name], medians[base]) for base in (FIRST[path.suffix[1:]], fastest))
        print(f"| {name} | {RUNTIMES[path.suffix[1:]][0]} | {100 * share.value:.2f} [{100 * share.low:.2f}, "
              f"{100 * share.high:.2f}] | {1e3 * np.median(medians[name]):.3f} ms | {own} | {best} | {size(path):,} |",
              flush=True)  # fmt: skip


def files(folder: Path) -> dict[str, Path]:
    """Name -> the file that a runtime opens; FP32 first."""
    every = [*folder.glob("*/*.onnx"), *folder.glob("*/*.xml"), *folder.glob("*-compiled.pt2")]
    named = {path.stem if path.suffix == ".pt2" else path.parent.name: path for path in every}
    return dict(sorted(named.items(), key=lambda item: (item[0] not in FIRST.values(), item[0])))


def size(path: Path) -> int:
    return path.stat().st_size + (path.with_suffix(".bin").stat().st_size if path.suffix == ".xml" else 0)


def ratio(some_R: NDArray[np.float64], base_R: NDArray[np.float64]) -> str:
    """Median over rounds of the ratio of a round's medians, with an interval by resampling rounds."""
    ratios_R = some_R / base_R
    drawn = np.random.default_rng(0).integers(0, len(ratios_R), (1000, len(ratios_R)))
    low, high = np.quantile(np.median(ratios_R[drawn], axis=1), [0.025, 0.975])
    return f"{np.median(ratios_R):.3f} [{low:.3f}, {high:.3f}]"


def by_onnxruntime(path: Path) -> Answer:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (name,) = (one.name for one in session.get_inputs())
    return lambda image: session.run(None, {name: image})[0]


def by_openvino(path: Path) -> Answer:
    settings = {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    request = openvino.Core().compile_model(path, "CPU", settings).create_infer_request()
    return lambda image: request.infer([image], share_inputs=True)[0]


def by_torch(path: Path) -> Answer:
    runner = torch._inductor.aoti_load_package(str(path))
    return lambda image: torch.as_tensor(runner(torch.from_numpy(image))).numpy()


RUNTIMES = {"onnx": ("ONNX Runtime", by_onnxruntime), "xml": ("OpenVINO", by_openvino), "pt2": ("torch", by_torch)}


def load(path: Path) -> Answer:
    return RUNTIMES[path.suffix[1:]][1](path)


if __name__ == "__main__":
    main()
