"""One server for many tests."""

import pytest

from svg_server import served


@pytest.fixture(scope="module")
def server():
    with served(body=300_000, pixels=1_000_000, traced=40_000) as made:
        yield made
