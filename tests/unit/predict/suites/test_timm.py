import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netwright.core.workload import Operator, Workload
from netwright.hardware import catalog
from netwright.predict import physics, structure
from netwright.predict.learning.table import Specs
from netwright.predict.suites import timm, timm_cpu, timm_physics

HEADER = (
    "model,infer_samples_per_sec,infer_step_time,infer_batch_size,infer_img_size,infer_gmacs,infer_macts,param_count"
)
FILE = "benchmark-infer-amp-nchw-pt240-cu124-rtx4090.csv"


def folder_with(tmp_path, text, name=FILE):
    (tmp_path / "timm").mkdir(exist_ok=True)
    (tmp_path / "timm" / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return tmp_path


def specs_of(columns):
    return Specs.of(columns["device"], {name: catalog.find(name) for name in set(columns["device"].astype(str))})


def rates(columns):
    return np.exp(timm.describe(columns, specs_of(columns)).base)


def plain_of(columns):
    work = {name: columns[name] for name in structure.FIELDS}
    return timm_physics.parts(work, columns["batch"], columns["dtype"], specs_of(columns))


def network(batch=32, dtype="fp16", flops=8e9, passes=2e7):
    """A convolution, and passes over so many numbers an item."""
    moved = {"input_bytes": passes * batch, "output_bytes": passes * batch}
    few = {"input_bytes": 1e6 * batch, "output_bytes": 1e6 * batch}
    operators = (
        Operator(name="convolution", flops=flops * batch, weight_bytes=2e6, dtype=dtype, **few),
        Operator(name="relu", flops=1e6 * batch, dtype=dtype, **moved),
    )
    return Workload(name="mine", batch=batch, parameters=1_000_000, operators=operators)


def test_rows_of_a_table(tmp_path):
    rows = ["resnet50,2500.0,409.6,1024,224,4.11,11.11,25.56"]
    rows += ["vit_base_patch16_224.augreg,900,1137,1024,224,16.87,16.49,86.57"]
    columns, refused = timm.read(folder_with(tmp_path, "\n".join([HEADER, *rows])))
    assert refused == {}
    assert columns["device"].tolist() == ["rtx4090"] * 2
    assert columns["value"].tolist() == [2500.0, 900.0]
    assert columns["work"].tolist() == ["resnet50|224|eager", "vit_base_patch16_224|224|eager"]
    assert columns["mode"].tolist() == ["eager nchw"] * 2
    assert columns["family"].tolist() == ["resnet", "vit"]
    assert columns["dtype"].tolist() == ["fp16"] * 2
    assert columns["products"].tolist() == [53 + 1, 1 + 12 * 5 + 1]


@pytest.mark.parametrize(
    ("name", "device", "mode", "dtype"),
    [
        ("benchmark-infer-amp-nchw-pt291-cu128-5090-dynamo.csv", "5090", "compiled nchw", "fp16"),
        ("benchmark-infer-amp_bf16-nhwc-pt291-cu130-pro6000maxq.csv", "pro6000maxq", "eager nhwc", "bf16"),
        ("benchmark-infer-fp32-nchw-pt240-cpu-i9_10940x-dynamo.csv", "i9_10940x", "compiled nchw", "fp32"),
        ("benchmark-infer-bf16-nchw-pt291-rocm64-mi300x.csv", "mi300x", "eager nchw", "bf16"),
    ],
)
def test_the_file_name_says_the_conditions(tmp_path, name, device, mode, dtype):
    folder = folder_with(tmp_path, f"{HEADER}\nresnet50,25,40,1,224,4.11,11.11,25.56\n", name)
    columns, _ = (timm_cpu if "-cpu-" in name else timm).read(folder)
    assert (timm if "-cpu-" in name else timm_cpu).read(folder) == ({}, {})
    assert (columns["device"][0], columns["mode"][0], columns["dtype"][0]) == (device, mode, dtype)


def test_training_tables_have_their_own_columns(tmp_path):
    text = f"{HEADER.replace('infer', 'train')}\nresnet50,700,731,512,224,,,25.56\n"
    columns, _ = timm.read(folder_with(tmp_path, text, "benchmark-train-amp-nhwc-pt112-cu113-rtx3090.csv"))
    assert columns["mode"].tolist() == ["training nhwc"]
    assert columns["value"].tolist() == [700.0]


def test_bad_rows_are_counted_and_the_rest_is_read(tmp_path):
    rows = ["resnet50,-1,1,256,224,4,11,25", "resnet50,0,1,256,224,4,11,25", "resnet50,nan,1,256,224,4,11,25"]
    rows += [
        "resnet50,10,1,,224,4,11,25",
        ",10,1,256,224,4,11,25",
        "resnet50,inf,1,256,224,4,11,25",
        "resnet50,x,1,256,224",
    ]
    rows += ["resnet50,2500,1,256,224,4.11,11.11,25.56"]
    columns, refused = timm.read(folder_with(tmp_path, "\n".join([HEADER, *rows])))
    assert len(columns["value"]) == 1
    assert refused == {"no network, or no positive rate, batch or image size": 7}


@pytest.mark.parametrize("name", ["benchmark-infer-secret-nchw-pt1-cu1-x.csv", "benchmark-results.csv"])
def test_a_file_with_another_name_is_counted(tmp_path, name):
    columns, refused = timm.read(folder_with(tmp_path, f"{HEADER}\nresnet50,25,40,1,224,4.11,11.11,25.56\n", name))
    assert columns == {}
    assert sum(refused.values()) == 1


def test_no_folder_is_no_rows(tmp_path):
    assert timm.read(tmp_path) == ({}, {})


@given(st.binary(max_size=300))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_in_the_file_it_is_read_or_counted(tmp_path, content):
    columns, refused = timm.read(folder_with(tmp_path, content))
    assert isinstance(refused, dict)
    if columns:
        assert (columns["value"] > 0).all()


def test_resnet50_is_foretold_within_reach_of_what_was_measured(tmp_path):
    # measured: timm's results/benchmark-infer-amp-nchw-pt240-cu124-rtx3090.csv, Apache-2.0
    row, file = "resnet50,3219.06,318.095,1024,224,4.11,11.11,25.56", FILE.replace("4090", "3090")
    columns, _ = timm.read(folder_with(tmp_path, f"{HEADER}\n{row}\n", file))
    assert rates(columns)[0] == pytest.approx(3219.06, rel=0.25)


def test_a_faster_device_is_faster_and_a_compiled_network_too():
    by = {name: rates(timm.columns_of(network(), name))[0] for name in ("3090", "4090", "5090", "h100")}
    assert by["3090"] < by["4090"] < by["5090"] < by["h100"]
    assert rates(timm.columns_of(network(), "4090", "eager nchw"))[0] < by["4090"]


def test_a_low_power_limit_slows_and_no_limit_exceeds_the_peak():
    columns = timm.columns_of(network(passes=1e3), "pro6000maxq")
    held, flow = physics.sustained(specs_of(columns))
    assert 0.4 < held[0] < 0.7
    assert held[0] < flow[0] < 1
    free, _ = physics.sustained(specs_of(timm.columns_of(network(), "4090")))
    assert free[0] == physics.HELD


def test_stacked_memory_does_not_compete_for_power():
    _, flow = physics.sustained(specs_of(timm.columns_of(network(), "h200")))
    assert flow[0] == 1


def test_the_parts_sum_up_to_the_whole():
    columns = timm.columns_of(network(), "4090", "eager nchw")
    plain = plain_of(columns)
    total, parts = timm_physics.seconds(plain, columns["mode"], specs_of(columns), timm_physics.USUAL)
    assert sum(part[0] for part in parts.values()) == pytest.approx(total[0])
    assert total[0] == pytest.approx(1 / rates(columns)[0])


def test_a_trace_and_the_table_tell_the_same_of_one_network(tmp_path):
    text = f"{HEADER}\nresnet50,2500,409.6,1024,224,4.11,11.11,25.56\n"
    columns, _ = timm.read(folder_with(tmp_path, text, FILE.replace(".csv", "-dynamo.csv")))
    traced = {**timm.columns_of(network(batch=1024), "rtx4090"), **{f: columns[f] for f in structure.FIELDS}}
    assert rates(traced)[0] == pytest.approx(rates(columns)[0])


def test_a_larger_batch_is_no_slower():
    assert rates(timm.columns_of(network(batch=1), "4090"))[0] <= rates(timm.columns_of(network(batch=64), "4090"))[0]


def test_one_small_item_takes_what_the_host_needs_to_issue_its_calls():
    tiny = network(batch=1, flops=1e6, passes=1e3)
    fastest = {"eager nchw": 1 / (2 * 8e-6), "compiled nchw": 1 / (2 * 4e-6)}
    for mode, most in fastest.items():
        assert 0.3 * most < rates(timm.columns_of(tiny, "h100", mode))[0] <= most * 1.001


def test_convolutions_of_fp32_take_tf32_where_a_device_has_it():
    fp32 = network(dtype="fp32", flops=8e11)
    by = {name: rates(timm.columns_of(fp32, name))[0] for name in ("a100", "v100")}
    a100, v100 = (catalog.find(name).rates for name in by)
    assert by["a100"] / by["v100"] > 2 * a100["fp32"] / v100["fp32"]


def test_cpus_have_their_own_constants():
    columns = timm.columns_of(network(batch=1, dtype="fp32"), "i9_10940x")
    assert 1 < rates(columns)[0] < 500
    gpu = timm_physics.seconds(plain_of(columns), columns["mode"], specs_of(columns), {})[0]
    assert 1 / gpu[0] == pytest.approx(rates(columns)[0])  # whatever the mode is called
    assert timm_physics._sets(columns["mode"], specs_of(columns)).tolist() == ["cpu"]


def test_what_nothing_describes_is_refused_with_the_reason(tmp_path):
    columns, _ = timm.read(folder_with(tmp_path, f"{HEADER}\nzzz,2500,409.6,1024,224,,,\n"))
    told = timm.describe(columns, specs_of(columns))
    assert told.refused.tolist() == [True]
    assert "no name" in told.why[0]


def test_the_usual_constants_are_of_parts_that_there_are():
    plain = plain_of(timm.columns_of(network(), "4090"))
    for often in timm_physics.USUAL.values():
        assert often.keys() <= plain.keys()
        assert min(often.values()) >= 0


def test_constants_are_found_again_from_what_they_made(tmp_path):
    # three networks in many batches, at the usual constants and 7 % of chance
    names = ["resnet50,{},1,{},224,4.11,11.11,25.56", "vit_base_patch16_224,{},1,{},224,16.87,16.49,86.57"]
    names += ["mobilenetv3_large_100,{},1,{},224,0.22,4.4,5.48", "convnext_tiny,{},1,{},224,4.47,13.44,28.59"]
    lines = [name.format(1, 2**batch) for name in names for batch in range(1, 30)]
    columns, _ = timm.read(folder_with(tmp_path, "\n".join([HEADER, *lines])))
    columns["value"] = rates(columns) * np.exp(0.07 * np.random.default_rng(0).standard_normal(len(lines)))
    found = timm.fit_constants(columns, specs_of(columns))
    assert found.keys() == {"eager nchw"}
    told = timm.describe(columns, specs_of(columns), found)
    assert np.median(np.abs(told.base - np.log(rates(columns)))) < 0.03


def test_too_few_rows_leave_the_usual_constants(tmp_path):
    columns, _ = timm.read(folder_with(tmp_path, f"{HEADER}\nresnet50,2500,409.6,1024,224,4.11,11.11,25.56\n"))
    found = timm.fit_constants(columns, specs_of(columns))
    assert found == {}
    assert timm.describe(columns, specs_of(columns), found).base == timm.describe(columns, specs_of(columns)).base


def test_a_layout_that_was_not_measured_takes_the_other_ones_constants():
    usual = rates(timm.columns_of(network(), "4090", "compiled nchw"))
    assert rates(timm.columns_of(network(), "4090", "compiled nhwc")) == usual
    assert rates(timm.columns_of(network(), "4090", "training nchw")) < rates(
        timm.columns_of(network(), "4090", "eager nchw")
    )


def test_the_roofline_is_never_slower_than_the_estimate():
    for mode in ("eager nchw", "compiled nchw", "training nchw"):
        columns = timm.columns_of(network(), "4090", mode)
        assert np.exp(timm.roofline(columns, specs_of(columns))[0]) > rates(columns)[0]
