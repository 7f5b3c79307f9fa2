"""The served models evaluated again and again, on a schedule, so that one learns when an update made them worse.

    task = asyncio.create_task(Reevaluation(monitor, shelf, config, Path("runs")).run())

`netwright evaluate` runs in a process of its own, with one thread and the lowest priority, one model at a time; what it
finds becomes rows of the monitor. A model that cannot be evaluated says why in the log, and the others go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from netwright.chat.server.monitor import Monitor
from netwright.chat.server.settings import Config
from netwright.chat.server.shelf import Shelf
from netwright.core.error import UserError

_LOG = logging.getLogger("netwright.serve")
FIRST_S = 60.0
"""Seconds after the start of the first evaluation; then they are `serve.evaluate_hours` apart."""
LONGEST_S = 6 * 3600.0
"""Seconds that an evaluation may take."""
LOWEST = 19
"""What `nice` calls the lowest priority."""


class Reevaluation:
    """A schedule of evaluations."""

    def __init__(self, monitor: Monitor, shelf: Shelf, config: Config, runs: Path) -> None:
        self._monitor, self._shelf, self._config, self._runs = monitor, shelf, config, runs

    async def run(self) -> None:
        """Evaluate all models, wait, and again, until cancelled."""
        await asyncio.sleep(FIRST_S)
        while True:
            begin = time.monotonic()
            for name in self._shelf.volumes:
                try:
                    await self.judge(name)
                except Exception as fault:  # the others, and the next time, go on
                    _LOG.warning(
                        "%s", json.dumps({"evaluation": name, "fault": f"{type(fault).__name__}: {fault}"[:500]})
                    )
            await asyncio.sleep(max(1.0, 3600 * self._config.evaluate_hours - (time.monotonic() - begin)))

    async def judge(self, name: str) -> None:
        """Evaluate one model. Raises UserError with what the evaluation said where it fails."""
        folder = self._shelf.volumes[name].folder
        if folder is None:
            return
        sources = ["--tasks", self._config.evaluate_tasks] if self._config.evaluate_tasks else []
        sources += ["--text", self._config.evaluate_text] if self._config.evaluate_text else []
        command = [sys.executable, "-m", "netwright", "evaluate", str(folder), *sources, "--fresh", "--json"]
        process = await asyncio.create_subprocess_exec(
            *command, "evaluate.threads=1", f"runs={self._runs}", stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        try:
            with contextlib.suppress(psutil.Error):
                psutil.Process(process.pid).nice(LOWEST if psutil.POSIX else psutil.IDLE_PRIORITY_CLASS)
            async with asyncio.timeout(LONGEST_S):
                out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            last = (err.decode("utf-8", "replace").strip().splitlines() or ["no word"])[-1]
            raise UserError("evaluation", name, last, "netwright evaluate " + str(folder))
        await asyncio.to_thread(self._keep, name, json.loads(out))

    def _keep(self, name: str, told: Any) -> None:
        (model,) = told["models"]
        rows = [
            {**one, "quantity": ", ".join(filter(None, (one["quantity"], one["conditions"].get("score"))))}
            for one in model["measurements"]
        ]
        artifact = next((one["artifact"] for one in rows if one.get("artifact")), "")
        self._monitor.judged(name, str(artifact), rows)
