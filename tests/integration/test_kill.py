"""A training that is killed at any moment ends, resumed, with the bits of one that was not."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

RECIPE = """
[task]
name = "synthetic"
examples = 4000
side = 16
[model]
name = "cnn"
width = 16
[train]
epochs = 8
batch = 50
threads = 1
average = 0.9
checkpoint_seconds = 0.05
optimizer = "sgd"
lr = 0.05
"""


def command(recipe, runs):
    return [sys.executable, "-m", "netwright", "train", str(recipe), f"runs={runs}", "--json"]


def weights(runs: Path) -> bytes:
    (path,) = runs.glob("*-train-*/artifact/weights.safetensors")
    return path.read_bytes()


def kill_and_resume(recipe: Path, runs: Path, delay: float) -> bool:
    """Start, kill `delay` seconds after the run folder appears, and say whether the kill came in time."""
    with subprocess.Popen(command(recipe, runs), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while not list(runs.glob("*-train-*/plan.json")) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
    return process.returncode == -signal.SIGKILL


def check(tmp_path: Path, kills: int) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE)
    done = subprocess.run(command(recipe, tmp_path / "whole"), check=True, capture_output=True, text=True)
    (whole,) = [m["value"] for m in json.loads(done.stdout)["measurements"] if m["quantity"] == "training_time"]
    moments = random.Random(0)
    runs, killed = tmp_path / "killed", 0
    for _ in range(kills):
        killed += kill_and_resume(recipe, runs, moments.uniform(0, 0.8 * whole))
        if list(runs.glob("*/artifact/artifact.json")):
            assert weights(runs) == weights(tmp_path / "whole")
            runs = tmp_path / f"killed-{killed}"
    subprocess.run(command(recipe, runs), check=True, capture_output=True)
    assert killed > kills / 2
    assert weights(runs) == weights(tmp_path / "whole")
    assert not list(runs.rglob("*.draft"))


def test_a_killed_training_ends_with_the_same_bits(tmp_path):
    check(tmp_path, 3)


@pytest.mark.slow
def test_twenty_kills(tmp_path):
    check(tmp_path, 20)
