"""What every device of the catalogue keeps: its values are sourced, dense and plausible."""

import re
import tomllib

import pytest

from netwright.core import recipe
from netwright.core.error import UserError
from netwright.hardware import catalog
from netwright.hardware.device import DTYPES, OPTIONAL, Device

DEVICES = catalog.load()
EVERY = pytest.mark.parametrize("device", DEVICES, ids=lambda device: device.name)
CHIPS = tomllib.loads(catalog.SEED.with_name("chips.toml").read_text(encoding="utf-8"))["chip"]
OF_A_CHIP = [(chip, name) for chip in CHIPS for name in chip["devices"]]

HALF_BF16 = {"AMD Instinct MI100"}
"""The one chip whose bf16 units do half of what its fp16 units do."""
CAPPED = {("NVIDIA H800 SXM", "fp64")}
"""Rates that the maker holds below what the chip does, for export."""


def named(name):
    return next(device for device in DEVICES if device.name == name)


@EVERY
def test_every_value_has_exactly_one_source(device):
    given = {f"rates.{dtype}" for dtype in device.rates} | {"bandwidth", "memory"}
    given |= {name for name in (*OPTIONAL, "year", "architecture", "narrow") if getattr(device, name)}
    sourced = [value for source in device.sources for value in source.values]
    assert sorted(sourced) == sorted(given)


@EVERY
def test_every_source_says_where_when_and_how_it_may_be_used(device):
    for source in device.sources:
        assert len(source.where) > 10
        assert re.fullmatch(r"20\d\d-\d\d(-\d\d)?", source.date)
        assert source.licence in ("CC BY", "Apache-2.0", "facts")


@EVERY
def test_rates_are_dense(device):
    """Figures with sparsity are twice the dense ones, and would break these ratios of the units."""
    rates = device.rates
    if "bf16" in rates and "fp16" in rates and device.name not in HALF_BF16:
        assert rates["bf16"] == pytest.approx(rates["fp16"], rel=0.01)
    for dtype in {"int8", "fp8"} & rates.keys() if "bf16" in rates or "fp16" in rates else ():
        half = rates.get("bf16", rates.get("fp16"))
        assert rates[dtype] <= 2.05 * half or device.name in HALF_BF16 or "Qualcomm" in device.manufacturer
    if "tf32" in rates:
        assert rates["tf32"] <= 1.01 * rates["bf16"]
    for four, eight in (("fp4", "fp8"), ("int4", "int8")):
        if four in rates and eight in rates:
            assert (
                1.95
                <= rates[four] / rates[eight]
                <= (4.1 if device.narrow or device.architecture == "Blackwell" else 2.05)
            )
    if "fp32" in rates:
        assert max(rates.values()) <= 210 * rates["fp32"]


@pytest.mark.parametrize(("chip", "name"), OF_A_CHIP, ids=lambda value: value if isinstance(value, str) else "")
def test_rates_follow_from_units_and_clock(chip, name):
    """Within 6 %: a sparse figure is 100 % off, the wrong accumulation 50 %, a wrong board mostly more than 6 %."""
    device = named(name)
    assert device.architecture == chip["architecture"]
    for dtype, rate in device.rates.items():
        if dtype not in chip["per_clock"] or (name, dtype) in CAPPED:
            continue
        wide = chip.get("wide", {}).get(dtype, 1.0) if device.narrow and dtype not in ("bf16", "fp16") else 1.0
        slower = 1.0 if dtype in ("fp32", "fp64") else chip.get("matrix_clock", 1.0)
        assert rate == pytest.approx(
            device.units * device.clock * slower * chip["per_clock"][dtype] * wide, rel=0.06
        ), dtype


def test_a_chip_is_sourced_and_no_device_is_of_two():
    names = [name for _, name in OF_A_CHIP]
    assert len(names) == len(set(names)) > 60
    for chip in CHIPS:
        assert len(chip["where"]) > 10
        assert set(chip["per_clock"]) <= set(DTYPES)
        assert chip["unit"]
        assert set(chip.get("wide", {})) <= set(chip["per_clock"])


def test_narrow_is_what_geforce_cards_of_matrix_units_are():
    for device in DEVICES:
        assert device.narrow == ("GeForce RTX" in device.name), device.name


