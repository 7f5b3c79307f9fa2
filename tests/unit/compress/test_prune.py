"""Structured pruning: units that do nothing may go, and what is left is a network like any other."""

import copy
import re

import pytest
import torch
from torch import nn

from netwright import cli
from netwright.compress import prune, retrain
from netwright.core.error import UserError
from netwright.core.run import Run
from netwright.data import synthetic
from netwright.models import cnn, facts, mlp, resnet, transformer
from netwright.models.load import WEIGHTS
from netwright.train import loop
from netwright.train.multilevel.coupling import trace
from netwright.train.multilevel.matching import units
from netwright.train.multilevel.part import part

IMAGES = synthetic.open(synthetic.Config(examples=200, side=20))
TEXTS = synthetic.open(synthetic.Config(name="synthetic-text", examples=200))
EVERY = [
    (cnn, IMAGES, {"width": 16}),
    (mlp, IMAGES, {"width": 48, "depth": 3}),
    (resnet, IMAGES, {"width": 8}),
    (transformer, TEXTS, {"width": 32, "heads": 4}),
]


def network(module, task, **settings):
    torch.manual_seed(1)
    return module.build(module.Config(**settings), task.inputs, len(task.classes)).eval()


def silence(model, coupling, gone):
    """Let nothing read the units that are to go; of what a normalization runs over that is not enough."""
    tensors = dict(model.named_parameters())
    with torch.no_grad():
        for space in coupling.spaces:
            for axis in space.axes if space.name in gone else ():
                if axis.role == "consumer" and axis.tensor in tensors:
                    mask = torch.zeros(space.size, dtype=torch.bool)
                    mask[gone[space.name]] = True
                    tensor = tensors[axis.tensor]
                    length = axis.outer * space.size * axis.inner
                    where = mask.repeat_interleave(axis.inner).repeat(axis.outer)
                    part = tensor.movedim(axis.dim, 0)[axis.start : axis.start + length]
                    part[where] = 0


