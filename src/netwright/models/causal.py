"""What decoders share: keys and values of earlier tokens, positions, which tokens see which, and the loss.

A token sees itself and those before it in its own text. Rows that hold several texts say so by positions that begin
again at 0. This file does not know any network.

Shape legend: B batch, T new tokens, S all tokens that are seen, K heads of keys and values, E width of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from netwright.data.tasks import IGNORED

PIECE = 8_000_000
"""Logits held at once: 32 MB."""
Past = Sequence[tuple[Tensor, Tensor]]
"""Keys and values of earlier tokens, of each layer: k_BKSE and v_BKSE; S = 0 where nothing was read yet."""


def seen_by(
    ids_BT: Tensor, positions_BT: Tensor | None, past: Past | None, mask: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """Positions of the new tokens, and the mask of what each sees; None: all before it in its row.

    Positions with a past are those of tokens that continue it; without one they say where texts begin. A mask that is
    given goes with positions that are, and is taken as it is.
    """
    if mask is not None and positions_BT is not None:
        return positions_BT, mask
    if past is None:
        T = ids_BT.shape[1]
        plain = torch.arange(T, device=ids_BT.device)[None]
        return (plain, None) if positions_BT is None else (positions_BT, of_one_text(positions_BT))
    T, seen = ids_BT.shape[1], past[0][0].shape[2]
    mask_TS = torch.ones(T, seen + T, dtype=torch.bool, device=ids_BT.device).tril(seen)
    if positions_BT is None:
        positions_BT = torch.arange(seen, seen + T, device=ids_BT.device)[None]
    return positions_BT, mask_TS


def of_one_text(positions_BT: Tensor) -> Tensor:
    """Which tokens see which in rows of several texts: mask_B1TT, True where the row's token sees the column's."""
    text_BT = (positions_BT == 0).cumsum(1)
    T = positions_BT.shape[1]
    before_TT = torch.ones(T, T, dtype=torch.bool, device=positions_BT.device).tril()
    return ((text_BT[:, :, None] == text_BT[:, None]) & before_TT)[:, None]


def next_token_loss(x_ND: Tensor, weight_VD: Tensor, labels_N: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy of logits `x_ND @ weight_VD.T` against labels, those of `IGNORED` left out.

    Logits are made, turned into gradients and dropped a piece at a time, as in Wijmans et al. 2024 (arXiv:2411.09009):
    a vocabulary of 49,152 would else take 400 MB, twice, for 2,048 tokens.
    """
    counts_N = labels_N != IGNORED
    if not bool(counts_N.all()):
        x_ND, labels_N = x_ND[counts_N], labels_N[counts_N]
    loss: Tensor = _Pieces.apply(x_ND, weight_VD, labels_N, smoothing)  # type: ignore[no-untyped-call]
    return loss


class _Pieces(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_ND: Tensor, weight_VD: Tensor, labels_N: Tensor, smoothing: float) -> Tensor:
        if torch.is_autocast_enabled(x_ND.device.type):
            kind = torch.get_autocast_dtype(x_ND.device.type)
            x_ND, matrix_VD = x_ND.to(kind), weight_VD.to(kind)
        else:
            matrix_VD = weight_VD
        wanted = ctx.needs_input_grad
        grad_ND = torch.empty_like(x_ND) if wanted[0] else None
        grad_VD = torch.zeros_like(matrix_VD) if wanted[1] else None
        total, N, V = x_ND.new_zeros((), dtype=torch.float32), max(1, len(labels_N)), weight_VD.shape[0]
        for rows in torch.arange(len(labels_N), device=x_ND.device).split(max(1, PIECE // V)):
            where = slice(int(rows[0]), int(rows[-1]) + 1)
            logits_nV, labels_n = (x_ND[where] @ matrix_VD.T).float(), labels_N[where, None]
            highest_n1 = logits_nV.logsumexp(1, keepdim=True)
            losses_n1 = highest_n1 - (1 - smoothing) * logits_nV.gather(1, labels_n)
            if smoothing:
                losses_n1 = losses_n1 - smoothing * logits_nV.mean(1, keepdim=True)
            total += losses_n1.sum() / N
            if grad_ND is None and grad_VD is None:
                continue
            slope_nV = logits_nV.sub_(highest_n1).exp_()
            slope_nV -= smoothing / V
            slope_nV.scatter_add_(1, labels_n, slope_nV.new_full(labels_n.shape, smoothing - 1))
            slope_nV = slope_nV.to(x_ND.dtype).div_(N)
            if grad_ND is not None:
                torch.mm(slope_nV, matrix_VD, out=grad_ND[where])
            if grad_VD is not None:
                grad_VD.addmm_(slope_nV.T, x_ND[where])
        ctx.save_for_backward(grad_ND, grad_VD)
        return total

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        grad_ND, grad_VD = ctx.saved_tensors
        return (
            None if grad_ND is None else grad_ND * slope,
            None if grad_VD is None else (grad_VD * slope).float(),
            None,
            None,
        )
