"""Several processes, one model, under torchrun: each kind of team in a file of its own.

    torchrun --nproc-per-node 2 -m netwright train recipes/mnist.toml train.parallel=ddp

`ddp` and `fsdp2` divide the batch, `fsdp2` the weights too; `tensor` divides layers, `pipeline` the list of layers.
gloo on CPU, NCCL on CUDA. Does not know the loop.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist

from netwright.core import table
from netwright.core.error import UserError
from netwright.train.parallel.team import Kind, Team

if TYPE_CHECKING:
    from netwright.train.step import Config

__all__ = ["KINDS", "Kind", "Team", "join"]

KINDS = {
    "ddp": "netwright.train.parallel.data:DataParallel",
    "fsdp2": "netwright.train.parallel.data:ShardedDataParallel",
    "tensor": "netwright.train.parallel.tensor:TensorParallel",
    "pipeline": "netwright.train.parallel.pipeline:PipelineParallel",
}
"""`train.parallel` -> the team that trains so; "none" is `Team` itself."""


@contextlib.contextmanager
def join(config: Config, device: torch.device) -> Iterator[Team]:
    """Join the processes that torchrun started. Raises UserError when it started none, or too many for the settings."""
    kind = config.parallel
    if kind == "none":
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise UserError("train.parallel", kind, "torchrun started several processes", "train.parallel=ddp")
        yield Team(kind, 0, 1, device)
        return
    if "RANK" not in os.environ:
        raise UserError(
            "train.parallel", kind, "needs the processes that torchrun starts",
            f"torchrun --nproc-per-node 2 -m netwright train RECIPE train.parallel={kind}",
        )  # fmt: skip
    made = table.resolve(KINDS, kind, "train.parallel")
    team: Team = made(kind, int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), device)
    team.check(config)
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield team
    finally:
        dist.destroy_process_group()
