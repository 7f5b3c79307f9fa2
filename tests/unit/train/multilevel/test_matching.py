"""Matching: pairs are those of the greedy pass, lie within groups, and never depend on chance."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from netwright.core.error import UserError
from netwright.train.multilevel import matching
from netwright.train.multilevel.activations import recorded
from netwright.train.multilevel.matching import correlation, fixed_pairs, heavy_edge_matching, similarity, units
from netwright.train.multilevel.spaces import Axis, Space, written


def greedy(s_NN, above, groups):
    """Heavy-edge matching as in the books: every edge in turn, the heaviest first."""
    n, taken, pairs = len(s_NN), set(), []
    edges = [
        (i, j) for i in range(n) for j in range(i + 1, n) if s_NN[i, j] > above and i * groups // n == j * groups // n
    ]
    for i, j in sorted(edges, key=lambda edge: (-float(s_NN[edge]), edge)):
        if not {i, j} & taken:
            taken |= {i, j}
            pairs.append((i, j))
    return sorted(pairs)


def pairs_of(aggregation):
    members = [(aggregation.assign == k).nonzero().flatten().tolist() for k in range(aggregation.size)]
    return [tuple(each) for each in members if len(each) == 2]


def symmetric(n, seed, kind):
    generator = torch.Generator().manual_seed(seed)
    s_NN = torch.randn(n, n, generator=generator)
    s_NN = s_NN + s_NN.T
    hub_N = torch.rand(n, generator=generator)
    return {"random": s_NN, "ties": s_NN.round(), "hub": hub_N * hub_N[:, None], "equal": torch.ones(n, n)}[kind]


@given(
    st.integers(1, 6), st.integers(1, 12), st.integers(0, 10**6), st.sampled_from(["random", "ties", "hub", "equal"]),
    st.booleans(), st.sampled_from([(24, 128), (0, 1), (0, 128), (2, 2)]),
)  # fmt: skip
@settings(deadline=None, max_examples=150)
def test_it_is_the_greedy_matching(groups, each, seed, kind, perfect, limits):
    s_NN = symmetric(groups * each, seed, kind)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matching, "ROUNDS", limits[0])
        patch.setattr(matching, "EDGES", limits[1])
        found = heavy_edge_matching(s_NN, perfect, groups)
    assert pairs_of(found) == greedy(s_NN, -torch.inf if perfect else 0.0, groups)
    assert sorted(set(found.assign.tolist())) == list(range(found.size))
    if perfect:
        assert found.size == groups * -(-each // 2)


@pytest.mark.parametrize("kind", ["random", "hub", "equal"])
def test_a_thousand_units_are_paired_in_every_way_of_similarity(kind):
    found = heavy_edge_matching(symmetric(1000, 1, kind))
    assert found.counts.tolist() == [2] * 500


def test_equal_similarities_pair_neighbours_in_order():
    assert heavy_edge_matching(torch.ones(6, 6)).assign.tolist() == [0, 0, 1, 1, 2, 2]


def test_aggregates_are_numbered_by_their_smallest_unit_and_know_their_similarity():
    s_NN = torch.zeros(5, 5)
    s_NN[0, 4] = s_NN[4, 0] = 0.75
    s_NN[1, 3] = s_NN[3, 1] = 0.5
    found = heavy_edge_matching(s_NN)
    assert found.assign.tolist() == [0, 1, 2, 1, 0]
    assert found.similarity.tolist() == [0.75, 0.5, 1.0]


def test_without_perfect_units_that_disagree_stay_alone():
    found = heavy_edge_matching(torch.tensor([[1.0, -0.5, 0.2], [-0.5, 1.0, -0.1], [0.2, -0.1, 1.0]]), perfect=False)
    assert found.assign.tolist() == [0, 1, 0]
    assert heavy_edge_matching(-torch.ones(4, 4), perfect=False).size == 4


def test_a_count_keeps_the_most_similar_pairs():
    s_NN = torch.zeros(6, 6)
    for (i, j), value in {(0, 1): 0.1, (2, 3): 0.9, (4, 5): 0.5}.items():
        s_NN[i, j] = s_NN[j, i] = value
    assert heavy_edge_matching(s_NN, count=4).assign.tolist() == [0, 1, 2, 2, 3, 3]


@pytest.mark.parametrize(
    ("n", "groups", "expected"),
    [(6, 1, [0, 1, 2, 0, 1, 2]), (5, 1, [0, 1, 2, 0, 1]), (8, 2, [0, 1, 0, 1, 2, 3, 2, 3]), (1, 1, [0])],
)
def test_fixed_pairs(n, groups, expected):
    found = fixed_pairs(n, groups)
    assert found.assign.tolist() == expected
    assert found.size == max(expected) + 1


def test_a_similarity_that_is_not_a_number_is_refused():
    with pytest.raises(UserError, match="not a number"):
        heavy_edge_matching(torch.full((4, 4), torch.nan))


def test_weights_that_are_not_finite_are_named():
    space = Space("hidden", 4, "unit", (Axis("up.weight", 0, "producer"),))
    with pytest.raises(UserError, match=r"up\.weight"):
        similarity(space, {"up.weight": torch.tensor([[1.0], [2.0], [torch.nan], [0.0]])})


def test_units_of_a_factor_of_an_axis_and_of_a_segment():
    x = torch.arange(2 * 14.0).reshape(2, 14)
    found = units(x, Axis("x", 1, "producer", start=2, outer=2, inner=2), 3)  # (2, 3, 2) from column 2 on
    assert found[1].tolist() == [float(row * 14 + column) for column in (4, 5, 10, 11) for row in (0, 1)]


def test_equal_units_are_found_whatever_the_scale_of_the_tensors():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 8), nn.ReLU(), nn.Linear(8, 3))
    coupling = written(model, {"0.weight": ("h", None), "0.bias": ("h",), "2.weight": (None, "h:in")})
    with torch.no_grad():
        model[0].weight[5], model[0].bias[5] = model[0].weight[2] * 3, model[0].bias[2] * 3
    found = heavy_edge_matching(similarity(coupling.spaces[0], dict(model.named_parameters())))
    assert found.assign[5] == found.assign[2]


def test_only_a_stream_is_compared_by_its_readers_too():
    tensors = {"in.weight": torch.eye(4), "out.weight": torch.ones(2, 4)}
    axes = (Axis("in.weight", 0, "producer"), Axis("out.weight", 1, "consumer"))
    assert similarity(Space("s", 4, "unit", axes), tensors)[0, 1] == 0
    assert similarity(Space("s", 4, "stream", axes), tensors)[0, 1] == pytest.approx(2 / (4 + 2))


def test_no_weights_and_weights_of_zero_are_similar_to_nothing():
    space = Space("s", 3, "unit", (Axis("w", 0, "producer"),))
    assert similarity(space, {}).tolist() == [[0.0] * 3] * 3
    assert similarity(space, {"w": torch.zeros(3, 2)}).tolist() == [[0.0] * 3] * 3


def test_correlation_is_that_of_the_books_whatever_the_mean():
    x_SN = torch.randn(50, 6, generator=torch.Generator().manual_seed(0)) + torch.arange(6) * 10
    assert torch.allclose(correlation([x_SN]), torch.corrcoef(x_SN.T), atol=1e-5)


def test_activations_correlate_where_weights_do_not():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2)).train()
    with torch.no_grad():
        model[0].weight.zero_()
        model[0].weight[0, 0] = model[0].weight[3, 1] = model[0].weight[1, 2] = model[0].weight[2, 3] = 1.0
    x = torch.randn(64, 6)
    x[:, 1] = x[:, 0]
    coupling = written(model, {"0.weight": ("h", None), "0.bias": ("h",), "2.weight": (None, "h:in")})
    samples = recorded(model, coupling.spaces, x)["h"]
    assert samples[0].shape == (64, 4, 1)
    found = heavy_edge_matching(correlation(samples))
    assert found.assign.tolist() == [0, 1, 1, 0]
    assert model.training
    assert not model[2]._forward_pre_hooks


def test_activations_of_channels_behind_a_flatten_and_of_heads():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 9, 2))
    axes = (Axis("0.weight", 0, "producer"), Axis("3.weight", 1, "consumer", inner=9))
    x = torch.randn(5, 1, 5, 5)
    samples = recorded(model, [Space("c", 4, "channel", axes)], x)["c"]
    assert torch.equal(samples[0], model[:2](x).flatten(2).detach())
