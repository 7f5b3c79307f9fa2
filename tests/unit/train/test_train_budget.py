"""A memory budget is kept by micro-batches first and checkpointing second, or refused before any work."""

import pytest
import torch

from netwright.core.error import UserError
from netwright.core.run import Run
from netwright.data import synthetic
from netwright.models import mlp
from netwright.train import budget
from netwright.train.step import Config

TASK = synthetic.open(synthetic.Config())
GB = 1_000_000_000


@pytest.fixture
def network():
    return mlp.build(mlp.Config(), TASK.inputs, 4)


def taking(monkeypatch, fixed, each, again):
    """Steps that take so much memory: fixed, and by example without and with checkpointing."""
    tried = []

    def peak(model, task, config, micro):
        tried.append((micro, config.checkpointing))
        return int(GB * (fixed + micro * (again if config.checkpointing else each)))

    monkeypatch.setattr(budget, "peak", peak)
    return tried


def test_without_a_budget_nothing_is_tried(network, monkeypatch):
    tried = taking(monkeypatch, 1, 1, 1)
    config = Config(batch=32)
    assert budget.within(network, TASK, config) is config
    assert tried == []


@pytest.mark.parametrize(
    ("gb", "micro", "checkpointing"),
    [(100, 32, False), (10, 16, False), (2, 2, False), (1.3, 8, True), (1.12, 2, True)],
)
def test_the_largest_micro_batch_that_fits_is_taken(gb, micro, checkpointing, network, monkeypatch):
    tried = taking(monkeypatch, 1, 0.4, 0.02)
    found = budget.within(network, TASK, Config(batch=32, memory_gb=gb))
    assert found.checkpointing == checkpointing
    used = -(-32 // found.accumulate)
    assert 1 + used * (0.02 if checkpointing else 0.4) <= gb
    assert used >= micro / 2
    assert all(1 + m * (0.02 if c else 0.4) <= max(gb, 1.9) for m, c in tried)  # never far beyond it


def test_what_cannot_fit_is_refused_with_what_it_takes(network, monkeypatch):
    taking(monkeypatch, 1, 0.4, 0.2)
    with pytest.raises(UserError, match="1.20 GB") as refusal:
        budget.within(network, TASK, Config(batch=32, memory_gb=1.1))
    assert "memory_gb=1.3" in str(refusal.value)


def test_a_run_keeps_what_it_chose(network, monkeypatch, tmp_path):
    taking(monkeypatch, 1, 0.4, 0.02)
    with Run.start(tmp_path, "train", {"a": 1}) as run:
        first = budget.within(network, TASK, Config(batch=32, memory_gb=3), run)
        tried = taking(monkeypatch, 1, 4.0, 0.02)
        assert budget.within(network, TASK, Config(batch=32, memory_gb=3), run) == first
        assert tried == []
        assert "kept" in budget.held(run, 2.5 * GB)
        assert "not kept" in budget.held(run, 3.5 * GB)


def test_trying_changes_neither_the_network_nor_random_numbers(network):
    before, state = {k: x.clone() for k, x in network.state_dict().items()}, torch.get_rng_state()
    found = budget.within(network, TASK, Config(batch=32, memory_gb=50, threads=1))
    assert found.accumulate == 1
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(x, before[k]) for k, x in network.state_dict().items())
