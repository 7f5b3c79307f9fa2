"""A study that is killed while it trains, and again while it measures, ends by the same command."""

import json
import os
import signal
import subprocess
import sys
import time

from netwright.core import artifact
from netwright.core.run import state

RECIPE = """
[task]
name = "synthetic"
examples = 4000
side = 16
[model]
name = "cnn"
width = 8
[train]
epochs = 8
batch = 50
lr = 0.01
threads = 1
checkpoint_seconds = 0.05
[bench]
batch = [1]
threads = 1
seconds = 1.0
rounds = 20
[study]
formats = ["onnx"]
devices = ["h100"]
"""


def start(folder):
    command = [sys.executable, "-m", "netwright", "study", "tiny.toml", "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def kill_when(folder, pattern):
    """Start the study, and kill it as soon as such a file is there; it must not have ended by itself."""
    with start(folder) as process:
        deadline = time.monotonic() + 120
        while not list((folder / "runs").glob(pattern)) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL


def check_nothing_is_half_written(folder):
    for manifest in artifact.manifests(folder / "runs"):
        artifact.open(manifest.parent)
    for path in (folder / "runs").glob("*/*.json"):
        json.loads(path.read_text())
    assert not list((folder / "runs").glob("*-study-*/report.*"))


def states(folder):
    found = {}
    for path in sorted((folder / "runs").glob("*/run.json")):
        found.setdefault(path.parent.name.split("-")[1], []).append(state(path.parent)["status"])
    return found


def test_a_study_killed_twice_goes_on(tmp_path):
    (tmp_path / "tiny.toml").write_text(RECIPE)
    kill_when(tmp_path, "*-train-*/checkpoints/last.safetensors")
    check_nothing_is_half_written(tmp_path)
    assert states(tmp_path) == {"study": ["unfinished"], "train": ["unfinished"]}
    kill_when(tmp_path, "*-bench-*/run.json")
    check_nothing_is_half_written(tmp_path)
    assert states(tmp_path) == {
        "study": ["unfinished"], "train": ["done"], "export": ["done"], "evaluate": ["done", "done"],
        "bench": ["unfinished"],
    }  # fmt: skip
    (trained,) = (tmp_path / "runs").glob("*-train-*/run.json")
    before = trained.stat().st_mtime_ns
    with start(tmp_path) as process:
        out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    told = json.loads(out)
    assert told["reused"] is False
    assert trained.stat().st_mtime_ns == before
    assert {status for found in states(tmp_path).values() for status in found} == {"done"}
    assert {verb: len(found) for verb, found in states(tmp_path).items()} == {
        "study": 1, "train": 1, "export": 1, "evaluate": 2, "bench": 1
    }  # fmt: skip
    assert (tmp_path / told["report"]).is_file()
    assert not list((tmp_path / "runs").rglob("*.draft"))
    log = (trained.parent / "log.txt").read_text()
    assert "Resuming at step" in log
