"""What passes between two levels: fresh coarse weights, corrections of fine ones, tau, and the guard over them.

    restrict(fine, coarse, passage)
    ...                                     # train the coarse network
    correct(fine, coarse, passage, alpha=1.0, detail=1.0)

Works on two networks and the `Passage` between them; does not know schedules or the loop.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from netwright.train.multilevel.passage import Passage, Tensors


class Trained(Protocol):
    """A network and its optimizer."""

    model: nn.Module
    optimizer: torch.optim.Optimizer


def weights(model: nn.Module) -> Tensors:
    """Parameters and floating buffers by name, as they stand, ties once."""
    buffers = {name: buffer for name, buffer in model.named_buffers() if buffer.is_floating_point()}
    return {**{name: p.detach() for name, p in model.named_parameters()}, **buffers}


@torch.no_grad()
def sample(fine: nn.Module, coarse: nn.Module, passage: Passage) -> None:
    """Give `coarse` weights as if it had been initialized itself: one member of each aggregate, not their mean.

    The mean of n independent weights has 1 / n of their variance, and a network that starts with it learns slowly
    (He et al. 2015, arXiv:1502.01852). Columns are summed, which gives independent weights the variance that fewer
    columns need, and leaves identities what they are. Of two blocks it takes the first.
    """
    target = weights(coarse)
    for name, tensor in weights(fine).items():
        if passage.second(name):
            continue
        x = tensor
        for line in passage.lines(name, tensor.device):
            columns = isinstance(line.split, Tensor) or line.split != 1
            x = line.gather(x, 1.0) if columns else x.index_select(line.dim, line.members[:, 0])
        target[passage.below(name)].copy_(x)


@torch.no_grad()
def displacement(fine: nn.Module, coarse: nn.Module, passage: Passage) -> float:
    """How far the coarse parameters have moved: |w_c - R w| / |R w|."""
    start = passage.restrict({name: p.detach() for name, p in fine.named_parameters()})
    moved = norm = 0.0
    for name, w_c in coarse.named_parameters():
        moved += float((w_c - start[name]).square().sum())
        norm += float(start[name].square().sum())
    return math.sqrt(moved / max(norm, 1e-30))


@torch.no_grad()
def restrict(fine: nn.Module, coarse: nn.Module, passage: Passage) -> None:
    """w_c <- R w, for parameters and buffers."""
    found = passage.restrict(weights(fine))
    for name, value in weights(coarse).items():
        value.copy_(found[name])
    _counters(fine, coarse, passage, down=True)


@torch.no_grad()
def correct(
    fine: nn.Module, coarse: nn.Module, passage: Passage, alpha: float = 1.0, detail: float = 1.0, seconds: bool = True
) -> None:
    """w <- P((1 - alpha) R w + alpha w_c) + detail (I - P R) w, in place; buffers follow the coarse ones all the way.

    alpha = detail = 1 is the correction of the full approximation scheme (Brandt 1977), detail = 1 - alpha the
    interpolation of Zou, Zhang and Deng (ICLR 2024). What is not merged between the levels goes (1 - alpha) w + alpha
    w_c. A coarse network that has not moved changes nothing, to the bit, where detail is 1. Without `seconds` the
    second blocks of pairs are left out of it all.
    """
    w = {name: x for name, x in weights(fine).items() if seconds or not passage.second(name)}
    w_c = weights(coarse)
    parameters = dict(fine.named_parameters())
    rw = passage.restrict(w)
    still = {name for name, x in w_c.items() if torch.equal(rw[name], x)} if detail == 1 else set()
    target = {name: x if alpha == 1 else rw[name].lerp(x, alpha) for name, x in w_c.items()}
    names = [name for name in w if passage.below(name) not in still]
    up, back = passage.prolong(target, names), passage.prolong(rw, names)
    for name in names:
        if name not in parameters:
            w[name].copy_(passage.prolong(w_c, [name])[name])
        elif passage.plain(name, w[name]):
            w[name].copy_(up[name])
        else:
            w[name].copy_(up[name] + detail * (w[name] - back[name]))
    _counters(fine, coarse, passage, down=False)


@torch.no_grad()
def grow(fine: nn.Module, coarse: nn.Module, passage: Passage, expand: bool, detail: float) -> None:
    """Fill an untrained fine network from a coarse one.

    Where units are merged it gets copies, with `detail` times what its initialization has beside them to tell them
    apart. With `expand` one unit of each aggregate is the coarse one and the others stay as initialized; what reads
    those others keeps `detail` times its first weights on them. With 0 the fine network computes exactly what the
    coarse one does, and learns from the first step, since its new units are no copies; where a normalization runs over
    the units they are copies all the same. In the manner of Net2WiderNet (Chen et al. 2016, arXiv:1511.05641), with
    zeros for its copies. A second block of a pair stays as initialized, to be closed by the caller.
    """
    if not expand:
        correct(fine, coarse, passage, detail=detail, seconds=False)
        return
    source, parameters, copied = weights(coarse), dict(fine.named_parameters()), passage.normalized
    for name, w in weights(fine).items():
        lines = passage.lines(name, w.device)
        if passage.second(name):
            continue
        if name not in parameters or not lines:
            w.copy_(passage.prolong(source, [name])[name])
            continue
        rows = columns = torch.zeros((), dtype=torch.bool, device=w.device)
        grown = source[passage.below(name)]
        for line in reversed(lines):
            if (name, line.dim) in copied:
                grown = line.spread(grown, line.split)
                continue
            grown = grown.index_select(line.dim, line.index)
            new = torch.ones(len(line.index), dtype=torch.bool, device=w.device)
            new[line.members[:, 0]] = False
            if isinstance(line.split, Tensor) or line.split != 1:
                columns = columns | new.view(_along(line.dim, w))
            else:
                rows = rows | new.view(_along(line.dim, w))
        w.copy_(torch.where(rows, w, torch.where(columns, detail * w, grown)))


def _along(dim: int, x: Tensor) -> list[int]:
    """The shape of a vector along one dimension of a tensor."""
    return [-1 if at == dim else 1 for at in range(x.dim())]


def _counters(fine: nn.Module, coarse: nn.Module, passage: Passage, down: bool) -> None:
    """Buffers that hold whole numbers (counts of batches) are copied."""
    below = dict(coarse.named_buffers())
    for name, buffer in fine.named_buffers():
        if not buffer.is_floating_point():
            other = below[passage.below(name)]
            other.copy_(buffer) if down else buffer.copy_(other)


def tau(coarse: Mapping[str, Tensor], fine: Mapping[str, Tensor], above: Mapping[str, Tensor], by: Passage) -> Tensors:
    """tau = grad L_c(R w) - P^T (grad L_f(w) - tau_f): with it, coarse training begins with the fine gradient.

    `coarse` and `fine` are those gradients by parameter, on the same batches; `above` is the finer level's own tau.
    Taken from coarse gradients, it makes them those of L_c(w_c) - <tau, w_c>.
    """
    known = {name: gradient - above[name] if name in above else gradient for name, gradient in fine.items()}
    restricted = by.adjoint(known)
    return {name: coarse[name] - gradient for name, gradient in restricted.items() if name in coarse}


DUAL = ("momentum_buffer", "exp_avg", "grad_avg")
"""State of torch's optimizers that is a sum of gradients."""
SQUARED = ("exp_avg_sq", "max_exp_avg_sq", "square_avg", "sum")
"""State that is a sum of squared gradients."""


