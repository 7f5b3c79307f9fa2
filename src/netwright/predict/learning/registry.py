"""Which predictors were fitted and which is in place, as rows in SQL and, if asked, in MLflow's registry.

    record(Path("runs"), file)                          # a candidate
    record(Path("runs"), file, promoted=True)           # the one in place; the one before it is retired
    register(Path("runs"), file, promoted=True)         # the same in runs/mlflow.db

Files are the truth; both mirror them. This file decides nothing.
"""

from __future__ import annotations

import datetime
import hashlib
import logging
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from netwright.core import db
from netwright.core.table import extra
from netwright.hardware.schema import model_runs
from netwright.predict.learning import store

NAME = "netwright-predictor"


def record(runs: Path, file: Path, *, promoted: bool = False) -> int:
    """Write the predictor's row, or update it; returns its version, counted from 1."""
    _, about = store.load(file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    engine = db.engine(runs)
    try:
        with engine.begin() as connection:
            ours = model_runs.c.name == NAME
            if promoted:
                before = sa.and_(ours, model_runs.c.status == "promoted", model_runs.c.sha256 != digest)
                connection.execute(model_runs.update().where(before).values(status="retired"))
            same = sa.and_(ours, model_runs.c.sha256 == digest)
            known = connection.scalar(sa.select(model_runs.c.version).where(same))
            if known is not None:
                if promoted:
                    connection.execute(model_runs.update().where(same).values(status="promoted"))
                return int(known)
            version = 1 + int(connection.scalar(sa.select(sa.func.max(model_runs.c.version)).where(ours)) or 0)
            now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            row = {"name": NAME, "version": version, "status": "promoted" if promoted else "candidate"}
            row |= {
                "sha256": digest,
                "created": now,
                "metrics": {"digest": about["version"], "scores": about["scores"]},
            }
            connection.execute(model_runs.insert(), row)
            return version
    finally:
        engine.dispose()


def register(runs: Path, file: Path, *, promoted: bool = False) -> str:
    """Make a version of the registered model in `<runs>/mlflow.db`; returns MLflow's version. Needs extra `mlflow`."""
    extra("mlflow", "the registry of MLflow")
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    _, about = store.load(file)
    client = MlflowClient(f"sqlite:///{runs.resolve() / 'mlflow.db'}")
    try:
        client.get_registered_model(NAME)
    except MlflowException:
        client.create_registered_model(NAME, description="Predicts performance on hardware that is not here")
    found = [
        one for one in client.search_model_versions(f"name='{NAME}'") if one.tags.get("digest") == about["version"]
    ]
    if found:
        version: Any = found[0]
    else:
        tags = {"digest": about["version"], **{f"error.{r['suite']}": f"{r['error']:.4f}" for r in _zero(about)}}
        version = client.create_model_version(NAME, file.resolve().as_uri(), tags=tags)
    if promoted:
        client.set_registered_model_alias(NAME, "promoted", version.version)
    return str(version.version)


def _zero(about: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for row in about["scores"] if row["k"] == 0 and row["error"] is not None]
