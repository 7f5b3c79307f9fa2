"""Several processes, one model: DDP and FSDP2 under torchrun.

    torchrun --nproc-per-node 2 -m netwright train recipes/mnist.toml train.parallel=ddp

Every process takes its share of the same global batch, so the loss curve is that of one process, up to
the rounding of sums; batch normalization, whose statistics are those of the share, is the exception.
Does not know the loop. gloo on CPU, NCCL on CUDA.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn

from netwright.core.error import UserError

Kind = Literal["none", "ddp", "fsdp2"]


@dataclass(frozen=True)
class Team:
    """The processes of a run, and this one's place among them. `none` is a team of one."""

    kind: Kind
    rank: int
    world: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """The process that writes files, evaluates and talks."""
        return self.rank == 0

    def share(self, indices_B: Tensor) -> slice:
        """This process's part of a global batch."""
        each = len(indices_B) // self.world
        return slice(self.rank * each, (self.rank + 1) * each)

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model as the loop calls it. FSDP2 shards `model` itself, in place."""
        if self.kind == "ddp":
            return nn.parallel.DistributedDataParallel(model)
        if self.kind == "fsdp2":
            from torch.distributed.device_mesh import init_device_mesh
            from torch.distributed.fsdp import fully_shard

            mesh = init_device_mesh(self.device.type, (self.world,))
            for child in model.modules():
                if isinstance(child, nn.ModuleList):
                    for block in child:
                        fully_shard(block, mesh=mesh)
            fully_shard(model, mesh=mesh)
        return model

    def accumulating(self, model: nn.Module, last: bool) -> contextlib.AbstractContextManager[Any]:
        """Hold back the exchange of gradients until the last micro-batch."""
        if isinstance(model, nn.parallel.DistributedDataParallel) and not last:
            return model.no_sync()
        if self.kind == "fsdp2":
            model.set_requires_gradient_sync(last)  # type: ignore[operator]
        return contextlib.nullcontext()

    def mean(self, value: Tensor) -> Tensor:
        """Mean over the team."""
        if self.world > 1:
            dist.all_reduce(value)
            value = value / self.world
        return value

    def agree(self, value: Any) -> Any:
        """The leader's value, in every process."""
        if self.world == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def full(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Whole tensors from sharded ones; all processes take part."""
        return {
            name: tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor for name, tensor in tensors.items()
        }

    def cut(self, tensors: Mapping[str, Tensor], like: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
        """The tensors under `prefix`, each cut as its namesake in `like` is."""
        return {
            name: self.sharded_like(value, like[name.removeprefix(prefix)])
            for name, value in tensors.items()
            if name.startswith(prefix) and name.removeprefix(prefix) in like
        }

    def sharded_like(self, value: Tensor, like: Tensor) -> Tensor:
        """A whole tensor cut as `like` is; all processes hold the whole one."""
        if hasattr(like, "device_mesh"):
            from torch.distributed.tensor import distribute_tensor

            return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)  # type: ignore[attr-defined]
        return value


@contextlib.contextmanager
def join(kind: Kind, device: torch.device, batch: int) -> Iterator[Team]:
    """Join the processes that torchrun started. Raises UserError when it started none."""
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
    world = int(os.environ["WORLD_SIZE"])
    if batch % world:
        raise UserError("train.batch", batch, f"a multiple of the {world} processes", f"train.batch={world * 64}")
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Team(kind, dist.get_rank(), world, device)
    finally:
        dist.destroy_process_group()
