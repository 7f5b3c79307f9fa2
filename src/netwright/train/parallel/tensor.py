"""Tensor parallelism: each process holds and computes its own part of the layers (Megatron, arXiv:1909.08053).

What is divided is told by `cuts`. A process keeps the smaller network that its own units make, sizes in attributes (a
number of heads) included; the input of a divided layer's columns passes its gradients summed over the processes, and
the output of the rows is summed. What cannot be divided stays whole in every process, and so does the batch.

The parts are told in DTensor's placements (Shard, and a strided one for a fused projection, whose queries, keys and
values of a head lie far apart), by which they are made and put together again. The layers compute with plain local
tensors: DTensor has no rule for channels of a convolution or for batch normalization. A first step of both networks,
whole and divided, on moved weights is compared before anything is trained.

Dropout draws the whole mask in every process and takes its own part; noise of other kinds inside of a divided layer is
drawn alike in all processes. Layers that read the same input sum its gradients one by one. The network is made whole
in the main memory of every process first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Placement, Shard, distribute_tensor
from torch.distributed.tensor.placement_types import _StridedShard

from netwright.core.error import UserError
from netwright.models.resized import difference, resize
from netwright.train.multilevel.coarsen import UnbuiltError
from netwright.train.multilevel.exact import moved, numbers
from netwright.train.multilevel.part import part
from netwright.train.parallel.cuts import Cuts, cuts, seen
from netwright.train.parallel.data import gathered
from netwright.train.parallel.team import Named, Team, clip_divided, one_scale

if TYPE_CHECKING:
    from netwright.train.step import Config

ROUNDING = 1e-3
"""Largest difference between the divided network and the whole one, of a tensor's largest number; a missing or a double
sum makes a difference of its own size."""


class TensorParallel(Team):
    """`tensor`: all processes compute all examples, each a part of every divided layer."""

    together: ClassVar[bool] = True
    placements: dict[str, Placement]
    """Of the divided parameters and buffers."""

    @property
    def stream(self) -> int:
        return 0

    def check(self, config: Config) -> None:
        one_scale(config)

    def check_network(self, model: nn.Module, example: Mapping[str, Tensor]) -> None:
        self._cuts(model, example)

    def wrap(self, model: nn.Module, example: Mapping[str, Tensor]) -> nn.Module:
        found = self._cuts(model, example)
        self.mesh = init_device_mesh(self.device.type, (self.world,))
        self.placements = {
            name: Shard(axis.dim) if axis.outer == 1 else _StridedShard(axis.dim, split_factor=axis.outer)
            for name, axis in found.axes.items()
        }
        own = {name: x.detach().clone() for name, x in model.state_dict().items()}
        generator = torch.Generator().manual_seed(0)
        trial = {name: moved(x, generator) for name, x in own.items()}
        model.load_state_dict(trial)
        expected = _first_step(model, example)
        self._shrink(model, found, example)
        model.to(self.device)
        self._connect(model, found, example)
        self._load(model, trial)
        on_device = {name: x.to(self.device) for name, x in example.items()}
        wrong = self.everyone(self._wrong(expected, _first_step(model, on_device)))
        if any(wrong):
            raise self._refused(f"divided, it computes another {next(filter(None, wrong))}")
        self._load(model, own)
        self.size = {name: x.shape for name, x in model.state_dict().items()}
        return model

    def clip(self, parameters: Iterable[nn.Parameter], most: float) -> None:
        clip_divided(parameters, lambda p: id(p) in self.divided, most, self.device)

    def full(self, tensors: Mapping[str, Tensor], named: Named) -> dict[str, Tensor]:
        return gathered({flat: self._placed(named(flat), x) for flat, x in tensors.items()}, self.leads)

    def part(self, name: str, value: Tensor) -> Tensor:
        if name not in self.placements or not value.dim():
            return value
        value = value.to(self.device)
        return distribute_tensor(value, self.mesh, [self.placements[name]], src_data_rank=None).to_local()

    def _cuts(self, model: nn.Module, example: Mapping[str, Tensor]) -> Cuts:
        found = cuts(model, example, self.world)
        if not found.spaces:
            raise self._refused("it has no units, a multiple of that, which one dense layer writes and another reads")
        return found

    def _placed(self, name: str, value: Tensor) -> Tensor:
        if name not in self.placements or value.shape != self.size[name]:
            return value
        return DTensor.from_local(value.detach(), self.mesh, [self.placements[name]], run_check=False)

    def _refused(self, why: str) -> UserError:
        return UserError(
            "train.parallel", "tensor", f"this network cannot be divided among {self.world} processes: {why}",
            "train.parallel=fsdp2",
        )  # fmt: skip

    def _shrink(self, model: nn.Module, found: Cuts, example: Mapping[str, Tensor]) -> None:
        """Leave of the network, in place, what this process's units make."""
        keep = {s.name: torch.arange(s.size) * self.world // s.size == self.rank for s in found.spaces}
        try:
            small = part(model, found.coupling, keep, example)
        except UnbuiltError as trouble:
            raise self._refused(trouble.why) from None
        resize(model, difference(model, small))
        made = {**dict(small.named_parameters()), **dict(small.named_buffers())}
        for name, value in [*model.named_parameters(), *model.named_buffers()]:
            value.data = made[name].data

    def _load(self, model: nn.Module, state: Mapping[str, Tensor]) -> None:
        """Take this process's part of a whole state; the memory layout stays."""
        with torch.no_grad():
            for name, value in model.state_dict().items():
                value.copy_(self.part(name, state[name]))

    def _connect(self, model: nn.Module, found: Cuts, example: Mapping[str, Tensor]) -> None:
        """Where divided layers begin and end, the exchange between the processes; where dropout is, whole masks."""
        self.divided = {id(p) for name, p in model.named_parameters() if name in self.placements}
        for name in found.columns:
            model.get_submodule(name).register_forward_pre_hook(_copied)
        for name in found.rows:
            layer = model.get_submodule(name)
            layer.forward = _summed(layer)
        now = seen(model, {name: x.to(self.device) for name, x in example.items()})
        for name, module in model.named_modules():
            if type(module) is nn.Dropout and name in now and now[name] != found.inputs[name]:
                changed = [dim for dim, size in enumerate(now[name]) if size != found.inputs[name][dim]]
                module.forward = _whole_mask(module, changed[0], self.rank, self.world)  # type: ignore[method-assign]

    def _wrong(self, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
        """The first thing that the divided network computes otherwise than the whole one; "" for none."""
        most = max((float(x.abs().max()) for name, x in expected.items() if name != "answer"), default=0.0)
        for name, whole in expected.items():
            own = self.part(name, whole).to("cpu")
            off = (found[name].to("cpu") - own).abs().max() if name in found else torch.inf
            if not off <= ROUNDING * (own.abs().max() + 1e-3 * most):
                return name if name == "answer" else f"gradient of {name}"
        return ""


def _first_step(model: nn.Module, example: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What a network answers in evaluation mode, and the gradients of a weighted sum of that."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    with torch.enable_grad():
        answers = [x.double() for x in numbers(model(**example))]
        flat = torch.cat([x.flatten() for x in answers])
        weights = torch.arange(len(flat), device=flat.device).cos()
        given = torch.autograd.grad((flat * weights).sum(), list(parameters.values()), allow_unused=True)
    for module, mode in modes.items():
        module.training = mode
    gradients = {name: x for name, x in zip(parameters, given, strict=True) if x is not None}
    return {"answer": flat.detach(), **gradients}


class _Copy(torch.autograd.Function):
    """Hands on its input; backward, the gradients are summed over the processes (Megatron's f)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        return total


class _Sum(torch.autograd.Function):
    """The sum over the processes; backward, the gradient is handed on (Megatron's g)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


def _copied(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    return (_Copy.apply(args[0]), *args[1:])  # type: ignore[no-untyped-call]


def _summed(layer: nn.Module) -> Any:
    """The forward of a dense layer that answers with the sum over the processes, its bias added once."""

    def forward(x: Tensor) -> Tensor:
        if isinstance(layer, nn.Linear):
            total: Tensor = _Sum.apply(nn.functional.linear(x, layer.weight))  # type: ignore[no-untyped-call]
            return total if layer.bias is None else total + layer.bias.to(total.dtype)
        assert isinstance(layer, nn.modules.conv._ConvNd)
        part = layer._conv_forward(x, layer.weight, None)
        total = _Sum.apply(part)  # type: ignore[no-untyped-call]
        return total if layer.bias is None else total + layer.bias.to(total.dtype).view(-1, *[1] * (part.dim() - 2))

    return forward


def _whole_mask(layer: nn.Dropout, dim: int, rank: int, world: int) -> Any:
    """The forward of a dropout that draws the mask of all processes and applies this one's part of it."""

    def forward(x: Tensor) -> Tensor:
        if not layer.training:
            return x
        shape = [size * (world if at == dim else 1) for at, size in enumerate(x.shape)]
        mask = nn.functional.dropout(x.new_ones(shape), layer.p)
        return x * mask.narrow(dim, rank * x.shape[dim], x.shape[dim])

    return forward
