"""A server that says hello."""

import pytest

from scripted_server import saying, served


@pytest.fixture(scope="module")
def hello():
    """A server whose model m says hello."""
    batch, _ = saying("Hello, world!")
    with served({"m": batch}) as server:
        yield server