BUS = {  # bits, bit/s per pin
    "NVIDIA GeForce RTX 3060": (192, 15e9),
    "NVIDIA GeForce RTX 3060 Ti": (256, 14e9),
    "NVIDIA GeForce RTX 3070": (256, 14e9),
    "NVIDIA GeForce RTX 3080": (320, 19e9),
    "NVIDIA GeForce RTX 3080 Ti": (384, 19e9),
    "NVIDIA GeForce RTX 3090": (384, 19.5e9),
    "NVIDIA GeForce RTX 3090 Ti": (384, 21e9),
    "NVIDIA GeForce RTX 4060": (128, 17e9),
    "NVIDIA GeForce RTX 4060 Ti 16GB": (128, 18e9),
    "NVIDIA GeForce RTX 4070": (192, 21e9),
    "NVIDIA GeForce RTX 4070 Super": (192, 21e9),
    "NVIDIA GeForce RTX 4070 Ti": (192, 21e9),
    "NVIDIA GeForce RTX 4070 Ti Super": (256, 21e9),
    "NVIDIA GeForce RTX 4080": (256, 22.4e9),
    "NVIDIA GeForce RTX 4080 Super": (256, 23e9),
    "NVIDIA GeForce RTX 4090": (384, 21e9),
    "NVIDIA GeForce RTX 5060 Ti 16GB": (128, 28e9),
    "NVIDIA GeForce RTX 5070": (192, 28e9),
    "NVIDIA GeForce RTX 5070 Ti": (256, 28e9),
    "NVIDIA GeForce RTX 5080": (256, 30e9),
    "NVIDIA GeForce RTX 5090": (512, 28e9),
    "NVIDIA GeForce RTX 2080 Ti": (352, 14e9),
    "NVIDIA GeForce GTX 1080 Ti": (352, 11e9),
    "NVIDIA RTX PRO 6000 Blackwell Server": (512, 28e9),
    "NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation": (512, 28e9),
    "NVIDIA RTX A6000": (384, 16e9),
    "NVIDIA RTX A5000": (384, 16e9),
    "NVIDIA RTX 6000 Ada": (384, 20e9),
    "NVIDIA A40": (384, 14.5e9),
    "NVIDIA A10": (384, 12.5e9),
    "NVIDIA A2": (128, 12.5e9),
    "NVIDIA L4": (192, 12.5e9),
    "NVIDIA L40": (384, 18e9),
    "NVIDIA L40S": (384, 18e9),
    "NVIDIA T4": (256, 10e9),
    "NVIDIA V100 SXM2 32GB": (4096, 1.75e9),
    "NVIDIA A100 SXM 40GB": (5120, 2.43e9),
    "NVIDIA A100 SXM 80GB": (5120, 3.186e9),
    "NVIDIA H100 SXM": (5120, 5.23e9),
    "NVIDIA H200 SXM": (6144, 6.25e9),
    "AMD Instinct MI300X": (8192, 5.2e9),
    "AMD Instinct MI325X": (8192, 5.9e9),
    "AMD Instinct MI355X": (8192, 8e9),
    "AMD Radeon RX 7900 XTX": (384, 20e9),
    "AMD Radeon RX 9070 XT": (256, 20e9),
    "Intel Arc Pro B60": (192, 19e9),
    "Intel Arc A770 16GB": (256, 17.5e9),
    "NVIDIA Jetson AGX Orin 64GB": (256, 6.4e9),
}


@pytest.mark.parametrize("name", BUS)
def test_bandwidth_follows_from_the_bus(name):
    bits, rate = BUS[name]
    assert named(name).bandwidth == pytest.approx(bits * rate / 8, rel=0.03)


@EVERY
def test_numbers_are_in_the_units_they_claim(device):
    assert 4e10 < device.bandwidth < 2e13
    assert 8e9 <= device.memory < 1e12 or device.kind == "cpu"
    assert all(1e11 < rate < 2e16 for rate in device.rates.values())
    assert device.power is None or 10 <= device.power < 2000
    assert device.price is None or 100 < device.price < 1e5
    assert device.year is None or 2015 <= device.year <= 2026
    assert device.units is None or 1 <= device.units <= 512
    assert device.clock is None or 5e8 < device.clock < 6e9
    assert device.cache is None or 5e5 <= device.cache <= 6.5e8
    assert device.link is None or 1e10 <= device.link <= 1e12
    assert device.host_link is None or 1e10 <= device.host_link <= 5e11
    assert device.process is None or 2e-9 <= device.process <= 2.8e-8
    assert device.die_area is None or 5e-5 < device.die_area < 2e-3
    assert device.transistors is None or 1e9 < device.transistors < 3e11
    assert not device.this_machine


