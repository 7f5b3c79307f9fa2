"""Spaces of traced networks: what must be free, that its units may be reordered, and that prolongation is exact."""

from __future__ import annotations

import pytest
from architectures import CASES
from coupling_oracle import check


@pytest.mark.parametrize("name", CASES)
def test_traced_network(name):
    check(CASES[name])
