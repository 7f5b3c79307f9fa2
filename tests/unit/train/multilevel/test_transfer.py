"""Transfer: the identities of restriction, prolongation and their transposes, over random couplings."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from netwright.train.multilevel.matching import Aggregation, fixed_pairs
from netwright.train.multilevel.spaces import Axis, Coupling, Space, written
from netwright.train.multilevel.transfer import Transfer, coarser


@st.composite
def lines(draw):
    """The axes of one dimension: segments, each free of spaces or a product of up to three factors, some of them units.

    Gives the length, and the axes as (space, start, outer, n, inner, role).
    """
    start, axes = 0, []
    for segment in range(draw(st.integers(1, 2))):
        factors = [draw(st.integers(1, 3)) for _ in range(draw(st.integers(1, 3)))]
        length = 1
        for factor in factors:
            length *= factor
        role = draw(st.sampled_from(["producer", "consumer"]))
        for k, n in enumerate(factors):
            if draw(st.booleans()):
                outer, inner = 1, 1
                for factor in factors[:k]:
                    outer *= factor
                for factor in factors[k + 1 :]:
                    inner *= factor
                axes.append((f"{segment}.{k}", start, outer, n, inner, role))
        start += length
    return start, draw(st.permutations(axes))


@st.composite
def transfers(draw):
    """A transfer of one tensor "w" of one to three dimensions, with random aggregates, and its fine shape."""
    shape, spaces, aggregations = [], [], {}
    for dim in range(draw(st.integers(1, 3))):
        length, axes = draw(lines())
        shape.append(length)
        for name, start, outer, n, inner, role in axes:
            full = f"{dim}/{name}"
            spaces.append(Space(full, n, "unit", (Axis("w", dim, role, start, outer, inner),)))
            labels = torch.tensor([draw(st.integers(0, n - 1)) for _ in range(n)])
            assign = labels.unique(return_inverse=True)[1]
            aggregations[full] = Aggregation(assign, int(assign.max()) + 1)
    return Transfer(Coupling(tuple(spaces)), aggregations, {"w": torch.Size(shape)}), torch.Size(shape)


def random(shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(transfers(), st.integers(0, 10**6))
@settings(deadline=None, max_examples=200)
def test_identities(case, seed):
    transfer, fine = case
    small = transfer.shape("w", fine)
    w, c = random(fine, seed), random(small, seed + 1)
    assert transfer.restrict("w", w).shape == small
    close = {"rtol": 0, "atol": 1e-12}
    assert torch.allclose(transfer.restrict("w", transfer.prolong("w", c)), c, **close)  # R P = I
    down, up = (transfer.adjoint("w", w) * c).sum(), (w * transfer.prolong("w", c)).sum()  # <P^T w, c> = <w, P c>
    assert torch.allclose(down, up, **close)
    lifted, restricted = (transfer.lift("w", c) * w).sum(), (c * transfer.restrict("w", w)).sum()
    assert torch.allclose(lifted, restricted, **close)


@given(transfers(), st.integers(0, 10**6))
@settings(deadline=None, max_examples=100)
def test_squared_factors_are_those_of_the_matrices(case, seed):
    transfer, fine = case
    small = transfer.shape("w", fine)
    assume(fine.numel() <= 400)
    eye = torch.eye(small.numel(), dtype=torch.float64)
    P = torch.stack([transfer.prolong("w", column.view(small)).flatten() for column in eye], 1)
    R = torch.stack([transfer.lift("w", column.view(small)).flatten() for column in eye])
    w, c = random(fine, seed), random(small, seed + 1)
    close = {"rtol": 0, "atol": 1e-12}
    assert torch.allclose(transfer.restrict("w", w).flatten(), R @ w.flatten(), **close)
    assert torch.allclose(transfer.adjoint_squared("w", w).flatten(), (P * P).T @ w.flatten(), **close)
    assert torch.allclose(transfer.lift_squared("w", c).flatten(), (R * R).T @ c.flatten(), **close)


def test_producers_are_averaged_and_copied_consumers_summed_and_split():
    axes = (Axis("up", 0, "producer"), Axis("down", 1, "consumer"))
    assign = torch.tensor([0, 1, 0, 1, 1])
    shapes = {"up": torch.Size([5]), "down": torch.Size([1, 5])}
    transfer = Transfer(Coupling((Space("h", 5, "unit", axes),)), {"h": Aggregation(assign, 2)}, shapes)
    up, down = torch.tensor([1.0, 2, 3, 4, 6]), torch.tensor([[1.0, 2, 3, 4, 6]])
    assert transfer.restrict("up", up).tolist() == [2, 4]
    assert transfer.restrict("down", down).tolist() == [[4, 12]]
    assert transfer.prolong("up", torch.tensor([2.0, 4])).tolist() == [2, 4, 2, 4, 4]
    assert transfer.prolong("down", torch.tensor([[4.0, 12]])).tolist() == [[2, 4, 2, 4, 4]]
    assert transfer.adjoint("up", up).tolist() == [4, 12]
    assert transfer.adjoint("down", down).tolist() == [[2, 4]]


def test_key_value_heads_and_what_they_are_repeated_for_in_one_dimension():
    """Queries (kv 4, rep 2, width 3), then keys (kv 4, width 3); both kv and rep are merged in pairs."""
    kv = Space("kv", 4, "head", (Axis("qk", 0, "producer", 0, 1, 6), Axis("qk", 0, "producer", 24, 1, 3)))
    rep = Space("rep", 2, "head", (Axis("qk", 0, "producer", 0, 4, 3),))
    width = Space("width", 3, "unit", (Axis("qk", 0, "producer", 0, 8, 1), Axis("qk", 0, "producer", 24, 4, 1)))
    coupling = Coupling((kv, rep, Space(width.name, 3, "unit", width.axes, frozen="kept")))
    aggregations = {"kv": fixed_pairs(4), "rep": fixed_pairs(2)}
    transfer = Transfer(coupling, aggregations, {"qk": torch.Size([36])})
    w = random(36, 0)
    q, k = w[:24].view(4, 2, 3), w[24:].view(4, 3)
    expected = torch.cat([(q[:2] + q[2:]).mean(1).flatten() / 2, ((k[:2] + k[2:]) / 2).flatten()])
    assert torch.allclose(transfer.restrict("qk", w), expected)
    below = {space.name: space for space in coarser(coupling, aggregations).spaces}
    assert below["kv"].axes == (Axis("qk", 0, "producer", 0, 1, 3), Axis("qk", 0, "producer", 6, 1, 3))
    assert below["rep"].axes == (Axis("qk", 0, "producer", 0, 2, 3),)
    assert below["width"].axes == (Axis("qk", 0, "producer", 0, 2, 1), Axis("qk", 0, "producer", 6, 2, 1))
    assert (below["kv"].size, below["rep"].size, below["width"].size) == (2, 1, 3)


def test_one_space_twice_in_a_dimension():
    space = Space("h", 2, "unit", (Axis("w", 1, "consumer", 0), Axis("w", 1, "consumer", 3)))
    transfer = Transfer(Coupling((space,)), {"h": fixed_pairs(2)}, {"w": torch.Size([1, 5])})
    assert transfer.restrict("w", torch.tensor([[1.0, 2, 3, 4, 5]])).tolist() == [[3, 3, 9]]


def test_segments_that_overlap_are_refused():
    spaces = (Space("a", 4, "unit", (Axis("w", 0, "producer"),)), Space("b", 3, "unit", (Axis("w", 0, "producer", 1),)))
    with pytest.raises(ValueError, match="overlap"):
        Transfer(Coupling(spaces), {"a": fixed_pairs(4), "b": fixed_pairs(3)}, {"w": torch.Size([4])})


def mlp(width):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Linear(width, 2))


SPEC = {"0.weight": ("h", None), "0.bias": ("h",), "2.weight": (None, "h:in")}


def between(fine, pairs):
    shapes = {name: value.shape for name, value in fine.state_dict().items()}
    return Transfer(written(fine, SPEC), {"h": pairs}, shapes)


def test_other_tensors_come_back_themselves_and_aliases_are_led_to_one_name():
    fine = mlp(4)
    transfer = Transfer(
        written(fine, SPEC), {"h": fixed_pairs(4)}, {name: x.shape for name, x in fine.state_dict().items()},
        {"tied.weight": "0.weight"},
    )  # fmt: skip
    assert transfer.changed == ("0.bias", "0.weight", "2.weight")
    assert transfer.restrict("2.bias", fine[2].bias) is fine[2].bias
    assert torch.equal(transfer.restrict("tied.weight", fine[0].weight), transfer.restrict("0.weight", fine[0].weight))


def test_the_gradient_of_the_coarse_network_is_the_adjoint_of_the_fine_one():
    fine, coarse = mlp(6).double(), mlp(3).double()
    transfer = between(fine, fixed_pairs(6))
    with torch.no_grad():
        for name, value in fine.named_parameters():
            value.copy_(transfer.prolong(name, coarse.get_parameter(name)))
    x = random((5, 3), 1)
    for model in (fine, coarse):
        model(x).square().sum().backward()
    for name, value in coarse.named_parameters():
        assert torch.allclose(transfer.adjoint(name, fine.get_parameter(name).grad), value.grad, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_precision_and_gradients_of_the_argument_are_kept(dtype):
    fine = mlp(4)
    w = fine[0].weight.detach().to(dtype)
    found = between(fine, fixed_pairs(4)).restrict("0.weight", w)
    assert found.dtype == dtype
    assert torch.equal(found, ((w[:2] + w[2:]) / 2))


def test_indices_move_to_the_device_of_the_tensor_once():
    fine = mlp(4)
    transfer = between(fine, fixed_pairs(4))
    with torch.device("meta"):
        w = torch.empty(4, 3)
    assert transfer.restrict("0.weight", w).device.type == "meta"
    assert transfer.restrict("0.weight", w).shape == (2, 3)
    assert transfer.prolong("0.weight", transfer.restrict("0.weight", w)).shape == (4, 3)
    assert transfer.lines("0.weight", w.device) is transfer.lines("0.weight", w.device)
