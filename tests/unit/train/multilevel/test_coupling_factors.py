"""Axes as products and concatenations of atoms."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.train.multilevel.factors import MISFIT, Axis, Factors, Place


def sizes(factors: Factors, axis: Axis) -> list[int]:
    return [factors.size((atom,)) for atom in factors.resolve(axis)]


def test_an_axis_of_size_one_has_no_atom():
    assert Factors().new(1) == ()


def test_a_view_cuts_an_atom_into_a_product_for_all_who_have_it():
    factors = Factors()
    weight, bias = factors.new(24), factors.new(24)
    factors.unite(weight, bias)
    three, heads, inner = factors.view((weight,), (3, 2, 4))
    assert sizes(factors, bias) == [3, 2, 4]
    atoms = three[0], heads[0], inner[0]
    blocks = zip(atoms, (1, 3, 6), (8, 4, 1), strict=True)
    assert list(factors.places(bias)) == [Place(factors.find(atom), 0, outer, inner) for atom, outer, inner in blocks]


def test_united_axes_are_refined_against_each_other():
    factors = Factors()
    one, other = (*factors.new(4), *factors.new(6)), (*factors.new(8), *factors.new(3))
    factors.unite(one, other)
    assert factors.resolve(one) == factors.resolve(other)
    assert sizes(factors, one) == [4, 2, 3]
    assert factors.frozen() == {}


def test_factors_that_do_not_fit_are_frozen():
    factors = Factors()
    one, other = (*factors.new(2), *factors.new(3)), (*factors.new(3), *factors.new(2))
    factors.unite(one, other)
    assert factors.frozen() == dict.fromkeys((*one, *other), MISFIT)


def test_a_cut_makes_a_concatenation_whose_parts_are_known_elsewhere():
    factors = Factors()
    whole = factors.new(10)
    head, tail = factors.cut(whole, 4)
    again = factors.concatenate([tail, head])
    assert [factors.size(part) for part in factors.segments(whole[0])] == [4, 6]
    assert [(place.atom, place.start) for place in factors.places(again)] == [(tail[0], 0), (head[0], 6)]


def test_cuts_of_two_united_axes_meet():
    factors = Factors()
    one, other = factors.new(10), factors.new(10)
    factors.cut(one, 4)
    factors.cut(other, 7)
    factors.unite(one, other)
    assert [place.start for place in factors.places(one)] == [0, 4, 7]
    assert list(factors.places(one)) == list(factors.places(other))


def test_a_cut_takes_whole_blocks_of_the_inner_factors():
    factors = Factors()
    heads, inner = factors.new(6), factors.new(4)
    assert factors.cut((*heads, *inner), 8) == (
        (factors.segments(heads[0])[0][0], *inner),
        (factors.segments(heads[0])[1][0], *inner),
    )
    assert factors.cut((*heads, *inner), 10) is None


def test_a_view_of_a_concatenation_keeps_the_parts_and_shares_the_inner_factor():
    factors = Factors()
    q, k = factors.new(16), factors.new(8)
    heads, inner = factors.view((factors.concatenate([q, k]),), (6, 4))
    assert sizes(factors, q) == [4, 4]
    assert sizes(factors, k) == [2, 4]
    assert factors.resolve(q)[1] == factors.resolve(k)[1] == factors.resolve(inner)[0]
    assert [factors.size(part) for part in factors.segments(heads[0])] == [4, 2]


def test_a_concatenation_within_a_product_has_a_place_in_every_block():
    factors = Factors()
    one, two, heads = factors.new(2), factors.new(3), factors.new(2)
    places = factors.places((*heads, *factors.concatenate([one, two])))
    assert [(place.atom, place.start, place.outer, place.inner) for place in places] == [
        (heads[0], 0, 1, 5), (one[0], 0, 1, 1), (two[0], 2, 1, 1), (one[0], 5, 1, 1), (two[0], 7, 1, 1)
    ]  # fmt: skip


def test_freezing_reaches_what_an_atom_is_cut_into_later():
    factors = Factors()
    axis = factors.new(12)
    factors.freeze(axis, "first")
    factors.freeze(axis, "second")
    parts = factors.view((axis,), (3, 4))
    assert factors.frozen() == {part[0]: "first" for part in parts}


SHAPES = st.lists(st.integers(1, 6), min_size=1, max_size=4).map(tuple)


@settings(max_examples=200, deadline=None)
@given(SHAPES, st.lists(st.tuples(st.booleans(), st.integers(1, 64)), max_size=6), st.data())
def test_every_element_belongs_to_one_atom_of_each_factor(shape, steps, data):
    """However axes are viewed, cut and united: sizes stay, and places of a product's atoms cover the whole axis."""
    factors = Factors()
    total = math.prod(shape)
    axes = [tuple(atom for size in shape for atom in factors.new(size)), factors.new(total)]
    for is_cut, number in steps:
        axis = data.draw(st.sampled_from(axes))
        if is_cut and 0 < number < total:
            halves = factors.cut(axis, number)
            if halves is not None:
                assert factors.size(halves[0]) == number
                axes.append(factors.concatenate(halves))
        elif total % number == 0:
            found = factors.view((axis,), (number, total // number))
            if found is not None:
                axes.append((*found[0], *found[1]))
    factors.unite(axes[0], axes[-1])
    for axis in axes:
        assert factors.size(axis) == factors.size(factors.resolve(axis)) == total
        for place in factors.places(axis):
            block = place.outer * factors.size((place.atom,)) * place.inner
            assert 0 <= place.start <= place.start + block <= total
        if not any(factors.segments(atom) for atom in factors.resolve(axis)):
            assert all(place.start == 0 for place in factors.places(axis))
