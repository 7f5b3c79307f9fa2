"""What passes between two levels: fresh coarse weights, corrections of fine ones, tau, and the guard over them.

    restrict(fine, coarse, transfer)
    ...                                     # train the coarse network
    correct(fine, coarse, transfer, alpha=1.0, detail=1.0)

Works on two networks and the `Transfer` between them; does not know schedules or the loop.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from netwright.train.multilevel.transfer import DUAL, SQUARED, Transfer, move_state

Tensors = dict[str, Tensor]


class Trained(Protocol):
    """A network and its optimizer."""

    model: nn.Module
    optimizer: torch.optim.Optimizer


def weights(model: nn.Module) -> Tensors:
    """Parameters and floating buffers by name, as they stand, ties once."""
    buffers = {name: buffer for name, buffer in model.named_buffers() if buffer.is_floating_point()}
    return {**{name: p.detach() for name, p in model.named_parameters()}, **buffers}


@torch.no_grad()
def sample(fine: nn.Module, coarse: nn.Module, transfer: Transfer) -> None:
    """Give `coarse` weights as if it had been initialized itself: one member of each aggregate, not their mean.

    The mean of n independent weights has 1 / n of their variance, and a network that starts with it learns slowly
    (He et al. 2015, arXiv:1502.01852). Columns are scaled by the root of the aggregate's size, as fewer are summed.
    """
    target = weights(coarse)
    for name, tensor in weights(fine).items():
        x = tensor
        for line in transfer.lines(name, tensor.device):
            first = line.members[:, 0]
            x = x.index_select(line.dim, first)
            if isinstance(line.split, Tensor):
                shape = [1] * x.dim()
                shape[line.dim] = -1
                x = x / line.split[first].to(x.dtype).view(shape).sqrt()
            elif line.split != 1:
                x = x / line.split**0.5
        target[name].copy_(x)


def displacement(fine: nn.Module, coarse: nn.Module, transfer: Transfer) -> float:
    """How far the coarse parameters have moved: |w_c - R w| / |R w|."""
    here = dict(coarse.named_parameters())
    moved = norm = 0.0
    for name, w in fine.named_parameters():
        rw = transfer.restrict(name, w.detach())
        moved += float((here[name].detach() - rw).square().sum())
        norm += float(rw.square().sum())
    return math.sqrt(moved / max(norm, 1e-30))


@torch.no_grad()
def restrict(fine: nn.Module, coarse: nn.Module, transfer: Transfer) -> None:
    """w_c <- R w, for parameters and buffers."""
    target = {**dict(coarse.named_parameters()), **dict(coarse.named_buffers())}
    for name, value in (*fine.named_parameters(), *fine.named_buffers()):
        target[name].copy_(transfer.restrict(name, value))


@torch.no_grad()
def correct(fine: nn.Module, coarse: nn.Module, transfer: Transfer, alpha: float = 1.0, detail: float = 1.0) -> None:
    """w <- P((1 - alpha) R w + alpha w_c) + detail (I - P R) w, in place; buffers follow the coarse ones all the way.

    alpha = detail = 1 is the correction of the full approximation scheme (Brandt 1977), detail = 1 - alpha the
    interpolation of Zou, Zhang and Deng (ICLR 2024). What is not merged between the levels goes (1 - alpha) w + alpha
    w_c. A coarse network that has not moved changes nothing, to the bit, where detail is 1.
    """
    source = weights(coarse)
    parameters = dict(fine.named_parameters())
    for name, w in weights(fine).items():
        w_c, merged = source[name], bool(transfer.lines(name, w.device))
        if name not in parameters:
            w.copy_(transfer.prolong(name, w_c))
        elif not merged:
            w.copy_(w_c) if alpha == 1 else w.lerp_(w_c, alpha)
        else:
            rw = transfer.restrict(name, w)
            if detail == 1 and torch.equal(rw, w_c):
                continue
            kept = detail * (w - transfer.prolong(name, rw))
            w.copy_(transfer.prolong(name, w_c if alpha == 1 else rw.lerp(w_c, alpha))).add_(kept)
    for name, buffer in fine.named_buffers():
        if not buffer.is_floating_point():
            buffer.copy_(dict(coarse.named_buffers())[name])


@torch.no_grad()
def expand(fine: nn.Module, coarse: nn.Module, transfer: Transfer, detail: float = 0.0) -> None:
    """Fill an untrained fine network: one unit of each aggregate is the coarse one, the others stay as initialized.

    What reads those others keeps `detail` times its first weights on them; with 0 the fine network computes exactly
    what the coarse one does, and learns from the first step, since its new units are no copies. Where a normalization
    runs over the units all of them are copies, as `correct` makes them. In the manner of Net2WiderNet (Chen et al. 2016,
    arXiv:1511.05641), with zeros for its copies.
    """
    source, parameters, copied = weights(coarse), dict(fine.named_parameters()), transfer.normalized
    for name, w in weights(fine).items():
        lines = transfer.lines(name, w.device)
        if name not in parameters or not lines:
            w.copy_(transfer.prolong(name, source[name]))
            continue
        nothing = torch.zeros((), dtype=torch.bool, device=w.device)
        grown, is_new = source[name], {"rows": nothing, "columns": nothing}
        for line in reversed(lines):
            if (transfer.name(name), line.dim) in copied:
                grown = line.spread(grown, line.split)
                continue
            grown = grown.index_select(line.dim, line.index)
            shape = [1] * w.dim()
            shape[line.dim] = -1
            new = torch.ones(len(line.index), dtype=torch.bool, device=w.device)
            new[line.members[:, 0]] = False
            kind = "columns" if isinstance(line.split, Tensor) or line.split != 1 else "rows"
            is_new[kind] = is_new[kind] | new.view(shape)
        grown = torch.where(is_new["columns"], detail * w, grown)
        w.copy_(torch.where(is_new["rows"], w, grown))


def tau(coarse: Mapping[str, Tensor], fine: Mapping[str, Tensor], above: Mapping[str, Tensor], by: Transfer) -> Tensors:
    """tau = grad L_c(R w) - P^T (grad L_f(w) - tau_f): with it, coarse training begins with the fine gradient.

    `coarse` and `fine` are those gradients by parameter, on the same batches; `above` is the finer level's own tau.
    Taken from coarse gradients, it makes them those of L_c(w_c) - <tau, w_c>.
    """
    known = {name: gradient - above[name] if name in above else gradient for name, gradient in fine.items()}
    return {name: coarse[name] - by.adjoint(name, gradient) for name, gradient in known.items() if name in coarse}


@torch.no_grad()
def correct_state(fine: Trained, coarse: Trained, transfer: Transfer, mode: Literal["transfer", "reset"]) -> None:
    """The fine optimizer's state after a correction: what the coarse one brings, and the fine one's own detail.

    Momentum and first moments m <- R^T m_c + (I - R^T P^T) m, second moments likewise, their detail at least 0. A fine
    network that was not trained yet takes the coarse state alone; with "reset" a trained one keeps its own.
    """
    kept = {name: dict(fine.optimizer.state.get(p, {})) for name, p in fine.model.named_parameters()}
    if mode == "reset" and any(kept.values()):
        return
    lost: dict[tuple[str, str], Tensor] = {}
    for name, state in kept.items():
        for key in (key for key in state if transfer.lines(name, state[key].device) and key in DUAL + SQUARED):
            down, up = (
                (transfer.adjoint, transfer.lift) if key in DUAL else (transfer.adjoint_squared, transfer.lift_squared)
            )
            detail = state[key] - up(name, down(name, state[key]))
            lost[name, key] = detail if key in DUAL else detail.clamp_(min=0)
    move_state(transfer, coarse.optimizer, fine.optimizer, coarse.model, fine.model, "prolong", mode)
    parameters = dict(fine.model.named_parameters())
    for (name, key), detail in lost.items():
        state = fine.optimizer.state.get(parameters[name], {})
        if key in state:
            state[key].add_(detail)


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
