"""Stages one after the other are the network, whatever is handed on, and what cannot be cut is refused."""

import pytest
import torch
from torch import nn

from netwright.core.error import UserError
from netwright.data import synthetic
from netwright.models import cnn, mlp, resnet, resnet50, transformer
from netwright.train.parallel.stages import stages

IMAGES = synthetic.open(synthetic.Config(examples=50, side=20))
TEXTS = synthetic.open(synthetic.Config(name="synthetic-text", examples=50))


def network(module, task, **sizes):
    torch.manual_seed(0)
    return module.build(module.Config(**sizes), task.inputs, len(task.classes)).eval()


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize(
    ("module", "task", "sizes"),
    [
        (mlp, IMAGES, {"width": 16, "depth": 3}),
        (cnn, IMAGES, {"width": 8}),
        (resnet, IMAGES, {"width": 8}),
        (resnet50, IMAGES, {"width": 4}),
        (transformer, TEXTS, {"width": 16, "depth": 4}),
        (transformer, TEXTS, {"width": 16, "depth": 4, "merge": 2}),
    ],
    ids=lambda x: getattr(x, "__name__", "").rpartition(".")[2],
)
def test_stages_one_after_the_other_are_the_network(module, task, sizes, count):
    model = network(module, task, **sizes)
    parts = stages(model, task.example(2), count)
    names = [set(dict(part.named_parameters())) for part in parts]
    assert sorted(name for of in names for name in of) == sorted(dict(model.named_parameters()))
    with torch.no_grad():
        for batch in (2, 5):  # of other shapes than they were traced with
            values, inputs = (), task.example(batch)
            for part in parts:
                values = part(*values, **inputs)
            torch.testing.assert_close(values, model(**inputs))


def test_stages_have_like_shares():
    model = network(transformer, TEXTS, width=32, depth=8, positions=16)
    sizes = [sum(p.numel() for p in part.parameters()) for part in stages(model, TEXTS.example(2), 4)]
    assert max(sizes) < 1.4 * min(sizes)


def test_a_mask_is_computed_in_every_stage_and_only_float_tensors_travel():
    _, second = stages(network(transformer, TEXTS, width=16), TEXTS.example(2), 2)
    assert [node.target for node in second.graph.find_nodes(op="placeholder")][-2:] == ["ids", "mask"]
    assert "mask[" in second.code


def test_stages_keep_the_modules_and_so_their_mode():
    model = network(transformer, TEXTS, width=16, positions=16).train()
    first, _ = stages(model, TEXTS.example(2), 2)
    assert first.get_submodule("blocks.0") is model.blocks[0]
    assert model.blocks[0].training


class Switched(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        x = self.two(self.one(x))
        return x if self.training else x.tanh()


class Branching(Switched):
    def forward(self, x):
        return self.two(self.one(x)) if x.sum() > 0 else self.one(x)


class Twice(Switched):
    def forward(self, x):
        return self.one(self.two(self.one(x)))


class Tuple(Switched):
    def forward(self, x):
        return self.two(self.one(x)), x


class Optional(Switched):
    """Arguments that a task does not give keep their defaults."""

    def forward(self, x, scale=None, twice=False):
        x = self.one(x)
        if twice or scale is not None:
            raise AssertionError
        return self.two(x)


@pytest.mark.parametrize(
    ("kind", "count", "said"),
    [
        (Switched, 2, "otherwise in training than in evaluation"),
        (Branching, 2, "torch.fx cannot trace it"),
        (Twice, 2, "share a parameter"),
        (Tuple, 2, "answers with a tuple"),
        (Optional, 3, "it has 2 blocks one after the other, and there are 3 processes"),
    ],
)
def test_what_cannot_be_cut_is_refused(kind, count, said):
    with pytest.raises(UserError, match=said) as refused:
        stages(kind().eval(), {"x": torch.randn(2, 4)}, count)
    assert refused.value.next == "train.parallel=fsdp2"


def test_arguments_that_a_task_does_not_give_keep_their_defaults():
    model, example = Optional().eval(), {"x": torch.randn(2, 4)}
    first, second = stages(model, example, 2)
    torch.testing.assert_close(second(*first(**example), **example), model(**example))
