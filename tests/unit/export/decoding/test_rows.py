"""Rows of several texts are taken apart and put together again."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from netwright.export.decoding import rows


def remembering(ids_NL, positions_NL):
    """Answers that tell which text was read so far: the sum of its ids, and the position."""
    return np.stack([ids_NL.cumsum(1), positions_NL], 2).astype(np.float32)


@given(st.lists(st.lists(st.integers(1, 30), min_size=1, max_size=9), min_size=1, max_size=6), st.integers(1, 400))
def test_every_token_is_answered_within_its_own_text(rows_of_sizes, together):
    T = max(map(sum, rows_of_sizes))
    generator = np.random.default_rng(0)
    ids_BT = generator.integers(1, 50, (len(rows_of_sizes), T))
    positions_BT, want_BT = np.zeros_like(ids_BT), np.array(ids_BT)
    for b, sizes in enumerate(rows_of_sizes):
        start = 0
        for size in sizes:
            positions_BT[b, start : start + size] = np.arange(size)
            want_BT[b, start : start + size] = ids_BT[b, start : start + size].cumsum()
            start += size
    before, rows.TOGETHER = rows.TOGETHER, together
    try:
        got_BT2 = rows.answered(ids_BT, positions_BT, remembering)
    finally:
        rows.TOGETHER = before
    np.testing.assert_array_equal(got_BT2[..., 0], want_BT)
    np.testing.assert_array_equal(got_BT2[..., 1], positions_BT)


def test_padding_is_read_once():
    ids_BT, positions_BT = np.zeros((3, 40), np.int64), np.zeros((3, 40), np.int64)
    positions_BT[:, :20] = np.arange(20)
    shapes = []

    def step(ids_NL, positions_NL):
        shapes.append(ids_NL.shape)
        return remembering(ids_NL, positions_NL)

    rows.answered(ids_BT, positions_BT, step)
    assert shapes == [(4, 20)]
