"""Augmentation of image batches: crop with reflection, flip, rotation, cutout. Driven only by a generator.

The same generator state gives the same bits, whatever the number of threads: draws are made for the whole
batch in a fixed order, and each pixel is computed by itself. This file does not know datasets or labels.

Shape legend: B batch, C channels, H rows, W columns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Augmentation:
    """Mirror at random, shift by up to `crop` pixels, turn by up to `rotation` degrees, blank a square."""

    flip: bool = False
    crop: int = 0
    rotation: float = 0.0
    cutout: int = 0


def shift_and_flip(x_BCHW: Tensor, how: Augmentation, generator: torch.Generator) -> Tensor:
    """Random crop of the reflect-padded image, then a mirror for one half; of any dtype, exact.

    Both are one gather of pixels: 3.5 ms for 512 CIFAR images on two cores, where padding and slicing takes 12.
    """
    if not (how.crop or how.flip):
        return x_BCHW
    B, C, H, W = x_BCHW.shape
    shift_2B1 = torch.randint(-how.crop, how.crop + 1, (2, B, 1), generator=generator)
    mirror_B1 = torch.rand((B, 1), generator=generator) < (0.5 if how.flip else 0.0)
    row_BH = _reflect(torch.arange(H) + shift_2B1[0], H)
    column_BW = torch.where(mirror_B1, torch.arange(W).flip(0), torch.arange(W))
    column_BW = _reflect(column_BW + shift_2B1[1], W)
    pixel_BN = (row_BH[:, :, None] * W + column_BW[:, None, :]).view(B, 1, H * W)
    return x_BCHW.reshape(B, C, H * W).gather(2, pixel_BN.expand(B, C, H * W)).view(B, C, H, W)


def rotate(x_BCHW: Tensor, how: Augmentation, generator: torch.Generator) -> Tensor:
    """Turn each image about its centre by an angle uniform in +-`rotation` degrees, bilinear, edges reflected."""
    if not how.rotation:
        return x_BCHW
    B, _, H, W = x_BCHW.shape
    angle_B = (2 * torch.rand(B, generator=generator) - 1) * math.radians(how.rotation)
    cos_B, sin_B, zero_B = angle_B.cos(), angle_B.sin(), torch.zeros(B)
    # the grid's unit is half a side, so an image that is not square needs its aspect ratio
    first_B3 = torch.stack([cos_B, -sin_B * (H / W), zero_B], 1)
    second_B3 = torch.stack([sin_B * (W / H), cos_B, zero_B], 1)
    grid_BHW2 = nn.functional.affine_grid(
        torch.stack([first_B3, second_B3], 1), list(x_BCHW.shape), align_corners=False
    )
    return nn.functional.grid_sample(x_BCHW, grid_BHW2, padding_mode="reflection", align_corners=False)


def cut_out(x_BCHW: Tensor, how: Augmentation, generator: torch.Generator) -> Tensor:
    """Set a square of side `cutout` to zero, the mean of a standardized image (DeVries and Taylor 2017).

    Its centre is uniform over the image, so it may stand partly outside.
    """
    if not how.cutout:
        return x_BCHW
    B, _, H, W = x_BCHW.shape
    centre_2B1 = torch.rand((2, B, 1), generator=generator)
    row_BH = (torch.arange(H) + 0.5 - centre_2B1[0] * H).abs() < how.cutout / 2
    column_BW = (torch.arange(W) + 0.5 - centre_2B1[1] * W).abs() < how.cutout / 2
    return x_BCHW.masked_fill((row_BH[:, :, None] & column_BW[:, None, :])[:, None], 0.0)


def _reflect(place: Tensor, size: int) -> Tensor:
    """Mirror places that lie outside 0..size-1 back in, without repeating the edge."""
    return (size - 1) - ((size - 1) - place.abs()).abs()
