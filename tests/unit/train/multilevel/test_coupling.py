"""Spaces of traced networks: what must be free, that its units may be reordered, and that prolongation is exact."""

from __future__ import annotations

import pytest
import torch
from architectures import CASES, randomized
from coupling_oracle import check_free, check_order, check_prolonged

from netwright.train.multilevel.coupling import trace


@pytest.mark.parametrize("name", CASES)
def test_traced_network(name):
    torch.manual_seed(0)
    case = CASES[name]
    model, example = case.build()
    randomized(model).eval()
    coupling = trace(model, example)
    check_free(case, coupling)
    if case.free:
        check_order(coupling, model, example)
        check_prolonged(coupling, model, example)
