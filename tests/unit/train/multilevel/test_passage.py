"""Passage: the identities of R, P and their transposes over whole networks, also in depth, and optimizer state."""

import copy
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from netwright.models import transformer
from netwright.train.multilevel.correction import correct_state, restrict_state
from netwright.train.multilevel.coupling import trace
from netwright.train.multilevel.depth import close, find_chains, outputs, passes_on, thin, thinner
from netwright.train.multilevel.matching import fixed_pairs
from netwright.train.multilevel.passage import Chain, Passage
from netwright.train.multilevel.spaces import written
from netwright.train.multilevel.transfer import Transfer

SPEC = {"0.weight": ("units", None), "0.bias": ("units",), "2.weight": (None, "units:in")}


def mlp(width):
    torch.manual_seed(width)
    return nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, 2))


def between(fine):
    shapes = {name: value.shape for name, value in fine.state_dict().items()}
    return Passage(Transfer(written(fine, SPEC), {"units": fixed_pairs(4)}, shapes))


@dataclass
class Trained:
    model: nn.Module
    optimizer: torch.optim.Optimizer


def trained(model, optimizer, **settings):
    optimizer = optimizer(model.parameters(), lr=0.1, **settings)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.randn(4, 3)).square().sum().backward()
        optimizer.step()
    return Trained(model, optimizer)


def state(of, name):
    return of.optimizer.state[dict(of.model.named_parameters())[name]]


def test_state_of_adam_goes_down_as_gradients_do_and_keeps_its_steps():
    fine = trained(mlp(4), torch.optim.AdamW)
    coarse = Trained(mlp(2), torch.optim.AdamW(mlp(2).parameters()))
    coarse.optimizer = torch.optim.AdamW(coarse.model.parameters())
    passage = between(fine.model)
    restrict_state(fine, coarse, passage, "transfer")
    above, below = state(fine, "2.weight"), state(coarse, "2.weight")
    assert torch.equal(below["exp_avg"], passage.transfer.adjoint("2.weight", above["exp_avg"]))
    assert torch.equal(below["exp_avg_sq"], passage.transfer.adjoint_squared("2.weight", above["exp_avg_sq"]))
    assert below["step"] == 3
    kept = state(coarse, "2.bias")["exp_avg"]
    assert torch.equal(kept, state(fine, "2.bias")["exp_avg"])
    assert kept.data_ptr() != state(fine, "2.bias")["exp_avg"].data_ptr()
    coarse.model(torch.randn(4, 3)).sum().backward()
    coarse.optimizer.step()  # the state is one that the optimizer works with
    assert state(coarse, "2.weight")["step"] == 4
    assert state(fine, "2.weight")["step"] == 3


def test_momentum_goes_up_by_the_transpose_of_restriction_beside_the_detail_of_the_fine_one():
    coarse, fine = trained(mlp(2), torch.optim.SGD, momentum=0.9), trained(mlp(4), torch.optim.SGD, momentum=0.9)
    passage = between(fine.model)
    own = state(fine, "0.weight")["momentum_buffer"].clone()
    correct_state(fine, coarse, passage, "transfer")
    moved = state(fine, "0.weight")["momentum_buffer"]
    down = passage.transfer.adjoint("0.weight", moved)
    torch.testing.assert_close(down, state(coarse, "0.weight")["momentum_buffer"])
    detail = own - passage.transfer.lift("0.weight", passage.transfer.adjoint("0.weight", own))
    torch.testing.assert_close(moved - passage.transfer.lift("0.weight", down), detail)


def test_a_network_that_was_not_trained_takes_the_coarse_state_alone():
    coarse, fine = trained(mlp(2), torch.optim.AdamW), Trained(mlp(4), None)
    fine.optimizer = torch.optim.AdamW(fine.model.parameters())
    passage = between(fine.model)
    correct_state(fine, coarse, passage, "transfer")
    wanted = passage.transfer.lift_squared("0.weight", state(coarse, "0.weight")["exp_avg_sq"])
    assert torch.equal(state(fine, "0.weight")["exp_avg_sq"], wanted)


def test_second_moments_stay_positive():
    coarse, fine = trained(mlp(2), torch.optim.AdamW), trained(mlp(4), torch.optim.AdamW)
    correct_state(fine, coarse, between(fine.model), "transfer")
    assert all((state(fine, name)["exp_avg_sq"] >= 0).all() for name in ("0.weight", "2.weight"))


def test_reset_keeps_a_fine_network_s_own_state_and_gives_a_coarse_one_none():
    coarse, fine = trained(mlp(2), torch.optim.AdamW), trained(mlp(4), torch.optim.AdamW)
    own = copy.deepcopy(state(fine, "0.weight"))
    correct_state(fine, coarse, between(fine.model), "reset")
    assert torch.equal(state(fine, "0.weight")["exp_avg"], own["exp_avg"])
    restrict_state(fine, coarse, between(fine.model), "reset")
    assert not any(coarse.optimizer.state.values())


