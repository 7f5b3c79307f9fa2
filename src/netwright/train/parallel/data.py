"""Data parallelism: every process takes its share of the same global batch.

The loss curve is that of one process, up to the rounding of sums; batch normalization, whose statistics are those of
the share, is the exception. DDP keeps the whole network in every process (Li et al. 2020, arXiv:2006.15704); FSDP2
keeps a part of each parameter, its gradient and its optimizer state, and gathers a block's parameters while it is
computed (Zhao et al. 2023, arXiv:2304.11277).
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from netwright.train.parallel.team import Named, Team, divisible

if TYPE_CHECKING:
    from netwright.train.step import Config


class DataParallel(Team):
    """`ddp`: gradients are averaged while the backward pass still runs; the leader evaluates."""

    def check(self, config: Config) -> None:
        divisible(config.batch, self.world)

    def share(self, indices_B: Tensor) -> slice:
        each = len(indices_B) // self.world
        return slice(self.rank * each, (self.rank + 1) * each)

    def wrap(self, model: nn.Module, example: Mapping[str, Tensor]) -> nn.Module:
        return nn.parallel.DistributedDataParallel(model.to(self.device))

    def accumulating(self, model: nn.Module, last: bool) -> contextlib.AbstractContextManager[Any]:
        if isinstance(model, nn.parallel.DistributedDataParallel) and not last:
            return model.no_sync()
        return contextlib.nullcontext()


class ShardedDataParallel(DataParallel):
    """`fsdp2`: the entries of a ModuleList are gathered one by one, the rest as a whole."""

    together: ClassVar[bool] = True

    def wrap(self, model: nn.Module, example: Mapping[str, Tensor]) -> nn.Module:
        mesh = init_device_mesh(self.device.type, (self.world,))
        for child in model.modules():
            if isinstance(child, nn.ModuleList):
                for block in child:
                    fully_shard(block, mesh=mesh)
        fully_shard(model, mesh=mesh)
        self.like = model.state_dict()
        return model

    def accumulating(self, model: nn.Module, last: bool) -> contextlib.AbstractContextManager[Any]:
        if isinstance(model, FSDPModule):
            model.set_requires_gradient_sync(last)
        return contextlib.nullcontext()

    def full(self, tensors: Mapping[str, Tensor], named: Named) -> dict[str, Tensor]:
        return gathered(tensors, self.leads)

    def part(self, name: str, value: Tensor) -> Tensor:
        like = self.like[name]
        if not isinstance(like, DTensor) or value.shape != like.shape:
            return value
        return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)


def gathered(tensors: Mapping[str, Tensor], leads: bool) -> dict[str, Tensor]:
    """Whole tensors on the CPU in the leading process, from DTensors; one at a time, so that only it needs room."""
    found = {}
    for name, tensor in tensors.items():
        whole = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        if leads:
            found[name] = whole.detach().to("cpu", copy=isinstance(tensor, DTensor))
    return found
