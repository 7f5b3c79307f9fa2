"""The validation split: disjoint, repeatable, without copies on both sides."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netwright.core.error import UserError
from netwright.data.holdout import hold_out


@given(
    contents=st.lists(st.binary(max_size=2), min_size=2, max_size=60),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 5),
    limit=st.integers(0, 10),
)
def test_parts_are_disjoint_and_no_copy_is_torn(contents, share, seed, limit):
    try:
        train, validation = (part.tolist() for part in hold_out(contents, share, seed, limit))
    except UserError:
        return  # so few, or so many copies, that one side would be empty
    assert train == sorted(train)
    assert validation == sorted(validation)
    assert train
    assert validation
    assert not {contents[n] for n in train} & {contents[n] for n in validation}
    assert len(train) == min(limit or len(contents), len(contents) - len(validation))


def test_an_examples_side_does_not_depend_on_the_others():
    contents = [str(n).encode() for n in range(1000)]
    _, first = hold_out(contents, 0.3, 0, 0)
    _, second = hold_out(contents[::-1], 0.3, 0, 0)
    assert {999 - n for n in second.tolist()} == set(first.tolist())
    assert len(first) == 300
    assert hold_out(contents, 0.3, 1, 0)[1].tolist() != first.tolist()


@pytest.mark.parametrize("validation", [0, 10, 11, 2.5, 0.001])
def test_an_empty_side_or_half_an_example_is_refused(validation):
    with pytest.raises(UserError, match=r"task\.validation"):
        hold_out([bytes([n]) for n in range(10)], validation, 0, 0)


def test_copies_of_one_example_leave_nothing_to_train_on():
    with pytest.raises(UserError, match="both splits need examples"):
        hold_out([b"same"] * 10, 5, 0, 0)
