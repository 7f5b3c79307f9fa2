"""A tracer that is stopped from another thread: the image under way fails at once, and so does every later one."""

import threading
import time

import numpy as np
import pytest

from netwright.svg.setting import Setting
from netwright.svg.tracer import TraceError, Tracer
from svg_server import logo, noise

SLOW = np.array(noise(1000).convert("RGBA"))
FINE = Setting(color_precision=8, layer_difference=1, filter_speckle=0)


def test_an_image_under_way_is_given_up():
    with Tracer() as tracer:
        tracer.trace(np.array(logo(16)), Setting())
        found = {}

        def trace():
            try:
                tracer.trace(SLOW, FINE)
            except TraceError as fault:
                found["fault"] = fault

        tracing = threading.Thread(target=trace)
        tracing.start()
        time.sleep(0.3)
        tracer.stop()
        tracing.join(20)
        assert "died" in str(found["fault"]) or "stopped" in str(found["fault"])
        assert tracer._process is None


@pytest.mark.parametrize("before", [True, False])
def test_a_stopped_tracer_traces_no_more(before):
    tracer = Tracer()
    if before:
        tracer.trace(np.array(logo(16)), Setting())
    tracer.stop()
    tracer.stop()
    for _ in range(2):
        with pytest.raises(TraceError, match="stopped|died"):
            tracer.trace(np.array(logo(16)), Setting())
    tracer.close()
    assert tracer._process is None
