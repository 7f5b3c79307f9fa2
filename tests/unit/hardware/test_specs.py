"""A device from a file that a person writes: what is taken, and what is refused with the reason."""

import contextlib

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from netwright.core.error import UserError
from netwright.hardware import catalog, specs

TOLD = {
    "data_dir": "data/mine",
    "gpu": {
        "mem_bw": 3_350_000_000_000,
        "mem_bw_empirical_scaling_factor": 0.8,
        "mem_capacity": 85899345920,
        "bfloat16_tc_flops": 989_000_000_000_000,
        "int8_tc_flops": 1978e12,
        "fp8_tc_flops": 1978e12,
        "power": 700,
        "sm_version": 90,
    },
    "node": {"num_gpus_per_node": 8, "inter_node_bw": 5e10, "intra_node_bw": 4.5e11, "pcie_bw": 6.4e10},
    "misc": {"nccl_mem": {1: 0}},
}


def write(folder, file="mine.yaml", /, **gpu):
    told = {**TOLD, "gpu": {key: value for key, value in (TOLD["gpu"] | gpu).items() if value != "left out"}}
    (folder / file).write_text(yaml.safe_dump(told))
    return folder / file


def test_the_layout_is_read_in_its_units(tmp_path):
    device = specs.read(write(tmp_path))
    assert (device.name, device.manufacturer, device.kind) == ("mine", "NVIDIA", "gpu")
    assert (device.bandwidth, device.memory, device.power) == (3.35e12, 85899345920, 700)
    assert device.rates == {"bf16": 9.89e14, "int8": 1.978e15, "fp8": 1.978e15}
    assert (device.link, device.host_link, device.network) == (4.5e11, 6.4e10, 5e10)
    assert (device.architecture, device.units, device.price) == ("Hopper", None, None)
    stated = {value for source in device.sources for value in source.values}
    assert stated == {"bandwidth", "memory", "power", "link", "host_link", "network", "architecture"} | {
        f"rates.{dtype}" for dtype in device.rates
    }


def test_what_the_layout_lacks_may_be_added(tmp_path):
    more = {"name": "My card", "manufacturer": "Me", "kind": "accelerator", "units": 84, "clock": "2.5e9", "year": 2025}
    more |= {"cache": 6.7e7, "price": 1999, "float32_tc_flops": 6e13, "architecture": "Mine", "narrow": True}
    device = specs.read(write(tmp_path, **more))
    assert (device.name, device.manufacturer, device.kind, device.architecture) == (
        "My card",
        "Me",
        "accelerator",
        "Mine",
    )
    assert (device.units, device.clock, device.cache, device.price, device.year) == (84, 2.5e9, 6.7e7, 1999, 2025)
    assert device.rates["fp32"] == 6e13
    assert device.narrow


def test_fp8_at_the_rate_of_bf16_is_no_fp8(tmp_path):
    assert "fp8" not in specs.read(write(tmp_path, fp8_tc_flops=9.89e14)).rates


@pytest.mark.parametrize(
    ("gpu", "said"),
    [
        ({"mem_bw": 3350}, r"gpu\.mem_bw = 3350: a number in B/s.*3350 GB/s is 3\.35e\+12"),
        ({"bfloat16_tc_flops": 989}, r"989 TFLOP/s is 9\.89e\+14"),
        ({"mem_capacity": 80}, r"80 GB is 8e\+10"),
        ({"clock": 1980}, r"1980 MHz is 1\.98e\+09"),
        ({"mem_bw": -3.35e12}, "a number in B/s"),
        ({"mem_bw": "fast"}, "a number in B/s"),
        ({"mem_bw": float("nan")}, "a number in B/s"),
        ({"mem_bw": float("inf")}, "a number in B/s"),
        ({"mem_bw": True}, "a number in B/s"),
        ({"mem_bw": [1]}, "a number in B/s"),
        ({"power": 0}, "a number in W, 1 to 10000"),
        ({"mem_bw": "left out"}, r"add mem_bw: \.\.\. to gpu"),
        ({"mem_capacity": None}, r"add mem_capacity"),
        ({"units": 12.5}, "a whole number"),
        ({"sm_version": "new"}, "ten times the compute capability"),
        ({"kind": "toaster"}, "cpu, gpu or accelerator"),
        ({"name": "x\x1b[31m"}, "one line of text"),
        ({"bfloat16_tc_flop": 9.89e14}, 'did you mean "bfloat16_tc_flops"'),
        ({"narrow": "yes"}, "true or false"),
    ],
)
def test_what_cannot_be_is_refused_with_the_key(tmp_path, gpu, said):
    with pytest.raises(UserError, match=said) as refusal:
        specs.read(write(tmp_path, **gpu))
    assert "mine.yaml" in refusal.value.next


