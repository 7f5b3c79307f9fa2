"""Patches are those that the tracer would keep: counted against a flood fill, and by the tracer itself."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netwright.svg import patches
from netwright.svg.outline import parse
from netwright.svg.patches import BITS, SIDES
from netwright.svg.setting import Setting
from netwright.svg.tracer import Tracer


def told(pixels):
    return dict(zip(patches.columns(), patches.patches(np.ascontiguousarray(pixels)), strict=True))


def boxes(*sizes, gap=8, page=255, ink=0):
    """Black boxes in a row on a white page; each (height, width)."""
    pixels = np.full(
        (max(h for h, _ in sizes) + 2 * gap, sum(w for _, w in sizes) + gap * (len(sizes) + 1), 3), page, np.uint8
    )
    at = gap
    for height, width in sizes:
        pixels[gap : gap + height, at : at + width] = ink
        at += width + gap
    return pixels


def flooded(pixels, bits):
    """The patch of each pixel, and of each patch its size, whether it has an inside, and the length of its outline."""
    cut = (pixels >> (8 - bits)).astype(int)
    height, width = cut.shape[:2]

    def around(y, x):
        return [
            (a, b) for a, b in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)) if 0 <= a < height and 0 <= b < width
        ]

    label = np.full((height, width), -1)
    count = 0
    for start in np.ndindex(height, width):
        if label[start] >= 0:
            continue
        label[start], todo = count, [start]
        while todo:
            here = todo.pop()
            for place in around(*here):
                if label[place] < 0 and np.abs(cut[place] - cut[here]).max() <= 1:
                    label[place] = count
                    todo.append(place)
        count += 1
    size, inside, outline = np.zeros(count, int), np.zeros(count, bool), np.zeros(count, int)
    for here in np.ndindex(height, width):
        own = [label[place] == label[here] for place in around(*here)]
        size[label[here]] += 1
        inside[label[here]] |= sum(own) == 4
        outline[label[here]] += len(own) - sum(own)
    return size, inside, outline


@given(st.integers(8, 20), st.integers(8, 20), st.integers(1, 6), st.floats(0, 0.5), st.integers(0, 2**31))
def test_patches_are_those_of_a_flood_fill(height, width, colours, noise, seed):
    random = np.random.default_rng(seed)
    large = random.integers(0, colours, (height // 4 + 1, width // 4 + 1)).repeat(4, 0).repeat(4, 1)[:height, :width]
    pixels = random.integers(0, 256, (colours, 3), dtype=np.uint8)[large]
    pixels = np.where(random.random((height, width, 1)) < noise, random.integers(0, 256, pixels.shape), pixels)
    found = told(pixels.astype(np.uint8))
    for bits in BITS:
        size, inside, outline = flooded(pixels.astype(np.uint8), bits)
        for side in SIDES:
            kept = inside & (size > side**2) if side else np.ones(len(size), bool)
            assert found[f"patches {bits} {side}"] == pytest.approx(np.log10(kept.sum() + 1))
            assert found[f"outlines {bits} {side}"] == pytest.approx(np.log10(outline[kept].sum() + 1))
            share = size[~kept].sum() / (height * width)
            assert found[f"small {bits} {side}"] == pytest.approx(np.log10(share + 1e-5), abs=1e-5)
            assert found[f"lost {bits} {side}"] <= 1e-4, "a share"


def test_what_little_boxes_make_of_the_picture_is_lost_with_them():
    found = told(boxes((1, 1), (1, 1), (2, 9), (16, 16)))
    assert found["lost 6 0"] == pytest.approx(-5)
    assert -3 < found["lost 6 2"] < found["lost 6 16"]


def test_a_large_image_is_sampled_and_counted_for_all_of_it():
    pixels = np.full((64 * 16, 64 * 16, 3), 255, np.uint8)
    pixels[16::32, 16::32] = 0
    found = told(pixels)
    assert 10 ** found["patches 6 0"] - 1 == pytest.approx(32 * 32, rel=0.1)
    assert 10 ** found["patches 6 2"] - 1 == pytest.approx(1, abs=20)


def test_fewer_bits_join_what_more_bits_part():
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels[:, 20:] = 40
    found = told(pixels)
    assert found["patches 3 0"] == pytest.approx(np.log10(2)), "0 and 1 of 7: joined"
    assert found["patches 6 0"] == pytest.approx(np.log10(3)), "0 and 10 of 63: apart"


@pytest.mark.parametrize("speckle", [0, 1, 2, 4, 8, 16])
def test_the_tracer_keeps_as_many(speckle):
    sizes = [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (9, 9), (16, 16), (17, 17), (1, 30), (2, 30), (3, 30), (2, 400)]
    pixels = boxes(*sizes)[:, :256]
    side = 2 if speckle == 1 else speckle
    found = told(pixels)[f"patches 6 {side}"]
    with Tracer() as tracer:
        rgba = np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])
        drawn = len(parse(tracer.trace(rgba, Setting(mode="polygon", filter_speckle=speckle))).patches)
    assert drawn == round(10**found - 1)
