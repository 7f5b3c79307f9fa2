"""What a person sees in a terminal of 80 columns: bars that fit, no markup, an interrupt without a traceback."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time

RECIPE = """
[task]
name = "synthetic"
examples = 4000
[model]
name = "cnn"
width = 4
[train]
epochs = 3
batch = 50
threads = 1
checkpoint_seconds = 0.05
"""


def start(folder, *words, **about):
    """The command in a terminal of 80 columns: its process, and the terminal's other end."""
    (folder / "tiny.toml").write_text(RECIPE)
    near, far = pty.openpty()
    fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TERM": "xterm-256color"}
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CI"):
        environment.pop(name, None)
    command = [sys.executable, "-m", "netwright", *words]
    process = subprocess.Popen(command, cwd=folder, env=environment, stdin=far, stdout=far, stderr=far, **about)
    os.close(far)
    return process, near


def read(near):
    """All that was written until the last writer closed."""
    text = b""
    while True:
        try:
            part = os.read(near, 65536)
        except OSError:  # what Linux says at the end of a terminal
            part = b""
        if not part:
            os.close(near)
            return text.decode()
        text += part


def lines(text):
    """What stood on the lines: colours and movements of the cursor taken out."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    return re.split(r"[\r\n]+", plain)


def test_training_in_a_terminal(tmp_path):
    process, near = start(tmp_path, "train", "tiny.toml")
    text = read(near)
    assert process.wait() == 0
    shown = lines(text)
    assert max(map(len, shown)) <= 80
    assert not re.search(r"\[/?(bold|green|red|dim|progress)", text)
    bars = [line for line in shown if line.startswith("Training ")]
    assert re.fullmatch(r"Training ━+ 240/240 steps in \d+ s loss \S+  lr \S+ *", bars[-1])
    assert any(re.match(r"Training .* (left|so far)", line) for line in bars)
    assert sum(line.startswith("epoch ") for line in shown) == 3
    assert any(line.startswith("Testing ") for line in shown)
    assert "│ accuracy" in text
    assert "Next: netwright export runs/" in text


def test_an_interrupt_in_a_terminal_ends_at_once_and_says_how_to_go_on(tmp_path):
    process, near = start(tmp_path, "train", "tiny.toml", "train.epochs=20000")
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("runs/*/checkpoints/last.safetensors")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    text = read(near)
    assert process.wait() == 130
    assert "Traceback" not in text
    assert lines(text)[-2] == "Interrupted. The same command goes on where this one stopped."
    assert not list(tmp_path.rglob("*.draft"))
    process, near = start(tmp_path, "train", "tiny.toml", "train.epochs=20000", "--json")
    while not list(tmp_path.glob("runs/*/log.txt")) or "Resuming at step" not in log(tmp_path):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    read(near)
    assert process.wait() == 130


def log(folder):
    return next(folder.glob("runs/*/log.txt")).read_text()
