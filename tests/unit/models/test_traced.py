"""The program that traces a person's function: what it writes, and what it refuses."""

import pytest

from netwright.core import workload
from netwright.core.error import UserError
from netwright.models import traced

MODULE = """
import torch
LAYER = torch.nn.Linear(8, 2)
def pair(): return LAYER, torch.empty(4, 8)
def named(): return LAYER, {"input": torch.empty(4, 8)}
def several(): return LAYER, (torch.empty(4, 8),)
def three(): return 3
def text(): return LAYER, "text"
def number(): return LAYER, {"input": 3}
def scalar(): return LAYER, torch.tensor(3.0)
def function(): return len, torch.empty(4, 8)
def misfit(): return LAYER, torch.empty(1, 9)
def lazy(): return torch.nn.LazyLinear(2), torch.empty(1, 9)
def needs(size): return LAYER, torch.empty(1, size)
"""


@pytest.fixture(autouse=True)
def _place(tmp_path, monkeypatch):
    (tmp_path / "traced_module.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize("name", ["pair", "named", "several"])
def test_a_module_and_its_inputs(tmp_path, name):
    traced.main(f"traced_module:{name}", tmp_path / workload.FILE)
    found = workload.read(tmp_path)
    assert (found.name, found.batch, found.parameters) == ("Linear", 4, 18)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("three", "a torch module and its inputs"),
        ("text", "no tensors"),
        ("number", "no tensors"),
        ("scalar", "no tensors"),
        ("function", "not a torch.nn.Module"),
        ("misfit", "does not run on these inputs"),
        ("needs", "without arguments"),
        ("absent", "cannot be imported"),
    ],
)
def test_what_is_none(tmp_path, name, said):
    with pytest.raises(UserError, match=said) as caught:
        traced.main(f"traced_module:{name}", tmp_path / workload.FILE)
    assert caught.value.value == f"traced_module:{name}"
    assert not (tmp_path / workload.FILE).exists()


def test_what_the_trace_says_is_handed_on(tmp_path):
    with pytest.raises(UserError, match="lazy layers"):
        traced.main("traced_module:lazy", tmp_path / workload.FILE)


def test_a_module_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="cannot be imported"):
        traced.main("no_such_module:build", tmp_path / workload.FILE)
