"""Images made smaller before they are traced: never larger than asked, never larger than they were."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.svg.raster import SMALLEST, from_pixels, smaller

SIDES = st.integers(SMALLEST, 90)


@settings(max_examples=60, deadline=None)
@given(SIDES, SIDES, st.integers(100, 9000), st.one_of(st.none(), st.integers(8, 200)))
def test_limits_hold_and_proportions_stay(width, height, pixels, side):
    raster = from_pixels(np.full((height, width, 3), 77, np.uint8))
    made = smaller(raster, pixels, side)
    now = made.size
    assert now[0] <= width
    assert now[1] <= height
    if min(now) > SMALLEST:
        assert now[0] * now[1] <= pixels
        assert side is None or max(now) <= side
        assert abs(now[0] / now[1] - width / height) <= width / height * (1 / now[0] + 1 / now[1])
    assert (made.pixels_HWC == [77, 77, 77, 255]).all()
    assert (made is raster) == (not made.notes)


def test_transparent_pixels_leave_no_fringe():
    pixels_HWC = np.zeros((40, 40, 4), np.uint8)
    pixels_HWC[10:30, 10:30] = 255, 0, 0, 255
    made = smaller(from_pixels(pixels_HWC), 1600, 17)
    seen = made.pixels_HWC[made.pixels_HWC[:, :, 3] > 8]
    assert (seen[:, 0] > 240).all()
    assert (seen[:, 1:3] < 15).all()
