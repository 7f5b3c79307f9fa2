import csv
import gzip
import io

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netwright.hardware import catalog
from netwright.predict.learning import hybrid
from netwright.predict.learning.table import Specs
from netwright.predict.suites import mlperf, mlperf_server, timm

ROW = {
    "version": "v4.1",
    "Organization": "Someone",
    "Division": "closed",
    "SystemName": "Server (8x H100, TensorRT)",
    "Platform": "server",
    "MlperfModel": "bert-99",
    "Scenario": "Offline",
    "Result": "70000",
    "Units": "Samples/s",
    "number_of_nodes": "1.0",
    "accelerator_model_name": "NVIDIA H100-SXM-80GB",
    "accelerators_per_node": "8",
    "framework": "TensorRT 10.2.0",
    "url": "https://example.org/results",
    "uid": "abc",
}


def folder_with(tmp_path, *rows):
    (tmp_path / "mlperf").mkdir(exist_ok=True)
    text = io.StringIO()
    table = csv.DictWriter(text, list(ROW))
    table.writeheader()
    table.writerows({**ROW, **row} for row in rows)
    (tmp_path / "mlperf" / "inference.csv.gz").write_bytes(gzip.compress(text.getvalue().encode()))
    return tmp_path


def specs_of(columns):
    return Specs.of(columns["device"], {name: catalog.find(name) for name in set(columns["device"].astype(str))})


CONSTANTS = {
    "resnet": [1.3e10, 0.0, 3.5e-6], "bert-99": [1.36e11, 1e8, 0.0], "bert-99.9": [1.44e11, 1.6e8, 0.0],
    "gptj-99": [2e13, 0.0, 0.0], "gptj-99 tokens": [2.4e11, 0.0, 0.0], "llama2-70b-99": [3.5e11, 0.0, 0.0],
}  # fmt: skip
"""Of the size that results tell."""


def rate(task, device, **about):
    columns = mlperf.columns_of(task, device, **about)
    return float(np.exp(mlperf.describe(columns, specs_of(columns), CONSTANTS).base[0]))


def test_a_result_is_of_one_accelerator_and_carries_what_must_be_cited(tmp_path):
    columns, refused = mlperf.read(folder_with(tmp_path, {}))
    assert refused == {}
    assert columns["value"].tolist() == [8750.0]
    assert columns["accelerators"].tolist() == [8.0]
    assert columns["device"].tolist() == ["NVIDIA H100-SXM-80GB"]
    cited = {name: columns[name][0] for name in mlperf.CITED}
    assert cited == {
        "submitter": "Someone", "benchmark": "bert-99", "system": "Server (8x H100, TensorRT)", "round": "v4.1",
        "division": "closed", "result": "abc", "address": "https://example.org/results",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"Division": "open"}, "not of the closed division"),
        ({"Division": ""}, "not of the closed division"),
        ({"Scenario": "Server", "Units": "Queries/s"}, "not the offline scenario"),
        ({"Units": "Watts"}, "a result in watts or without a unit"),
        ({"accelerator_model_name": ""}, "no accelerator"),
        ({"accelerator_model_name": "NVIDIA A30 (1x1g.6gb MIG)"}, "a slice of an accelerator, or a virtual one"),
        ({"accelerator_model_name": "Virtualized NVIDIA L40S"}, "a slice of an accelerator, or a virtual one"),
        ({"accelerator_model_name": "NVIDIA A100-SXM-80C"}, "a slice of an accelerator, or a virtual one"),
        ({"framework": "MLCommons reference implementation, Onnxruntime v1.15"}, "a reference implementation"),
        ({"Result": "-1"}, "no positive result"),
        ({"Result": "fast"}, "no positive result"),
        ({"accelerators_per_node": "(8,4)"}, "no positive result"),
        ({"accelerators_per_node": "0"}, "no positive result"),
        ({"MlperfModel": "tomorrow-7t"}, "a task that this version does not know"),
    ],
)
def test_rows_that_are_no_such_result_are_counted_with_the_reason(tmp_path, change, reason):
    columns, refused = mlperf.read(folder_with(tmp_path, change, {}))
    assert len(columns["value"]) == 1
    [(said, count)] = refused.items()
    assert said.startswith(reason)
    assert count == 1


def test_from_round_41_on_gptj_holds_tokens_whatever_the_label_says(tmp_path):
    gptj = {"MlperfModel": "gptj-99", "accelerators_per_node": "1"}
    columns, _ = mlperf.read(
        folder_with(tmp_path, {**gptj, "version": "v4.0", "Result": "29"}, {**gptj, "version": "4.1", "Result": "2472"})
    )
    assert columns["work"].tolist() == ["gptj-99", "gptj-99 tokens"]
    assert 40 < rate("gptj-99 tokens", "h100") / rate("gptj-99", "h100", version=4.0) < 150


