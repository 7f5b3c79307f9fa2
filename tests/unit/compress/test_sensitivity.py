"""Which layer hurts: the one that was made hard to round, and the network is as it was."""

import copy

import pytest
import torch

from netwright.compress import quantize, sensitivity
from netwright.models import quantized
from netwright.models.load import open_model


def test_the_layer_that_is_hard_to_round_hurts_most(tiny):
    task, source = tiny["image"]
    model = open_model(source)
    before = copy.deepcopy(model.state_dict())
    rows = sensitivity.measured(model, task, (4, 8), n=64)
    assert {row.layer for row in rows} == quantized.layers(model).keys()
    assert [row.error for row in rows] == sorted((row.error for row in rows), reverse=True)
    assert sum(row.weights for row in rows) == pytest.approx(1)
    assert all(row.loss_low <= row.loss <= row.loss_high for row in rows)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    mild = rows[-1].layer
    with torch.no_grad():
        weight = model.get_submodule(mild).weight
        weight[:, 0].mul_(60)  # one input takes the levels of all others
    again = sensitivity.measured(model, task, (2, 8), n=64)
    assert next(row.error for row in again if row.layer == mild) > 5 * next(r.error for r in rows if r.layer == mild)


def test_sensitive_layers_are_kept_by_name(tiny):
    task, source = tiny["image"]
    config = quantize.resolved(source, task, quantize.Config(to="int4", sensitive=2))
    worst = [row.layer for row in sensitivity.measured(open_model(source), task, (4, 8))[:2]]
    assert list(config.keep) == worst
    assert config.sensitive == 0
    grids = quantize.grids(open_model(source), 4, 8, 64, config.keep)
    assert all(grids[name]["weights"] == 8 for name in worst)
    assert quantize.grids(open_model(source), 8, 8, 64, config.keep).keys().isdisjoint(worst)
