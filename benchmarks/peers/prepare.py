"""What every peer is given: one trained network as ONNX, OpenVINO and a traced program, and images to calibrate on.

    python benchmarks/peers/prepare.py FOLDER --runs RUNS

The network is the ResNet-9 of width 32 of benchmarks/compress.py. Images are as the network takes them, shifted and
scaled, in float32. Calibration images are of the training split; accuracy is measured on the test split.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import compress
from netwright.compress import chain
from netwright.models.load import open_model, open_task
from netwright.study import stages

if TYPE_CHECKING:
    from netwright.core.artifact import Artifact

SAMPLES = 300
OURS = {
    "int8": "int8",
    "int8-grids": "int8 engine=netwright",
    "int4-trained": "qat to=int4 epochs=1 threads=1",
    "pruned-int8": "prune keep=0.7 threads=1 > int8",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    first = compress.network(args)
    task = open_task(first)
    (name,) = task.inputs
    indices = torch.randperm(task.size("train"), generator=torch.Generator().manual_seed(0))[:SAMPLES]
    np.save(args.folder / "calibration.npy", task.batch("train", indices).inputs[name].numpy())
    test = task.batch("test", torch.arange(task.size("test")))
    np.save(args.folder / "test.npy", test.inputs[name].numpy())
    np.save(args.folder / "labels.npy", test.labels_B.numpy())
    example = (task.batch("train", indices[:2]).inputs[name],)
    batch = torch.export.Dim("batch", min=1, max=4096)
    program = torch.export.export(open_model(first), example, dynamic_shapes=({0: batch},))
    torch.export.save(program, args.folder / "fp32.pt2")
    for format in ("onnx", "openvino"):
        copied(stages.exported(args.runs, first, format), args.folder / f"fp32-{format}")
        for short, text in OURS.items():
            steps = chain.written_in(chain.parse(text), format)
            made = stages.carried_out(args.runs, first, steps)
            if made.format == "torch":
                made = stages.exported(args.runs, made, format)
            copied(made, args.folder / f"netwright-{short}-{format}")


def copied(made: Artifact, folder: Path) -> None:
    shutil.copytree(made.folder, folder, dirs_exist_ok=True)


if __name__ == "__main__":
    main()
