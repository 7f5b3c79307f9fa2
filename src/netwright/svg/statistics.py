"""Statistics: what of an image decides how it will trace, as one row of numbers, in a few milliseconds.

    whole, piece, facts = views.views(raster)
    Statistics()(whole_1CHW, piece_1CHW, facts_1A)      # features_1F

The tracer keeps `color_precision` bits of each channel, joins neighbours that then differ by no more than 1 to
patches, merges those that are small or nearer in colour than `layer_difference` into a neighbour, and draws the
outlines of the rest (visioncortex, `color_clusters`). All but the last is imitated here for every number of bits: how
alike the image is with its colours cut (SSIM), how long the borders between patches are, how much survives that is
wider than a few pixels. Added are how steep, how rough and how flat the image is, at two scales, and the block edges
that JPEG leaves. Everything is pooling and comparing, so that it stands in the exported graph; how many patches there
are of which size is told with the facts (`patches`). This file knows no setting.

Shape legend: B batch, C channels, H height, W width, Q numbers of bits, F features, A facts of the image.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from netwright.svg.likeness import ACTIVE, C1, C2, WINDOW
from netwright.svg.views import FACTS

STRIDE = 4
"""Pixels between windows of the similarity."""
BITS = (2, 3, 4, 5, 6, 7, 8)
CUT = (2, 3, 4, 5, 6)
"""Numbers of bits at which cutting colours is seen in the similarity."""
LEVELS = 9
"""Powers of two of the sum of differences between neighbours: 0, 1, 3, 7 ... 255 and more."""
WIDTHS = (2, 4, 8)
"""Pixels that a patch must be wide to survive."""
STEPS = (1, 2, 4, 8, 16, 32, 64, 128)
"""Differences between neighbours, in steps of 255."""
ROUGH = (1, 4, 16, 64, 256, 1024, 4096)
"""Local variances."""


def columns() -> list[str]:
    """Names of the features, in order."""
    names = list(FACTS)
    for view in ("piece", "whole"):
        names += [f"{view} {part} {bits}" for part in PARTS for bits in BITS]
        names += [f"{view} left {bits} {level}" for bits in BITS for level in range(LEVELS)]
        names += [f"{view} {name}" for name in _GENERAL]
    return names + [f"{part} {bits}" for part in ("ssim", "active", "error") for bits in CUT] + _DRAWN


PARTS = ["border", "corner", "stairs", *(f"wide{w}" for w in WIDTHS)]
_GENERAL = [
    *(f"step{s}" for s in STEPS), *(f"rough{v}" for v in ROUGH), *(f"bend{s}" for s in STEPS),
    "mean", "spread", "white", "black", "saturation", "saturated", "active share", "flat",
    "blur ssim", "blur active", "blocks", "bend ratio",
]  # fmt: skip
_DRAWN = ["open3 ssim", "open3 active", "open7 ssim", "open7 active"]


def digest() -> str:
    """What features kept on disk depend on: this file's text and that of what it is given."""
    from netwright.svg import patches, views

    files = (__file__, views.__file__, patches.__file__)
    text = "".join(Path(file).read_text(encoding="utf-8") for file in files)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


class Statistics(nn.Module):
    """Two views and the facts of images -> features_BF, float32; the names of the F are `columns()`."""

    def forward(self, whole_BCHW: Tensor, piece_BCHW: Tensor, facts_BA: Tensor) -> Tensor:
        """Views are uint8, as `views` gives them."""
        whole_BF, luma_B1HW, reference = _view(whole_BCHW)
        piece_BF, *_ = _view(piece_BCHW)
        return torch.cat([facts_BA, piece_BF, whole_BF, _drawn(whole_BCHW, luma_B1HW, reference)], 1)


Moments = tuple[Tensor, Tensor]
"""Means and mean squares over windows."""


