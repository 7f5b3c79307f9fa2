"""What is divided among processes is told by the graph of units, for any network, and each tensor along one axis."""

import pytest
import torch
from torch import nn

from netwright.data import synthetic
from netwright.models import cnn, mlp, resnet, transformer
from netwright.train.parallel.cuts import cuts

IMAGES = synthetic.open(synthetic.Config(examples=50, side=20))
TEXTS = synthetic.open(synthetic.Config(name="synthetic-text", examples=50))


def found(module, task, processes=2, **sizes):
    torch.manual_seed(0)
    model = module.build(module.Config(**sizes), task.inputs, len(task.classes))
    return model, cuts(model, task.example(2), processes)


def share(model, found):
    divided = sum(p.numel() for name, p in model.named_parameters() if name in found.axes)
    return divided / sum(p.numel() for p in model.parameters())


def test_of_four_layers_two_make_columns_and_two_read_rows():
    model, divided = found(mlp, IMAGES, width=32, depth=3)
    assert divided.columns == ("layers.0", "layers.4")
    assert divided.rows == ("layers.2", "head")
    assert share(model, divided) > 0.99


def test_heads_of_a_fused_projection_are_three_blocks_of_one_group():
    _, divided = found(transformer, TEXTS, width=32, heads=4, depth=1)
    qkv = divided.axes["blocks.0.qkv.weight"]
    assert (qkv.dim, qkv.start, qkv.outer, qkv.inner) == (0, 0, 3, 8)
    assert set(divided.columns) == {"blocks.0.qkv", "blocks.0.up"}
    assert set(divided.rows) == {"blocks.0.out", "blocks.0.down"}
    assert not {"tokens.weight", "positions", "norm.weight", "head.weight"} & divided.axes.keys()


def test_channels_go_with_their_normalization():
    model, divided = found(resnet, IMAGES, width=8)
    assert {
        "groups.1.4.weight",
        "groups.1.5.bias",
        "groups.1.5.running_var",
        "groups.2.0.weight",
    } <= divided.axes.keys()
    assert share(model, divided) > 0.9
    assert found(cnn, IMAGES, width=8)[1].rows


@pytest.mark.parametrize(("processes", "groups"), [(2, 4), (4, 4), (3, 0), (8, 2)])
def test_groups_that_the_processes_cannot_share_evenly_stay_whole(processes, groups):
    # two blocks with four heads and 64 units each
    assert len(found(transformer, TEXTS, processes, width=32, heads=4)[1].spaces) == groups


class Net(nn.Module):
    def __init__(self, between, tied=False):
        super().__init__()
        self.up, self.between, self.down = nn.Linear(6, 8), between, nn.Linear(8, 6)
        if tied:
            self.up, self.down = nn.Linear(8, 8), nn.Linear(8, 8)
            self.down.weight = self.up.weight

    def forward(self, x):
        return self.down(self.between(self.up(x)))


class Fused(nn.Module):
    """Both halves of the last layer's columns read other units."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.out = nn.Linear(6, 8), nn.Linear(6, 8), nn.Linear(16, 2)

    def forward(self, x):
        return self.out(torch.cat([self.one(x).relu(), self.two(x).relu()], 1))


class Functional(nn.Module):
    """A weight that no layer reads, so that no layer could sum over the processes."""

    def __init__(self):
        super().__init__()
        self.up, self.weight = nn.Linear(6, 8), nn.Parameter(torch.randn(2, 8))

    def forward(self, x):
        return nn.functional.linear(self.up(x).relu(), self.weight)


@pytest.mark.parametrize(
    ("model", "divided"),
    [
        (Net(nn.GELU()), True),
        (Net(nn.PReLU(8)), True),
        (Net(nn.LayerNorm(8)), False),
        (Net(nn.Softmax(1)), False),
        (Fused(), False),
        (Functional(), False),
    ],
    ids=["elementwise", "by unit", "normalized over units", "softmax over units", "joined", "no layer"],
)
def test_between_columns_and_rows_units_may_not_meet(model, divided):
    assert bool(cuts(model, {"x": torch.randn(2, 6)}, 2).spaces) == divided


def test_a_tensor_of_two_names_stays_whole():
    assert not cuts(Net(nn.ReLU(), tied=True), {"x": torch.randn(2, 8)}, 2).spaces
