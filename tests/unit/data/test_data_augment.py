"""Augmentations against slow, plain versions of themselves."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.data.augment import Augmentation, cut_out, rotate, shift_and_flip


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def picture(batch: int = 6, channels: int = 3, height: int = 12, width: int = 9) -> torch.Tensor:
    return torch.arange(batch * channels * height * width).view(batch, channels, height, width) % 251


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), crop=st.integers(0, 8), flip=st.booleans())
def test_shift_and_flip_is_a_crop_of_the_reflected_image(seed, crop, flip):
    x = picture().float()
    found = shift_and_flip(x, Augmentation(flip=flip, crop=crop), seeded(seed))
    draws = seeded(seed)
    if not (crop or flip):
        assert found is x
        return
    shift = torch.randint(-crop, crop + 1, (2, len(x), 1), generator=draws)[:, :, 0].tolist()
    mirror = (torch.rand((len(x), 1), generator=draws) < (0.5 if flip else 0)).flatten().tolist()
    padded = torch.nn.functional.pad(x, (crop,) * 4, "reflect")
    for n in range(len(x)):
        top, left = crop + shift[0][n], crop + shift[1][n]
        expected = padded[n, :, top : top + x.shape[2], left : left + x.shape[3]]
        assert torch.equal(found[n], expected.flip(2) if mirror[n] else expected)


def test_half_of_the_images_are_mirrored():
    x = torch.arange(8).repeat(4000, 1, 1, 1).to(torch.uint8)
    found = shift_and_flip(x, Augmentation(flip=True), seeded())
    mirrored = (found[:, 0, 0, 0] == 7).double().mean().item()
    assert abs(mirrored - 0.5) < 4 * math.sqrt(0.25 / 4000)
    assert torch.equal(found[found[:, 0, 0, 0] == 0], x[found[:, 0, 0, 0] == 0])


def test_a_turn_keeps_distances_in_a_picture_that_is_not_square():
    x = torch.zeros(50, 1, 41, 61)
    x[:, 0, 20, 45] = 1.0  # fifteen right of the centre
    found = rotate(x, Augmentation(rotation=180.0), seeded())[:, 0]
    rows, columns = torch.meshgrid(torch.arange(41.0) - 20, torch.arange(61.0) - 30, indexing="ij")
    at = torch.stack([(found * rows).sum((1, 2)), (found * columns).sum((1, 2))]) / found.sum((1, 2))
    assert (at.norm(dim=0) - 15).abs().max() < 0.2
    assert at[0].std() > 5


def test_turns_stay_within_the_bound_and_differ():
    x = torch.zeros(50, 1, 33, 33)
    x[:, 0, 16, 30] = 1.0
    found = rotate(x, Augmentation(rotation=20.0), seeded())
    rows, columns = torch.meshgrid(torch.arange(33.0) - 16, torch.arange(33.0) - 16, indexing="ij")
    mass = found[:, 0].clamp_min(0)
    at = torch.stack([(mass * rows).sum((1, 2)), (mass * columns).sum((1, 2))]) / mass.sum((1, 2))
    angles = torch.atan2(at[0], at[1]).rad2deg()
    assert angles.abs().max() <= 21
    assert angles.std() > 5


def test_cutout_blanks_one_square_and_nothing_else():
    x = torch.ones(40, 2, 16, 16)
    found = cut_out(x, Augmentation(cutout=4), seeded())
    blank = found == 0
    assert torch.equal(blank[:, 0], blank[:, 1])
    rows, columns = blank[:, 0].any(2).sum(1), blank[:, 0].any(1).sum(1)
    assert (blank[:, 0].sum((1, 2)) == rows * columns).all()
    assert rows.max() == columns.max() == 4
    assert ((found == 0) | (found == 1)).all()


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_generator_gives_the_same_bits(threads):
    how = Augmentation(flip=True, crop=4, rotation=15.0, cutout=5)

    def run() -> torch.Tensor:
        draws = seeded(3)
        x = shift_and_flip(picture(64, 3, 32, 32).float(), how, draws)
        return cut_out(rotate(x, how, draws), how, draws)

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    expected = run()
    torch.set_num_threads(threads)
    try:
        assert torch.equal(run(), expected)
    finally:
        torch.set_num_threads(before)