@torch.no_grad()
def restrict_state(fine: Trained, coarse: Trained, passage: Passage, mode: Literal["transfer", "reset"]) -> None:
    """The coarse optimizer's state from the fine one's; with "reset" it begins without.

    First moments and momentum are sums of gradients and move by the transpose of P, second ones by its squared
    factors, numbers (the count of steps) as they are.
    """
    coarse.optimizer.state.clear()
    for key, values in _states(fine).items() if mode == "transfer" else ():
        down = {DUAL: passage.adjoint, SQUARED: passage.adjoint_squared}
        moved = next((move(values) for keys, move in down.items() if key in keys), None)
        _put(coarse, key, moved if moved is not None else {passage.below(name): x for name, x in values.items()})


@torch.no_grad()
def correct_state(fine: Trained, coarse: Trained, passage: Passage, mode: Literal["transfer", "reset"]) -> None:
    """The fine optimizer's state after a correction: what the coarse one brings, and the fine one's own detail.

    Momentum and first moments m <- R^T m_c + (I - R^T P^T) m, second moments likewise, their detail at least 0. A fine
    network that was not trained yet takes the coarse state alone; with "reset" a trained one keeps its own.
    """
    if mode == "reset":
        return
    own, names = _states(fine), [name for name, _ in fine.model.named_parameters()]
    for key, values in _states(coarse).items():
        kept = own.get(key, {})
        if key in DUAL:
            moved = passage.lift(values, names)
            lost = _lost(kept, passage.lift(passage.adjoint(kept), list(kept)), passage)
        elif key in SQUARED:
            moved = passage.lift_squared(values, names)
            back = passage.lift_squared(passage.adjoint_squared(kept), list(kept))
            lost = {name: x.clamp(min=0) for name, x in _lost(kept, back, passage).items()}
        else:
            moved, lost = {name: values[passage.below(name)] for name in names if passage.below(name) in values}, {}
        _put(fine, key, {name: x + lost[name] if name in lost else x for name, x in moved.items()})


