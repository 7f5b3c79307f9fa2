"""What runs in the tracer's process: a script of its own, which imports nothing of netwright.

python tracing.py FD           # the end of a socket that `tracer.Tracer` holds the other end of
"""

from __future__ import annotations

import resource
import signal
import sys
from multiprocessing.connection import Connection
from typing import Any

MEMORY = 4 << 30
"""Address space of the process, in bytes: VTracer takes some tens of bytes a pixel."""


def serve(pipe: Connection) -> None:
    """Trace what is sent, until nobody is there to send."""
    import vtracer

    while True:
        try:
            form, image, parameters = pipe.recv()
        except (EOFError, OSError):
            return
        answer: tuple[str, Any]
        try:
            answer = ("traced", vtracer.convert_raw_image_to_svg(image, img_format=form, **parameters))
        except BaseException as fault:  # a panic is no Exception
            answer = ("failed", f"{type(fault).__name__}: {fault}")
        try:
            pipe.send(answer)
        except OSError:
            return


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the caller's to answer
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    serve(Connection(int(sys.argv[1])))
