"""Mixtures of experts: what is read, and physics that must hold on any device."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chips import DEVICES, seconds, told, write
from hypothesis import given
from hypothesis import strategies as st

from netwright.predict.learning.table import Columns, Specs, as_suite
from netwright.predict.suites import kernels, moe

SUITE = as_suite(moe)
ROW = {"system": "chip", "engine": "new", "kernel_source": "k", "moe_dtype": "bfloat16", "num_tokens": 64,
       "hidden_size": 4096, "inter_size": 1024, "topk": 8, "num_experts": 128, "moe_tp_size": 1, "moe_ep_size": 1,
       "distribution": "balanced", "latency": 0.5}  # fmt: skip


def ask(*rows: dict[str, Any]) -> Columns:
    joined = [ROW | row for row in rows]
    columns: Columns = {name: np.array([row[name] for row in joined]) for name in ROW}
    columns["file"] = np.full(len(joined), "moe", dtype=object)
    return columns | {"device": np.array([row["system"] for row in joined], dtype=object)}


def test_rows_of_all_files_are_read_and_broken_ones_counted(tmp_path: Path) -> None:
    write(tmp_path, "moe", [ROW, ROW | {"topk": 200}, ROW | {"latency": float("inf")}, ROW | {"moe_dtype": "int1"}])
    columns, refused = moe.read(write(tmp_path, "wideep_context_moe", [ROW]))
    assert columns["value"].tolist() == [5e-4, 5e-4]
    assert columns["work"][0] != columns["work"][1]
    assert refused == {
        "no time above zero": 1, "format int1 is unknown": 1, "more experts chosen than there are": 1,
    }  # fmt: skip


def test_the_fused_kernel_counts_the_tokens_of_one_device(tmp_path: Path) -> None:
    columns, _ = moe.read(write(tmp_path, "dsv4_megamoe_module", [ROW | {"moe_ep_size": 8}]))
    assert columns["num_tokens"].tolist() == [512]


def test_no_file_gives_no_rows(tmp_path: Path) -> None:
    columns, refused = moe.read(tmp_path)
    assert not len(columns["value"])
    assert not refused


@given(
    tokens=st.integers(1, 60_000), spread=st.sampled_from([1, 2, 16, 128]), cut=st.sampled_from([1, 4]),
    form=st.sampled_from(sorted(kernels.FORMATS)), device=st.sampled_from(list(DEVICES)),
    law=st.sampled_from(["balanced", "power_law_1.2", "power_law_1.01_eplb", "something new"]),
)  # fmt: skip
def test_nothing_is_faster_than_the_roofline(
    tokens: int, spread: int, cut: int, form: str, device: str, law: str
) -> None:
    row = {"num_tokens": tokens, "moe_ep_size": spread, "moe_tp_size": cut, "moe_dtype": form, "system": device}
    columns = ask(row | {"distribution": law})
    specs = Specs.of(columns["device"], DEVICES)
    rate = specs.rate(kernels.FORMATS[form].compute)[0]
    described = told(SUITE, columns)
    assert described.refused[0] == np.isnan(rate)
    if not described.refused[0]:
        flops = 6 * tokens * 8 / spread * 4096 * 1024 / cut
        assert np.exp(described.base[0]) > flops / rate


def test_few_tokens_touch_few_experts_and_many_all() -> None:
    described = told(SUITE, ask({"num_tokens": 1}, {"num_tokens": 10_000}))
    touched = 2 ** described.features[:, described.names.index("experts touched")]
    assert touched == pytest.approx([8, 128], rel=0.01)


def test_experts_on_more_devices_take_less_time_each() -> None:
    one, spread = seconds(SUITE, ask({"num_tokens": 4096}, {"num_tokens": 4096, "moe_ep_size": 8}))
    assert spread < 0.5 * one


def test_a_power_law_loads_one_device_more() -> None:
    spread = {"num_tokens": 65536, "moe_ep_size": 32}
    alike, skewed, moved = seconds(
        SUITE,
        ask(spread, spread | {"distribution": "power_law_1.2"}, spread | {"distribution": "power_law_1.2_eplb"}),
    )
    assert skewed > 1.5 * alike
    assert moved == pytest.approx(alike)