def test_state_of_unknown_meaning_is_dropped_whole():
    fine = trained(mlp(4), torch.optim.Rprop)
    coarse = Trained(mlp(2), None)
    coarse.optimizer = torch.optim.Rprop(coarse.model.parameters())
    restrict_state(fine, coarse, between(fine.model), "transfer")
    assert not any(coarse.optimizer.state.values())


# depth


@pytest.mark.parametrize(("count", "kept"), [(2, [0]), (3, [0, 2]), (4, [0, 2]), (5, [0, 2, 4])])
def test_every_other_block_is_kept(count, kept):
    chain = Chain("blocks", 1, count)
    places = range(count + 3)
    assert [at for at in places if not chain.second(at)] == [0, *(1 + at for at in kept), count + 1, count + 2]
    assert [chain.coarse(at) for at in places if not chain.second(at)] == list(range(len(kept) + 3))
    assert all(chain.coarse(at) == chain.coarse(at - 1) for at in places if chain.second(at))


def network(depth=4):
    torch.manual_seed(depth)
    config = transformer.Config(width=16, depth=depth, heads=2, dropout=0.0)
    model = transformer.Transformer(config, 40, 3)
    return model, {"ids": torch.randint(1, 40, (2, 8)), "mask": torch.ones(2, 8, dtype=torch.bool)}


def test_means_over_blocks_have_their_identities():
    """R P = 1, <P^T g, d> = <g, P d> and <R^T g, w> = <g, R w>, in depth."""
    model, example = network(5)
    chains = find_chains(model, trace(model, example))
    assert chains == [Chain("blocks", 0, 5)]
    passage, names = Passage(None, chains), list(model.state_dict())
    fine = {name: torch.randn(x.shape, dtype=torch.float64) for name, x in model.named_parameters()}
    coarse = passage.restrict(fine)
    small = copy.deepcopy(model)
    thin(small, chains)
    assert {name: x.shape for name, x in coarse.items()} == {name: x.shape for name, x in small.named_parameters()}
    d = {name: torch.randn(x.shape, dtype=torch.float64) for name, x in coarse.items()}
    names = list(fine)
    back = passage.restrict(passage.prolong(d, names))
    assert all(torch.allclose(back[name], x) for name, x in d.items())

    def dot(a, b):
        return sum(float((a[name] * b[name]).sum()) for name in a)

    assert dot(passage.adjoint(fine), d) == pytest.approx(dot(fine, passage.prolong(d, names)))
    assert dot(passage.lift(d, names), fine) == pytest.approx(dot(d, coarse))


def test_a_network_that_grows_in_depth_computes_what_it_did():
    model, example = network()
    coupling = trace(model, example)
    chains = find_chains(model, coupling)
    ways = outputs(model, coupling, Passage(None, chains))
    assert any("down.weight" in name for name in ways[0])
    assert not any("norm" in name for way in ways for name in way)
    assert passes_on(copy.deepcopy(model), chains, ways[0], example)
    assert not passes_on(copy.deepcopy(model), chains, [], example)
    close(model, ways[0])
    small = copy.deepcopy(model)
    thin(small, chains)
    assert len(small.blocks) == 2
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(**example), small.eval()(**example))
    assert thinner(chains) == [Chain("blocks", 0, 2)]


def test_residual_convolutions_are_closed_by_their_last_normalization():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
            self.one, self.two = nn.BatchNorm2d(4), nn.BatchNorm2d(4)

        def forward(self, x):
            return x + self.two(self.b(torch.relu(self.one(self.a(x)))))

    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(Block(), Block(), Block()), nn.Flatten(), nn.Linear(64, 2))
    example = {"input": torch.randn(2, 3, 4, 4)}
    coupling = trace(model, example)
    chains = find_chains(model, coupling)
    assert chains == [Chain("1", 0, 3)]
    ways = outputs(model, coupling, Passage(None, chains))
    assert ways[0] == ["1.1.two.bias", "1.1.two.weight"]
    assert passes_on(model, chains, ways[0], example)


def test_blocks_without_a_stream_are_no_chain():
    block = lambda: nn.Sequential(nn.Linear(4, 4), nn.ReLU())  # noqa: E731
    model = nn.Sequential(nn.Linear(3, 4), nn.Sequential(block(), block()), nn.Linear(4, 2))
    assert find_chains(model, trace(model, {"input": torch.randn(2, 3)})) == []


def test_counts_of_layers_in_configurations_follow():
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(n_layer=4, n_embd=16, n_head=2, vocab_size=40, bos_token_id=0, eos_token_id=0)
    model = transformers.GPT2LMHeadModel(config)
    example = {"input_ids": torch.randint(0, 40, (2, 8))}
    chains = find_chains(model, trace(model, example))
    assert chains == [Chain("transformer.h", 0, 4)]
    thin(model, chains)
    assert model.config.n_layer == 2
    assert model(**example, use_cache=False).logits.shape == (2, 8, 40)