def test_before_round_41_the_server_scenario_counts_queries_of_llama(tmp_path):
    llama = {"MlperfModel": "llama2-70b-99.9", "Scenario": "Server", "Units": "Queries/s", "accelerators_per_node": "1"}
    folder = folder_with(
        tmp_path, {**llama, "version": "v4.0", "Result": "8.7"}, {**llama, "version": "v4.1", "Result": "2700"}
    )
    columns, _ = mlperf_server.read(folder)
    assert columns["value"].tolist() == pytest.approx([8.7 * 294.45, 2700])
    offline = {**llama, "Scenario": "Offline", "Units": "Samples/s", "version": "v4.0", "Result": "2600"}
    columns, _ = mlperf.read(folder_with(tmp_path, offline))
    assert columns["value"].tolist() == [2600.0]


def test_power_capped_systems_are_another_mode(tmp_path):
    columns, _ = mlperf.read(folder_with(tmp_path, {"SystemName": "Server (8x H100_MaxQ, TensorRT)"}, {}))
    assert columns["mode"].tolist() == ["power capped", "full power"]


def test_the_server_scenario_is_a_suite_of_its_own(tmp_path):
    folder = folder_with(tmp_path, {"Scenario": "Server", "Units": "Queries/s", "Result": "40000"}, {})
    columns, refused = mlperf_server.read(folder)
    assert columns["value"].tolist() == [5000.0]
    assert refused == {"not the server scenario": 1}
    assert mlperf.read(folder)[0]["value"].tolist() == [8750.0]


def test_nodes_count(tmp_path):
    columns, _ = mlperf.read(folder_with(tmp_path, {"number_of_nodes": "2"}, {"number_of_nodes": "0"}))
    assert columns["value"].tolist() == [4375.0, 8750.0]


def test_no_folder_is_no_rows(tmp_path):
    assert mlperf.read(tmp_path) == ({}, {})


@given(st.binary(max_size=200), st.booleans())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_in_the_file_it_is_read_or_counted(tmp_path, content, packed):
    (tmp_path / "mlperf").mkdir(exist_ok=True)
    for old in (tmp_path / "mlperf").iterdir():
        old.unlink()
    name, content = ("a.csv.gz", gzip.compress(content)) if packed else ("a.csv", content)
    (tmp_path / "mlperf" / name).write_bytes(content)
    columns, refused = mlperf.read(tmp_path)
    assert not columns or (columns["value"] > 0).all()
    assert all(count > 0 for count in refused.values())


def test_a_damaged_archive_is_counted(tmp_path):
    path = folder_with(tmp_path, {}) / "mlperf" / "inference.csv.gz"
    path.write_bytes(path.read_bytes()[:60])
    columns, refused = mlperf.read(tmp_path)
    assert columns == {}
    assert sum(refused.values()) == 1


def test_constants_are_found_again_from_what_they_made(tmp_path):
    names = ["NVIDIA T4", "NVIDIA A2", "NVIDIA L4", "NVIDIA A30", "NVIDIA A40", "NVIDIA A100-SXM-80GB", "NVIDIA L40S"]
    names += ["NVIDIA H100-SXM-80GB", "NVIDIA H100-PCIe-80GB", "NVIDIA H200-SXM-141GB"]
    rows = [
        {"accelerator_model_name": n, "MlperfModel": t} for n in names for t in ("resnet", "bert-99", "llama2-70b-99")
    ]
    columns, _ = mlperf.read(folder_with(tmp_path, *rows))
    specs = specs_of(columns)
    columns["value"] = np.exp(mlperf.describe(columns, specs, CONSTANTS).base)
    found = mlperf.fit_constants(columns, specs)
    assert found.keys() == {"resnet", "bert-99", "llama2-70b-99"}
    for task, constants in found.items():
        assert constants == pytest.approx(CONSTANTS[task], rel=0.02, abs=1e-8)
    assert found["llama2-70b-99"][1:] == [0, 0]  # too few accelerators have results to tell more than the arithmetic


def test_young_software_and_capped_systems_have_no_part_in_the_constants(tmp_path):
    young = {"version": "v3.0", "Result": "10000"}
    capped = {"SystemName": "MaxQ", "Result": "10000"}
    columns, _ = mlperf.read(folder_with(tmp_path, young, capped, {}, {}))
    alone, _ = mlperf.read(folder_with(tmp_path, {}))
    assert mlperf.fit_constants(columns, specs_of(columns)) == mlperf.fit_constants(alone, specs_of(alone))


