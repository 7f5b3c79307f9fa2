"""Windows cover, rows keep examples apart, and labels never cross from one example to the next."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from netwright.core.error import UserError
from netwright.data.packing import NO_LOSS, learned, pack, rows, windows


@given(count=st.integers(0, 200), length=st.integers(1, 50), data=st.data())
def test_windows_leave_no_token_out_and_none_lies_in_another(count, length, data):
    stride = data.draw(st.integers(1, length))
    cut = windows(list(range(count)), length, stride)
    assert set(torch.cat(cut).tolist() if cut else []) == set(range(count))
    assert all(len(one) == length for one in cut[:-1])
    starts = [int(one[0]) for one in cut]
    assert starts == [stride * n for n in range(len(cut))]
    ends = [int(one[-1]) for one in cut]
    assert ends == sorted(set(ends))


@pytest.mark.parametrize("stride", [0, 9, -1])
def test_a_stride_that_leaves_tokens_out(stride):
    with pytest.raises(UserError, match="stride"):
        windows([1, 2], 8, stride)


@given(st.lists(st.integers(0, 20), max_size=60))
def test_every_example_is_in_one_row_and_no_row_overflows(lengths):
    packing = pack(lengths, 20)
    assert sorted(n for row in packing for n in row) == [n for n, size in enumerate(lengths) if size]
    assert all(sum(lengths[n] for n in row) <= 20 for row in packing)
    least = -(-sum(lengths) // 20)
    assert len(packing) <= 2 * least
    assert packing == pack(lengths, 20)
    sums = sorted(sum(lengths[n] for n in row) for row in packing)
    assert len(sums) < 2 or sums[0] + sums[1] > 20, "two rows that fit into one"


def test_an_example_that_is_too_long_is_named():
    with pytest.raises(UserError, match="example 1 has 30 tokens"):
        pack([3, 30], 20)


def test_packing_is_close_to_full():
    lengths = np.random.default_rng(0).integers(20, 300, 2000).tolist()
    assert sum(lengths) / (512 * len(pack(lengths, 512))) > 0.98


@given(data=st.data(), lengths=st.lists(st.integers(1, 12), min_size=1, max_size=30))
def test_rows_hold_each_token_once_and_predict_within_an_example(data, lengths):
    starts = np.cumsum([0, *lengths])
    ids = [np.arange(a, b) + 1 for a, b in itertools.pairwise(starts)]  # each token is its own number
    marks = [np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)), bool) for n in lengths]
    examples = list(zip(ids, marks, strict=True))
    ids_BT, labels_BT, positions_BT = rows(examples, pack(lengths, 16), 16, pad_id=0)
    real = ids_BT > 0
    assert sorted(ids_BT[real].tolist()) == list(range(1, int(starts[-1]) + 1))
    position = {token: n for example in ids for n, token in enumerate(example.tolist())}
    assert all(position[i] == p for i, p in zip(ids_BT[real].tolist(), positions_BT[real].tolist(), strict=True))
    assert not positions_BT[~real].any()
    assert (labels_BT[~real] == NO_LOSS).all()
    taken = labels_BT != NO_LOSS
    assert torch.equal(labels_BT[taken], ids_BT[taken] + 1), "the token that follows"
    firsts = {int(example[0]) for example in ids}
    assert not firsts & set(labels_BT[taken].tolist()), "nothing predicts the first token of an example"
    wanted = {int(i) for example, mark in examples for i in example[1:][mark[1:]]}
    assert set(labels_BT[taken].tolist()) == wanted


def test_marks_and_tokens_must_be_as_many():
    with pytest.raises(ValueError, match="2 marks, 3 tokens"):
        rows([([1, 2, 3], [True, True])], [[0]], 4, 0)
    with pytest.raises(ValueError, match="room for 1 more"):
        rows([([1, 2, 3], [True] * 3), ([1, 2], [True] * 2)], [[0, 1]], 4, 0)


def test_learned_tokens_are_those_that_stand_in_a_span():
    offsets = [(0, 3), (3, 5), (5, 6), (6, 6), (6, 9), (9, 12)]
    assert learned(offsets, [(4, 9)]).tolist() == [False, True, True, True, True, False]
    assert learned([], [(0, 3)]).tolist() == []
    assert not learned(offsets, []).any()
