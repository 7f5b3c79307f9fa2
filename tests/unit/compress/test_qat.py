"""Quantization-aware training: what it learns, and what it leaves as it is."""

import pytest
import torch
from torch import nn

from netwright.compress import qat
from netwright.models import quantized
from netwright.models.load import open_model


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.norm = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)

    def forward(self, x):
        return self.norm(self.layer(x))


@pytest.mark.parametrize("kept", [True, False])
def test_statistics_of_normalization_are_kept_where_asked(kept):
    model, x = Plain(), 5 + torch.randn(4, 1, 8, 8)
    if kept:
        qat.keep_statistics(model)
    model.train()(x).sum().backward()
    assert torch.equal(model.norm.running_mean, torch.zeros(2)) == kept
    assert torch.equal(model.train()(x), model.eval()(x)) == kept
    assert model.norm.weight.grad is not None


def test_grids_are_learned(tiny, tmp_path):
    task, source = tiny["image"]
    short = qat.apply(source, task, qat.Config(to="int4", epochs=1, lr=1e-7, threads=1), tmp_path / "short")
    made = qat.apply(source, task, qat.Config(to="int4", epochs=1, lr=0.01, batch=20, threads=1), tmp_path / "made")
    assert made.made_by["train"]["batch"] == 20
    first, learned = (quantized.on_grid(open_model(one)) for one in (short, made))
    assert any(
        not torch.allclose(first[name].inputs.step, learned[name].inputs.step)
        for name in first
        if first[name].grid.inputs
    )
    assert any(not torch.allclose(first[name].weight_step, learned[name].weight_step) for name in first)


def test_ranges_learn_and_weights_stay_on_their_levels(tiny, tmp_path):
    task, source = tiny["image"]
    config = {"to": "int4", "learn": "ranges", "epochs": 1, "threads": 1}
    before, after = (
        qat.apply(source, task, qat.Config(lr=lr, **config), tmp_path / name)
        for name, lr in (("before", 1e-9), ("after", 0.01))
    )
    first, learned = (quantized.on_grid(open_model(one)) for one in (before, after))
    for name, layer in learned.items():
        torch.testing.assert_close(layer.weight, first[name].weight)
        assert torch.equal(layer.weight_step, first[name].weight_step)
        torch.testing.assert_close(layer.rounded_weight(), layer.weight, rtol=1e-4, atol=1e-6)
    assert any(not torch.allclose(layer.inputs.step, first[name].inputs.step) for name, layer in learned.items())
