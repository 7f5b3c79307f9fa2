"""Ctrl-C is heard after runners have come and gone in any order."""

import subprocess
import sys

from netwright.export import openvino

SCRIPT = """
import os, signal
import openvino
from openvino import opset13
from netwright.export.openvino import core

def compiled(core):
    x = opset13.parameter([1], openvino.Type.f32)
    return core.compile_model(openvino.Model([opset13.add(x, x)], [x]), "CPU")

first, second = (compiled(core()) for _ in range(2))
del first
del second
signal.signal(signal.SIGINT, lambda *told: print("heard", flush=True))
os.kill(os.getpid(), signal.SIGINT)
"""


def test_a_signal_is_heard_after_runners_that_overlapped():
    command = [sys.executable, "-c", SCRIPT]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "heard\n"
    assert openvino.core() is openvino.core()