def _lost(kept: Tensors, back: Tensors, passage: Passage) -> Tensors:
    return {name: x - back[name] for name, x in kept.items() if not passage.plain(name, x)}


def _states(of: Trained) -> dict[str, Tensors]:
    """An optimizer's state: key -> parameter's name -> value; of a parameter with state of unknown meaning nothing."""
    found: dict[str, Tensors] = {}
    for name, parameter in of.model.named_parameters():
        state = {key: x for key, x in of.optimizer.state.get(parameter, {}).items() if isinstance(x, Tensor)}
        if all(key in DUAL + SQUARED or not x.dim() for key, x in state.items()):
            for key, x in state.items():
                found.setdefault(key, {})[name] = x
    return found


def _put(of: Trained, key: str, values: Mapping[str, Tensor]) -> None:
    """Copies of the values, laid out as the parameters are: another layout is another code path, and may round else."""
    for name, parameter in of.model.named_parameters():
        if name in values:
            value = values[name]
            place = torch.empty_like(parameter, dtype=value.dtype) if value.shape == parameter.shape else None
            of.optimizer.state[parameter][key] = value.clone() if place is None else place.copy_(value)


@dataclass
class Guard:
    """Accepts a correction, halves it, or drops it, and remembers how far it may go (`radius`, 0 for any).

    A trust region as in recursive multilevel methods (Gratton, Sartenaer and Toint 2008), with the loss on one batch
    for the objective: the radius doubles after a correction that was accepted whole and halves after one that was not.
    """

    tolerance: float
    radius: float = 0.0

    def pass_on(self, apply: Callable[[float], None], undo: Callable[[], None], loss: Callable[[], float],
                alpha: float, moved: float) -> tuple[float, float, float]:  # fmt: skip
        """The share of a correction that was applied (0: dropped), and the loss before and after.

        `apply(share)` makes the correction, `undo()` takes it back, `moved` is its relative length.
        """
        before = loss()
        share = alpha if not self.radius or moved * alpha <= self.radius else self.radius / moved
        for _ in range(4):
            apply(share)
            after = loss()
            if after <= before + self.tolerance * abs(before):
                self.radius = 2 * self.radius if share == alpha else self.radius
                return share, before, after
            undo()
            share /= 2
        self.radius = (self.radius or moved) / 2
        return 0.0, before, before


def batch_norms(model: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """The batch normalizations that keep running statistics."""
    kind = nn.modules.batchnorm._BatchNorm
    return [module for module in model.modules() if isinstance(module, kind) and module.track_running_stats]


@contextlib.contextmanager
def own_statistics(model: nn.Module) -> Iterator[None]:
    """Within: no dropout; batch normalization takes the batch's statistics and keeps none."""
    training = {module: module.training for module in model.modules()}
    model.eval()
    norms = batch_norms(model)
    for norm in norms:
        norm.training, norm.track_running_stats = True, False
    kept = [dict(norm.named_buffers()) for norm in norms]
    for norm in norms:
        for name in ("running_mean", "running_var"):
            setattr(norm, name, None)
    try:
        yield
    finally:
        for norm, buffers in zip(norms, kept, strict=True):
            norm.track_running_stats = True
            for name in ("running_mean", "running_var"):
                setattr(norm, name, buffers[name])
        for module, was in training.items():
            module.training = was


@contextlib.contextmanager
def counted_anew(model: nn.Module) -> Iterator[None]:
    """Within: forward passes in training mode make the running statistics their plain mean."""
    norms = batch_norms(model)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
