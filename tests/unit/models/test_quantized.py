"""Layers on grids: what lies on them, what training does through them, and what a hostile manifest cannot do."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from netwright.compress.quantize import grids
from netwright.core.error import UserError
from netwright.models import quantized
from netwright.models.quantized import Grid


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(8 * 36, 5)
    ).eval()


def images(n=6):
    return torch.randn(n, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def on(model, **grid):
    quantized.quantize(model, dict.fromkeys(quantized.layers(model), grid))
    return model


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_a_weight_has_no_more_levels_than_its_bits(bits):
    model = on(network(), weights=bits, inputs=0)
    for layer in quantized.on_grid(model).values():
        for row in layer.rounded_weight().flatten(1):
            assert len(row.unique()) <= 2**bits - 1
            step = layer.weight_step.flatten()
            assert row.abs().max() <= step.max() * (2 ** (bits - 1) - 1) + 1e-6


def test_groups_have_steps_of_their_own():
    torch.manual_seed(0)
    layer = nn.Linear(64, 4)
    with torch.no_grad():
        layer.weight[:, :32] *= 100
    model = nn.Sequential(layer)
    whole = (on(copy.deepcopy(model), weights=4, inputs=0)[0].rounded_weight() - layer.weight)[:, 32:].abs().mean()
    apart = (
        (on(copy.deepcopy(model), weights=4, inputs=0, group=32)[0].rounded_weight() - layer.weight)[:, 32:]
        .abs()
        .mean()
    )
    assert apart < 0.1 * whole


@torch.no_grad()
def test_more_bits_are_nearer_to_the_network():
    plain, x = network(), images()
    errors = []
    for bits in (3, 4, 6, 8):
        model = on(copy.deepcopy(plain), weights=bits, inputs=bits)
        quantized.calibrate(model, [{"input": x}])
        errors.append(float((model(x) - plain(x)).norm() / plain(x).norm()))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.02


def test_training_goes_through_the_rounding_and_learns_the_steps():
    model, x = on(network(), weights=4, inputs=8), images()
    quantized.calibrate(model, [{"input": x}])
    model.train()(x).square().mean().backward()
    for layer in quantized.on_grid(model).values():
        for parameter in (layer.weight, layer.weight_step, layer.inputs.step):
            assert parameter.grad is not None
            assert parameter.grad.abs().sum() > 0


@torch.enable_grad()
@pytest.mark.parametrize("at", [0.3, 1.0, 40.0])
def test_the_gradient_of_a_step_is_that_of_what_is_rounded(at):
    """Of a step so small that rounding hardly matters, and one so large that all lies within: equation 3 of LSQ."""
    x = torch.linspace(0, 20, 4001)[None]
    step = torch.full((1, 1, 1), at / 15, requires_grad=True)
    weights = torch.randn(4001, generator=torch.Generator().manual_seed(0))
    (quantized._Rounded.apply(x, step, torch.tensor(0, dtype=torch.int32), 15) * weights).sum().backward()
    levels = (x / step.detach().view(())).round().clamp(0, 15)
    beyond = x > at
    expected = (weights * torch.where(beyond, levels, levels - x / step.detach().view(()))).sum() * (4001 * 15) ** -0.5
    assert float(step.grad) == pytest.approx(float(expected), rel=1e-3)


def test_learning_the_step_mends_a_bad_one():
    x = torch.randn(512, 16, generator=torch.Generator().manual_seed(0)).relu()
    model = on(nn.Sequential(nn.Linear(16, 16)), weights=8, inputs=4)
    quantized.calibrate(model, [{"input": x}])
    good = float(model[0].inputs.step.detach())
    with torch.no_grad():
        model[0].inputs.step.mul_(4)
    optimizer = torch.optim.SGD([model[0].inputs.step], lr=3)
    for _ in range(200):
        optimizer.zero_grad()
        (model[0].rounded_input(x) - x).square().mean().backward()
        optimizer.step()
    assert float(model[0].inputs.step.detach()) == pytest.approx(good, rel=0.3)


def test_calibration_sees_what_is_rare_and_large():
    x = torch.rand(1000, 1000, generator=torch.Generator().manual_seed(0))
    x[500, 501] = 200.0
    model = on(nn.Sequential(nn.Linear(1000, 2)), weights=8, inputs=8)
    quantized.calibrate(model, [{"input": x}, {"input": x[:2] - 4}])
    layer = model[0]
    assert 255 * float(layer.inputs.step.detach()) == pytest.approx(204, rel=0.01)
    assert int(layer.inputs.zero) == 5


@given(low=st.floats(-1e4, 1e4), high=st.floats(-1e4, 1e4), levels=st.sampled_from([3, 15, 255]))
@settings(max_examples=100, deadline=None)
def test_zero_is_always_a_level(low, high, levels):
    step, zero = quantized.affine(torch.tensor(sorted([low, high])), levels)
    assert 0 <= int(zero) <= levels
    assert step > 0


@pytest.mark.parametrize(
    "stated",
    [
        [], "all", {"9": {}}, {"1": {"weights": 4}}, {"0": {"weights": 1}}, {"0": {"weights": 64}}, {"0": {"bits": 4}},
        {"0": {"weights": 4, "group": 8}}, {"4": {"weights": 4, "group": 7}}, {"0": 4}, {"__class__": {}},
    ],
)  # fmt: skip
def test_a_statement_that_is_none_is_refused(stated):
    with pytest.raises(UserError):
        quantized.quantize(network(), stated)


def test_what_is_stated_builds_the_same_network():
    first, x = on(network(), weights=4, inputs=8), images()
    quantized.calibrate(first, [{"input": x}])
    with torch.device("meta"):
        outline = network_like()
        quantized.quantize(outline, quantized.stated(first))
    assert outline.state_dict().keys() == first.state_dict().keys()
    again = network_like()
    quantized.quantize(again, quantized.stated(first))
    again.load_state_dict(first.state_dict())
    assert torch.equal(again.eval()(x), first(x))


def network_like():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(8 * 36, 5)
    )


@pytest.mark.parametrize(
    ("grids", "said"),
    [
        ([], "fp32"),
        ([Grid(weights=8, inputs=8)], "int8"),
        ([Grid(weights=4, inputs=8), Grid(weights=8, inputs=8)], "int4"),
        ([Grid(weights=8, inputs=0)], "int8-weights"),
        ([Grid(weights=4, inputs=0)], "int4-weights"),
    ],
)
def test_a_file_is_called_by_its_narrowest_weights(grids, said):
    from netwright.core import recipe

    assert quantized.precision({"name": "x", **({"quantized": {str(k): recipe.plain(g) for k, g in enumerate(grids)}}
                                                if grids else {})}) == said  # fmt: skip


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.first, self.last = nn.Conv2d(channels, channels, 3, padding=1), nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        return torch.relu(x + self.last(torch.relu(self.first(x))))


class Residual(nn.Module):
    """`changes`: the first block's answer is changed in place, so that nobody reads it as it was."""

    def __init__(self, changes=False):
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.head, self.changes = nn.Conv2d(3, 8, 3), nn.Linear(8, 4), changes
        self.blocks = nn.ModuleList(Block(8) for _ in range(3))

    def forward(self, image):
        x = torch.relu(self.stem(image))
        for block in self.blocks:
            x = block(x)
            if self.changes and block is self.blocks[0]:
                x += 1
        return self.head(x.mean((2, 3)))


