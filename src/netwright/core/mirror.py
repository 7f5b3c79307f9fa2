"""Mirrors of a run's metrics in MLflow and TensorBoard, for those who look there.

    run.mirror(*mirrors(["mlflow", "tensorboard"], run.folder, {"train": {"epochs": 3}}))

MLflow keeps its SQLite file `<runs>/mlflow.db` (`mlflow ui --backend-store-uri sqlite:///runs/mlflow.db`) and the
run's plots in `<runs>/mlflow`, TensorBoard its events in `<run>/tensorboard`. The run's folder stays the truth:
what a kill kept from a mirror is taken from metrics.jsonl when the run goes on. A mirror that fails says so once
and never stops the work. Nothing goes over a network.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from netwright.core.error import UserError, did_you_mean
from netwright.core.run import console
from netwright.core.table import extra

FLUSH_ROWS, FLUSH_S = 200, 10.0
"""MLflow takes about 10 ms a transaction, so that rows wait for company, but not long."""


class Tracker(Protocol):
    """What takes metrics: MLflow or TensorBoard."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None: ...
    def close(self, status: str) -> None: ...


Opener = Callable[[Path, Mapping[str, Any]], Tracker]


def mirrors(names: Sequence[str], folder: Path, params: Mapping[str, Any]) -> list[Mirror]:
    """Open mirrors by name for a run's folder. Raises UserError for an unknown name or a missing extra.

    `params` is the resolved recipe, or any nested settings; MLflow shows them as `section.key`.
    """
    trackers: dict[str, Opener] = {"mlflow": _MLflow, "tensorboard": _TensorBoard}
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when mlflow is imported
    for name in names:
        if name not in trackers:
            raise UserError("mirror", name, did_you_mean(name, trackers), "netwright train --help")
        with _quiet():
            extra(name, f'the mirror "{name}"')
    return [Mirror(name, trackers[name], folder, params) for name in dict.fromkeys(names)]


class Mirror:
    """A tracker that may fail: at its first fault it says so, and is silent from then on."""

    def __init__(self, name: str, opened: Opener, folder: Path, params: Mapping[str, Any]) -> None:
        self.name, self._folder, self._behind = name, folder, True
        self._tracker: Tracker | None = None
        with self._forgiving():
            self._tracker = opened(folder, params)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Send one row; before the first one, send what metrics.jsonl has of earlier steps."""
        if self._tracker is None:
            return
        with self._forgiving():
            if self._behind:
                self._behind = False
                for row in _rows(self._folder):
                    if row["step"] < step:
                        known = {key: value for key, value in row.items() if key != "step" and value is not None}
                        self._tracker.log(row["step"], known)
            self._tracker.log(step, metrics)

    def close(self, status: str) -> None:
        """End with MLflow's status: FINISHED, FAILED or KILLED."""
        if self._tracker is not None:
            with self._forgiving():
                self._tracker.close(status)
        self._tracker = None

    @contextlib.contextmanager
    def _forgiving(self) -> Iterator[None]:
        try:
            with _quiet():
                yield
        except Exception as fault:
            self._tracker = None
            console.print(f"The mirror {self.name} stopped ({fault}). The run goes on.", highlight=False, markup=False)


class _MLflow:
    def __init__(self, folder: Path, params: Mapping[str, Any]) -> None:
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        from mlflow.tracking import MlflowClient

        runs = folder.resolve().parent
        self._plots = folder / "plots"
        self._client = MlflowClient(f"sqlite:///{runs / 'mlflow.db'}")
        self._waiting: list[Any] = []
        self._flushed = time.monotonic()
        known = self._client.get_experiment_by_name("netwright")
        place = (runs / "mlflow").as_uri()
        experiment = known.experiment_id if known else self._client.create_experiment("netwright", place)
        found = self._client.search_runs([experiment], f"tags.`netwright.run` = '{folder.name}'", max_results=1)
        self._logged: set[tuple[str, int]] = set()
        if found:
            self._id = found[0].info.run_id
            self._client.update_run(self._id, status="RUNNING")
            for key in found[0].data.metrics:
                self._logged |= {(key, one.step) for one in self._client.get_metric_history(self._id, key)}
        else:
            tags = {"netwright.run": folder.name}
            self._id = self._client.create_run(experiment, tags=tags, run_name=folder.name).info.run_id
            for key, value in _flat(params):
                self._client.log_param(self._id, key, str(value)[:500])

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        new = {key: value for key, value in metrics.items() if (key, step) not in self._logged}
        self._waiting += [Metric(key, float(value), now, step) for key, value in new.items()]
        self._logged |= {(key, step) for key in new}
        if len(self._waiting) >= FLUSH_ROWS or time.monotonic() - self._flushed > FLUSH_S:
            self._flush()

    def close(self, status: str) -> None:
        self._flush()
        for plot in sorted(self._plots.glob("*.svg")):
            self._client.log_artifact(self._id, str(plot), "plots")
        self._client.set_terminated(self._id, status)

    def _flush(self) -> None:
        for at in range(0, len(self._waiting), 900):  # MLflow takes at most 1000 metrics at once
            self._client.log_batch(self._id, metrics=self._waiting[at : at + 900])
        self._waiting, self._flushed = [], time.monotonic()


class _TensorBoard:
    def __init__(self, folder: Path, params: Mapping[str, Any]) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        # an event file cannot be rewound, so that a resumed run writes all of them again
        shutil.rmtree(folder / "tensorboard", ignore_errors=True)
        self._writer = EventFileWriter(str(folder / "tensorboard"), flush_secs=int(FLUSH_S))

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=key, simple_value=float(value)) for key, value in metrics.items()]
        self._writer.add_event(Event(wall_time=time.time(), step=step, summary=Summary(value=values)))

    def close(self, status: str) -> None:
        self._writer.close()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # both packages warn about their own dependencies
        yield


def _rows(folder: Path) -> Iterator[dict[str, Any]]:
    path = folder / "metrics.jsonl"
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        with contextlib.suppress(ValueError):
            yield json.loads(line)


def _flat(params: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in params.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value
