"""Networks of other sizes than their settings say: told, built again, and refused where the statement is hostile."""

import json

import pytest
import torch
from torch import nn

from netwright.core.error import UserError
from netwright.models.resized import difference, resize


class Net(nn.Module):
    def __init__(self, hidden=8, heads=4):
        super().__init__()
        self.heads, self.shape = heads, (hidden, 2)
        self.first, self.norm, self.last = nn.Linear(5, hidden), nn.BatchNorm1d(hidden), nn.Linear(hidden, 3)
        self.first.weight.requires_grad_(False)

    def forward(self, x):
        return self.last(self.norm(self.first(x)))


def test_a_difference_is_plain_and_builds_the_smaller_network():
    small = Net(hidden=3, heads=2).eval()
    told = json.loads(json.dumps(difference(Net(), small)))
    assert told["attributes"][""] == {"heads": 2, "shape": [3, 2]}
    assert told["attributes"]["norm"] == {"num_features": 3}
    with torch.device("meta"):
        again = Net()
    resize(again, told)
    again.load_state_dict(small.state_dict(), assign=True)
    assert (again.heads, again.shape, again.first.out_features) == (2, (3, 2), 3)
    assert not again.first.weight.requires_grad
    x = torch.randn(4, 5)
    assert torch.equal(again.eval()(x), small(x))


def test_a_network_that_is_not_smaller_differs_in_nothing():
    assert difference(Net(), Net()) == {"tensors": {}, "attributes": {}}


@pytest.mark.parametrize(
    "stated",
    [
        None, [], {}, {"tensors": {}}, {"tensors": [], "attributes": {}}, {"tensors": {}, "attributes": []},
        {"tensors": {}, "attributes": {}, "more": 1},
        {"tensors": {"first.weight": [9, 5]}, "attributes": {}},
        {"tensors": {"first.weight": [0, 5]}, "attributes": {}},
        {"tensors": {"first.weight": [-1, 5]}, "attributes": {}},
        {"tensors": {"first.weight": [3]}, "attributes": {}},
        {"tensors": {"first.weight": "35"}, "attributes": {}},
        {"tensors": {"first.weight": [True, 5]}, "attributes": {}},
        {"tensors": {"first.weight": [3.0, 5]}, "attributes": {}},
        {"tensors": {"other": [1]}, "attributes": {}},
        {"tensors": {"": [1]}, "attributes": {}},
        {"tensors": {}, "attributes": {"": {"forward": 1}}},
        {"tensors": {}, "attributes": {"": {"heads": 5}}},
        {"tensors": {}, "attributes": {"": {"heads": "2"}}},
        {"tensors": {}, "attributes": {"": {"heads": [2]}}},
        {"tensors": {}, "attributes": {"": {"shape": 2}}},
        {"tensors": {}, "attributes": {"": {"training": 1}}},
        {"tensors": {}, "attributes": {"": ["heads"]}},
        {"tensors": {}, "attributes": {"nowhere": {"heads": 2}}},
        {"tensors": {}, "attributes": {"": {"__class__": 1}}},
    ],
)  # fmt: skip
def test_a_hostile_statement_is_refused(stated):
    with torch.device("meta"):
        model = Net()
    with pytest.raises(UserError):
        resize(model, stated)
