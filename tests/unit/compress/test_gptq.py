"""Rounding that makes up for itself: on the grid, nearer in the answers, for every kind of layer."""

import copy

import pytest
import torch
from torch import nn

from netwright.compress import gptq
from netwright.models import quantized


def layer_and_inputs(layer, *shape):
    """A layer in a network, and inputs of which neighbours are alike, as real ones are."""
    generator = torch.Generator().manual_seed(3)
    shared = torch.randn(shape[0], 1, *shape[2:], generator=generator)
    return nn.Sequential(layer).eval(), shared + 0.3 * torch.randn(shape, generator=generator)


def cases():
    torch.manual_seed(0)
    return {
        "linear": layer_and_inputs(nn.Linear(64, 16), 200, 64),
        "tokens": layer_and_inputs(nn.Linear(64, 16), 20, 9, 64),
        "convolution": layer_and_inputs(nn.Conv2d(8, 16, 3, padding=1), 10, 8, 9, 9),
        "stride": layer_and_inputs(nn.Conv2d(8, 16, (3, 5), stride=(2, 1), padding=(0, 2)), 10, 8, 9, 9),
        "dilation": layer_and_inputs(nn.Conv2d(8, 16, 3, dilation=2, padding="same"), 10, 8, 9, 9),
        "reflection": layer_and_inputs(nn.Conv2d(8, 16, 3, padding=2, padding_mode="reflect"), 10, 8, 9, 9),
        "sequence": layer_and_inputs(nn.Conv1d(8, 16, 4, stride=2, bias=False), 20, 8, 21),
        "volume": layer_and_inputs(nn.Conv3d(4, 8, 2), 5, 4, 5, 6, 7),
    }


@torch.no_grad()
@pytest.mark.parametrize("name", cases())
def test_columns_times_weights_are_the_answers(name):
    model, x = cases()[name]
    layer = model[0]
    rows_NI = gptq.columns(layer, x, torch.Generator().manual_seed(0))
    answers = layer(x)
    flat = answers.flatten(0, -2) if isinstance(layer, nn.Linear) else answers.movedim(1, -1).flatten(0, -2)
    bias = 0 if layer.bias is None else layer.bias
    found = rows_NI @ layer.weight.flatten(1).T + bias
    order = [one[:, 0].argsort() for one in (found, flat)]  # rows are drawn in any order
    torch.testing.assert_close(found[order[0]], flat[order[1]], rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("name", cases())
@pytest.mark.parametrize("bits", [3, 8])
def test_answers_change_less_and_weights_lie_on_the_grid(name, bits):
    model, x = cases()[name]
    want = model(x)
    quantized.quantize(model, {"0": {"weights": bits, "inputs": 0}})
    nearest = (model(x) - want).norm()
    gptq.settle(model, {"input": x})
    assert (model(x) - want).norm() < (0.9 if bits == 3 else 1.0) * nearest
    levels = model[0]._rows() / model[0].weight_step
    torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-3)
    assert levels.abs().max() <= model[0].grid.largest + 1e-3


@torch.no_grad()
def test_groups_keep_their_steps():
    model, x = cases()["linear"]
    want = model(x)
    quantized.quantize(model, {"0": {"weights": 4, "inputs": 0, "group": 16}})
    steps, nearest = model[0].weight_step.clone(), (model(x) - want).norm()
    gptq.settle(model, {"input": x})
    assert torch.equal(steps, model[0].weight_step)
    assert (model(x) - want).norm() < nearest


@torch.no_grad()
def test_inputs_that_are_never_seen_change_nothing():
    model, x = cases()["linear"]
    x[:, 10:30] = 0
    quantized.quantize(model, {"0": {"weights": 4, "inputs": 8}})
    quantized.calibrate(model, [{"input": x}])
    nearest = model[0].rounded_weight()[:, 10:30]
    gptq.settle(model, {"input": x})
    assert torch.isfinite(model[0].weight).all()
    torch.testing.assert_close(model[0].rounded_weight()[:, 10:30], nearest)
    model, x = cases()["linear"]
    quantized.quantize(model, {"0": {"weights": 4, "inputs": 0}})
    gptq.settle(model, {"input": torch.zeros_like(x)})
    assert torch.isfinite(model[0].weight).all()


@torch.no_grad()
def test_later_layers_see_what_earlier_ones_answer_on_their_grids():
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8)).eval()
    x = torch.randn(400, 1) + 0.3 * torch.randn(400, 32)
    errors = []
    for settled in (False, True):
        model = copy.deepcopy(plain)
        quantized.quantize(model, {name: {"weights": 3, "inputs": 8} for name in quantized.layers(model)})
        quantized.calibrate(model, [{"input": x}])
        if settled:
            gptq.settle(model, {"input": x})
        errors.append(float((model(x) - plain(x)).norm()))
    assert errors[1] < 0.7 * errors[0]
    shared = nn.Linear(32, 32)
    twice = nn.Sequential(shared, nn.ReLU(), shared)
    quantized.quantize(twice, {"0": {"weights": 4, "inputs": 0}})
    gptq.settle(twice, {"input": x})
    assert torch.isfinite(twice(x)).all()
