"""What the training loop costs over a hand-written PyTorch loop: the same CNN, data, optimizer and precision.

    python benchmarks/loop.py [--rounds 5] [--threads 1]

One epoch of MNIST with its evaluation and a checkpoint, hand-written and by netwright in turn, in one
process. Prints the median ratio with its interval over the rounds; the bar is 1.03.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import tempfile
import time
from pathlib import Path

import torch
from torch import nn

from netwright.core import recipe, stats
from netwright.core.run import Run
from netwright.train import training
from netwright.train.loop import fit


def by_hand(model: nn.Module, task, config, folder: Path) -> None:
    """The loop as one writes it, with everything that makes it fast and nothing else."""
    model = model.to(memory_format=torch.channels_last)
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": config.weight_decay},
                                   {"params": vectors, "weight_decay": 0.0}], lr=config.lr)  # fmt: skip
    steps = task.size("train") // config.batch
    rising = int(config.warmup * steps)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda at: (at + 1) / (rising + 1) if at < rising else (steps - at) / (steps - rising)
    )
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(task.size("train"), generator=generator)
    autocast = torch.autocast("cpu", torch.bfloat16) if config.precision == "bf16" else contextlib.nullcontext()
    model.train()
    for at in range(steps):
        batch = task.batch("train", order[at * config.batch : (at + 1) * config.batch], generator)
        with autocast:
            loss = nn.functional.cross_entropy(model(**batch.inputs).float(), batch.labels_B)
        loss.backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        if at % 100 == 0:
            loss.item()
    model.eval()
    with torch.inference_mode(), autocast:
        for indices in torch.split(torch.arange(task.size("validation")), 500):
            batch = task.batch("validation", indices)
            (model(**batch.inputs).argmax(1) == batch.labels_B).float().mean().item()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, folder / "checkpoint.pt")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    path = Path(__file__).parents[1] / "recipes" / "mnist.toml"
    read = recipe.load(path, ["train.epochs=1", f"train.threads={args.threads}"], training.SECTIONS)
    config = read["train"]
    task, _ = training.prepare(read)
    torch.set_num_threads(args.threads)
    clocks = {"wall": time.perf_counter, "cpu": time.process_time}
    seconds = {(kind, clock): [] for kind in ("hand", "netwright") for clock in clocks}
    for number in range(args.rounds + 1):  # the first round warms up and is not counted
        for kind in ("hand", "netwright") if number % 2 else ("netwright", "hand"):
            model = training.network(read, task)
            with tempfile.TemporaryDirectory() as folder:
                begin = {clock: tick() for clock, tick in clocks.items()}
                if kind == "hand":
                    by_hand(model, task, config, Path(folder))
                else:
                    with Run.start(Path(folder), "train", {"round": number}) as run:
                        fit(model, task, config, run)
                if number:
                    for clock, tick in clocks.items():
                        seconds[kind, clock].append(tick() - begin[clock])
    result = {"threads": args.threads, "load": os.getloadavg()[0], "rounds": args.rounds}
    for clock in clocks:
        found = stats.ratio(seconds["netwright", clock], seconds["hand", clock])
        result[clock] = {"ratio": found.value, "low": found.low, "high": found.high,
                         "hand_s": sorted(seconds["hand", clock])[args.rounds // 2]}  # fmt: skip
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
