"""Exchanges between devices: what is read of five tables, and physics that must hold on any device."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chips import CHIP, seconds, told, write
from hypothesis import given
from hypothesis import strategies as st

from netwright.predict.learning.table import Columns, Specs, as_suite
from netwright.predict.suites import collective

SUITE = as_suite(collective)
RING = {"system": "chip", "engine": "nccl", "op_name": "all_reduce", "nccl_dtype": "half", "num_gpus": 8,
        "message_size": 1 << 20, "latency": 0.04}  # fmt: skip
CUSTOM = {"system": "chip", "engine": "vllm", "kernel_source": "x_eager", "allreduce_dtype": "bfloat16", "num_gpus": 4,
          "message_size": 4096, "latency": 0.02}  # fmt: skip
EXPERTS = {"system": "chip", "engine": "trtllm", "kernel_source": "NVLinkTwoSided", "op_name": "alltoall_dispatch",
           "moe_dtype": "nvfp4", "num_tokens": 64, "hidden_size": 7168, "topk": 8, "num_experts": 256,
           "moe_ep_size": 8, "latency": 0.02}  # fmt: skip
DEEPEP = {"system": "chip", "op_name": "normal", "node_num": 1, "hidden_size": 7168, "num_token": 64, "num_topk": 8,
          "num_experts": 256, "dispatch_sms": 8, "combine_sms": 8, "dispatch_transmit_us": 50.0,
          "combine_transmit_us": 90.0}  # fmt: skip


def ask(*rows: dict[str, Any]) -> Columns:
    plain = {"device": "chip", "mode": "nccl", "family": "ring", "op": "all_reduce", "gpus": 8, "bytes": 1e6,
             "units": 0, "direct": 0, "eager": 0, "steps": 14}  # fmt: skip
    joined = [plain | row for row in rows]
    return {name: np.array([row[name] for row in joined]) for name in plain}


def test_rows_of_every_table_are_read_with_the_bytes_that_leave_a_device(tmp_path: Path) -> None:
    write(tmp_path, "nccl", [RING, RING | {"num_gpus": 1}, RING | {"op_name": "scan"}, RING | {"nccl_dtype": "int3"}])
    write(tmp_path, "custom_allreduce", [CUSTOM, CUSTOM | {"latency": -1}])
    write(tmp_path, "trtllm_alltoall", [EXPERTS])
    write(tmp_path, "wideep_deepep_normal", [DEEPEP, DEEPEP | {"node_num": 2}])
    columns, refused = collective.read(tmp_path)
    assert columns["value"] == pytest.approx([4e-5, 2e-5, 2e-5, 5e-5, 9e-5])
    assert columns["bytes"][0] == pytest.approx(2 * (1 << 20) * 2 * 7 / 8)
    assert columns["eager"].tolist() == [0, 1, 0, 0, 0]
    assert refused == {
        "one device exchanges nothing": 1, "op_name scan is unknown": 1, "nccl_dtype int3 is unknown": 1,
        "no time above zero": 1, "more than one node": 2,
    }  # fmt: skip
    assert np.isfinite(told(SUITE, columns).base).all()


def test_no_file_gives_no_rows(tmp_path: Path) -> None:
    columns, refused = collective.read(tmp_path)
    assert not len(columns["value"])
    assert not refused


@given(sent=st.floats(1, 1e10), count=st.sampled_from([2, 4, 8, 72]), units=st.sampled_from([0, 4, 24]))
def test_nothing_is_faster_than_the_link(sent: float, count: int, units: int) -> None:
    assert CHIP.link is not None
    assert seconds(SUITE, ask({"bytes": sent, "gpus": count, "units": units}))[0] > sent / CHIP.link


def test_few_units_send_less() -> None:
    large = {"bytes": 1e9}
    plain, few = seconds(SUITE, ask(large, large | {"units": 4}))
    assert few > 3 * plain


def test_more_devices_share_the_links_to_the_host() -> None:
    hosted = replace(CHIP, link=None)
    columns = ask({"bytes": 1e9, "gpus": 2}, {"bytes": 1e9, "gpus": 8})
    described = collective.describe(columns, Specs.of(columns["device"], {"chip": hosted}))
    two, eight = np.exp(described.base)
    assert eight > 1.5 * two > 1.5e9 / 3e10
    assert described.features[:, described.names.index("through the host")].tolist() == [1, 1]


def test_a_device_without_any_link_is_refused() -> None:
    described = told(SUITE, ask({"device": "bare"}))
    assert described.refused.all()
    assert "link" in str(described.why[0])
