"""Weights written one by one are the file that safetensors itself would have written."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from netwright.models import streamed

KINDS = st.sampled_from(sorted(streamed.KINDS, key=str))
SHAPES = st.lists(st.integers(0, 4), max_size=3).map(tuple)


@settings(max_examples=60, deadline=None)
@given(
    outline=st.dictionaries(st.text("abc.é", min_size=1, max_size=8), st.tuples(SHAPES, KINDS), max_size=5),
    data=st.data(),
)
def test_any_order_gives_the_same_tensors(outline, data, tmp_path_factory):
    path = tmp_path_factory.mktemp("s") / "w.safetensors"
    tensors = {name: torch.randint(0, 2, shape).to(kind) for name, (shape, kind) in outline.items()}
    order = data.draw(st.permutations(sorted(tensors)))
    streamed.write(path, outline, ((name, tensors[name]) for name in order))
    found = load_file(path)
    assert found.keys() == tensors.keys()
    for name, x in tensors.items():
        assert found[name].dtype == x.dtype
        assert torch.equal(found[name], x)


@pytest.mark.parametrize("given", [{}, {"a": torch.zeros(3)}, {"a": torch.zeros(2), "b": torch.zeros(2)}])
def test_what_is_missing_or_misfits_leaves_no_file(given, tmp_path):
    outline = {"a": ((2,), torch.float32), "c": ((2,), torch.float32)}
    with pytest.raises((ValueError, KeyError)):
        streamed.write(tmp_path / "w.safetensors", outline, given.items())
    assert list(tmp_path.iterdir()) == []
