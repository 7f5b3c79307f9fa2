"""Networks that set traps, and what tracing must leave alone."""

from __future__ import annotations

import pytest
import torch
from architectures import CASES as ORDINARY
from architectures import noise
from coupling_oracle import check
from hostile_architectures import CASES, Two
from torch import Tensor, nn
from torch.nn import functional

from netwright.train.multilevel.coupling import trace


@pytest.mark.parametrize("name", CASES)
def test_trap(name):
    check(CASES[name])


class Shared(nn.Module):
    """Two parameters over one memory."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(8, 8), nn.Linear(8, 8)
        self.down.weight = nn.Parameter(self.up.weight.detach().t())

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.up(functional.pad(x, (1, 1))).relu())


def test_parameters_that_share_memory_are_frozen():
    coupling = trace(Shared(), noise(2, 6))
    assert coupling.free == ()
    assert any("share memory" in note for note in coupling.notes)


def test_parameters_beside_each_other_in_one_memory_are_not_shared():
    model, flat = Two(), torch.randn(8 * 6 + 3 * 8)
    model.up.weight = nn.Parameter(flat[:48].view(8, 6))
    model.down.weight = nn.Parameter(flat[48:].view(3, 8))
    assert [space.size for space in trace(model, noise(2, 6)).free] == [8]


@pytest.mark.parametrize("training", [True, False])
def test_the_model_and_the_random_numbers_are_left_alone(training):
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 3)).train(training)
    model[2].eval()
    model(noise(2, 6)).sum().backward()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    grads = [value.grad.clone() for value in model.parameters()]
    fast = torch.backends.mha.get_fastpath_enabled()
    random = torch.get_rng_state()
    assert len(trace(model, noise(2, 6)).free) == 1
    assert torch.equal(torch.get_rng_state(), random)
    assert [module.training for module in model] == [training, training, False, training]
    assert model.training == training
    assert torch.backends.mha.get_fastpath_enabled() == fast
    assert torch.is_grad_enabled()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(torch.equal(value.grad, grad) for value, grad in zip(model.parameters(), grads, strict=True))
    assert all(value.requires_grad for value in model.parameters())


def test_the_model_is_left_alone_when_it_cannot_be_exported():
    model, _ = CASES["DataDependent"].build()
    model.train()
    coupling = trace(model, noise(2, 6))
    assert model.training
    assert coupling.spaces == ()
    assert coupling.notes[0].startswith("torch.export: ")
    assert len(coupling.notes[0].splitlines()) == 1


def test_an_example_that_does_not_fit_is_a_note():
    assert trace(Two(), noise(2, 7)).notes[0].startswith("torch.export: ")


def test_a_model_on_the_meta_device_is_traced_alike():
    model, example = ORDINARY["flattened"].build()
    assert trace(model.to("meta"), example.to("meta")) == trace(ORDINARY["flattened"].build()[0], example)


def test_frozen_spaces_say_why():
    model, example = ORDINARY["llama_gqa"].build()
    frozen = {space.name: space.frozen for space in trace(model, example).spaces if space.frozen}
    assert frozen["blocks.0.attention.qkv.0"].startswith("head_dim")
    assert frozen["heads: blocks.0.attention.qkv.0 (2)"] == "it lies within each of 2 units that are merged instead"


def test_a_head_tied_to_its_embedding_is_named():
    model, example = ORDINARY["llama_gqa"].build()
    (stream,) = (space for space in trace(model, example).free if space.kind == "stream")
    assert stream.scaled == ("head",)
    assert stream.uniform
    assert {(axis.tensor, axis.dim, axis.role) for axis in stream.axes if axis.tensor == "embed.weight"} == {
        ("embed.weight", 1, "producer")
    }


def test_a_fused_weight_places_its_heads():
    model, example = ORDINARY["llama_expand_fused"].build()
    heads = next(space for space in trace(model, example).free if space.kind == "head")
    found = [(axis.start, axis.outer, axis.inner) for axis in heads.axes if axis.tensor.endswith("qkv.0.weight")]
    assert found == [(0, 1, 8), (16, 1, 4), (24, 1, 4)]
