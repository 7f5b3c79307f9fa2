"""Equalization: the same answers, less to lose in INT8, and nothing done where it would be wrong."""

import copy

import pytest
import torch
from torch import nn

from netwright import export
from netwright.compress import METHODS, equalize
from netwright.core.error import UserError
from netwright.data.tasks import Batch
from netwright.models.load import open_model
from netwright.train.multilevel.coupling import trace


class Images:
    """Enough of a task: images of 3 channels."""

    def __init__(self, n=64):
        self.x = torch.randn(n, 3, 8, 8, generator=torch.Generator().manual_seed(3))

    def size(self, split):
        return len(self.x)

    def example(self, n):
        return {"image": self.x[:n]}

    def batch(self, split, indices, generator=None):
        return Batch({"image": self.x[indices]}, torch.zeros(len(indices), dtype=torch.int64))


class Network(nn.Module):
    """Two convolutions, the first with or without a normalization, and a head."""

    def __init__(self, norm=True, activation=torch.relu):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.head = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 6, 3, padding=1), nn.Linear(6 * 9, 5)
        self.norm = nn.BatchNorm2d(8) if norm else nn.Identity()
        self.activation = activation

    def forward(self, image):
        x = nn.functional.max_pool2d(self.activation(self.norm(self.first(image))), 2)
        return self.head(self.activation(self.second(x)).flatten(1))


def uneven(network):
    """One channel of the first layer a hundred times as large, and as little read."""
    with torch.no_grad():
        last = network.norm if isinstance(network.norm, nn.BatchNorm2d) else network.first
        last.weight[0] *= 100
        last.bias[0] *= 100
        network.second.weight[:, 0] /= 100
    return network.eval()


@pytest.mark.parametrize("norm", [True, False])
def test_answers_stay_and_int8_gains(norm):
    network, task = uneven(Network(norm)), Images()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    even, trials = equalize.equalized(network, task, equalize.Config())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    torch.testing.assert_close(even(task.x), network(task.x), rtol=1e-4, atol=1e-5)
    kept = [trial for trial in trials if trial.kept]
    assert kept
    assert min(trial.after for trial in kept) < 0.5 * trials[0].before


def test_what_cannot_be_scaled_is_left():
    network, task = uneven(Network(activation=nn.functional.gelu)), Images()
    even, trials = equalize.equalized(network, task, equalize.Config())
    assert not [trial for trial in trials if trial.space.startswith("first")]
    torch.testing.assert_close(even(task.x), network(task.x), rtol=1e-4, atol=1e-5)


def test_a_space_is_scaled_back_exactly_by_its_inverse():
    network, task = Network().eval(), Images()
    scaled = copy.deepcopy(network)
    for space in trace(network, task.example(2)).free:
        scale_N = 2.0 ** torch.randint(-3, 4, (space.size,))
        equalize.rescale(scaled, space, scale_N)
        equalize.rescale(scaled, space, 1 / scale_N)
    for name, value in network.state_dict().items():
        assert torch.equal(value, scaled.state_dict()[name]), name


def test_it_is_a_method_that_makes_a_network(tiny, tmp_path):
    assert "equalize" in METHODS
    task, source = tiny["image"]
    made = equalize.apply(source, task, equalize.Config(), tmp_path / "made")
    assert (made.format, made.parents, made.model) == ("torch", (source.digest,), source.model)
    example = task.example(9)
    torch.testing.assert_close(open_model(made)(**example), open_model(source)(**example), rtol=1e-3, atol=1e-4)
    written = export.write(source, "openvino", task, tmp_path / "other", n=50)
    with pytest.raises(UserError, match="equalize takes an fp32 artifact"):
        equalize.check_source(written, equalize.Config())


@pytest.mark.parametrize("norm", [True, False])
def test_only_what_has_changed_is_laid_on_its_grid_anew_and_all_of_that(norm):
    network, task = uneven(Network(norm)), Images()
    grid = equalize.on_grid(network, task.example(2))
    for space in trace(network, task.example(2)).free:
        tried = copy.deepcopy(network)
        equalize.rescale(tried, space, torch.linspace(0.1, 1.0, space.size))
        moved, anew = equalize.moved(grid, tried), equalize.on_grid(tried, task.example(2))
        assert moved.state_dict().keys() == anew.state_dict().keys()
        for name, value in anew.state_dict().items():
            assert torch.equal(value, moved.state_dict()[name]), name
