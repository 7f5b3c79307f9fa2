"""The run folders once more, as tables one can query: runs, artifacts, lineage, measurements.

    engine = db.engine(Path("runs"))
    db.record_run(engine, folder)
    db.measurements(engine, quantity="latency", source="measured")

SQLite in `<runs>/netwright.db`, or PostgreSQL by NETWRIGHT_DATABASE_URL; one database serves one folder of
runs. The folders are the truth: `rebuild` makes every row again. Weights are never in SQL.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine

from netwright.core import artifact
from netwright.core.error import UserError, did_you_mean
from netwright.core.measurement import Measurement, from_plain, in_result
from netwright.core.run import state
from netwright.core.table import extra

VARIABLE = "NETWRIGHT_DATABASE_URL"
FILE = "netwright.db"
HEAD = "0003"
"""The newest revision in migrations/versions; stated here so that Alembic is imported only to migrate."""
PATIENCE_S = 3
"""How long a PostgreSQL server may take to answer."""

schema = sa.MetaData()
runs_table = sa.Table(
    "runs",
    schema,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("verb", sa.String, nullable=False, index=True),
    sa.Column("key", sa.String, nullable=False),
    sa.Column("status", sa.String, nullable=False),
    sa.Column("recipe", sa.Text),
    sa.Column("environment", sa.JSON),
)
artifacts_table = sa.Table(
    "artifacts",
    schema,
    sa.Column("run", sa.ForeignKey("runs.name", ondelete="CASCADE"), primary_key=True),
    sa.Column("path", sa.String, primary_key=True),
    sa.Column("digest", sa.String, nullable=False, index=True),
    sa.Column("task", sa.String, nullable=False),
    sa.Column("model", sa.String, nullable=False),
    sa.Column("format", sa.String, nullable=False),
    sa.Column("precision", sa.String, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
)
lineage_table = sa.Table(
    "lineage",
    schema,
    sa.Column("run", sa.String, primary_key=True),
    sa.Column("path", sa.String, primary_key=True),
    sa.Column("parent", sa.String, primary_key=True, index=True),
    sa.ForeignKeyConstraint(["run", "path"], ["artifacts.run", "artifacts.path"], ondelete="CASCADE"),
)
measurements_table = sa.Table(
    "measurements",
    schema,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("run", sa.ForeignKey("runs.name", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("quantity", sa.String, nullable=False, index=True),
    sa.Column("value", sa.Double, nullable=False),
    sa.Column("low", sa.Double, nullable=False),
    sa.Column("high", sa.Double, nullable=False),
    sa.Column("level", sa.Double, nullable=False),
    sa.Column("unit", sa.String, nullable=False),
    sa.Column("n", sa.BigInteger, nullable=False),
    sa.Column("source", sa.String, nullable=False),
    sa.Column("artifact", sa.String),
    sa.Column("device", sa.String),
    sa.Column("workload", sa.String),
    sa.Column("when", sa.String, nullable=False),
    sa.Column("conditions", sa.JSON, nullable=False),
)


def engine(runs: Path) -> Engine:
    """Open the database of a folder of runs, made and migrated where needed.

    Raises UserError for a URL that is malformed, a server that does not answer within seconds, or a
    database that a newer netwright wrote. No message holds the password.
    """
    url = os.environ.get(VARIABLE, "")
    opened = _postgres(url) if url else _sqlite(runs)
    try:
        with _refusals(opened.url):
            _migrate(opened)
    except UserError:
        opened.dispose()
        raise
    return opened


@contextlib.contextmanager
def reading(url: str) -> Iterator[Connection]:
    """A PostgreSQL database as it stands, to read: nothing is made or migrated. Raises UserError as `engine` does."""
    opened = _postgres(url)
    try:
        with _refusals(opened.url), opened.connect() as connection:
            yield connection
    finally:
        opened.dispose()


def connected(file: Path | None, synchronous: str = "NORMAL") -> Engine:
    """A database whose tables are somebody else's: PostgreSQL by NETWRIGHT_DATABASE_URL, else this SQLite file.

    `synchronous` is SQLite's word for how much of a commit outlives a loss of power; without a file it is in memory.
    """
    url = os.environ.get(VARIABLE, "")
    return _postgres(url) if url and file else _sqlite_file(file, synchronous)


def elsewhere() -> bool:
    """Whether a PostgreSQL server is named, so that no file tells whether there is something."""
    return bool(os.environ.get(VARIABLE))


@contextlib.contextmanager
def looking(engine: Engine) -> Iterator[Connection]:
    """One transaction that only reads, beside those that write. Raises UserError as `engine` does."""
    with _refusals(engine.url), engine.connect().execution_options(reading=True) as connection:
        yield connection


@contextlib.contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction: all that is written in it, or nothing. Raises UserError as `engine` does."""
    with _refusals(engine.url), engine.begin() as connection:
        yield connection


