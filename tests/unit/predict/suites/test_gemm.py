"""Products: what is read and refused, and physics that must hold on any device."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from chips import DEVICES, write
from hypothesis import given
from hypothesis import strategies as st

from netwright.hardware.device import Device
from netwright.predict import physics
from netwright.predict.learning.table import Columns, Specs
from netwright.predict.suites import gemm, kernels


def questions(
    m: list[float], n: float = 4096, k: float = 4096, device: str = "chip", form: str = "bfloat16"
) -> Columns:
    rows = len(m)
    columns: Columns = {"m": np.array(m, float), "n": np.full(rows, float(n)), "k": np.full(rows, float(k))}
    texts = {"device": device, "gemm_dtype": form, "engine": "trtllm", "kernel_source": "torch_flow"}
    return columns | {name: np.full(rows, text, dtype=object) for name, text in texts.items()}


def seconds(columns: Columns) -> np.ndarray:
    return np.exp(gemm.describe(columns, Specs.of(columns["device"], DEVICES)).base)


ROW = {"system": "chip", "engine": "new", "kernel_source": "k", "gemm_dtype": "fp8", "m": 1, "n": 64, "k": 64,
       "latency": 0.002, "unheard_of": 3}  # fmt: skip


def test_rows_are_read_in_seconds_and_broken_ones_counted_by_reason(tmp_path: Path) -> None:
    broken = [
        {"latency": 0.0},
        {"latency": -1.0},
        {"latency": float("nan")},
        {"m": 0},
        {"gemm_dtype": "fp3"},
        {"system": None},
    ]
    columns, refused = gemm.read(write(tmp_path, "gemm", [ROW, *(ROW | b for b in broken)]))
    assert columns["value"].tolist() == [2e-6]
    assert columns["work"].tolist() == ["fp8|1|64|64"]
    assert refused == {"no time above zero": 3, "m is not above zero": 1, "format fp3 is unknown": 1, "no device": 1}


def test_a_folder_without_the_file_has_no_rows(tmp_path: Path) -> None:
    columns, refused = gemm.read(tmp_path)
    assert not refused
    assert not len(columns["value"])
    assert len(columns["work"]) == 0


def test_a_file_that_is_no_table_is_counted_and_one_without_a_column_too(tmp_path: Path) -> None:
    folder = write(tmp_path, "gemm", [{k: v for k, v in ROW.items() if k != "n"}] * 3)
    (folder / "kernels" / "more").mkdir()
    (folder / "kernels" / "more" / "gemm_perf.parquet").write_bytes(b"no parquet")
    columns, refused = gemm.read(folder)
    assert not len(columns["value"])
    assert sum(refused.values()) == 4
    assert refused["gemm_perf.parquet has no column n"] == 3


def test_optional_columns_may_be_missing(tmp_path: Path) -> None:
    columns, refused = gemm.read(
        write(tmp_path, "gemm", [{k: v for k, v in ROW.items() if k not in ("engine", "kernel_source")}])
    )
    assert not refused
    assert columns["engine"].tolist() == [""]
    assert gemm.describe(columns, Specs.of(columns["device"], DEVICES)).refused.tolist() == [False]


@given(
    m=st.integers(1, 40_000), n=st.integers(1, 70_000), k=st.integers(1, 70_000), device=st.sampled_from(list(DEVICES)),
    form=st.sampled_from(sorted(kernels.FORMATS)),
)  # fmt: skip
def test_nothing_is_faster_than_the_roofline(m: int, n: int, k: int, device: str, form: str) -> None:
    columns = questions([m], n, k, device, form)
    specs = Specs.of(columns["device"], DEVICES)
    told = gemm.describe(columns, specs)
    rate = specs.rate(kernels.FORMATS[form].compute)
    assert np.isnan(rate[0]) == told.refused[0]
    if not told.refused[0]:
        assert np.exp(told.base[0]) > 2 * m * n * k / rate[0]
        assert np.isfinite(told.features[0, told.names.index("log time")])


@given(m=st.integers(1, 8192), factor=st.integers(2, 8))
def test_more_rows_never_take_much_less(m: int, factor: int) -> None:
    one, more = seconds(questions([m, m * factor]))
    assert more > 0.9 * one


def test_small_weights_take_less_memory_time_than_large_ones() -> None:
    times = {
        form: seconds(questions([1], 16384, 16384, "fast", form))[0] for form in ("bfloat16", "int8_wo", "int4_wo")
    }
    assert times["bfloat16"] > 1.5 * times["int8_wo"] > 1.5 * times["int4_wo"]


def test_large_products_tend_to_the_sustained_rate_and_small_ones_to_the_launch() -> None:
    columns = questions([16384], 16384, 16384)
    specs = Specs.of(columns["device"], DEVICES)
    ideal = 2 * 16384**3 / 3e14
    assert 1 / physics.USUAL.peak < seconds(columns)[0] / ideal < 1.5
    least = physics.launch(physics.Chip.of(specs))[0]
    assert least < seconds(questions([1], 32, 32))[0] < 4 * least


def test_weights_that_fit_in_the_cache_are_read_faster() -> None:
    chip = physics.Chip.of(Specs.of(np.array(["chip"]), DEVICES))
    moved = np.array([1e6])
    assert physics.streamed(chip, moved, np.array([1e6]))[0] <= physics.streamed(chip, moved, np.array([1e9]))[0]
    assert physics.streamed(chip, moved, np.array([1e9]))[0] == pytest.approx(1e6 / (2e12 * physics.USUAL.reached))


def test_a_device_without_a_rate_is_refused_with_a_reason() -> None:
    int8 = Device(
        name="Int", manufacturer="Other", kind="accelerator", bandwidth=1e11, memory=1e9, rates={"int8": 1e12}
    )
    columns = questions([64], device="int")
    told = gemm.describe(columns, Specs.of(columns["device"], {"int": int8}))
    assert told.refused.all()
    assert told.why[0]


def test_many_rows_are_told_as_each_alone() -> None:
    m = list(np.random.default_rng(0).integers(1, 5000, physics.ROWS_AT_ONCE + 7).astype(float))
    together = seconds(questions(m, 512, 512))
    picked = [0, 17, physics.ROWS_AT_ONCE - 1, physics.ROWS_AT_ONCE, len(m) - 1]
    assert together[picked] == pytest.approx([seconds(questions([m[i]], 512, 512))[0] for i in picked])


def test_constants_are_found_again_from_times_they_make() -> None:
    rng = np.random.default_rng(1)
    columns = questions([1.0] * 300) | {"device": np.array(["chip", "fast"] * 150, dtype=object)}
    columns |= {name: 2.0 ** rng.integers(6, 13, 300) for name in ("m", "n", "k")}
    specs = Specs.of(columns["device"], DEVICES)
    truth = asdict(physics.USUAL) | {"launch": 1.4 * physics.USUAL.launch, "reached": 0.6}
    columns["value"] = np.exp(gemm.describe(columns, specs, truth).base)
    found = gemm.fit_constants(columns, specs)
    off = {of: np.abs(gemm.describe(columns, specs, of_).base - np.log(columns["value"])).mean()
           for of, of_ in (("usual", None), ("found", found))}  # fmt: skip
    assert off["found"] < 0.5 * off["usual"]
    assert json.loads(json.dumps(found)) == found
