"""Team: the processes of a run, what each holds of the network, and what they tell each other.

The team of one stands here, with what holds for all kinds; each other kind says what it does otherwise. A state is
named by the network's parameters and buffers: `full` makes whole tensors of what the processes hold of them, `part` is
the way back, so that a checkpoint is the same file whoever wrote it. Does not know the loop.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn

from netwright.core.error import UserError
from netwright.data.tasks import Batch

if TYPE_CHECKING:
    from netwright.train.step import Config

Kind = Literal["none", "ddp", "fsdp2", "tensor", "pipeline"]
Loss = Callable[[Any, Batch], Tensor]
"""A network and a micro-batch to that micro-batch's part of the mean loss of this process's examples."""
Autocast = Callable[[], contextlib.AbstractContextManager[Any]]
"""The precision of a forward pass."""
Named = Callable[[str], str]
"""The name of a tensor in a checkpoint to that of the parameter or buffer that it belongs to."""

MESSAGES = (1 << 10, 1 << 14, 1 << 18, 1 << 22)
"""Bytes of the all-reduces that a link is measured by."""
WARM, REPEATS = 3, 15


@dataclass
class Team:
    """The processes of a run, and this one's place among them. This kind is a team of one."""

    kind: Kind
    rank: int
    world: int
    device: torch.device

    together: ClassVar[bool] = False
    """Whether all processes evaluate, for none holds the whole network."""

    @property
    def leads(self) -> bool:
        """The process that writes files and talks."""
        return self.rank == 0

    @property
    def stream(self) -> int:
        """Which random numbers a step draws; processes of one stream draw the same."""
        return self.rank

    def check(self, config: Config) -> None:
        """Raises UserError for settings that this kind cannot train with."""

    def check_network(self, model: nn.Module, example: Mapping[str, Tensor]) -> None:
        """Raises UserError for a network that this kind cannot divide; `example` as for `wrap`."""

    def share(self, indices_B: Tensor) -> slice:
        """This process's part of a global batch."""
        return slice(0, len(indices_B))

    def wrap(self, model: nn.Module, example: Mapping[str, Tensor]) -> nn.Module:
        """The model on the device, as a step calls it; `model` is left with what this process holds of it, in place.

        `example` are inputs of two examples on the CPU, for kinds that must see the network run.
        """
        return model.to(self.device)

    def evaluated(self, model: nn.Module) -> nn.Module:
        """What answers in an evaluation."""
        return model

    def backward(
        self, model: nn.Module, micros: Sequence[Batch], loss: Loss, scaler: torch.amp.GradScaler, autocast: Autocast
    ) -> list[Tensor]:
        """Forward and backward passes of a step; the losses of its micro-batches as this process knows them."""
        losses = []
        for at, micro in enumerate(micros):
            with self.accumulating(model, last=at == len(micros) - 1):
                with autocast():
                    value = loss(model, micro)
                scaler.scale(value).backward()
            losses.append(value.detach())
        return losses

    def accumulating(self, model: nn.Module, last: bool) -> contextlib.AbstractContextManager[Any]:
        """Hold back the exchange of gradients until the last micro-batch."""
        return contextlib.nullcontext()

    def clip(self, parameters: Iterable[nn.Parameter], most: float) -> None:
        """Scale all gradients so that their norm is at most this."""
        nn.utils.clip_grad_norm_(parameters, most)

    def mean(self, value: Tensor) -> Tensor:
        """Mean over the team of what each process knows of a loss."""
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

    def everyone(self, value: Any) -> list[Any]:
        """Every process's value, in the order of ranks, in every process."""
        found = [value] * self.world
        if self.world > 1:
            dist.all_gather_object(found, value)
        return found

    def messages(self) -> list[tuple[float, float]]:
        """Bytes and seconds of all-reduces among the processes, the median of some of each size; all take part."""
        found = []
        for size in MESSAGES if self.world > 1 else ():
            numbers = torch.zeros(size // 4, device=self.device)
            times = []
            for _ in range(WARM + REPEATS):
                begin = time.perf_counter()
                dist.all_reduce(numbers)
                numbers[:1].tolist()  # waits for the device
                times.append(time.perf_counter() - begin)
            found.append((float(size), statistics.median(times[WARM:])))
        return found

    def full(self, tensors: Mapping[str, Tensor], named: Named) -> dict[str, Tensor]:
        """Whole tensors from what the processes hold, in the leading process; all take part."""
        return dict(tensors)

    def part(self, name: str, value: Tensor) -> Tensor:
        """What this process holds of a whole tensor of the parameter or buffer `name`, or of its optimizer's state."""
        return value


def divisible(batch: int, world: int) -> None:
    """Raises UserError for a batch that the processes cannot share evenly."""
    if batch % world:
        raise UserError("train.batch", batch, f"a multiple of the {world} processes", f"train.batch={world * 64}")


def one_scale(config: Config) -> None:
    """Raises UserError for fp16: each process would find its own gradients' overflow, and scale its own losses."""
    if config.precision == "fp16":
        raise UserError(
            "train.precision", "fp16", f"fp32 or bf16 with train.parallel={config.parallel}", "train.precision=bf16"
        )


def clip_divided(
    parameters: Iterable[nn.Parameter], divided: Callable[[nn.Parameter], bool], most: float, device: torch.device
) -> None:
    """Clip by the norm of the whole gradient, where each process holds its own part of the `divided` ones."""
    given = [p for p in parameters if p.grad is not None]
    square = torch.zeros((), device=device)
    parts = [p.grad for p in given if divided(p)]
    whole = [p.grad for p in given if not divided(p)]
    if parts:
        square += nn.utils.get_total_norm(parts) ** 2  # type: ignore[arg-type]
    dist.all_reduce(square)
    if whole:
        square += nn.utils.get_total_norm(whole) ** 2  # type: ignore[arg-type]
    nn.utils.clip_grads_with_norm_(given, most, square.sqrt())
