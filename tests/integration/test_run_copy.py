"""A training that is killed with its machine goes on from its copy on another, to the same bits."""

import os
import shutil
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
epochs = 6
batch = 50
threads = 1
checkpoint_seconds = 0.05
[run]
copy_to = "{away}"
"""


def command(recipe: Path, runs: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "netwright", "train", str(recipe), f"runs={runs}", *words]


def weights(runs: Path) -> bytes:
    (path,) = runs.glob("*-train-*/artifact/weights.safetensors")
    return path.read_bytes()


@pytest.mark.parametrize("scheme", ["", pytest.param("file://", marks=pytest.mark.slow)])
def test_a_fresh_machine_goes_on_from_the_copy(scheme, tmp_path):
    away, recipe = tmp_path / "away", tmp_path / "recipe.toml"
    recipe.write_text(RECIPE.format(away=f"{scheme}{away}"))
    subprocess.run(command(recipe, tmp_path / "whole", "run.copy_to="), check=True, capture_output=True)
    first = tmp_path / "first"
    with subprocess.Popen(command(recipe, first), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        end = time.monotonic() + 60
        while not list(away.glob("*-train-*/checkpoints/last.safetensors")) and process.poll() is None:
            assert time.monotonic() < end
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    killed = process.returncode == -signal.SIGKILL
    shutil.rmtree(first)
    fresh = tmp_path / "fresh"
    done = subprocess.run(command(recipe, fresh), check=True, capture_output=True, text=True, env=os.environ)
    assert killed
    assert "Brought back" in done.stderr
    assert "Resuming at step" in done.stderr
    assert weights(fresh) == weights(tmp_path / "whole") == weights(away)
    assert not [path for path in away.rglob("*") if path.name.endswith((".part", ".draft", ".lock"))]
    again = subprocess.run(command(recipe, tmp_path / "third"), check=True, capture_output=True, text=True)
    assert "reused" in again.stdout