def test_what_young_software_takes_longer_is_told_apart(tmp_path):
    young = {"version": "v3.1", "MlperfModel": "gptj-99", "Result": "80"}
    grown = {"version": "v4.0", "MlperfModel": "gptj-99", "Result": "240"}
    both, _ = mlperf.read(folder_with(tmp_path, young, grown))
    constants = mlperf.fit_constants(both, specs_of(both))
    assert constants["gptj-99 young"] == pytest.approx([3**0.5], rel=0.01)  # one device: half of the way to 3
    told = np.exp(mlperf.describe(both, specs_of(both), constants).base)
    assert told == pytest.approx([30 / 3**0.5, 30], rel=0.01)
    alone, _ = mlperf.read(folder_with(tmp_path, young))
    assert mlperf.fit_constants(alone, specs_of(alone)).keys() == {"gptj-99"}


def seconds(task, device):
    columns = mlperf.columns_of(task, device)
    return float(mlperf.parts(columns["work"], specs_of(columns))[0][0])


def test_compiled_for_one_shape_every_question_is_as_long_as_the_longest():
    for device, times in (("inferentia2", 2.0), ("gaudi-2", 2.0), ("h100", 1.0), ("Qualcomm Cloud AI 100 Pro", 1.0)):
        of_bert, of_rnnt = seconds("bert-99", device), seconds("rnnt", device)
        rates = catalog.find(device).rates
        wide = rates.get("fp16") or rates["bf16"]
        fastest = max(wide, rates.get("int8", 0), rates.get("fp8", 0))
        assert of_bert * fastest == pytest.approx(times * of_rnnt * wide)


def test_what_no_compiler_takes_is_no_rate():
    assert catalog.find("inferentia").rates.keys() == {"bf16", "fp16"}


def test_older_processes_hold_less_of_their_rate():
    def held(name):
        return float(mlperf.sustained(Specs.of(np.array([name]), {name: catalog.find(name)}))[0])

    assert held("t4") == pytest.approx((70 / 65 / 3.9) ** 0.5, rel=0.01)
    assert held("a2") == 1.0
    assert held("h100") == pytest.approx((700 / 989.4) ** 0.5, rel=0.01)
    assert held("gh200") == mlperf.UNKNOWN


def test_a_greater_accuracy_takes_longer_where_eight_bits_no_longer_do():
    assert rate("bert-99.9", "a100") < 0.7 * rate("bert-99", "a100")
    assert rate("bert-99.9", "h100") > 0.7 * rate("bert-99", "h100")


def test_four_bits_where_they_are_allowed():
    columns = mlperf.columns_of("llama2-70b-99", "b200")
    operation, _, _ = mlperf.parts(columns["work"], specs_of(columns))
    assert operation[0] * mlperf.sustained(specs_of(columns))[0] == pytest.approx(1 / catalog.find("b200").rates["fp4"])


def test_faster_devices_are_faster_but_no_device_shortens_what_is_fixed():
    rates = [rate("resnet", name) for name in ("t4", "l4", "a30", "a100", "h100", "b200")]
    assert rates == sorted(rates)
    assert rates[-1] < 1 / CONSTANTS["resnet"][2]


@pytest.mark.parametrize("task", ["tomorrow-7t", "retinanet"])
def test_a_task_that_is_unknown_or_was_not_learned_is_refused_with_the_reason(task):
    columns = {**mlperf.columns_of("resnet", "h100"), "work": np.array([task], dtype=object)}
    told = mlperf.describe(columns, specs_of(columns), CONSTANTS)
    assert told.refused.tolist() == [True]
    assert "task" in told.why[0]


def test_a_question_about_an_unknown_task_says_so():
    with pytest.raises(KeyError):
        mlperf.columns_of("tomorrow-7t", "h100")


def test_unknown_power_and_rounds_to_come_still_give_a_number():
    assert 0 < rate("resnet", "gh200", version=9.9) < 1e6


def test_spreads_come_from_leaving_out_single_accelerators_since_siblings_tell_the_constants():
    names = ("a100", "a30", "h100", "l4")
    specs = Specs.of(np.array(names, dtype=object), {name: catalog.find(name) for name in names})
    assert len(set(hybrid.family_of(mlperf, specs))) == 4
    assert len(set(hybrid.family_of(timm, specs))) == 3


def test_later_rounds_are_a_split(tmp_path):
    columns, _ = mlperf.read(folder_with(tmp_path, {"version": "v3.1"}, {"version": "v4.0"}, {"version": "4.1"}))
    [split] = mlperf.SPLITS.values()
    train, test = split(columns, specs_of(columns))
    assert train.tolist() == [True, False, False]
    assert (train ^ test).all()
