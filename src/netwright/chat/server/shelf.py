"""Which models there are, and which of them are in memory.

    shelf = Shelf({"smollm2": Volume(open, need)}, memory=8 * 10**9)
    async with shelf.lent("smollm2") as model:
        model.batch.submit(...)

A model is opened when it is first asked for. Before that its need is compared with what there is; idle ones leave, the
one that was asked longest ago first, until it fits. One that cannot fit, or cannot be opened, is refused with the
reason, and the others go on. `opening` says what is opened of a name or a folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from netwright.chat.batch import Batch
from netwright.chat.server.refusal import RefusedError
from netwright.core.error import UserError

State = Literal["not loaded", "loading", "ready", "failed"]


@dataclass(frozen=True)
class Volume:
    """A model that can be opened, and the bytes that it will need; both may raise UserError."""

    open: Callable[[], Batch]
    need: Callable[[], int] = lambda: 0
    made: int = field(default_factory=lambda: int(time.time()))
    """When, as seconds since 1970."""
    about: Callable[[], Mapping[str, Any]] = dict
    """What is known of it: size, engine, measured speed; see `opening.about`."""
    folder: Path | None = None
    """The artifact that answers."""


class Lent:
    """A model in memory, and how many ask it now."""

    def __init__(self, name: str, batch: Batch, need: int) -> None:
        self.name, self.batch, self.need = name, batch, need
        self.users, self.used = 0, time.monotonic()


class Shelf:
    """Models by name. `available` says how many bytes are free; `memory` bounds all of them, 0: nothing does."""

    def __init__(self, volumes: Mapping[str, Volume], available: Callable[[], int], memory: int = 0) -> None:
        self.volumes, self._available, self._memory = dict(volumes), available, memory
        self.loaded: dict[str, Lent] = {}
        self.faults: dict[str, str] = {}
        """Name -> why it could not be opened the last time."""
        self._opening = ""
        self._lock = asyncio.Lock()
        self._tasks: dict[str, asyncio.Future[None]] = {}
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="shelf")

    @property
    def default(self) -> str:
        """What answers where no name is given."""
        return next(iter(self.volumes))

    def state(self, name: str) -> State:
        """How it is with a model."""
        if name in self.loaded:
            return "ready"
        return "loading" if name == self._opening else "failed" if name in self.faults else "not loaded"

    def known(self, name: str | None) -> str:
        """The name, or the default's. Raises RefusedError 404."""
        if name is None:
            return self.default
        if name not in self.volumes:
            listed = ", ".join(self.volumes)
            raise RefusedError(
                404, f"there is no model {name[:100]!r}; there are: {listed}", "model_not_found", "model"
            )
        return name

    @contextlib.asynccontextmanager
    async def lent(self, name: str) -> AsyncIterator[Lent]:
        """Within: the model stays in memory. Raises RefusedError 503."""
        model = self.loaded.get(name)
        while model is None:
            if name not in self._tasks:
                self._tasks[name] = asyncio.ensure_future(self._opened(name))
                self._tasks[name].add_done_callback(lambda task: self._tasks.pop(name, None) and task.exception())
            # whoever asked may leave meanwhile: the model is opened all the same, and not lost
            await asyncio.shield(self._tasks[name])
            model = self.loaded.get(name)
        model.users += 1
        try:
            yield model
        finally:
            model.users -= 1
            model.used = time.monotonic()

    async def _opened(self, name: str) -> None:
        async with self._lock:
            self._opening = name
            loop = asyncio.get_running_loop()
            try:
                need = await loop.run_in_executor(self._pool, self.volumes[name].need)
                await self._make_room(name, need)
                batch = await loop.run_in_executor(self._pool, self.volumes[name].open)
            except RefusedError as refusal:
                self.faults[name] = refusal.message
                raise
            except UserError as fault:
                raise self._failed(name, f"{fault.setting}: {fault.allowed}") from fault
            except (OSError, RuntimeError, ValueError, MemoryError, KeyError, TypeError) as fault:
                raise self._failed(name, f"a fault of its file or its runtime ({type(fault).__name__})") from fault
            finally:
                self._opening = ""
            self.faults.pop(name, None)
            self.loaded[name] = Lent(name, batch, need)
            _settled()

    def _failed(self, name: str, why: str) -> RefusedError:
        self.faults[name] = why
        return RefusedError(503, f"the model {name} cannot be opened: {why}", "model_unavailable", "model")

    async def _make_room(self, name: str, need: int) -> None:
        while (left := self._left()) < need:
            idle = [one for one in self.loaded.values() if not one.users]
            if not idle:
                told = f"it needs {need / 1e9:.2f} GB, and {max(0, left) / 1e9:.2f} GB are left"
                code = "insufficient_memory"
                raise RefusedError(503, f"the model {name} does not fit: {told}", code, "model", {"Retry-After": "10"})
            await self.put_away(min(idle, key=lambda one: one.used))

    def _left(self) -> int:
        free = self._available()
        return min(free, self._memory - sum(one.need for one in self.loaded.values())) if self._memory else free

    async def put_away(self, model: Lent) -> None:
        """Take an idle model out of memory."""
        self.loaded.pop(model.name, None)
        await asyncio.get_running_loop().run_in_executor(self._pool, model.batch.close)
        del model.batch
        _settled()

    async def close(self) -> None:
        """Take all of them out of memory; what they were asked has been cancelled."""
        async with self._lock:
            for model in list(self.loaded.values()):
                await self.put_away(model)
        self._pool.shutdown(wait=False)


def _settled() -> None:
    """What is there will stay: to look for garbage among a million objects of libraries holds all replies for 0.2 s."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
