"""Two gloo processes reproduce the loss curve of one, under DDP and FSDP2."""

import json
import subprocess
import sys

import pytest

RECIPE = """
[task]
name = "synthetic-text"
examples = 400
[model]
name = "transformer"
width = 16
dropout = 0.0
[train]
epochs = 2
batch = 40
threads = 1
accumulate = 2
clip = 1.0
average = 0.9
"""
LEVELS = {
    "cascade": 'schedule = "cascade"\nlength = [1, 0.5]\n',
    "v": 'schedule = "v"\npre = 1\npost = 1\ncoarse = 3\ntau = "constant"\n',
}


def curve(runs):
    (path,) = runs.glob("*-train-*/metrics.jsonl")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    losses = [(row["step"], row.get("loss", row.get("validation_loss"))) for row in rows]
    return [(step, loss) for step, loss in losses if loss is not None]


LAUNCHER = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "0", "--rdzv-backend", "c10d",
            "--rdzv-endpoint", "127.0.0.1:0")  # fmt: skip


def run(tmp_path, kind, *launcher, text=RECIPE):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(text)
    runs = tmp_path / kind
    words = ["-m", "netwright", "train", str(recipe), f"runs={runs}", f"train.parallel={kind}", "--json"]
    done = subprocess.run([sys.executable, *launcher, *words], check=False, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    return runs


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    return curve(run(tmp_path_factory.mktemp("single"), "none"))


@pytest.mark.parametrize("kind", ["ddp", "fsdp2"])
def test_two_processes_give_the_curve_of_one(tmp_path, single, kind):
    runs = run(tmp_path, kind, *LAUNCHER)
    found = curve(runs)
    assert [step for step, _ in found] == [step for step, _ in single]
    for (_, a), (_, b) in zip(found, single, strict=True):
        assert a == pytest.approx(b, rel=2e-4)
    # the same command finds the run done, in all processes
    assert run(tmp_path, kind, *LAUNCHER) == runs
    assert len(list(runs.glob("*-train-*"))) == 1


@pytest.mark.parametrize("schedule", LEVELS)
def test_two_processes_give_the_curve_of_one_through_levels(tmp_path, schedule):
    text = f"{RECIPE}[train.multilevel]\n{LEVELS[schedule]}"
    one = curve(run(tmp_path, "none", text=text))
    two = curve(run(tmp_path, "ddp", *LAUNCHER, text=text))
    assert [step for step, _ in two] == [step for step, _ in one]
    for (_, a), (_, b) in zip(two, one, strict=True):
        assert a == pytest.approx(b, rel=2e-3)


def test_parallel_without_torchrun_is_refused(tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE)
    words = ["-m", "netwright", "train", str(recipe), "train.parallel=ddp", f"runs={tmp_path}/runs"]
    done = subprocess.run([sys.executable, *words], check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert "torchrun --nproc-per-node 2" in done.stderr
    assert not (tmp_path / "runs").exists()
