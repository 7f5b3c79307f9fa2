"""Zeros among weights: as many as asked, where asked, there to stay, and the same after a kill."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from netwright.compress import prune, sparse
from netwright.core import artifact as artifacts
from netwright.core.run import Run
from netwright.models.load import WEIGHTS, open_model
from netwright.train import loop


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8), nn.Linear(8, 4))


def test_zeros_rise_to_the_target_and_stay():
    model = network().train()
    sparse.sparsify(model, "weights", 0.9, forwards=100)
    seen = []
    for _ in range(100):
        model(torch.randn(4, 64))
        seen.append(float((model[0].kept == 0).float().mean()))
    assert seen == sorted(seen)
    assert seen[0] == 0
    assert 0.5 < seen[30] < 0.9
    assert seen[-1] == pytest.approx(0.9, abs=1e-3)
    names = dict(model.named_parameters()).keys()
    assert sparse.bake(model) == pytest.approx(0.9, abs=1e-2)
    assert type(model[0]) is nn.Linear
    assert model.state_dict().keys() == names
    assert float((model[2].weight == 0).float().mean()) == pytest.approx(0.9, abs=1e-2)
    assert not (model[3].weight == 0).any(), "too small to be worth it"


def test_two_of_four_neighbouring_channels_are_left():
    model = nn.Sequential(nn.Conv2d(8, 16, 3), nn.Conv2d(16, 4, 1), nn.Conv2d(4, 4, 3, groups=4))
    sparse.sparsify(model, "2:4", 0.5, forwards=1)
    sparse.bake(model)
    fours = (model[0].weight != 0).movedim(1, -1).reshape(-1, 4).sum(1)
    assert fours.unique().tolist() == [2]
    assert (model[2].weight != 0).all()


def test_the_smallest_weights_go():
    layer = nn.Linear(64, 2, bias=False)
    with torch.no_grad():
        layer.weight[:] = torch.arange(128.0).view(2, 64) + 1
    sparse.sparsify(nn.Sequential(layer), "weights", 0.25, forwards=1)
    sparse.draw(nn.Sequential(layer), "weights", 0.25)
    assert (layer.kept.flatten() == 0).nonzero().flatten().tolist() == list(range(32))


def test_masked_weights_get_no_gradient():
    model = network().train()
    sparse.sparsify(model, "2:4", 0.5, forwards=10)
    model(torch.randn(4, 64)).square().sum().backward()
    assert (model[0].weight.grad[model[0].kept == 0] == 0).all()


@pytest.mark.parametrize("pattern", ["weights", "2:4"])
def test_it_is_a_pattern_of_pruning_and_goes_on_after_a_kill(pattern, tiny, tmp_path, monkeypatch):
    task, source = tiny["image"]
    config = prune.Config(pattern=pattern, keep=0.2, epochs=2, lr=0.005, threads=1)
    whole = prune.apply(source, task, config, tmp_path / "whole")
    weights = open_model(whole).state_dict()
    share = {"weights": 0.8, "2:4": 0.5}[pattern]
    assert whole.made_by["zeros"] == pytest.approx(share, abs=0.01)
    assert sparse.packed(whole.path(WEIGHTS)) < 0.8 * sparse.packed(source.path(WEIGHTS))
    assert artifacts.open(whole.folder).model == source.model

    averaging = replace(source, made_by={**source.made_by, "train": {"average": 0.99, "epochs": 2, "batch": 50}})
    averaged = prune.apply(averaging, task, config, tmp_path / "averaged")
    assert averaged.made_by["train"]["average"] == 0.99
    assert averaged.made_by["zeros"] == pytest.approx(share, abs=0.01), "a running average leaves zeros alone"

    real = loop.fit
    monkeypatch.setattr(
        loop, "fit", lambda *a, **k: real(*a, **k, stop_after=13) and (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt), Run.start(tmp_path, "compress", {"a": pattern}) as run:
        prune.apply(source, task, config, tmp_path / "killed", run)
    monkeypatch.setattr(loop, "fit", real)
    with Run.start(tmp_path, "compress", {"a": pattern}) as run:
        again = prune.apply(source, task, config, tmp_path / "killed", run)
    for name, value in open_model(again).state_dict().items():
        assert torch.equal(value, weights[name]), name
