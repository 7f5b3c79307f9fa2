"""Ctrl-C that ends a reply and not the program.

with noted() as interrupted:
    for piece in engine.stream(prompt, sampling, lambda: bool(interrupted)): ...
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def noted() -> Iterator[list[bool]]:
    """Within: the first Ctrl-C is noted; a second one interrupts as it does elsewhere. In the main thread only."""
    found: list[bool] = []
    if threading.current_thread() is not threading.main_thread():
        yield found
        return
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: Any) -> None:
        signal.signal(signal.SIGINT, before)
        found.append(True)

    signal.signal(signal.SIGINT, note)
    try:
        yield found
    finally:
        signal.signal(signal.SIGINT, before)
