"""What a server did over time: requests, errors, speed, memory, feedback, and how well its models still answer.

    monitor = Monitor(history, desk)
    task = asyncio.create_task(monitor.run())
    monitor.series(hours=24)

Every `EVERY_S` seconds what was counted since the last time becomes a row in the history's database, so that it
outlives the server. Feedback is the history's own. Knows no page.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import psutil
import sqlalchemy as sa

from netwright.chat.history.schema import replies
from netwright.chat.history.store import History
from netwright.chat.server.answering import Desk
from netwright.core import db
from netwright.core.error import UserError

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
        self._last, self._at = self._counts(), time.time()
        self.begun = self._at
        with db.writing(history.engine) as connection:
            schema.create_all(connection)

    async def run(self) -> None:
        """Take samples until cancelled; a database that is away costs rows, and nothing else."""
        while True:
            await asyncio.sleep(EVERY_S)
            row = self.sample()
            try:
                await asyncio.to_thread(self.keep, row)
            except UserError:
                continue

    def sample(self) -> dict[str, Any]:
        """What happened since the last sample, and how the process is now."""
        counts, now = self._counts(), time.time()
        row: dict[str, Any] = {name: counts[name] - self._last[name] for name in ADDED}
        row |= {"time": now, "seconds": now - self._at, "memory": self._process.memory_info().rss}
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
        with db.looking(self._history.engine) as connection:
            found = connection.execute(sa.select(samples).where(samples.c.time >= begin).order_by(samples.c.time))
            rows = [dict(row) for row in found.mappings()]
            said = sa.select(replies.c.ended, replies.c.thumb, replies.c.note, replies.c.model)
            said = said.where(replies.c.thumb != 0, replies.c.created >= begin).order_by(replies.c.created)
            thumbs = [dict(row) for row in connection.execute(said).mappings()]
            seen = sa.select(evaluations).where(evaluations.c.time >= begin).order_by(evaluations.c.time)
            judged = [dict(row) for row in connection.execute(seen).mappings()]
        width = max(3600 * hours / POINTS, EVERY_S)
        return {
            "since": self.begun, "now": time.time(), "hours": hours,
            "totals": {name: sum(row[name] for row in rows) for name in ("requests", "errors", "tokens")},
            "points": [_joined(part) for part in _parts(rows, begin, width)],
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
        tokens = sum(count for labels, count in metrics.tokens.values.items() if dict(labels)["kind"] == "reply")
        return {
            "requests": sum(by_status.values()), "refused": by_status.get("4", 0), "errors": by_status.get("5", 0),
            "tokens": tokens, "replies": sum(metrics.first.counts), "first_token": metrics.first.sum,
            "counted": sum(metrics.each.counts), "token_seconds": metrics.each.sum,
        }  # fmt: skip

    def _waiting(self) -> int:
        return sum(flow.left for flow in self._desk.flows)


def _parts(rows: Sequence[dict[str, Any]], begin: float, width: float) -> list[list[dict[str, Any]]]:
    """Rows of the same stretch of time, together."""
    parts: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        parts.setdefault(int((row["time"] - begin) / width), []).append(row)
    return list(parts.values())


def _joined(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One point out of some rows: rates a minute, means, peaks; None where nothing was counted."""
    summed = {name: sum(row[name] for row in rows) for name in (*ADDED, "seconds")}
    minutes = max(summed["seconds"], 1e-9) / 60
    return {
        "time": rows[-1]["time"],
        "requests": summed["requests"] / minutes, "errors": summed["errors"] / minutes,
        "refused": summed["refused"] / minutes, "tokens": summed["tokens"] / minutes / 60,
        "first_token": summed["first_token"] / summed["replies"] if summed["replies"] else None,
        "per_second": summed["counted"] / summed["token_seconds"] if summed["token_seconds"] else None,
        "memory": max(row["memory"] for row in rows), "waiting": max(row["waiting"] for row in rows),
        "cpu": sum(row["cpu"] * row["seconds"] for row in rows) / max(summed["seconds"], 1e-9),
    }  # fmt: skip
