"""Pipeline parallelism: each process holds and trains one stage of the network (GPipe, arXiv:1811.06965).

The micro-batches of a step (`train.accumulate`) pass the stages one after the other, by torch.distributed.pipelining's
1F1B schedule: after the pipeline has filled, a stage goes forward with one and backward with another, so that it keeps
the activations of at most as many as there are stages (Narayanan et al. 2019, PipeDream). All processes read the whole
batch, as every stage takes the network's inputs by name; only activations travel.

Statistics of batch normalization are those of a micro-batch, as on one process with the same micro-batches; dropout
draws other masks than on one process. The parameters of other stages stay in the network without memory (the meta
device), so that a state has the same names everywhere. The network is made whole in the main memory of every process
first.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed.pipelining import PipelineStage, Schedule1F1B
from torch.func import functional_call
from torch.fx import GraphModule

from netwright.core.error import UserError
from netwright.data.tasks import Batch
from netwright.train.parallel.stages import stages
from netwright.train.parallel.team import Autocast, Loss, Named, Team, clip_divided, one_scale

if TYPE_CHECKING:
    from netwright.train.step import Config

Values = tuple[Tensor, ...]


class PipelineParallel(Team):
    """`pipeline`: as many stages as processes, in their order."""

    together: ClassVar[bool] = True
    stages: list[GraphModule]
    """Of all processes; those of others without memory."""
    owners: dict[str, int]
    """Parameter or buffer -> the first process that has it."""

    def check(self, config: Config) -> None:
        one_scale(config)
        least = f"at least the {self.world} stages, and a divisor of train.batch={config.batch}"
        if config.accumulate < self.world or config.batch % config.accumulate:
            more = next((n for n in range(self.world, config.batch + 1) if config.batch % n == 0), self.world)
            raise UserError("train.accumulate", config.accumulate, least, f"train.accumulate={more}")
        self.recomputed = config.checkpointing

    def check_network(self, model: nn.Module, example: Mapping[str, Tensor]) -> None:
        stages(model, example, self.world)
        if self.recomputed and not any(isinstance(module, nn.ModuleList) for module in model.modules()):
            allowed = "only blocks of a ModuleList are recomputed where train.parallel=pipeline"
            raise UserError("train.checkpointing", True, allowed, "train.checkpointing=false")

    def wrap(self, model: nn.Module, example: Mapping[str, Tensor]) -> nn.Module:
        found = stages(model, example, self.world)
        names = [[name for name, _ in _tensors(stage)] for stage in found]
        self.owners = {name: 0 for name, _ in _tensors(model)}  # the first also has what no stage uses
        self.owners |= {name: rank for rank in reversed(range(self.world)) for name in names[rank]}
        self.own = {*names[self.rank], *(name for name, rank in self.owners.items() if rank == self.rank)}
        _forget(model, self.own)
        self.stages = [GraphModule(model, stage.graph) for stage in found]
        self.shapes: dict[Any, list[Values]] = {}
        self.schedule: tuple[Any, Schedule1F1B] | None = None
        return self.stages[self.rank].to(self.device)

    def evaluated(self, model: nn.Module) -> nn.Module:
        return _Chain(self)

    def backward(
        self, model: nn.Module, micros: Sequence[Batch], loss: Loss, scaler: torch.amp.GradScaler, autocast: Autocast
    ) -> list[Tensor]:
        inputs: dict[str, Any] = {
            name: torch.cat([m.inputs[name] for m in micros]).to(self.device) for name in micros[0].inputs
        }
        key = [(name, x.shape) for name, x in inputs.items()]
        self.loss = iter([_of(loss, micro, autocast) for micro in micros])
        if self.schedule is None or self.schedule[0] != key:
            between = self._between({name: x[: len(x) // len(micros)] for name, x in inputs.items()}, autocast)
            stage = PipelineStage(
                _Within(model, autocast), self.rank, self.world, self.device,
                input_args=between[self.rank], output_args=between[self.rank + 1],
            )  # fmt: skip
            made = Schedule1F1B(
                stage, len(micros), loss_fn=lambda answer, _: next(self.loss)(answer), scale_grads=False
            )
            self.schedule = key, made
        losses: list[Tensor] = []
        target = torch.cat([micro.labels_B for micro in micros]).to(self.device)
        self.schedule[1].step(**inputs, target=target, losses=losses, return_outputs=False)
        return [x.detach() for x in losses] or [torch.zeros((), device=self.device)]

    def clip(self, parameters: Iterable[nn.Parameter], most: float) -> None:
        clip_divided(parameters, lambda p: True, most, self.device)

    def mean(self, value: Tensor) -> Tensor:
        """The last stage's: the others know none and hand in zeros."""
        dist.all_reduce(value)
        return value

    def full(self, tensors: Mapping[str, Tensor], named: Named) -> dict[str, Tensor]:
        own = {name: x.detach() for name, x in tensors.items() if self.owners[named(name)] == self.rank}
        lists = self.everyone([(name, x.shape, x.dtype) for name, x in own.items()])
        if not self.leads:
            for x in own.values():
                dist.send(x.to(self.device).contiguous(), dst=0)
            return {}
        found = {name: x.to("cpu") for name, x in own.items()}
        for rank in range(1, self.world):
            for name, shape, dtype in lists[rank]:
                x = torch.empty(shape, dtype=dtype, device=self.device)
                dist.recv(x, src=rank)
                found[name] = x.to("cpu")
        return found

    def part(self, name: str, value: Tensor) -> Tensor:
        return value if name in self.own else torch.empty_like(value, device="meta")

    def answer(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """The network's answer in every process: stage by stage, without gradients."""
        between = self._between(inputs, contextlib.nullcontext)
        values = tuple(torch.empty_like(x, device=self.device) for x in between[self.rank])
        for x in values:
            dist.recv(x, src=self.rank - 1)
        given = self.stages[self.rank](*values, **inputs)
        if self.rank < self.world - 1:
            for x in given:
                dist.send(x.contiguous(), dst=self.rank + 1)
            given = torch.empty_like(between[-1][0], device=self.device)
        dist.broadcast(given, src=self.world - 1)
        return cast(Tensor, given)

    def _between(self, inputs: Mapping[str, Tensor], autocast: Autocast) -> list[Values]:
        """What each stage takes and, last, the answer: tensors without memory; found once for inputs of a shape."""
        key = tuple((name, x.shape) for name, x in inputs.items())
        if key in self.shapes:
            return self.shapes[key]
        found: list[Values] = [()]
        with torch.inference_mode(False), torch.enable_grad(), FakeTensorMode():
            given = {name: torch.empty(x.shape, dtype=x.dtype, device=self.device) for name, x in inputs.items()}
            values: Any = ()
            for stage in self.stages:
                state = {name: _empty(x, self.device) for name, x in _tensors(stage)}
                with autocast():
                    values = functional_call(stage, state, values, given)
                made = values if isinstance(values, tuple) else (values,)
                found.append(made)
        self.shapes[key] = [tuple(_empty(x, torch.device("meta")) for x in values) for values in found]
        return self.shapes[key]


class _Within(nn.Module):
    """A stage in the precision of the forward pass."""

    def __init__(self, stage: nn.Module, autocast: Autocast) -> None:
        super().__init__()
        self.stage, self.autocast = stage, autocast

    def forward(self, *values: Tensor, **inputs: Tensor) -> Any:
        with self.autocast():
            given = self.stage(*values, **inputs)
        return tuple(x.contiguous() for x in given) if isinstance(given, tuple) else given  # so can it be sent


class _Chain(nn.Module):
    """The whole network, as all processes together evaluate it."""

    def __init__(self, team: PipelineParallel) -> None:
        super().__init__()
        self.team, self.stage = team, team.stages[team.rank]

    def forward(self, **inputs: Tensor) -> Tensor:
        return self.team.answer(inputs)


def _of(loss: Loss, micro: Batch, autocast: Autocast) -> Callable[[Tensor], Tensor]:
    """The loss of a micro-batch as a function of what the last stage answers."""

    def of(answer: Tensor) -> Tensor:
        with autocast():
            return loss(lambda **_: answer, micro)

    return of


def _tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    """All parameters and buffers by all their names."""
    return [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]


def _empty(x: Tensor, device: torch.device) -> Tensor:
    return torch.empty(x.shape, dtype=x.dtype, device=device, requires_grad=x.requires_grad)


def _forget(model: nn.Module, own: set[str]) -> None:
    """Take the memory of all tensors but this process's own; shapes, names and ties stay."""
    empty: dict[int, Tensor] = {}
    for name, value in _tensors(model):
        if name not in own:
            path, _, leaf = name.rpartition(".")
            bare = torch.empty_like(value, device="meta", requires_grad=False)
            made = nn.Parameter(bare, value.requires_grad) if isinstance(value, nn.Parameter) else bare
            setattr(model.get_submodule(path), leaf, empty.setdefault(id(value), made))
