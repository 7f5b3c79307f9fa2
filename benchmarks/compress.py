"""What compression costs and brings on real data: CIFAR-10's ResNet-9, and ResNet-50 on crops of photographs.

    python benchmarks/compress.py int4        # rounding to INT4, and how much of the drop training on the grid recovers
    python benchmarks/compress.py prune       # half of the FLOPs: accuracy and latency
    python benchmarks/compress.py distill     # fewer parameters than a quarter, with a teacher and alone
    python benchmarks/compress.py zeros       # single weights and 2:4: accuracy, packed size, latency
    python benchmarks/compress.py engines     # INT8 and weights alone by every engine that makes them, in either format
    python benchmarks/compress.py resnet50    # agreement with FP32, and latency beside FP32 and ONNX Runtime

Everything made is a run in --runs and is found again, so that a benchmark goes on after a kill. Accuracy is that of the
test split, changes are paired by example; latencies are measured interleaved in one session, as ratios.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netwright.compress import chain, quantize, sparse
from netwright.compress.engines import ENGINES
from netwright.core import recipe
from netwright.core.artifact import Artifact
from netwright.core.error import UserError
from netwright.core.run import Run
from netwright.measure import bench, quality
from netwright.models import pretrained
from netwright.models.load import WEIGHTS, open_task
from netwright.study import stages
from netwright.train import training

NETWORK = {
    "task": {"name": "cifar10", "flip": True, "crop": 4},
    "model": {"name": "resnet9", "width": 32},
    "train": {
        "epochs": 8, "batch": 256, "optimizer": "sgd", "lr": 0.8, "momentum": 0.85, "bias_lr": 16.0, "threads": 1,
        "weight_decay": 1.3e-3, "schedule": "one-cycle", "warmup": 0.2, "smoothing": 0.2, "average": 0.99,
        "precision": "bf16", "keep": "last",
    },
}  # fmt: skip

RANGES = "equalize > qat to=int8 learn=ranges statistics=kept epochs=4 lr=1e-4 batch=16 threads=1"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["int4", "prune", "distill", "zeros", "engines", "resnet50"])
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--seeds", type=int, default=5, help="how many students of either kind")
    parser.add_argument("--first", type=int, default=0, help="the seed of the first of them")
    parser.add_argument("--seconds", type=float, default=10.0, help="of timing each candidate")
    args = parser.parse_args()
    globals()[args.verb](args)


def int4(args: argparse.Namespace) -> None:
    first = network(args)
    made = {text: carried(args, first, text) for text in ("int4", "qat to=int4 epochs=1 threads=1")}
    changes = accuracy(args, first, made)
    print(f"of the drop {100 * (1 - changes[-1] / changes[0]):.0f} % recovered")


def prune(args: argparse.Namespace) -> None:
    first = network(args, width=64)
    made = {text: carried(args, first, text) for text in ("prune keep=0.5 epochs=12 lr=0.8 threads=1",)}
    accuracy(args, first, made)
    speed(args, {"whole": first, **made})


def distill(args: argparse.Namespace) -> None:
    """Of each seed a student with and one without the teacher; what they differ by is paired over all of them."""
    first = network(args)
    pairs = []
    for seed in range(args.first, args.first + args.seeds):
        alone = network(args, {"seed": seed}, width=12)
        text = f'distill student=["width=12"] temperature=2.0 weight=0.9 seed={seed} threads=1'
        taught = carried(args, first, text)
        accuracy(args, alone, {f"taught, against alone, seed {seed}": taught})
        task = open_task(first)
        pairs.append([stages.evaluated(args.runs, one, task, 1)[0].correct_N for one in (taught, alone)])
    differences_SN = np.stack([taught - alone for taught, alone in np.array(pairs, float)])
    means_R = resampled(differences_SN)
    low, high = np.quantile(means_R, [0.025, 0.975])
    mean = differences_SN.mean()
    print(f"taught less alone, seeds {args.first} to {seed}: {100 * mean:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}]")


def resampled(differences_SN: NDArray[np.float64], times: int = 2000) -> NDArray[np.float64]:
    """Means over seeds and examples drawn anew, with replacement both."""
    generator = np.random.default_rng(0)
    seeds, examples = differences_SN.shape
    return np.array([
        differences_SN[generator.integers(0, seeds, seeds)][:, generator.integers(0, examples, examples)].mean()
        for _ in range(times)
    ])  # fmt: skip


def zeros(args: argparse.Namespace) -> None:
    first = network(args)
    chains = [f"prune pattern=weights keep={keep} epochs=3 threads=1" for keep in (0.5, 0.2, 0.1)]
    made = {text: carried(args, first, text) for text in (*chains, "prune pattern=2:4 epochs=3 threads=1")}
    accuracy(args, first, made)
    for text, one in {"dense": first, **made}.items():
        print(f"{text:>50}  {sparse.packed(one.path(WEIGHTS)):>10,} bytes packed")
    speed(args, {"dense": first, **made})


def engines(args: argparse.Namespace) -> None:
    first = network(args)
    files = {f"{format} FP32": stages.exported(args.runs, first, format) for format in ("openvino", "onnx")}
    small = {}
    for to, engine, format in itertools.product(
        ("int8", "int8-dynamic", "int8-weights", "int4-weights", "bf16", "fp16"),
        (*ENGINES, quantize.OWN),
        ("openvino", "onnx"),
    ):
        steps = chain.written_in(chain.parse(f"{to} engine={engine} samples=300"), format)
        try:
            quantize.check_source(first, steps[0])
        except UserError:  # nobody of that name makes it
            continue
        made = stages.carried_out(args.runs, first, steps)
        name = f"{to} {engine} {format}"
        small[name] = stages.exported(args.runs, made, format) if made.format == "torch" else made
    accuracy(args, first, small)
    timed(args, {**files, **small})
    for name, one in small.items():
        print(f"{name:>50}  {bench.deployed(one):>10,} bytes")


def resnet50(args: argparse.Namespace) -> None:
    with Run.start(args.runs, "import", {"name": "resnet50-imagenet"}) as run:
        if not training.kept(run):
            run.finish({"artifact": pretrained.make("resnet50-imagenet", run.folder / "artifact").digest})
        first = training.opened(run)
    files = {f"{format} FP32": stages.exported(args.runs, first, format) for format in ("openvino", "onnx")}
    chains = [("openvino", "int8 samples=64"), ("onnx", "int8 samples=64"), ("openvino", RANGES)]
    small = {}
    for format, text in chains:
        made = stages.carried_out(args.runs, first, chain.written_in(chain.parse(text), format))
        small[f"{format} {text}"] = stages.exported(args.runs, made, format) if made.format == "torch" else made
    accuracy(args, first, small)
    timed(args, {**files, **small})


def network(args: argparse.Namespace, train: Mapping[str, Any] = {}, **model: Any) -> Artifact:
    """The network as trained, or one of other settings."""
    sections = {**NETWORK, "model": {**NETWORK["model"], **model}, "train": {**NETWORK["train"], **train}}
    trained = training.train(recipe.parse(sections, training.SECTIONS), args.runs)
    assert trained is not None
    return trained.artifact


def carried(args: argparse.Namespace, source: Artifact, text: str) -> Artifact:
    return stages.carried_out(args.runs, source, chain.parse(text))


def accuracy(args: argparse.Namespace, first: Artifact, made: dict[str, Artifact]) -> list[float]:
    """Print test accuracies and paired changes; returns the changes."""
    task = open_task(first)
    before, whole = stages.evaluated(args.runs, first, task, 1)
    print(f"{'reference':>50}  {whole}")
    changes = []
    for text, one in made.items():
        seen, share = stages.evaluated(args.runs, one, task, 1)
        change = quality.accuracy_change(seen, before)
        changes.append(change.value)
        print(f"{text:>50}  {share}  {100 * change.value:+.2f} [{100 * change.low:+.2f}, {100 * change.high:+.2f}]")
    return changes


def speed(args: argparse.Namespace, made: dict[str, Artifact]) -> None:
    """Latency of networks in OpenVINO, over that of the first."""
    timed(args, {text: stages.exported(args.runs, one, "openvino") for text, one in made.items()})


def timed(args: argparse.Namespace, made: dict[str, Artifact]) -> None:
    config = bench.Config(batch=(1,), threads=1, seconds=args.seconds, memory=False)
    _, found = stages.benched(args.runs, list(made.values()), config)
    latencies: Sequence[Any] = [one for one in found if one.quantity == "latency"]
    for text, one in zip(made, latencies, strict=True):
        ratio = bench.compare(one, latencies[0])
        print(f"{text:>50}  {one}  {ratio.value:.3f} [{ratio.low:.3f}, {ratio.high:.3f}] of the first")


if __name__ == "__main__":
    main()
