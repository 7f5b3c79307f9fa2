"""Two gloo processes reproduce the loss curve of one, whatever they divide: batch, weights, layers, list of layers."""

import functools
import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from netwright import cli
from warm import TRAINING, Warm

TEXTS = """
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
IMAGES = """
[task]
name = "synthetic"
examples = 400
[model]
{model}
[train]
epochs = 2
batch = 40
threads = 1
accumulate = 4
clip = 0.5
"""
RECIPES = {
    "transformer": TEXTS,
    "mlp": IMAGES.format(model='name = "mlp"\nwidth = 32\ndepth = 3'),
    "cnn": IMAGES.format(model='name = "cnn"\nwidth = 8') + 'optimizer = "sgd"\nlr = 0.05\n',
}
LEVELS = {
    "cascade": 'schedule = "cascade"\nlength = [1, 0.5]\n',
    "v": 'schedule = "v"\npre = 1\npost = 1\ncoarse = 3\ntau = "constant"\n',
}


def curve(runs):
    (path,) = runs.glob("*-train-*/metrics.jsonl")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    losses = [(row["step"], row.get("loss", row.get("validation_loss"))) for row in rows]
    return [(step, loss) for step, loss in losses if loss is not None]


def weights(runs, file="artifact/weights.safetensors"):
    (path,) = runs.glob(f"*-train-*/{file}")
    return load_file(path)


LAUNCHER = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "0", "--rdzv-backend", "c10d",
            "--rdzv-endpoint", "127.0.0.1:0")  # fmt: skip


def launched(*words, code=0):
    done = subprocess.run([sys.executable, *words], check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stderr[-3000:]
    return done


@pytest.fixture(scope="module")
def netwright():
    with tempfile.TemporaryDirectory() as folder, Warm(Path(folder), TRAINING) as bin:  # a socket's path must be short
        yield bin / "netwright"


def together(program, processes, words):
    """The environment that torchrun makes, without torchrun: processes that have imported torch before."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    team = {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    alone = {"cwd": Path.cwd(), "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    started = [
        subprocess.Popen([program, *words], **alone,
                         env={**os.environ, **team, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(processes)
    ]  # fmt: skip
    told = [one.communicate(timeout=300)[1] for one in started]
    assert [one.returncode for one in started] == [0] * processes, "\n".join(text[-3000:] for text in told)


def run(tmp_path, kind, *launcher, text=TEXTS, netwright=None):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(text)
    runs = tmp_path / kind
    words = ["train", str(recipe), f"runs={runs}", f"train.parallel={kind}", "--json"]
    if netwright is None:
        launched(*launcher, "-m", "netwright", *words)
    else:
        together(netwright, 1 if kind == "none" else 2, words)
    return runs


@pytest.fixture(scope="module")
def single(tmp_path_factory, netwright):
    return functools.cache(
        lambda name: run(tmp_path_factory.mktemp(name), "none", text=RECIPES[name], netwright=netwright)
    )


CASES = [(kind, "transformer") for kind in ("ddp", "fsdp2", "tensor", "pipeline")]
CASES += [(kind, name) for kind in ("tensor", "pipeline") for name in ("mlp", "cnn")]


@pytest.mark.parametrize(("kind", "name"), CASES, ids=["-".join(case) for case in CASES])
def test_two_processes_give_the_curve_of_one(tmp_path, single, netwright, kind, name):
    """With torchrun by data-parallel training, the others as torchrun would start them."""
    warm = None if kind == "ddp" else netwright
    one, two = single(name), run(tmp_path, kind, *LAUNCHER, text=RECIPES[name], netwright=warm)
    found, wanted = curve(two), curve(one)
    assert [step for step, _ in found] == [step for step, _ in wanted]
    for (_, a), (_, b) in zip(found, wanted, strict=True):
        assert a == pytest.approx(b, rel=2e-4)
    for file in ("artifact/weights.safetensors", "checkpoints/last.safetensors"):
        ours, theirs = weights(two, file), weights(one, file)
        assert ours.keys() == theirs.keys()
        # a key's bias has no gradient but rounding, which Adam divides by itself
        assert all(torch.allclose(ours[n].double(), theirs[n].double(), atol=1e-3) for n in ours)
    if name == "transformer":  # the same command finds the run done, in all processes
        assert run(tmp_path, kind, *LAUNCHER, netwright=warm) == two
        assert len(list(two.glob("*-train-*"))) == 1


def test_what_was_trained_in_parts_is_exported_and_predicted_as_any_other(tmp_path, capsys, netwright):
    runs = run(tmp_path, "tensor", netwright=netwright)
    (folder,) = runs.glob("*-train-*")
    assert cli.main(["export", str(folder), "--format", "program", f"runs={runs}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)
    result = json.loads((folder / "run.json").read_text())["result"]
    step = next(row for row in result["plan"] if row["quantity"] == "training_step")
    assert 0 < step["low"] <= step["planned"] <= step["high"]
    assert step["actual"] > 0
    measured = {row["quantity"]: row for row in result["measurements"]}
    assert measured["training_step"]["conditions"] == {"parallel": "tensor", "processes": 2}
    assert len(set(measured["training_memory"]["conditions"]["parameters"])) == 1
    planned = {row["quantity"]: row for row in json.loads((folder / "plan.json").read_text())}
    assert "messages take" in planned["training_step"]["conditions"]["basis"]


@pytest.mark.parametrize("schedule", [pytest.param("cascade", marks=pytest.mark.slow), "v"])
def test_two_processes_give_the_curve_of_one_through_levels(tmp_path, netwright, schedule):
    text = f"{TEXTS}[train.multilevel]\n{LEVELS[schedule]}"
    one, two = (curve(run(tmp_path, kind, text=text, netwright=netwright)) for kind in ("none", "ddp"))
    assert [step for step, _ in two] == [step for step, _ in one]
    for (_, a), (_, b) in zip(two, one, strict=True):
        assert a == pytest.approx(b, rel=2e-3)


PIECES = """
import json, sys
from pathlib import Path

import torch

from netwright.core.run import Run
from netwright.data import synthetic
from netwright.data.tasks import Batch
from netwright.models import mlp, transformer
from netwright.train.loop import fit
from netwright.train.parallel import Team, join
from netwright.train.step import Config

kind, folder = sys.argv[1], Path(sys.argv[2])
texts = synthetic.open(synthetic.Config(name="synthetic-text", examples=200))
images = synthetic.open(synthetic.Config(examples=200))
settings = {"epochs": 2, "batch": 40, "accumulate": 2, "threads": 1, "lr": 0.01, "clip": 0.5, "average": 0.9}
config = Config(**settings, parallel=kind, checkpointing=True, precision="bf16")
cpu = torch.device("cpu")
padded = texts.batch


def cut(split, indices_B, generator=None):  # as long as its longest text: batches differ in shape
    batch = padded(split, indices_B, generator)
    longest = int(batch.inputs["mask"].sum(1).max())
    return Batch({name: x[:, :longest] for name, x in batch.inputs.items()}, batch.labels_B)


texts.batch = cut
assert len({cut("train", i).inputs["ids"].shape for i in texts.lengths("train").argsort().split(40)}) > 2


def network(module, task, **sizes):
    torch.manual_seed(1)
    return module.build(module.Config(**sizes), task.inputs, len(task.classes))


def trained(team, name, *stops):
    for stop in stops:
        model = network(transformer, texts, width=16, dropout=0.1)
        if not team.leads:
            found = fit(model, texts, config, team=team, stop_after=stop)
            continue
        with Run.start(folder, "train", {"test": name}) as run:
            found = fit(model, texts, config, run, team=team, stop_after=stop)
    return found


with join(config, cpu) as team:
    whole, pieces = trained(team, "whole", None), trained(team, "pieces", 4, 7, None)
    if kind == "tensor":  # draws the masks of one process, in divided layers too
        again = mlp, images, {"width": 32, "dropout": 0.3}
    else:
        again = transformer, texts, {"width": 16, "dropout": 0.0}
    module, task, sizes = again
    shorter = {**settings, "epochs": 1}
    together = fit(network(module, task, **sizes), task, Config(**shorter, parallel=kind), team=team).weights
    if team.leads:
        same = {n for n in whole.weights if torch.equal(whole.weights[n], pieces.weights[n])}
        report = {"same": len(same), "of": len(whole.weights), "held": whole.held, "steps": [whole.step, pieces.step]}
        report["whole"] = sum(p.numel() for p in network(transformer, texts, width=16).parameters()) * 4
        alone = fit(network(module, task, **sizes), task, Config(**shorter)).weights
        report["off"] = max(float((alone[n] - together[n]).abs().max()) for n in alone if "qkv.bias" not in n)
        (folder / "report.json").write_text(json.dumps(report))
"""


SLOW_KINDS = [pytest.param(kind, marks=pytest.mark.slow) for kind in ("tensor", "pipeline")]


@pytest.mark.parametrize("kind", ["fsdp2", *SLOW_KINDS])
def test_what_was_stopped_goes_on_to_the_same_bits_and_each_holds_its_part(tmp_path, kind):
    script = tmp_path / "pieces.py"
    script.write_text(PIECES)
    launched(*LAUNCHER, str(script), kind, str(tmp_path))
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["steps"] == [10, 10]
    assert report["same"] == report["of"]
    assert report["off"] < 1e-3
    first, second = report["held"]
    if kind == "tensor":
        # of each of two blocks 16 * 16 * (3 + 1 + 2 + 2) weights and the biases of qkv and up are divided
        divided = 4 * 2 * (16 * 16 * 8 + 3 * 16 + 2 * 16)
        assert first == second == report["whole"] - divided / 2
    else:
        assert first + second == pytest.approx(report["whole"])
        assert max(first, second) < (0.51 if kind == "fsdp2" else 0.8) * report["whole"]


ARCHITECTURES = """
import inspect, json, sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

sys.path.insert(0, sys.argv[1])
from architectures import CASES

from netwright.core.error import UserError
from netwright.train.parallel.tensor import TensorParallel

dist.init_process_group("gloo")
report = {}
for name, case in CASES.items():
    torch.manual_seed(0)
    model, example = case.build()
    example = (example,) if isinstance(example, Tensor) else example
    example = dict(zip(inspect.signature(model.forward).parameters, example))
    size = sum(p.numel() for p in model.parameters())
    try:
        TensorParallel("tensor", dist.get_rank(), 2, torch.device("cpu")).wrap(model, example)
        report[name] = sum(p.numel() for p in model.parameters()) / size
    except UserError as refusal:
        report[name] = str(refusal)
if dist.get_rank() == 0:
    Path(sys.argv[2]).write_text(json.dumps(report))
dist.destroy_process_group()
"""


def test_networks_of_many_families_are_divided_and_compute_the_same(tmp_path):
    script, found = tmp_path / "families.py", tmp_path / "found.json"
    script.write_text(ARCHITECTURES)
    launched(*LAUNCHER, str(script), str(Path(__file__).parents[1] / "unit" / "train" / "multilevel"), str(found))
    report = json.loads(found.read_text())  # of a wrong one `wrap` says "it computes another"
    whole = {name for name, share in report.items() if isinstance(share, str)}
    assert whole == {"unet", "densenet", "lstm"}
    assert all("it has no units" in report[name] for name in whole)
    assert max(share for name, share in report.items() if name not in whole) < 0.85


def test_what_cannot_be_divided_is_refused_in_every_process_before_anything_is_written(tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(TEXTS)
    words = ["train", str(recipe), "train.parallel=tensor", "model.width=15", "model.heads=5", "model.expand=1"]
    done = launched(*LAUNCHER, "-m", "netwright", *words, f"runs={tmp_path}/runs", code=1)
    assert "train.parallel = 'tensor': this network cannot be divided among 2 processes" in done.stderr
    assert "Next: train.parallel=fsdp2" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_plan_on_two_processes_says_what_a_step_will_take(tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(TEXTS)
    words = ["-m", "netwright", "train", str(recipe), "train.parallel=pipeline", f"runs={tmp_path}/runs", "--dry-run"]
    shown = launched(*LAUNCHER, *words).stdout
    assert shown.count("training step") == 1
    assert not (tmp_path / "runs").exists()


def test_parallel_without_torchrun_is_refused(tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(TEXTS)
    words = ["-m", "netwright", "train", str(recipe), "train.parallel=ddp", f"runs={tmp_path}/runs"]
    assert "RANK" not in os.environ
    assert "torchrun --nproc-per-node 2" in launched(*words, code=2).stderr
    assert not (tmp_path / "runs").exists()
