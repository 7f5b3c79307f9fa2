"""The tracer, in a process of its own: what crashes, hangs or eats the memory there is an error here.

    with Tracer() as tracer:
        svg = tracer.trace(pixels_HWC, Setting())

VTracer panics on some images (an exception below `Exception` that takes a pool's worker with it), so that it never
runs in the caller's process. A process that died or was too slow is started again for the next image.
"""

from __future__ import annotations

import contextlib
import io
import socket
import struct
import subprocess
import sys
from dataclasses import asdict
from multiprocessing.connection import Connection
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from netwright.core.table import extra
from netwright.svg import tracing
from netwright.svg.setting import Setting

SECONDS = 60.0
"""How long one image may take before its process is ended."""


class TraceError(Exception):
    """The tracer failed on this image with this setting; the message says how."""


def version() -> str:
    """Name and version of the tracer: a predictor of one says nothing about another."""
    from importlib import metadata

    return f"vtracer {metadata.version('vtracer')}"


class Tracer:
    """One process that traces; not for several threads at once."""

    def __init__(self, seconds: float = SECONDS) -> None:
        extra("vtracer", "tracing")
        self.seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection | None = None
        self._stopped = False

    def trace(self, pixels_HWC: NDArray[np.uint8], setting: Setting) -> str:
        """The SVG of an image: uint8, three channels or four with alpha. Raises TraceError.

        Fully transparent pixels stay transparent.
        """
        form, image = encoded(pixels_HWC)
        pipe = self._started()
        if self._stopped:  # asked once the process is there, which `stop` else ends
            self.close()
            raise TraceError("the tracer was stopped")
        try:
            pipe.send((form, image, _parameters(setting)))
            if not pipe.poll(self.seconds):
                self.close()
                raise TraceError(f"the tracer took longer than {self.seconds:g} s")
            kind, answer = pipe.recv()
        except (EOFError, OSError) as fault:
            code = self._code()
            raise TraceError(f"the tracer's process died (exit {code})") from fault
        if kind == "failed":
            raise TraceError(f"the tracer failed: {answer}")
        return str(answer)

    def close(self) -> None:
        """End the process; the next image starts another."""
        if self._process is not None:
            if self._pipe is not None:
                self._pipe.close()
            self._process.kill()
            self._process.wait()
        self._process = self._pipe = None

    def stop(self) -> None:
        """From any thread, and for good: the image under way fails with TraceError, and so does every later one."""
        self._stopped = True
        process = self._process
        if process is not None:
            process.kill()

    def __enter__(self) -> Tracer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _code(self) -> int | None:
        """How the process ended."""
        code = None
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self._process.wait(5)
        self.close()
        return code

    def _started(self) -> Connection:
        if self._pipe is None or self._process is None or self._process.poll() is not None:
            self.close()
            ours, theirs = socket.socketpair()
            with theirs:
                # -P: what lies beside the script is no library
                command = [sys.executable, "-P", tracing.__file__, str(theirs.fileno())]
                self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stderr=subprocess.DEVNULL)
            self._pipe = Connection(ours.detach())
        return self._pipe


def encoded(pixels_HWC: NDArray[np.uint8]) -> tuple[Literal["bmp", "png"], bytes]:
    """An image as a file that VTracer reads fast: BMP, or PNG where it has transparent pixels."""
    height, width, channels = pixels_HWC.shape
    if channels == 4 and (pixels_HWC[:, :, 3] < 255).any():
        from PIL import Image

        file = io.BytesIO()
        Image.fromarray(pixels_HWC, "RGBA").save(file, "PNG", compress_level=1)
        return "png", file.getvalue()
    stride = (3 * width + 3) // 4 * 4
    rows = np.zeros((height, stride), np.uint8)  # bottom row first, blue before green before red
    rows[:, : 3 * width] = pixels_HWC[::-1, :, 2::-1].reshape(height, 3 * width)
    header = struct.pack("<2sIHHI", b"BM", 54 + rows.nbytes, 0, 0, 54)
    about = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, rows.nbytes, 2835, 2835, 0, 0)
    return "bmp", header + about + rows.tobytes()


def _parameters(setting: Setting) -> dict[str, Any]:
    return {"colormode": "color", "hierarchical": "stacked", **asdict(setting)}
