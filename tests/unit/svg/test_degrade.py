"""Degradations: the size stays, the change is told and reproducible, and it does what it is called."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.svg.degrade import CHANGES, SHARES, degraded


def picture(height=48, width=64, seed=0):
    pixels = np.full((height, width, 4), 255, np.uint8)
    pixels[10:30, 10:40, :3] = (200, 30, 60)
    pixels[30:, :20] = (0, 0, 0, 0)
    pixels[5, :, :3] = np.random.default_rng(seed).integers(0, 256, 3)
    return pixels


@pytest.mark.parametrize("kind", sorted(CHANGES))
@given(height=st.integers(8, 90), width=st.integers(8, 90), seed=st.integers(0, 999))
@settings(max_examples=12, deadline=None)
def test_every_change_keeps_size_and_form_and_is_the_same_for_a_seed(kind, height, width, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 4), dtype=np.uint8)
    before = pixels.copy()
    changed, told = degraded(pixels, np.random.default_rng(seed), kind)
    again, told_again = degraded(pixels, np.random.default_rng(seed), kind)
    assert changed.shape == pixels.shape
    assert changed.dtype == np.uint8
    assert told.split()[0] == kind
    assert (changed == again).all()
    assert told == told_again
    assert (pixels == before).all()


@pytest.mark.parametrize("kind", sorted(CHANGES))
def test_every_change_changes_something(kind):
    changed, _ = degraded(picture(), np.random.default_rng(1), kind)
    assert (changed != picture()).any()


@pytest.mark.parametrize("kind", ["blur", "resample", "noise"])
def test_these_keep_what_is_transparent(kind):
    changed, _ = degraded(picture(), np.random.default_rng(0), kind)
    assert changed[44, 3, 3] == 0


@pytest.mark.parametrize("kind", ["jpeg", "palette", "screenshot"])
def test_these_leave_nothing_transparent(kind):
    changed, _ = degraded(picture(), np.random.default_rng(0), kind)
    assert (changed[:, :, 3] == 255).all()


def test_a_palette_has_no_more_colours_than_told():
    noisy = np.random.default_rng(0).integers(0, 256, (40, 40, 4), dtype=np.uint8)
    for seed in range(4):
        changed, told = degraded(noisy, np.random.default_rng(seed), "palette")
        assert len(np.unique(changed.reshape(-1, 4), axis=0)) <= int(told.split()[1])


def test_noise_is_as_strong_as_told():
    grey = np.full((200, 200, 4), 128, np.uint8)
    changed, told = degraded(grey, np.random.default_rng(3), "noise")
    assert changed[:, :, :3].std() == pytest.approx(float(told.split()[1]), rel=0.05)


def test_kinds_are_drawn_by_their_shares():
    assert set(SHARES) == set(CHANGES)
    assert sum(SHARES.values()) == pytest.approx(1)
    generator = np.random.default_rng(0)
    small = np.full((8, 8, 4), 255, np.uint8)
    kinds = {degraded(small, generator)[1].split()[0] for _ in range(80)}
    assert kinds == set(CHANGES)
