"""What many tests share: a PostgreSQL schema of one's own, a browser. With CI=true their absence fails."""

import gc
import importlib.util
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import pytest
from hypothesis import HealthCheck, settings

from warm import Warm

POSTGRES = os.environ.get("NETWRIGHT_TEST_POSTGRES", "postgresql+psycopg://postgres@127.0.0.1:5432/test")


settings.register_profile("gate", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", settings.get_profile("gate"), max_examples=1000)
settings.load_profile("gate")


class Tiny(NamedTuple):
    """A task and what was trained on it."""

    task: Any
    artifact: Any


def absent(what: str) -> NoReturn:
    """Skip with the reason, or fail where everything must be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI=true, and {what}")
    pytest.skip(what)


@pytest.fixture(scope="module", autouse=True)
def known_objects() -> None:
    """What is there when a file begins is garbage or stays: no later collection looks at a million objects again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def commands() -> Iterator[Path]:
    """A folder whose `netwright` and `python` have imported their libraries: half of the time goes into that."""
    with tempfile.TemporaryDirectory() as folder, Warm(Path(folder)) as bin:  # a socket's path must be short
        yield bin


@pytest.fixture
def neural_compressor() -> None:
    """Intel Neural Compressor, which is in the extra dev."""
    if importlib.util.find_spec("neural_compressor") is None:
        absent("no neural-compressor-pt: pip install 'netwright[neural-compressor]'")


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


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tiny]:
    """A small image task and a small text task, each with a trained torch artifact."""
    return {kind: _train(kind, tmp_path_factory.mktemp(kind) / "artifact") for kind in ("image", "text")}


def _train(kind: str, folder: Path) -> Tiny:
    import torch

    from netwright.core import artifact, recipe, workload
    from netwright.data import synthetic
    from netwright.models import cnn, facts, load, transformer

    text = kind == "text"
    task = synthetic.open(synthetic.Config(name="synthetic-text" if text else "synthetic", classes=3, noise=0.3))
    config = transformer.Config(width=16, depth=1, heads=2, positions=32) if text else cnn.Config(width=8)
    torch.manual_seed(0)
    model = (transformer if text else cnn).build(config, task.inputs, len(task.classes))
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for step in range(60):
        optimizer.zero_grad()
        task.loss(model, task.batch("train", torch.arange(step * 64, step * 64 + 64) % task.size("train"))).backward()
        optimizer.step()

    def fill(draft: Path) -> None:
        load.save_model(model.eval(), draft)
        workload.write(facts.trace(model, task.example(1), task.name), draft)

    made = artifact.create(
        folder,
        fill,
        format="torch",
        precision="fp32",
        task={**recipe.plain(task.config), "classes": list(task.classes)},
        model=recipe.plain(config),
        inputs=recipe.plain(task.inputs),
        processor=task.processor,
    )
    return Tiny(task, made)