def test_a_file_without_any_rate_is_refused(tmp_path):
    without = dict.fromkeys(("bfloat16_tc_flops", "int8_tc_flops", "fp8_tc_flops"), "left out")
    with pytest.raises(UserError, match="add bfloat16_tc_flops"):
        specs.read(write(tmp_path, **without))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1, 2]",
        "gpu: 3",
        "gpu: {mem_bw: [}",
        "a: &a [1]\nb: *a",
        "!!python/object/apply:os.system ['true']",
        "\x00",
    ],
)
def test_what_is_no_such_file_is_refused(tmp_path, text):
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    with pytest.raises(UserError):
        specs.read(path)


def test_a_file_that_is_not_there_or_too_large_is_refused(tmp_path):
    with pytest.raises(UserError, match="a YAML file"):
        specs.read(tmp_path / "none.yaml")
    (tmp_path / "long.yaml").write_text("#" * (specs.MAX_BYTES + 1))
    with pytest.raises(UserError, match="at most 100,000 bytes"):
        specs.read(tmp_path / "long.yaml")


@given(st.binary(max_size=300))
def test_any_bytes_are_a_device_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(data)
    with contextlib.suppress(UserError):
        specs.read(path)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*specs.GPU, *specs.WORDS, "bfloat16_tc_flops", "sm_version", 3]), plain))
def test_any_values_are_a_device_or_refused(tmp_path_factory, gpu):
    path = tmp_path_factory.getbasetemp() / "values.yaml"
    path.write_text(yaml.safe_dump({"gpu": TOLD["gpu"] | gpu, "node": TOLD["node"]}))
    with contextlib.suppress(UserError):
        specs.read(path)


def test_a_known_device_is_filled_in_and_keeps_its_sources(tmp_path):
    device = catalog.from_specs(write(tmp_path, "h100_sxm.yaml", power=650))
    assert (device.units, device.power) == (catalog.find("h100").units, 650)
    by = {value: source.where for source in device.sources for value in source.values}
    assert by["power"] == "the file h100_sxm.yaml"
    assert by["units"] != by["power"]
    assert len(by) == sum(len(source.values) for source in device.sources)


def test_a_file_that_contradicts_the_known_device_stands_alone(tmp_path):
    assert catalog.from_specs(write(tmp_path, "h100_sxm.yaml", mem_bw=8e12)).units is None
    assert catalog.from_specs(write(tmp_path, "something_new.yaml")).units is None


def test_narrow_rates_stay_narrow(tmp_path):
    known = catalog.find("rtx4090")
    assert known.narrow
    told = {"mem_bw": known.bandwidth, "mem_capacity": known.memory, "power": known.power, "sm_version": 89}
    told |= dict.fromkeys(("int8_tc_flops", "fp8_tc_flops"), "left out")
    path = write(tmp_path, "rtx4090.yaml", bfloat16_tc_flops=known.rates["bf16"], **told)
    assert catalog.from_specs(path).rate("bf16") == known.rate("bf16")
