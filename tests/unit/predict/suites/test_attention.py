"""Attention: what is read, and physics that must hold on any device."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from chips import DEVICES, seconds, told, write
from hypothesis import given
from hypothesis import strategies as st

from netwright.hardware.device import Device
from netwright.predict.learning.table import Columns, Specs, as_suite
from netwright.predict.suites import context_attention, generation_attention

SUITES = [context_attention, generation_attention]
ROW = {"system": "chip", "engine": "new", "kernel_source": "k", "batch_size": 4, "isl": 1, "num_heads": 32,
       "num_key_value_heads": 8, "head_dim": 128, "attn_dtype": "bfloat16", "kv_cache_dtype": "bfloat16", "step": 1000,
       "window_size": 0.0, "latency": 0.02}  # fmt: skip


def ask(*rows: dict[str, Any]) -> Columns:
    joined = [ROW | row for row in rows]
    columns: Columns = {name: np.array([row[name] for row in joined]) for name in ROW}
    return columns | {"device": np.array([row["system"] for row in joined], dtype=object)}


@pytest.mark.parametrize("suite", SUITES)
def test_rows_are_read_and_broken_ones_counted(suite: ModuleType, tmp_path: Path) -> None:
    broken = [{"num_heads": 30}, {"attn_dtype": "fp3"}, {"latency": 0.0}, {"head_dim": -1}, {"step": -3}]
    rows = [ROW, ROW | {"window_size": float("nan"), "attn_dtype": None}, *(ROW | b for b in broken)]
    columns, refused = suite.read(write(tmp_path, suite.NAME, rows))
    assert columns["value"].tolist() == [2e-5, 2e-5]
    assert columns["work"][0] == columns["work"][1]
    assert sum(refused.values()) == 5
    assert refused["heads are no multiple of the key-value heads"] == 1


def test_a_file_without_window_and_cache_columns_is_read(tmp_path: Path) -> None:
    least = {name: ROW[name] for name in ROW if name not in ("window_size", "kv_cache_dtype", "step", "engine")}
    columns, refused = context_attention.read(write(tmp_path, "context_attention", [least]))
    assert not refused
    assert np.isfinite(told(as_suite(context_attention), columns).base).all()


@given(
    q=st.sampled_from([1, 2, 16, 100, 4096]), past=st.sampled_from([0, 5, 3000]), batch=st.integers(1, 512),
    groups=st.sampled_from([1, 4, 16]), window=st.sampled_from([0, 1, 128, 10_000]),
    device=st.sampled_from(list(DEVICES)),
)  # fmt: skip
def test_nothing_is_faster_than_the_roofline(
    q: int, past: int, batch: int, groups: int, window: int, device: str
) -> None:
    row = {"isl": q, "step": past, "batch_size": batch, "num_heads": 2 * groups, "num_key_value_heads": 2}
    columns = ask(row | {"window_size": float(window), "system": device})
    specs = Specs.of(columns["device"], DEVICES)
    keys = [min(past + i + 1, window or past + i + 1) for i in range(q)]
    flops = 4 * batch * 2 * groups * 128 * sum(keys)
    assert seconds(as_suite(context_attention), columns)[0] > flops / specs.rate("bf16")[0]


def test_a_window_saves_time_and_eight_bit_keys_are_read_faster() -> None:
    long = {"step": 100_000, "batch_size": 64}
    whole, windowed, narrow = seconds(
        as_suite(generation_attention), ask(long, long | {"window_size": 1000.0}, long | {"kv_cache_dtype": "fp8"})
    )
    assert windowed < whole / 10
    assert 0.5 * whole <= narrow < 0.7 * whole


def test_long_prompts_take_quadratic_time_and_exponentials_bound_narrow_heads() -> None:
    suite = as_suite(context_attention)
    prompt = {"step": 0, "isl": 16384, "batch_size": 1, "num_key_value_heads": 32}
    one, double, narrow = seconds(suite, ask(prompt, prompt | {"isl": 32768}, prompt | {"head_dim": 64}))
    assert double == pytest.approx(4 * one, rel=0.05)
    assert 0.5 * one < narrow < 0.7 * one  # half of the products, all of the exponentials


def test_chips_with_twice_the_exponentials_are_faster() -> None:
    def chip(name: str) -> Device:
        return Device(
            name=name, manufacturer="NVIDIA", kind="gpu", bandwidth=8e12, memory=2e11, units=148, clock=2e9, cache=1e8,
            rates={"bf16": 2.25e15},
        )  # fmt: skip

    devices = {"plain": chip("NVIDIA B200"), "doubled": chip("NVIDIA B300")}
    prompt = {"step": 0, "isl": 16384, "num_key_value_heads": 32}
    columns = ask(prompt | {"system": "plain"}, prompt | {"system": "doubled"})
    plain, doubled = np.exp(context_attention.describe(columns, Specs.of(columns["device"], devices)).base)
    assert 0.6 * plain < doubled < 0.9 * plain
