"""Spaces of traced networks: what must be free, and that its units may be renamed."""

from __future__ import annotations

import torch
from torch import nn

from netwright.train.multilevel.coupling import trace


def test_mlp() -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 12), nn.GELU(), nn.Linear(12, 3))
    coupling = trace(model, torch.rand(2, 6))
    assert [(space.name, space.kind, space.size) for space in coupling.free] == [("0", "unit", 8), ("2", "unit", 12)]
    assert coupling.notes == ()