def _view(pixels_BCHW: Tensor) -> tuple[Tensor, Tensor, Moments]:
    """Features of one picture, (B, F); its luma; the luma's moments."""
    values_BCHW = pixels_BCHW.float()
    luma_B1HW = _luma(values_BCHW)
    reference = _mean(luma_B1HW), _mean(luma_B1HW * luma_B1HW)
    return torch.cat([_patches(pixels_BCHW), _general(values_BCHW, luma_B1HW, reference)], 1), luma_B1HW, reference


def _luma(values_BCHW: Tensor) -> Tensor:
    return 0.299 * values_BCHW[:, 0:1] + 0.587 * values_BCHW[:, 1:2] + 0.114 * values_BCHW[:, 2:3]


def _patches(pixels_BCHW: Tensor) -> Tensor:
    """Of the patches that the tracer joins at each number of bits: borders, corners, widths."""
    right, down, steps_BK = _joined(pixels_BCHW)
    area = pixels_BCHW.shape[-1] * pixels_BCHW.shape[-2]
    top, bottom, left, other = right[..., :-1, :], right[..., 1:, :], down[..., :-1], down[..., 1:]
    joined = top + bottom + left + other  # of each 2 x 2 block, how many of its four neighbours are joined
    square = (joined == _byte(4)).to(torch.uint8)
    corner = (joined == _byte(2)).to(torch.uint8) * (top != bottom).to(torch.uint8)
    stairs = (joined < _byte(2)).to(torch.uint8)
    wide = []
    for width in WIDTHS:  # a block of 2, 4, 8 pixels without a border is four blocks of half its side
        if width > 2:
            square = _quartet(square, width // 2)
        wide.append(_sum(square) / area)
    borders = 2 - (_sum(right) + _sum(down)) / area
    return torch.cat([borders, _sum(corner) / area, _sum(stairs) / area, *wide, steps_BK], 1)


def _joined(pixels_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Which neighbours the tracer joins at each number of bits, (B, Q, H, W) to the right and down; and how long the
    borders are that it leaves, at each number of bits and each layer difference, (B, Q times L), as logarithms.

    Neighbours are joined whose channels, with the lowest bits cut, differ by 1 at the most.
    """
    step_Q = torch.tensor([1 << (8 - bits) for bits in BITS], dtype=torch.uint8)[:, None, None]
    cut_BQCHW = torch.bitwise_and(pixels_BCHW[:, None], 255 - (step_Q[..., None] - 1))
    joins, tables = [], []
    for axis in (4, 3):
        long = cut_BQCHW.shape[axis] - 1
        first, second = cut_BQCHW.narrow(axis, 0, long), cut_BQCHW.narrow(axis, 1, long)
        apart_BQHW = (torch.maximum(first, second) - torch.minimum(first, second)).amax(2)
        joins.append((apart_BQHW < 2 * step_Q).to(torch.uint8))
        here, there = pixels_BCHW.narrow(axis - 1, 0, long), pixels_BCHW.narrow(axis - 1, 1, long)
        step_BHW = (torch.maximum(here, there) - torch.minimum(here, there)).float().sum(1)
        level_BN = torch.log2(step_BHW + 1).floor().clamp(max=LEVELS - 1).long().flatten(1)
        parted_BN = (len(BITS) - joins[-1].float().sum(1)).long().flatten(1)
        count_BK = torch.zeros(level_BN.shape[0], LEVELS * (len(BITS) + 1))
        tables.append(
            count_BK.scatter_add(1, level_BN * (len(BITS) + 1) + parted_BN, torch.ones_like(level_BN).float())
        )
    table_BLQ = (tables[0] + tables[1]).view(-1, LEVELS, len(BITS) + 1)
    # parted at the most bits first: the number of bits at which a pair is parted says from which one on it is
    table_BLQ = table_BLQ.flip(1, 2).cumsum(1).cumsum(2).flip(1)[..., :-1]
    area = pixels_BCHW.shape[-1] * pixels_BCHW.shape[-2]
    return joins[0], joins[1], _log(table_BLQ.transpose(1, 2).flatten(1) / area)


def _byte(value: int) -> Tensor:
    """A constant of the pixels' type: ONNX compares no bytes with wider integers."""
    return torch.tensor(value, dtype=torch.uint8)


def _sum(ones_BQHW: Tensor) -> Tensor:
    return ones_BQHW.float().sum((2, 3))


def _general(values_BCHW: Tensor, luma_B1HW: Tensor, reference: Moments) -> Tensor:
    """How steep, rough, flat, bright and coloured a picture is."""
    across = (values_BCHW[..., :, 1:] - values_BCHW[..., :, :-1]).abs().amax(1)
    along = (values_BCHW[..., 1:, :] - values_BCHW[..., :-1, :]).abs().amax(1)
    bend = (luma_B1HW[..., :, 2:] - 2 * luma_B1HW[..., :, 1:-1] + luma_B1HW[..., :, :-2]).abs()
    variance = (reference[1] - reference[0] ** 2).clamp(min=0)
    both = torch.cat([across.flatten(1), along.flatten(1)], 1)
    highest, lowest = values_BCHW.amax(1), values_BCHW.amin(1)
    saturation = highest - lowest
    mean_B1 = luma_B1HW.mean((2, 3))
    rough = across.mean((1, 2)) + 1e-3
    edges = across[..., 7::8].mean((1, 2)) + 1e-3
    padded = functional.pad(luma_B1HW, (1, 1, 1, 1), mode="replicate")
    single = [
        mean_B1 / 255, (luma_B1HW - mean_B1[..., None, None]).square().mean((2, 3)).sqrt() / 255,
        _share(lowest >= 254), _share(highest <= 1), saturation.mean((1, 2))[:, None] / 255, _share(saturation > 64),
        (variance > ACTIVE).float().mean((2, 3)), (variance < 0.01).float().mean((2, 3)),
        *_ssim(luma_B1HW, reference, _pooled(padded, 3, 1)),
        torch.log(edges / rough)[:, None], torch.log((bend.mean((1, 2, 3)) + 1e-3) / rough)[:, None],
    ]  # fmt: skip
    return torch.cat([_above(both, STEPS), _above(variance, ROUGH), _above(bend, STEPS), *single], 1)


def _drawn(pixels_BCHW: Tensor, luma_B1HW: Tensor, reference: Moments) -> Tensor:
    """How alike a picture stays with its colours cut, and with its specks gone."""
    cut_BQHW = torch.cat([_cut(pixels_BCHW, bits) for bits in CUT], 1)
    ssim_BQ, active_BQ = _ssim(luma_B1HW, reference, cut_BQHW)
    error_BQ = (cut_BQHW - luma_B1HW).abs().mean((2, 3))
    opened = [x for width in (3, 7) for x in _ssim(luma_B1HW, reference, _opened(luma_B1HW, width))]
    return torch.cat([ssim_BQ, active_BQ, error_BQ, *opened], 1)


def _share(where_BHW: Tensor) -> Tensor:
    return where_BHW.float().mean((1, 2))[:, None]


def _above(values: Tensor, limits: tuple[int, ...]) -> Tensor:
    """Logarithms of the shares of values at or above each limit, (B, limits)."""
    limits_K1 = torch.tensor([float(limit) for limit in limits])[:, None]
    return _log((values.flatten(1)[:, None] >= limits_K1).float().mean(2))


def _log(share: Tensor) -> Tensor:
    """Shares as logarithms, with a floor where nothing was seen."""
    return torch.log10(share + 1e-5)


def _cut(pixels_BCHW: Tensor, bits: int) -> Tensor:
    """Luma with colours cut to `bits`, each cell of colours drawn in the mean of what fell into it, (B, 1, H, W)."""
    step = 2 ** (8 - bits)
    if bits > 5:  # the middle is within 2 of 255 of the mean, and the table of cells would be a megabyte of the file
        return _luma(torch.bitwise_and(pixels_BCHW, 256 - step).float() + (step - 1) / 2)
    side = 2**bits
    cut_BCHW = (pixels_BCHW.float() / step).floor().long()
    cell_BN = ((cut_BCHW[:, 0] * side + cut_BCHW[:, 1]) * side + cut_BCHW[:, 2]).flatten(1)
    luma_BN = _luma(pixels_BCHW.float()).flatten(1)
    nothing_BK = torch.zeros(cell_BN.shape[0], side**3, device=pixels_BCHW.device)
    count_BK = nothing_BK.scatter_add(1, cell_BN, torch.ones_like(luma_BN))
    mean_BK = nothing_BK.scatter_add(1, cell_BN, luma_BN) / count_BK.clamp(min=1)
    return mean_BK.gather(1, cell_BN).view(luma_BN.shape[0], 1, *pixels_BCHW.shape[2:])


def _quartet(square: Tensor, step: int) -> Tensor:
    """Where four places of a grid, `step` apart, are all 1."""
    pair = square[..., :, step:] * square[..., :, :-step]
    return pair[..., step:, :] * pair[..., :-step, :]


def _opened(luma_B1HW: Tensor, width: int) -> Tensor:
    """What stays of an image when light and dark specks narrower than `width` go: mean of opening and closing."""
    shrunk = -_grown(-luma_B1HW, width)
    closed = -_grown(-_grown(luma_B1HW, width), width)
    return (closed + _grown(shrunk, width)) / 2


def _grown(values: Tensor, width: int) -> Tensor:
    """The greatest value within `width` (3 or 7) pixels, by doubling: pooling takes fifty times as long."""
    edge = width // 2
    for axis, pad in ((3, (edge, edge, 0, 0)), (2, (0, 0, edge, edge))):
        x = functional.pad(values, pad, mode="replicate")
        reach = 1
        while reach < width:
            step = min(reach, width - reach)
            long = x.shape[axis] - step
            x = torch.maximum(x.narrow(axis, 0, long), x.narrow(axis, step, long))
            reach += step
        values = x
    return values


def _mean(values: Tensor) -> Tensor:
    """Means over every fourth window of every fourth row: a sample of what `likeness` measures."""
    return _pooled(values, WINDOW, STRIDE)


def _pooled(values_BQHW: Tensor, side: int, stride: int) -> Tensor:
    """Means over windows, as a convolution: ONNX Runtime's pooling takes four times as long."""
    rows, channels, height, width = values_BQHW.shape
    means = functional.conv2d(
        values_BQHW.reshape(rows * channels, 1, height, width),
        torch.full((1, 1, side, side), side**-2.0),
        stride=stride,
    )
    return means.view(rows, channels, *means.shape[2:])


def _ssim(luma_B1HW: Tensor, reference: Moments, drawn_BQHW: Tensor) -> tuple[Tensor, Tensor]:
    """SSIM of the luma of some drawings with the original's: over all windows and over active ones, (B, Q) each."""
    mean, square = reference
    unbiased = WINDOW**2 / (WINDOW**2 - 1)
    other = _mean(drawn_BQHW)
    covariance = unbiased * (_mean(luma_B1HW * drawn_BQHW) - mean * other)
    squares = mean * mean + other * other
    variances = unbiased * (square + _mean(drawn_BQHW * drawn_BQHW) - squares)
    map_BQHW = ((2 * mean * other + C1) * (2 * covariance + C2)) / ((squares + C1) * (variances.clamp(min=0) + C2))
    active = (square - mean * mean > ACTIVE).float()
    count = active.sum((2, 3)).clamp(min=1)
    return map_BQHW.mean((2, 3)), (map_BQHW * active).sum((2, 3)) / count