def record_run(engine: Engine, folder: Path) -> None:
    """Write what a run's folder holds; rows of that run that are there already are replaced."""
    with _refusals(engine.url), engine.begin() as connection:
        _record(connection, folder)


def mirror(folder: Path) -> None:
    """Record a run in the database of its folder of runs."""
    opened = engine(folder.parent)
    try:
        record_run(opened, folder)
    finally:
        opened.dispose()


def record_measurements(engine: Engine, run: str, found: Iterable[Measurement]) -> None:
    """Add measurements to a run that was recorded, named as its folder is."""
    rows = [_row(run, one) for one in found]
    with _refusals(engine.url), engine.begin() as connection:
        known = connection.scalar(sa.select(runs_table.c.name).where(runs_table.c.name == run))
        if known is None:
            raise UserError("run", run, "no such run in the database", "netwright runs list")
        if rows:
            connection.execute(measurements_table.insert(), rows)


def measurements(engine: Engine, **filters: Any) -> list[Measurement]:
    """Measurements whose columns equal the filters, in the order they were recorded.

    A filter is a field of Measurement but `conditions`, or `run`; a list or tuple allows each of its
    values. Raises UserError for another name.
    """
    columns = {c.name: c for c in measurements_table.columns if c.name not in ("id", "conditions")}
    query = sa.select(measurements_table).order_by(measurements_table.c.id)
    for name, wanted in filters.items():
        if name not in columns:
            raise UserError("filter", name, did_you_mean(name, columns), "netwright runs list")
        column = columns[name]
        query = query.where(column.in_(wanted) if isinstance(wanted, (list, tuple)) else column == wanted)
    with _refusals(engine.url), engine.connect().execution_options(reading=True) as connection:
        rows = connection.execute(query).mappings().all()
    return [from_plain({f.name: row[f.name] for f in dataclasses.fields(Measurement)}) for row in rows]


def rebuild(engine: Engine, runs: Path) -> int:
    """Make every row again from the folders; returns how many runs were found.

    A folder whose run.json cannot be read is left out, as `netwright runs list` says.
    """
    count = 0
    with _refusals(engine.url), engine.begin() as connection:
        connection.execute(runs_table.delete())
        for folder in sorted(path.parent for path in runs.glob("*/run.json")):
            with contextlib.suppress(UserError, OverflowError, sa.exc.DataError), connection.begin_nested():
                _record(connection, folder)
                count += 1
    return count


def _record(connection: Connection, folder: Path) -> None:
    told = state(folder)
    resolved, environment = folder / "recipe.toml", folder / "environment.json"
    run = {
        "name": folder.name,
        **{key: told[key] for key in ("verb", "key", "status")},
        "recipe": resolved.read_text(encoding="utf-8") if resolved.is_file() else None,
        "environment": artifact.read_json(environment) if environment.is_file() else None,
    }
    connection.execute(runs_table.delete().where(runs_table.c.name == folder.name))
    connection.execute(runs_table.insert(), run)
    for manifest in artifact.manifests(folder):
        found = artifact.read(manifest.parent)
        place = {"run": folder.name, "path": manifest.parent.relative_to(folder).as_posix()}
        about = {"digest": found.digest, "task": found.task["name"], "model": found.model["name"]}
        about |= {"format": found.format, "precision": found.precision}
        connection.execute(artifacts_table.insert(), {**place, **about, "size": found.size})
        if found.parents:
            connection.execute(lineage_table.insert(), [{**place, "parent": p} for p in sorted(set(found.parents))])
    rows = [_row(folder.name, one) for one in in_result(told.get("result"))]
    if rows:
        connection.execute(measurements_table.insert(), rows)


