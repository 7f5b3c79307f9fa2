"""Spaces of networks of the transformers library, held to the same oracles as our own."""

from __future__ import annotations

import pytest
from coupling_oracle import check
from stock_architectures import CASES


@pytest.mark.parametrize("name", CASES)
def test_stock_network(name):
    assert CASES[name].free
    check(CASES[name])
