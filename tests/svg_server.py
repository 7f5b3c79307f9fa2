"""A server of traces in a thread, small images to send it, and a tracer that takes as long as it is let."""

import contextlib
import io
import threading
from typing import ClassVar

import numpy as np
from PIL import Image, ImageDraw

from netwright.svg.server.listening import Listening
from netwright.svg.server.settings import Config
from netwright.svg.tracer import TraceError


def logo(side=48, mode="RGBA"):
    """A disc on a square, transparent around it."""
    picture = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    pen = ImageDraw.Draw(picture)
    pen.rounded_rectangle((2, 2, side - 3, side - 3), side // 5, fill=(11, 95, 165, 255))
    pen.ellipse((side * 0.3, side * 0.3, side * 0.7, side * 0.7), fill=(255, 200, 60, 255))
    return picture.convert(mode)


def noise(side=64, seed=0):
    """What has no shapes."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8))


def png(picture, form="PNG", **options):
    """A picture as a file."""
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


class Held:
    """A tracer that traces once it is let go, and fails once it is stopped."""

    made: ClassVar[list] = []

    def __init__(self):
        self.go, self.begun, self.stopped, self.closed = threading.Event(), threading.Event(), False, False
        Held.made.append(self)

    def trace(self, pixels_HWC, setting):
        self.begun.set()
        self.go.wait(20)
        if self.stopped:
            raise TraceError("the tracer was stopped")
        height, width = pixels_HWC.shape[:2]
        return f'<svg width="{width}" height="{height}" xmlns="http://www.w3.org/2000/svg"></svg>'

    def stop(self):
        self.stopped = True
        self.go.set()

    def close(self):
        self.closed = True
        self.go.set()


@contextlib.contextmanager
def served(predictor=None, **settings):
    """Within: a server; `at` is its address without a path."""
    settings = {"port": 0, "at_once": 1, **settings}
    ready, box = threading.Event(), {}

    def told(address):
        box["at"] = address
        ready.set()

    server = Listening(Config(**settings), told, predictor)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert ready.wait(20), "the server did not begin"
    server.at = box["at"]
    try:
        yield server
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive(), "the server did not end"