def test_what_a_sum_reads_beside_layers_is_found():
    for _ in range(20):  # whatever was in memory where
        assert quantized.shared(Residual(), {"image": images()}) == {
            "blocks.0": ["blocks.1.first"],
            "blocks.1": ["blocks.2.first"],
        }
    assert quantized.shared(Residual(changes=True), {"image": images()}) == {"blocks.1": ["blocks.2.first"]}
    assert quantized.shared(network(), {"input": images()}) == {}


def test_what_several_layers_read_is_found():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.query, self.key = nn.LayerNorm(8), nn.Linear(8, 4), nn.Linear(8, 4)

        def forward(self, x):
            x = self.norm(x)
            return self.query(x) * self.key(x)

    assert quantized.shared(Attention(), {"x": torch.randn(2, 8)}) == {"norm": ["query", "key"]}
    model = Attention()
    model.norm = nn.Linear(8, 8)  # a layer has a grid of its own
    assert quantized.shared(model, {"x": torch.randn(2, 8)}) == {}


def test_what_is_called_twice_is_not_rounded():
    model = Residual()
    model.blocks[1] = model.blocks[0]
    assert quantized.shared(model, {"image": images()}) == {}


@torch.no_grad()
def test_outputs_have_no_more_levels_than_their_bits():
    model, image = Residual().eval(), images()
    before = model(image)
    quantized.quantize(model, grids(model, 8, 8, 64, example={"image": image}))
    assert quantized.stated(model)["blocks.0"] == {"outputs": 8}
    assert quantized.stated(model)["blocks.1.first"]["inputs"] == 0
    quantized.calibrate(model, [{"image": image}])
    seen = []
    model.blocks[1].register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    after = model(image)
    assert len(seen[0].unique()) <= 256 < image[0].numel() * 8
    assert float((after - before).norm() / before.norm()) < 0.05
    again = Residual().eval()
    quantized.quantize(again, quantized.stated(model))
    again.load_state_dict(model.state_dict())
    torch.testing.assert_close(again(image), after)
    torch.testing.assert_close(copy.deepcopy(model)(image), after)


def test_outputs_are_put_on_a_grid_once():
    model = Residual()
    quantized.quantize(model, {"blocks.0": {"outputs": 8}})
    with pytest.raises(UserError, match="already"):
        quantized.quantize(model, {"blocks.0": {"outputs": 8}})
    with pytest.raises(UserError):
        quantized.quantize(Residual(), {"nowhere": {"outputs": 8}})