def _row(run: str, one: Measurement) -> dict[str, Any]:
    row = {field.name: getattr(one, field.name) for field in dataclasses.fields(one)}
    return {"run": run, **row, "conditions": dict(one.conditions)}


def _sqlite(runs: Path) -> Engine:
    return _sqlite_file(runs / FILE, "NORMAL")


def _sqlite_file(file: Path | None, synchronous: str) -> Engine:
    if file is None:  # one connection for all threads: each would have a memory of its own
        opened = sa.create_engine("sqlite://", poolclass=sa.StaticPool, connect_args={"check_same_thread": False})
    else:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as fault:
            raise artifact.disk_error(fault, file.parent) from fault
        opened = sa.create_engine(URL.create("sqlite", database=str(file)), connect_args={"timeout": 30})

    @sa.event.listens_for(opened, "connect")
    def configure(connection: Any, record: object) -> None:
        connection.isolation_level = None  # transactions are begun below, DDL included
        for pragma in ("foreign_keys = ON", "journal_mode = WAL", f"synchronous = {synchronous}"):
            connection.execute(f"PRAGMA {pragma}").close()

    @sa.event.listens_for(opened, "begin")
    def begin(connection: Connection) -> None:
        # a writer takes its lock at once: upgrading a read lock fails at once where another process wrote
        reading = connection.get_execution_options().get("reading", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return opened


def _postgres(text: str) -> Engine:
    allowed = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
    try:
        url = sa.make_url(text)
    except (sa.exc.ArgumentError, ValueError):
        raise UserError(VARIABLE, "(not shown: it may hold a password)", allowed, f"export {VARIABLE}=...") from None
    if url.drivername not in ("postgresql", "postgres", "postgresql+psycopg") or not url.database:
        raise UserError(VARIABLE, _shown(url), allowed, f"export {VARIABLE}=...")
    extra("psycopg", VARIABLE)
    return sa.create_engine(
        url.set(drivername="postgresql+psycopg"), connect_args={"connect_timeout": PATIENCE_S}, pool_pre_ping=True
    )


def _migrate(opened: Engine) -> None:
    if _revision(opened) == HEAD:
        return
    import alembic.command
    import alembic.config

    with opened.begin() as connection:
        if connection.dialect.name == "postgresql":
            # any number will do, as long as it stays; this one is "netw" in ASCII
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(1852142711)"))
        config = alembic.config.Config()
        folder = Path(__file__).parent / "migrations"
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        try:
            alembic.command.upgrade(config, "head")
        except alembic.util.CommandError as fault:
            raise UserError(
                "database", _shown(opened.url), f"cannot be migrated: {fault}", "update netwright"
            ) from None


def _revision(opened: Engine) -> str | None:
    with opened.connect().execution_options(reading=True) as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        found: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
        return found


@contextlib.contextmanager
def _refusals(url: URL) -> Iterator[None]:
    """What the database's own errors mean to the person who chose it."""
    try:
        yield
    except (sa.exc.DBAPIError, OverflowError) as fault:
        cause = str(getattr(fault, "orig", fault)).strip().splitlines()[0]
        if url.password:
            cause = cause.replace(str(url.password), "***")
        remote = url.drivername != "sqlite"
        step = f"start the server, or unset {VARIABLE}" if remote else "free space, or set runs=FOLDER"
        raise UserError(VARIABLE if remote else "database", _shown(url), f"cannot be used: {cause}", step) from None


def _shown(url: URL) -> str:
    return url.render_as_string(hide_password=True)
