"""SSIM here is that of scikit-image, and counts active windows apart."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import structural_similarity

from netwright.svg.likeness import WINDOW, Reference


def picture(height, width, seed, low=0, high=256):
    return np.random.default_rng(seed).integers(low, high, (height, width, 3), dtype=np.uint8)


def theirs(one, other):
    return structural_similarity(one, other, channel_axis=2, data_range=255)


@given(height=st.integers(WINDOW, 40), width=st.integers(WINDOW, 40), seed=st.integers(0, 999), flat=st.booleans())
@settings(max_examples=40, deadline=None)
def test_it_equals_scikit_image(height, width, seed, flat):
    one = picture(height, width, seed, 250 if flat else 0)
    other = picture(height, width, seed + 1, 248 if flat else 0)
    mixed = ((one.astype(int) + other) // 2).astype(np.uint8)
    for second in (other, mixed, one):
        assert Reference(one).compare(second).ssim == pytest.approx(theirs(one, second), abs=1e-9)


def test_equal_pictures_are_fully_alike():
    one = picture(20, 30, 0)
    like = Reference(one).compare(one)
    assert like.ssim == pytest.approx(1, abs=1e-12)
    assert like.ssim_active == pytest.approx(1, abs=1e-12)


def test_a_white_page_counts_in_the_whole_but_not_among_active_windows():
    page = np.full((64, 64, 3), 255, np.uint8)
    page[:16, :16] = picture(16, 16, 0)
    lost = np.full_like(page, 255)
    like = Reference(page).compare(lost)
    assert like.ssim > 0.85
    assert like.ssim_active < 0.3
    assert Reference(page).active_HW.mean() < 0.15


def test_a_picture_without_active_windows_is_judged_as_a_whole():
    page = np.full((16, 16, 3), 255, np.uint8)
    like = Reference(page).compare(picture(16, 16, 0))
    assert like.ssim == like.ssim_active < 0.5


def test_sizes_must_fit():
    with pytest.raises(ValueError, match="cannot be compared"):
        Reference(picture(20, 20, 0)).compare(picture(20, 21, 0))
    with pytest.raises(ValueError, match="7 x 7"):
        Reference(picture(6, 20, 0))
