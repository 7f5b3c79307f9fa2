"""Hierarchies: prolonged networks compute what the coarse ones do."""

import pytest
import torch
from torch import nn

from netwright.train.multilevel.hierarchy import Hierarchy

SPEC = {
    "0.weight": ("a", None), "0.bias": ("a",), "2.weight": ("b", "a:in"), "2.bias": ("b",), "3.weight": ("b",),
    "3.bias": ("b",), "3.running_mean": ("b",), "3.running_var": ("b",), "5.weight": (None, "b:in"),
}  # fmt: skip


def mlp() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(10, 32), nn.GELU(), nn.Linear(32, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Linear(16, 3)
    )


@pytest.mark.parametrize("matching", ["heavy_edge", "fixed"])
def test_prolonged_mlp_computes_what_the_coarse_one_does(matching):
    found = Hierarchy.build(mlp(), torch.randn(4, 10), levels=3, matching=matching, spaces=SPEC)
    assert [level.model[2].weight.shape for level in found.levels] == [(16, 32), (8, 16), (4, 8)]
    assert len(found.check().errors) == 2
    assert found.check().worst < 1e-12


def test_restricting_what_was_prolonged_changes_nothing():
    found = Hierarchy.build(mlp(), torch.randn(4, 10), spaces=SPEC)
    coarse = found.levels[1].model
    with torch.no_grad():
        for value in coarse.parameters():
            value.add_(torch.randn_like(value))
    before = {name: value.clone() for name, value in coarse.state_dict().items()}
    found.prolong(1)
    found.restrict(0)
    assert all(torch.allclose(value, before[name]) for name, value in coarse.state_dict().items())
