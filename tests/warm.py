"""Commands in a process that has imported its libraries before: what a page of the documentation waits for most.

    with Warm(folder) as bin: ...          # a folder for PATH, with `netwright` and `python`

A command is a fork of one warm process, with the arguments, folder, environment and streams of whoever called it, so
that nothing but the imports is spared. Signals that the caller is sent reach the fork.
"""

import array
import contextlib
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import traceback
import types
from collections.abc import Sequence
from pathlib import Path

LIBRARIES = (
    "numpy", "pandas", "scipy.stats", "torch", "torch.export", "torch.onnx", "torch._dynamo", "onnx", "onnxruntime",
    "onnxscript", "openvino", "nncf", "matplotlib.figure", "sqlalchemy", "jinja2", "rich.console", "safetensors.torch",
    "netwright.train.training", "netwright.measure.bench", "netwright.compress.quantize",
)  # fmt: skip
TRAINING = ("numpy", "torch", "torch.distributed", "safetensors.torch", "netwright.train.training")
SHIM = """#!{python} -ISB
import array, json, os, signal, socket, sys
to = socket.socket(socket.AF_UNIX)
to.connect({path!r})
words = [os.path.basename(sys.argv[0]), *sys.argv[1:]]
text = json.dumps({{"words": words, "folder": os.getcwd(), "environment": dict(os.environ)}}).encode()
to.sendmsg([len(text).to_bytes(8, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))])
to.sendall(text)
pid = int.from_bytes(to.recv(8), "big")
for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(name, lambda number, _: os.kill(pid, number))
code = to.recv(8)
sys.exit(int.from_bytes(code, "big") if code else 70)
"""


class Warm:
    """The warm process, and the commands that lead to it."""

    def __init__(self, folder: Path, libraries: Sequence[str] = LIBRARIES) -> None:
        self.folder, self.libraries = folder, libraries

    def __enter__(self) -> Path:
        path = str(self.folder / "socket")
        found = self.folder / "bin"
        found.mkdir()
        for name in ("netwright", "python"):
            (found / name).write_text(SHIM.format(python=sys.executable, path=path))
            (found / name).chmod(0o755)
        self._process = subprocess.Popen([sys.executable, __file__, path, *self.libraries], stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"warm\n"
        return found

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


def serve(path: str, libraries: Sequence[str]) -> None:
    """Fork for whoever connects, until killed."""
    for name in libraries:
        importlib.import_module(name)
    gc.freeze()
    door = socket.socket(socket.AF_UNIX)
    door.bind(path)
    door.listen()
    print("warm", flush=True)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        caller, _ = door.accept()
        if os.fork() == 0:
            door.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            answer(caller)
            os._exit(0)
        caller.close()


def answer(caller: socket.socket) -> None:
    """Do what a caller asks for in a fork, and tell how it ended."""
    head, streams, _, _ = caller.recvmsg(8, socket.CMSG_SPACE(3 * 4))
    text = b""
    while len(text) < int.from_bytes(head, "big"):
        text += caller.recv(1 << 20)
    asked, files = json.loads(text), array.array("i", streams[0][2])
    pid = os.fork()
    if pid == 0:
        caller.close()
        for place, file in enumerate(files):
            os.dup2(file, place)
            os.close(file)
        os.chdir(asked["folder"])
        os.environ.clear()
        os.environ.update(asked["environment"])
        os._exit(command(asked["words"]))
    with contextlib.suppress(BrokenPipeError):
        caller.sendall(pid.to_bytes(8, "big"))
        status = os.waitpid(pid, 0)[1]
        caller.sendall((os.waitstatus_to_exitcode(status) % 256).to_bytes(8, "big"))


def command(words: list[str]) -> int:
    """`netwright ...` or `python -c ...`; returns the exit status."""
    sys.modules["__main__"] = main = types.ModuleType("__main__")
    code: object = 0
    try:
        if words[0] == "netwright":
            sys.argv = words
            runpy.run_module("netwright", run_name="__main__", alter_sys=True)
        else:
            sys.path.insert(0, "")
            sys.argv = words[1:2]
            exec(compile(words[2], "<string>", "exec"), main.__dict__)
    except SystemExit as ending:
        code = ending.code
        if isinstance(code, str):
            print(code, file=sys.stderr)
    except BaseException:  # as an interpreter would end: told, and with status 1
        traceback.print_exc()
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BrokenPipeError, ValueError):
            stream.flush()
    return code if isinstance(code, int) else int(code is not None)


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2:])
