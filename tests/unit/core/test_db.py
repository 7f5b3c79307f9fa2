"""The tables mirror the run folders, on SQLite and on a real PostgreSQL server."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from netwright.core import artifact, db
from netwright.core.error import UserError
from netwright.core.measurement import Measurement, exact
from netwright.core.run import Run
from netwright.hardware.schema import schema


@pytest.fixture(params=["sqlite", "postgres"])
def runs(request, tmp_path, monkeypatch) -> Path:
    """A folder of runs whose database is of each kind."""
    monkeypatch.delenv(db.VARIABLE, raising=False)
    if request.param == "postgres":
        monkeypatch.setenv(db.VARIABLE, request.getfixturevalue("postgres_url"))
    return tmp_path / "runs"


@pytest.fixture
def engine(runs):
    opened = db.engine(runs)
    yield opened
    opened.dispose()


ABOUT = {
    "format": "torch",
    "precision": "fp32",
    "task": {"name": "mnist"},
    "model": {"name": "cnn"},
    "inputs": {},
}
LATENCY = Measurement(
    quantity="latency", value=2e-3, low=1e-3, high=3e-3, n=30, device="cpu", conditions={"threads": 1, "note": "é"}
)
SIZE = exact("size", 1234.0, artifact="ab")


def make_run(runs: Path, seed: int = 0, parents: tuple[str, ...] = ("f" * 64,)) -> Path:
    with Run.start(runs, "train", {"seed": seed}) as run:
        artifact.create(run.folder / "artifact", lambda d: (d / "w").write_bytes(b"1"), parents=parents, **ABOUT)
        (run.folder / "recipe.toml").write_text("[task]\n")
        run.finish({"measurements": [LATENCY, SIZE]})
        return run.folder


def rows(engine, table: str) -> list[dict]:
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(db.schema.tables[table].select()).mappings()]


def test_a_run_comes_back_as_it_was(engine, runs):
    folder = make_run(runs)
    db.record_run(engine, folder)
    assert db.measurements(engine) == [LATENCY, SIZE]
    assert db.measurements(engine, quantity="latency", device=["cpu", "gpu"]) == [LATENCY]
    assert db.measurements(engine, source="predicted") == []
    (row,) = rows(engine, "runs")
    assert (row["name"], row["verb"], row["status"], row["recipe"]) == (folder.name, "train", "done", "[task]\n")
    (made,) = rows(engine, "artifacts")
    assert made["digest"] == artifact.open(folder).digest
    assert made["path"] == "artifact"
    assert [row["parent"] for row in rows(engine, "lineage")] == ["f" * 64]


def test_recording_twice_leaves_one(engine, runs):
    folder = make_run(runs)
    db.record_run(engine, folder)
    db.record_run(engine, folder)
    assert len(db.measurements(engine)) == 2
    assert [len(rows(engine, table)) for table in ("runs", "artifacts", "lineage")] == [1, 1, 1]


def test_measurements_are_added_to_a_run(engine, runs):
    folder = make_run(runs)
    db.record_run(engine, folder)
    db.record_measurements(engine, folder.name, [SIZE])
    assert db.measurements(engine, run=folder.name) == [LATENCY, SIZE, SIZE]
    with pytest.raises(UserError, match="no such run"):
        db.record_measurements(engine, "elsewhere", [SIZE])


def test_an_unknown_filter_names_the_nearest(engine):
    with pytest.raises(UserError, match='did you mean "quantity"'):
        db.measurements(engine, quantitty="latency")


def test_rebuild_is_the_folders(engine, runs):
    first, second = make_run(runs, 1), make_run(runs, 2)
    broken = runs / "20200101-train-broken"
    broken.mkdir()
    (broken / "run.json").write_text('{"verb": 1}')
    (runs / "20200101-train-not-json").mkdir()
    (runs / "20200101-train-not-json" / "run.json").write_text("{")
    db.record_run(engine, first)
    with engine.begin() as connection:
        connection.execute(db.runs_table.insert(), {"name": "gone", "verb": "x", "key": "k", "status": "done"})
    assert db.rebuild(engine, runs) == 2
    assert {row["name"] for row in rows(engine, "runs")} == {first.name, second.name}
    assert len(db.measurements(engine)) == 4


def test_a_run_that_fails_half_way_changes_nothing(engine, runs):
    folder = make_run(runs)
    db.record_run(engine, folder)
    artifact.write_json(folder / "run.json", {"verb": "t", "key": "k", "status": "s", "result": {"measurements": [{}]}})
    with pytest.raises(UserError, match="not a measurement"):
        db.record_run(engine, folder)
    assert db.measurements(engine) == [LATENCY, SIZE]


def test_foreign_keys_are_enforced(engine, runs):
    db.record_run(engine, make_run(runs))
    with pytest.raises(sa.exc.IntegrityError), engine.begin() as connection:
        connection.execute(db.measurements_table.insert(), db._row("no such run", SIZE))
    with engine.begin() as connection:
        connection.execute(db.runs_table.delete())
    assert [rows(engine, table) for table in ("artifacts", "lineage", "measurements")] == [[], [], []]


def test_migrations_make_the_tables_that_the_code_states(engine):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, schema) == []


def test_head_is_the_newest_script():
    from alembic.script import ScriptDirectory

    assert ScriptDirectory(str(Path(db.__file__).parent / "migrations")).get_current_head() == db.HEAD


def test_every_migration_can_be_undone(engine):
    import alembic.command
    import alembic.config

    with engine.begin() as connection:
        config = alembic.config.Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(Path(db.__file__).parent / "migrations"))
        config.set_main_option("path_separator", "os")
        alembic.command.downgrade(config, "base")
        assert set(sa.inspect(connection).get_table_names()) == {"alembic_version"}
        alembic.command.upgrade(config, "head")
    assert db.measurements(engine) == []


def test_processes_that_open_a_new_database_at_once_all_succeed(runs):
    script = f"from pathlib import Path; from netwright.core import db; print(db.engine(Path({str(runs)!r})).dispose())"
    started = [subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True) for _ in range(4)]
    outcomes = [(process.communicate()[1], process.returncode) for process in started]
    assert [code for _, code in outcomes] == [0, 0, 0, 0], outcomes


def test_a_database_of_a_newer_netwright_is_refused(engine, runs):
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(UserError, match="update netwright"):
        db.engine(runs)


def test_a_file_that_is_no_database_is_refused(tmp_path, monkeypatch):
    monkeypatch.delenv(db.VARIABLE, raising=False)
    (tmp_path / db.FILE).write_bytes(b"not a database at all, though long enough to look at" * 50)
    with pytest.raises(UserError, match="not a database"):
        db.engine(tmp_path)


@pytest.mark.parametrize(
    "url",
    [
        "nonsense s3cret",
        "postgresql://u:s3cret@host:notaport/x",
        "mysql://u:s3cret@127.0.0.1/x",
        "postgresql://u:s3cret@127.0.0.1",
        "postgresql+asyncpg://u:s3cret@127.0.0.1/x",
    ],
)
def test_a_malformed_url_is_refused_without_its_password(url, tmp_path, monkeypatch):
    monkeypatch.setenv(db.VARIABLE, url)
    with pytest.raises(UserError, match=r"postgresql://USER:PASSWORD@HOST") as refusal:
        db.engine(tmp_path)
    assert "s3cret" not in str(refusal.value)


def test_a_server_that_does_not_answer_is_refused_soon(tmp_path, monkeypatch):
    with socket.socket() as silent:  # accepts the connection and never speaks
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv(db.VARIABLE, f"postgresql://u:s3cret@127.0.0.1:{silent.getsockname()[1]}/x")
        before = time.monotonic()
        with pytest.raises(UserError, match="cannot be used") as refusal:
            db.engine(tmp_path)
        assert time.monotonic() - before < 3 * db.PATIENCE_S
    assert "s3cret" not in str(refusal.value)


def test_the_missing_driver_names_its_extra(tmp_path, monkeypatch):
    monkeypatch.setenv(db.VARIABLE, "postgresql://u@127.0.0.1/x")
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(UserError, match=r"netwright\[postgres\]"):
        db.engine(tmp_path)
