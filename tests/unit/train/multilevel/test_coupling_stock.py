"""Spaces of networks of the transformers library, held to the same oracles as our own."""

from __future__ import annotations

import pytest
import torch
from architectures import randomized
from coupling_oracle import check_free, check_order, check_prolonged
from stock_architectures import CASES

from netwright.train.multilevel.coupling import trace


@pytest.mark.parametrize("name", CASES)
def test_stock_network(name):
    torch.manual_seed(0)
    case = CASES[name]
    model, example = case.build()
    randomized(model).eval()
    coupling = trace(model, example)
    check_free(case, coupling)
    check_order(coupling, model, example)
    check_prolonged(coupling, model, example)
