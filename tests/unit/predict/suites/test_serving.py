"""Rows of LLM serving: what is read, what is refused and counted, and that the physics moves the right way."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.hardware.device import Device
from netwright.predict.learning.table import Columns, Specs
from netwright.predict.llm.engine import Load
from netwright.predict.suites import serving, tpot, ttft

CARD = Device(
    name="card", manufacturer="Maker", kind="gpu", rates={"bf16": 9.9e14, "fp8": 2e15}, bandwidth=3.35e12,
    memory=8.6e10, link=4.5e11,
)  # fmt: skip
BARE = Device(name="bare", manufacturer="Other", kind="accelerator", rates={"fp32": 1e14}, bandwidth=1e12, memory=2e12)

ROW: dict[str, Any] = {
    "id": "a",
    "silicon_data_source": "db-dump/1; silicon_concurrency=16; measured=2026-01",
    "backend": "vllm",
    "backend_version": "0.12.0",
    "model_path": "meta-llama/Llama-3.1-8B-Instruct",
    "system": "card",
    "precision": "bf16",
    "mode": "agg",
    "isl": 1024,
    "osl": 1024,
    "gemm_quant_mode": "",
    "moe_quant_mode": "",
    "batch_size": 16,
    "tp_size": 1,
    "attention_dp_size": 1,
    "moe_tp_size": 1,
    "moe_ep_size": 1,
    "silicon_ttft_ms": 90.0,
    "silicon_tpot_ms": 9.0,
}


def folder(path: Path, *rows: dict[str, Any]) -> Path:
    (path / "serving").mkdir(parents=True, exist_ok=True)
    with (path / "serving" / "rows.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, sorted({key for row in rows for key in row}))
        writer.writeheader()
        writer.writerows(rows)
    return path


def question(**changes: Any) -> Columns:
    row: dict[str, Any] = {
        "device": "card", "llm": "Llama-3.1-8B", "weights": "bf16", "engine": "vllm", "served": "agg", "isl": 1024.0,
        "osl": 1024.0, "concurrency": 16.0, "experts_over": 1.0, "varied": 1.0, "guessing": 0.0, "workers": 1.0,
        "tensor": 1.0, "data": 1.0, "devices": 1.0, "prefill_workers": 1.0, "prefill_tensor": 1.0, "prefill_data": 1.0,
        "prefill_devices": 1.0, **changes,
    }  # fmt: skip
    return {k: np.array([v], dtype=object if isinstance(v, str) else float) for k, v in row.items()}


def load(device: Device = CARD, **changes: Any) -> Load:
    columns = question(**changes)
    return Load.of(columns, Specs.of(columns["device"], {"card": device}))


def test_reads_what_is_measured_in_seconds(tmp_path: Path) -> None:
    columns, refused = tpot.read(folder(tmp_path, ROW))
    assert refused == {}
    assert columns["value"].tolist() == [0.009]
    assert ttft.read(tmp_path)[0]["value"].tolist() == [0.09]
    assert columns["concurrency"].tolist() == [16]
    assert columns["llm"].tolist() == ["Llama-3.1-8B"]


def test_no_folder_is_no_row(tmp_path: Path) -> None:
    assert len(tpot.read(tmp_path)[0]["value"]) == 0


@pytest.mark.parametrize(
    ("change", "why"),
    [({"silicon_tpot_ms": ""}, "no measured time"), ({"silicon_tpot_ms": -4}, "no measured time"),
     ({"silicon_tpot_ms": "fast"}, "no measured time"), ({"model_path": "secret-1T"}, "unknown model secret-1T"),
     ({"isl": 0}, "neither aggregated nor disaggregated, or without lengths"),
     ({"mode": "other"}, "neither aggregated nor disaggregated, or without lengths"),
     ({"silicon_data_source": "", "batch_size": ""}, "no concurrency")],
)  # fmt: skip
def test_broken_rows_are_counted_and_the_rest_is_kept(change: dict[str, Any], why: str, tmp_path: Path) -> None:
    columns, refused = tpot.read(folder(tmp_path, ROW, {**ROW, "silicon_tpot_ms": 8.0, **change}))
    assert refused == {why: 1}
    assert len(columns["value"]) == 1


def test_a_measurement_listed_twice_counts_once(tmp_path: Path) -> None:
    other = {**ROW, "silicon_data_source": "source_file=x.csv; silicon_concurrency=16", "backend_version": ""}
    columns, refused = tpot.read(folder(tmp_path, ROW, other))
    assert len(columns["value"]) == 1
    assert refused == {"the same measurement listed again": 1}


@pytest.mark.parametrize(
    ("named", "devices", "tensor", "data"),
    [((8, 1, 8, 1), 8, 8, 1), ((64, 1, 8, 8), 8, 8, 1), ((1, 64, 8, 8), 8, 1, 8), ((4, 4, 1, 16), 4, 1, 4),
     ((2, 1, 2, 1), 2, 2, 1), ((1, 8, 1, 8), 8, 1, 8), ((4, "", 1, 4), 4, 4, 1)],
)  # fmt: skip
def test_devices_that_are_named_for_each_way_of_sharing_count_once(
    named: tuple[Any, ...], devices: int, tensor: int, data: int, tmp_path: Path
) -> None:
    names = ("tp_size", "attention_dp_size", "moe_tp_size", "moe_ep_size")
    columns, _ = tpot.read(folder(tmp_path, {**ROW, **dict(zip(names, named, strict=True))}))
    assert [columns[name][0] for name in ("devices", "tensor", "data")] == [devices, tensor, data]


def test_disaggregated_rows_have_pools_of_their_own(tmp_path: Path) -> None:
    row = {
        **ROW,
        "mode": "disagg",
        "decode_num_workers": 2,
        "decode_tp_size": 4,
        "prefill_tp_size": 2,
        "prefill_num_workers": 3,
    }
    columns, refused = tpot.read(folder(tmp_path, row))
    assert refused == {}
    told = {name: columns[name][0] for name in ("workers", "tensor", "prefill_workers", "prefill_tensor")}
    assert told == {"workers": 2, "tensor": 4, "prefill_workers": 3, "prefill_tensor": 2}
    assert np.isfinite(tpot.describe(columns, Specs.of(columns["device"], {"card": CARD})).base).all()


def test_a_wide_disaggregated_worker_is_taken_at_its_word(tmp_path: Path) -> None:
    named = {"decode_tp_size": 4, "decode_attention_dp_size": 4, "decode_moe_tp_size": 1, "decode_moe_ep_size": 16}
    columns, _ = tpot.read(folder(tmp_path, {**ROW, "mode": "disagg", **named}))
    assert [columns[name][0] for name in ("devices", "tensor", "data")] == [16, 4, 4]


def test_only_rows_of_unknown_listing_may_be_speculative(tmp_path: Path) -> None:
    row = {**ROW, "model_path": "deepseek-ai/DeepSeek-R1", "tp_size": 8}
    other = {**row, "silicon_data_source": "source_file=x; silicon_concurrency=16", "silicon_tpot_ms": 5.0}
    columns, _ = tpot.read(folder(tmp_path, row, other))
    assert columns["guessing"].tolist() == [0, 1]


def test_a_step_takes_no_less_than_reading_the_weights() -> None:
    found = load(concurrency=1.0)
    assert found.decode.total[0] > 15e9 / 3.35e12
    assert found.per_token[0] < 3 * 15e9 / 3.35e12


@pytest.mark.parametrize(("name", "values"), [("concurrency", (4.0, 8.0)), ("isl", (512.0, 4096.0))])
def test_more_work_takes_longer(name: str, values: tuple[float, float]) -> None:
    few, many = (load(**{name: value}) for value in values)
    assert few.per_token[0] < many.per_token[0]


def test_prompts_on_devices_of_their_own_steal_nothing() -> None:
    assert load(served="disagg").stolen[0] == 0 < load().stolen[0]


def test_more_devices_are_faster_and_less_than_in_proportion() -> None:
    one, four = (
        load(llm="Llama-3.1-70B", weights="fp8"),
        load(llm="Llama-3.1-70B", weights="fp8", tensor=4.0, devices=4.0),
    )
    assert 1 < one.decode.total[0] / four.decode.total[0] < 4


def test_a_full_cache_bounds_what_runs() -> None:
    found = load(concurrency=4096.0, isl=8192.0)
    assert found.running[0] == pytest.approx(found.room[0])
    assert found.running[0] < 4096


@pytest.mark.parametrize("suite", [tpot, ttft])
def test_weights_that_do_not_fit_are_refused(suite: Any) -> None:
    columns = question(llm="DeepSeek-V3", weights="fp8")
    told = suite.describe(columns, Specs.of(columns["device"], {"card": CARD}))
    assert told.refused.all()
    assert told.why[0] == "the weights do not fit into the devices named"


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from([tpot, ttft]), st.sampled_from(["gpt-oss-20b", "Qwen3.5-27B", "GLM-5", "gpt2"]),
    st.sampled_from(["fp4", "fp8", "int4", "bf16"]), st.sampled_from(["trtllm", "vllm", "sglang", "mlc"]),
    st.sampled_from(["agg", "disagg"]), st.integers(1, 10**5), st.integers(1, 10**5), st.integers(1, 10**4),
    st.sampled_from([1, 2, 8]),
)  # fmt: skip
def test_any_load_on_a_bare_device_has_a_time_or_a_reason(
    suite: Any, name: str, weights: str, engine: str, served: str, isl: int, osl: int, requests: int, tensor: int
) -> None:
    columns = question(
        llm=name, weights=weights, engine=engine, served=served, isl=float(isl), osl=float(osl),
        concurrency=float(requests), tensor=float(tensor), devices=float(tensor),
    )  # fmt: skip
    told = suite.describe(columns, Specs.of(columns["device"], {"card": BARE}))
    assert told.refused[0] == (told.why[0] != "")
    assert told.refused[0] or (np.isfinite(told.base[0]) and np.isfinite(told.features).all())


def test_families_are_shapes() -> None:
    from netwright.predict import llm

    assert serving.family(llm.find("DeepSeek-R1")) == serving.family(llm.find("DeepSeek-V3")) == "DeepSeek-V3"


def test_the_frozen_split_learns_from_hopper() -> None:
    names = np.array(["a", "b", "c"], dtype=object)
    devices = {
        n: Device(
            name=n, manufacturer="NVIDIA", kind="gpu", rates={"bf16": 1e15}, bandwidth=1e12, memory=1e11, architecture=a
        )
        for n, a in zip(names, ("Hopper", "Blackwell", "Ada"), strict=True)
    }
    train, test = tpot.SPLITS["hopper to blackwell"]({"device": names}, Specs.of(names, devices))
    assert (train.tolist(), test.tolist()) == ([True, False, False], [False, True, False])