@pytest.mark.parametrize(("module", "task", "settings"), EVERY)
def test_units_that_nothing_reads_go_without_a_trace(module, task, settings):
    model = network(module, task, **settings)
    example = task.example(3)
    coupling = trace(model, example)
    gone = {s.name: torch.arange(0, s.size, 3) for s in coupling.free if not s.uniform}
    assert gone
    silence(model, coupling, gone)
    keep = {name: ~torch.isin(torch.arange(next(s.size for s in coupling.free if s.name == name)), units_gone)
            for name, units_gone in gone.items()}  # fmt: skip
    small = part(model, coupling, keep, example)
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in model.parameters())
    torch.testing.assert_close(small(**example), model(**example), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("keep", [0.7, 0.4])
@pytest.mark.parametrize(("module", "task", "settings"), EVERY)
def test_the_work_that_is_left_is_no_more_than_was_asked_for(module, task, settings, keep):
    model = network(module, task, **settings)
    before = copy.deepcopy(model.state_dict())
    small = prune.pruned(model, task, prune.Config(keep=keep))
    work = [facts.trace(one, task.example(1)).flops for one in (model, small)]
    assert 0.4 * keep < work[1] / work[0] <= keep
    assert all(torch.equal(before[name], x) for name, x in model.state_dict().items()), "the source is as it was"


def test_no_step_more_would_fit():
    model = network(mlp, IMAGES, width=256, depth=3)
    coupling = trace(model, IMAGES.example(2))
    small = prune.pruned(model, IMAGES, prune.Config(keep=0.5))
    full = facts.trace(model, IMAGES.example(1)).flops
    sizes = {s.name: one.size for s, one in zip(coupling.free, trace(small, IMAGES.example(2)).free, strict=True)}
    assert all(size % prune.MULTIPLE == 0 for size in sizes.values())
    for space in coupling.free:
        more = {**sizes, space.name: sizes[space.name] + prune.MULTIPLE}
        keep = {s.name: torch.arange(s.size) < more[s.name] for s in coupling.free}
        larger = part(model, coupling, keep, IMAGES.example(2))
        assert facts.trace(larger, IMAGES.example(1)).flops / full > 0.5


def test_the_weakest_units_go():
    model = network(mlp, IMAGES, width=40, depth=1)
    with torch.no_grad():
        model.layers[0].weight[:10] *= 0.01
        model.layers[0].bias[:10] *= 0.01
        model.head.weight[:, :10] *= 0.01
    space = trace(model, IMAGES.example(2)).free[0]
    score = prune.importance(model, [space])[space.name]
    stays = prune.chosen(score, space, 30)
    assert stays.tolist() == [False] * 10 + [True] * 30


def test_groups_lose_as_many_units_each():
    class Grouped(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.norm = nn.Conv2d(1, 32, 3), nn.GroupNorm(4, 32)
            self.last = nn.Conv2d(32, 4, 3)

        def forward(self, image):
            return self.last(torch.relu(self.norm(self.first(image)))).mean((2, 3))

    model = Grouped()
    with torch.no_grad():
        model.first.weight[:8] = 0  # the whole first group is weak
    small = prune.pruned(model, IMAGES, prune.Config(keep=0.55))
    assert small.norm.num_groups == 4
    assert small.norm.num_channels == small.first.out_channels == 16
    assert units(small.first.weight.detach(), trace(small, IMAGES.example(2)).free[0].axes[0], 16).shape == (16, 9)


def test_what_cannot_be_reached_is_refused_with_what_can():
    model = network(transformer, TEXTS, width=32, heads=4)
    with pytest.raises(UserError) as refusal:
        prune.pruned(model, TEXTS, prune.Config(keep=0.02, kinds=("head",)))
    assert refusal.value.setting == "compress.keep"
    share = float(refusal.value.next.split("=")[1])
    small = prune.pruned(model, TEXTS, prune.Config(keep=share, kinds=("head",)))
    assert small.blocks[0].heads == 1
    with pytest.raises(UserError, match="has channel"):
        prune.pruned(network(cnn, IMAGES), IMAGES, prune.Config(kinds=("head",)))


def test_training_on_is_the_networks_own_but_shorter_and_slower(tiny):
    source = tiny["image"].artifact
    plain = retrain.continued(source, retrain.Retraining(threads=1))
    assert (plain.epochs, plain.lr) == (1, 5e-4), "of a network that says nothing of its training"
    asked = retrain.continued(source, retrain.Retraining(epochs=7, lr=0.1, batch=9, seed=3, threads=1))
    assert (asked.epochs, asked.lr, asked.batch, asked.seed, asked.threads) == (7, 0.1, 9, 3, 1)


def test_the_verb_tells_what_it_cost_and_finds_it_again(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = tmp_path / "small.toml"
    recipe.write_text(
        '[task]\nname = "synthetic"\n[model]\nname = "cnn"\nwidth = 8\n[train]\nepochs = 3\nbatch = 50\nthreads = 1\n'
    )
    assert cli.main(["train", str(recipe)]) == 0
    run = next((tmp_path / "runs").glob("*train*"))
    capsys.readouterr()
    words = ["compress", str(run), "--method", "prune", "compress.keep=0.6"]
    assert cli.main(words) == 0
    out = capsys.readouterr().out
    assert "Change of accuracy" in out
    assert re.search(r"Latency: [\d.]+ \[[\d.]+, [\d.]+\] of before", out)
    assert len(list((tmp_path / "runs").glob("*bench*"))) == 1
    made = next((tmp_path / "runs").glob("*compress*"))
    weights = (made / "artifact" / "weights.safetensors").stat().st_mtime_ns
    assert cli.main(words) == 0
    assert (made / "artifact" / "weights.safetensors").stat().st_mtime_ns == weights
    assert cli.main(["compress", str(made), "--method", "prune"]) == 0, "what was pruned can be pruned again"
    assert cli.main(["export", str(made), "--format", "onnx"]) == 0
    exported = next((tmp_path / "runs").glob("*export*"))
    capsys.readouterr()
    assert cli.main(["compress", str(exported), "--method", "prune"]) == 2
    assert 'format "torch"' in capsys.readouterr().err


def test_training_on_that_was_killed_ends_with_the_same_weights(tiny, tmp_path, monkeypatch):
    task, source = tiny["image"]
    config = prune.Config(epochs=2, threads=1)

    def made(runs):
        with Run.start(runs, "compress", {"of": source.digest}) as run:
            return prune.apply(source, task, config, run.folder / "artifact", run)

    whole = made(tmp_path / "whole")
    fit = loop.fit

    def killed(model, task, config, run):
        fit(model, task, config, run, stop_after=9)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "fit", killed)
    with pytest.raises(KeyboardInterrupt):
        made(tmp_path / "pieces")
    assert not list((tmp_path / "pieces").glob("*/artifact"))
    monkeypatch.setattr(loop, "fit", fit)
    again = made(tmp_path / "pieces")
    assert again.path(WEIGHTS).read_bytes() == whole.path(WEIGHTS).read_bytes()
