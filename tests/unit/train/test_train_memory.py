"""The batch-size finder stays within its budget; peaks are those of this process."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from netwright.core.error import UserError
from netwright.train import memory

CPU = torch.device("cpu")


def find(monkeypatch_peaks, budget, largest=10_000):
    tried = []

    def one_step(batch):
        tried.append(batch)

    original = memory.peak_bytes, memory.reset_peak
    memory.peak_bytes, memory.reset_peak = lambda device: monkeypatch_peaks(tried[-1]), lambda device: None
    try:
        return memory.find_batch(one_step, budget, largest, CPU), tried
    finally:
        memory.peak_bytes, memory.reset_peak = original


@given(base=st.integers(0, 10**9), each=st.integers(1, 10**7), budget=st.integers(10**6, 10**10))
def test_the_batch_found_fits_and_a_much_larger_one_would_not(base, each, budget):
    peak = lambda batch: base + each * batch  # noqa: E731
    if peak(8) > budget:
        with pytest.raises(UserError, match="train.memory_gb"):
            find(peak, budget)
        return
    found, tried = find(peak, budget)
    assert peak(found.batch) <= budget
    assert max(tried) in (found.batch, 16)  # growth is foreseen from the second trial on: then nothing is too large
    room = (budget - base) / each
    assert found.batch == 10_000 or found.batch >= 0.7 * room - 16


def test_a_growth_that_cannot_be_foreseen_is_tried_once_and_left():
    found, tried = find(lambda batch: 100 if batch < 64 else 10_000, 1000)
    assert found.batch == 32
    assert max(tried) == 64


def test_reset_forgets_a_peak():
    memory.reset_peak(CPU)
    before = memory.peak_bytes(CPU)
    block = torch.ones(60_000_000)  # 240 MB
    high = memory.peak_bytes(CPU)
    assert high - before > 200e6
    del block
    memory.reset_peak(CPU)
    assert memory.peak_bytes(CPU) < high - 200e6
