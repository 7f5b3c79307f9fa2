import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from netwright.svg.likeness import Reference
from netwright.svg.statistics import BITS, LEVELS, STEPS, Statistics, columns, digest
from netwright.svg.views import FACTS, PIECE, WHOLE


def read(whole: np.ndarray, piece: np.ndarray) -> dict[str, float]:
    with torch.inference_mode():
        views = (torch.from_numpy(np.ascontiguousarray(x.transpose(2, 0, 1)))[None] for x in (whole, piece))
        row = Statistics()(*views, torch.zeros(1, len(FACTS)))[0]
    assert row.shape == (len(columns()),)
    assert row.isfinite().all()
    return dict(zip(columns(), row.tolist(), strict=True))


@pytest.fixture(scope="module")
def pictures() -> tuple[np.ndarray, np.ndarray]:
    """Smooth noise, of which a part is flat."""
    random = np.random.default_rng(0)

    def one(side: int) -> np.ndarray:
        noise = ndimage.gaussian_filter(random.normal(size=(side, side, 3)), (6, 6, 0))
        pixels = (128 + 400 * noise).clip(0, 255).astype(np.uint8)
        pixels[: side // 3] = 255
        return pixels

    return one(WHOLE), one(PIECE)


def joined(pixels: np.ndarray, bits: int, axis: int) -> np.ndarray:
    """What the tracer joins, said plainly: codes of every channel differ by 1 at the most."""
    codes = (pixels >> (8 - bits)).astype(int)
    return (np.abs(np.diff(codes, axis=axis)) <= 1).all(2)


@pytest.mark.parametrize("bits", BITS)
def test_borders_are_those_of_a_plain_count(pictures, bits):
    found, pixels = read(*pictures), pictures[1]
    right, down = joined(pixels, bits, 1), joined(pixels, bits, 0)
    assert math.isclose(found[f"piece border {bits}"], 2 - (right.sum() + down.sum()) / PIECE**2, rel_tol=1e-4)


@pytest.mark.parametrize(("bits", "level"), [(2, 0), (5, 3), (6, LEVELS - 2), (8, 1)])
def test_borders_left_at_a_layer_difference_are_those_of_a_plain_count(pictures, bits, level):
    pixels = pictures[1]
    count = 0
    for axis in (0, 1):
        sums = np.abs(np.diff(pixels.astype(int), axis=axis)).sum(2)
        count += int((~joined(pixels, bits, axis) & (sums + 1 >= 2**level)).sum())
    found = read(*pictures)[f"piece left {bits} {level}"]
    # a pair parted at few bits counts as parted at all more, which cutting does not always bear out
    assert abs(found - math.log10(count / PIECE**2 + 1e-5)) < 0.1


def test_the_similarity_of_cut_colours_is_that_of_the_grey_picture(pictures):
    whole = pictures[0]
    found = read(*pictures)
    grey = (whole @ np.array([0.299, 0.587, 0.114])).astype(np.float32)
    codes = (whole >> 5).astype(int) @ np.array([64, 8, 1])
    means = (np.bincount(codes.ravel(), grey.ravel()) / np.bincount(codes.ravel()).clip(1))[codes]
    stacked = [np.repeat(x[:, :, None], 3, 2) for x in (grey, means)]
    reference = Reference(stacked[0].astype(np.uint8))
    near = reference.compare(stacked[1].round().astype(np.uint8))
    assert abs(found["ssim 3"] - near.ssim) < 0.01
    assert found["ssim 2"] < found["ssim 3"] < found["ssim 4"] < found["ssim 5"]


def test_a_flat_picture_has_no_borders_and_a_noisy_one_is_all_borders():
    flat = read(np.full((WHOLE, WHOLE, 3), 77, np.uint8), np.full((PIECE, PIECE, 3), 77, np.uint8))
    random = np.random.default_rng(0)
    noise = [random.integers(0, 2, (side, side, 1)).repeat(3, 2).astype(np.uint8) * 255 for side in (WHOLE, PIECE)]
    noisy = read(*noise)
    assert all(flat[f"piece border {bits}"] < 0.02 for bits in BITS)
    assert all(noisy[f"piece border {bits}"] > 0.9 for bits in BITS)
    assert all(flat[f"piece step{step}"] < noisy[f"piece step{step}"] for step in STEPS)


def test_batches_are_rows_one_by_one(pictures):
    model = Statistics()
    whole, piece = (torch.from_numpy(np.ascontiguousarray(x.transpose(2, 0, 1))) for x in pictures)
    facts = torch.zeros(1, len(FACTS))
    with torch.inference_mode():
        both = model(torch.stack([whole, 255 - whole]), torch.stack([piece, 255 - piece]), facts.repeat(2, 1))
        assert torch.allclose(both[0], model(whole[None], piece[None], facts)[0], atol=1e-4)
        assert torch.allclose(both[1], model(255 - whole[None], 255 - piece[None], facts)[0], atol=1e-4)


def test_kept_features_are_known_by_the_text_that_makes_them():
    assert len(digest()) == 12
    assert digest() == digest()