@EVERY
def test_it_is_found_by_every_name_and_survives_a_round_trip(device):
    for name in (device.name, device.name.upper(), *device.aliases):
        assert catalog.find(name).name == device.name
    values = recipe.plain(device)
    kept = {key: value for key, value in values.items() if value is not None}
    assert recipe.build(Device, kept, "device") == device


@EVERY
def test_every_dtype_that_networks_use_can_be_reckoned(device):
    for dtype in ("fp32", "bf16", "fp16", "int8", "fp8"):
        assert device.rate(dtype).flops > 0


NAMES = {  # as files of measurements spell it -> device
    "a100_sxm": "NVIDIA A100 SXM 80GB",
    "a100_pcie": "NVIDIA A100 PCIe 80GB",
    "a30": "NVIDIA A30",
    "b200_sxm": "NVIDIA B200",
    "b300_sxm": "NVIDIA B300",
    "b60": "Intel Arc Pro B60",
    "gb200": "NVIDIA GB200",
    "gb300": "NVIDIA GB300",
    "h100_pcie": "NVIDIA H100 PCIe",
    "h100_sxm": "NVIDIA H100 SXM",
    "h200_sxm": "NVIDIA H200 SXM",
    "l4": "NVIDIA L4",
    "l40s": "NVIDIA L40S",
    "rtx_pro_6000_server": "NVIDIA RTX PRO 6000 Blackwell Server",
    "rtx3090": "NVIDIA GeForce RTX 3090",
    "rtx4090": "NVIDIA GeForce RTX 4090",
    "4090": "NVIDIA GeForce RTX 4090",
    "rtx5090": "NVIDIA GeForce RTX 5090",
    "5090": "NVIDIA GeForce RTX 5090",
    "pro6000maxq": "NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation",
    "NVIDIA A100-SXM4-80GB": "NVIDIA A100 SXM 80GB",
    "NVIDIA H100 80GB HBM3": "NVIDIA H100 SXM",
    "NVIDIA H200": "NVIDIA H200 SXM",
    "NVIDIA B300 SXM6 AC": "NVIDIA B300",
    "NVIDIA RTX PRO 6000 Blackwell Server Edition": "NVIDIA RTX PRO 6000 Blackwell Server",
    "NVIDIA A100-PCIe-40GB (250W)": "NVIDIA A100 PCIe 40GB",
    "NVIDIA GeForce RTX 4090 (Ada Lovelace)": "NVIDIA GeForce RTX 4090",
    "NVIDIA H100-NVL-94GB": "NVIDIA H100 NVL",
    "i9_10940x": "Intel Core i9-10940X",
    "i7_12700h": "Intel Core i7-12700H",
    "QUALCOMM Cloud AI 100 PCIe/HHHL Pro": "Qualcomm Cloud AI 100 Pro",
    "Tesla T4": "NVIDIA T4",
    "A100-40GB-SXM": "NVIDIA A100 SXM 40GB",
    "MI300X": "AMD Instinct MI300X",
    "V100-16GB": "NVIDIA V100 SXM2 16GB",
}


@pytest.mark.parametrize("name", NAMES)
def test_names_in_files_of_measurements_are_found(name):
    assert catalog.find(name).name == NAMES[name]


NO_WHOLE_CARD = (
    "NVIDIA A100-SXM-80GB (1x1g.10gb MIG)",
    "NVIDIA A30 (4x1g.6gb MIG)",
    "NVIDIA A10-24Q",
    "NVIDIA A100-SXM-80C",
    "NVIDIA H100-80C",
    "Virtualized NVIDIA H100-SXM-80GB",
    "Virtualized NVIDIA L40S",
    "NVIDIA Drive-A100-PCIe",
    "1 Node: NVIDIA A100-SXM-80GBx8, 2 Nodes: NVIDIA A30x4",
    "QUALCOMM Cloud AI 100 DM.2e",
    "CPU-4vCPU-16GiB",
    "TPU",
    "-",
)


@pytest.mark.parametrize("name", NO_WHOLE_CARD)
def test_slices_and_other_boards_are_not_taken_for_the_card(name):
    with pytest.raises(UserError):
        catalog.find(name)


def test_they_are_many_and_of_several_makers():
    assert len(DEVICES) >= 80
    assert len({device.manufacturer for device in DEVICES}) >= 6
