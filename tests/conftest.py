"""What many tests share: a PostgreSQL schema of one's own, a browser. With CI=true their absence fails."""

import os
import shutil
import uuid
from collections.abc import Iterator
from typing import NoReturn

import pytest

POSTGRES = os.environ.get("NETWRIGHT_TEST_POSTGRES", "postgresql+psycopg://postgres@127.0.0.1:5432/test")


def absent(what: str) -> NoReturn:
    """Skip with the reason, or fail where everything must be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI=true, and {what}")
    pytest.skip(what)


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """URL of an empty schema on a real PostgreSQL server; the schema is dropped afterwards."""
    import sqlalchemy as sa

    server = sa.create_engine(POSTGRES, connect_args={"connect_timeout": 3}, poolclass=sa.NullPool)
    schema = f"test_{uuid.uuid4().hex}"
    try:
        with server.begin() as connection:
            connection.execute(sa.schema.CreateSchema(schema))
    except sa.exc.OperationalError as fault:
        absent(f"no PostgreSQL at {server.url.host}:{server.url.port}: {str(fault.orig).splitlines()[0]}")
    yield sa.make_url(POSTGRES).update_query_dict({"options": f"-csearch_path={schema}"}).render_as_string(False)
    with server.begin() as connection:
        connection.execute(sa.schema.DropSchema(schema, cascade=True))


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium or Chrome."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = os.environ.get("NETWRIGHT_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if found is None:
        absent("no chromium on PATH; on Debian: apt-get install chromium")
    return found
