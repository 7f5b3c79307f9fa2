"""What a server did over time: requests, errors, speed, memory, feedback, and how well its models still answer.

    monitor = Monitor(history, desk)
    task = asyncio.create_task(monitor.run())
    monitor.series(hours=24)

Every `EVERY_S` seconds what was counted since the last time becomes a row in the history's database, so that it
outlives the server. Feedback is the history's own. Knows no page.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Sequence
from typing import Any

import psutil
import sqlalchemy as sa

from netwright.chat.history.schema import lock, replies
from netwright.chat.history.store import History
from netwright.chat.server.answering import Desk
from netwright.core import db

_LOG = logging.getLogger("netwright.serve")
EVERY_S = 30.0
KEPT_S = 31 * 86_400
"""Rows that are older go."""
POINTS = 240
"""Points of a series at most: rows between are put together."""

schema = sa.MetaData()
samples = sa.Table(
    "chat_samples",
    schema,
    sa.Column("time", sa.Double, primary_key=True),
    sa.Column("seconds", sa.Double, nullable=False),
    sa.Column("requests", sa.Integer, nullable=False),
    sa.Column("refused", sa.Integer, nullable=False),
    sa.Column("errors", sa.Integer, nullable=False),
    sa.Column("tokens", sa.Integer, nullable=False),
    sa.Column("replies", sa.Integer, nullable=False),
    sa.Column("first_token", sa.Double, nullable=False),
    sa.Column("counted", sa.Integer, nullable=False),
    sa.Column("token_seconds", sa.Double, nullable=False),
    sa.Column("memory", sa.BigInteger, nullable=False),
    sa.Column("cpu", sa.Double, nullable=False),
    sa.Column("waiting", sa.Integer, nullable=False),
)
evaluations = sa.Table(
    "chat_evaluations",
    schema,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("time", sa.Double, nullable=False, index=True),
    sa.Column("model", sa.String, nullable=False),
    sa.Column("artifact", sa.String, nullable=False),
    sa.Column("quantity", sa.String, nullable=False),
    sa.Column("value", sa.Double, nullable=False),
    sa.Column("low", sa.Double, nullable=False),
    sa.Column("high", sa.Double, nullable=False),
)
ADDED = ("requests", "refused", "errors", "tokens", "replies", "first_token", "counted", "token_seconds")
"""Columns that count since the row before."""


class Monitor:
    """Takes samples of a server, and tells them."""

    def __init__(self, history: History, desk: Desk) -> None:
        self._history, self._desk = history, desk
        self._process = psutil.Process()
        self._process.cpu_percent()
        self._last, self._at = self._counts(), time.monotonic()
        self.begun = time.time()
        with db.writing(history.engine) as connection:
            lock(connection)
            schema.create_all(connection)

    async def run(self) -> None:
        """Take samples until cancelled; a database that is away costs rows, and nothing else."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.take()

    async def take(self) -> None:
        """Take a sample and keep it."""
        try:
            await asyncio.to_thread(self.keep, self.sample())
        except Exception as fault:
            _LOG.warning("%s", json.dumps({"monitor": f"{type(fault).__name__}: {fault}"[:500]}))

    def sample(self) -> dict[str, Any]:
        """What happened since the last sample, and how the process is now."""
        counts, now = self._counts(), time.monotonic()
        row: dict[str, Any] = {name: counts[name] - self._last[name] for name in ADDED}
        row |= {"time": time.time(), "seconds": now - self._at, "memory": self._process.memory_info().rss}
        row |= {"cpu": self._process.cpu_percent() / 100, "waiting": self._waiting()}
        self._last, self._at = counts, now
        return row

    def keep(self, row: dict[str, Any]) -> None:
        """Write a sample, and forget old ones."""
        with db.writing(self._history.engine) as connection:
            connection.execute(samples.insert(), row)
            connection.execute(samples.delete().where(samples.c.time < row["time"] - KEPT_S))

    def judged(self, model: str, artifact: str, measured: Sequence[dict[str, Any]]) -> None:
        """Keep what an evaluation of a served model found."""
        now = time.time()
        rows = [
            {"time": now, "model": model, "artifact": artifact, "quantity": one["quantity"], "value": one["value"],
             "low": one["low"], "high": one["high"]}
            for one in measured
        ]  # fmt: skip
        with db.writing(self._history.engine) as connection:
            connection.execute(evaluations.insert(), rows)

    def series(self, hours: float) -> dict[str, Any]:
        """The last hours: sums and means of samples, feedback and evaluations, oldest first."""
        begin = time.time() - 3600 * hours
        width = max(3600 * hours / POINTS, EVERY_S)
        bucket = sa.cast((samples.c.time - begin) / width, sa.Integer).label("bucket")
        parts = sa.select(
            sa.func.max(samples.c.time).label("time"), sa.func.max(samples.c.memory).label("memory"),
            sa.func.max(samples.c.waiting).label("waiting"), sa.func.sum(samples.c.seconds).label("seconds"),
            sa.func.sum(samples.c.cpu * samples.c.seconds).label("cpu"),
            *(sa.func.sum(samples.c[name]).label(name) for name in ADDED), bucket,
        )  # fmt: skip
        parts = parts.where(samples.c.time >= begin).group_by(bucket).order_by(bucket)
        with db.looking(self._history.engine) as connection:
            rows = [dict(row) for row in connection.execute(parts).mappings()]
            said = sa.select(replies.c.ended, replies.c.thumb, replies.c.note, replies.c.model)
            said = said.where(replies.c.thumb != 0, replies.c.created >= begin).order_by(replies.c.created)
            thumbs = [dict(row) for row in connection.execute(said).mappings()]
            seen = sa.select(evaluations).where(evaluations.c.time >= begin).order_by(evaluations.c.time)
            judged = [dict(row) for row in connection.execute(seen).mappings()]
        return {
            "since": self.begun, "now": time.time(), "hours": hours,
            "totals": {name: sum(row[name] for row in rows) for name in ADDED},
            "points": [_point(row) for row in rows],
            "feedback": {
                "good": sum(one["thumb"] > 0 for one in thumbs), "bad": sum(one["thumb"] < 0 for one in thumbs),
                "notes": [
                    {"time": one["ended"], "thumb": one["thumb"], "note": one["note"], "model": one["model"]}
                    for one in thumbs[::-1] if one["note"]
                ][:20],
            },
            "evaluations": [{name: one[name] for name in one if name != "number"} for one in judged],
        }  # fmt: skip

    def _counts(self) -> dict[str, float]:
        metrics = self._desk.metrics
        by_status: dict[str, float] = {}
        for labels, count in metrics.requests.values.items():
            status = dict(labels)["status"][:1]
            by_status[status] = by_status.get(status, 0) + count
        busy = sum(count for labels, count in metrics.requests.values.items() if dict(labels)["status"] == "503")
        tokens = sum(count for labels, count in metrics.tokens.values.items() if dict(labels)["kind"] == "reply")
        return {
            "requests": sum(by_status.values()), "refused": by_status.get("4", 0) + busy,
            "errors": by_status.get("5", 0) - busy + sum(metrics.faults.values.values()),
            "tokens": tokens, "replies": sum(metrics.first.counts), "first_token": metrics.first.sum,
            "counted": sum(metrics.each.counts), "token_seconds": metrics.each.sum,
        }  # fmt: skip

    def _waiting(self) -> int:
        return sum(flow.left for flow in self._desk.flows)


def _point(row: dict[str, Any]) -> dict[str, Any]:
    """One point out of the sums of some rows: rates, means, peaks; None where nothing was counted."""
    seconds = max(row["seconds"], 1e-9)
    return {
        "time": row["time"], "requests": 60 * row["requests"] / seconds, "errors": 60 * row["errors"] / seconds,
        "refused": 60 * row["refused"] / seconds, "tokens": row["tokens"] / seconds,
        "first_token": row["first_token"] / row["replies"] if row["replies"] else None,
        "per_second": row["counted"] / row["token_seconds"] if row["token_seconds"] else None,
        "memory": row["memory"], "waiting": row["waiting"], "cpu": row["cpu"] / seconds,
    }  # fmt: skip
