"""Energy from counters in a fake /sys; None where there are none."""

import pytest

from netwright.hardware.power import Energy, nvml, rapl, readers


def zone(root, at: str, name: str, micro: int, limit: int = 1_000_000_000):
    folder = root / f"intel-rapl:{at}"
    folder.mkdir(exist_ok=True)
    (folder / "name").write_text(name + "\n")
    (folder / "energy_uj").write_text(f"{micro}\n")
    (folder / "max_energy_range_uj").write_text(f"{limit}\n")


def no_gpus():
    return {}


def test_packages_and_dram_count_and_cores_do_not(tmp_path):
    for at, name in (("0", "package-0"), ("0:0", "core"), ("0:1", "dram"), ("1", "psys")):
        zone(tmp_path, at, name, 1_000_000)
    with Energy(tmp_path, no_gpus) as energy:
        for at, name in (("0", "package-0"), ("0:0", "core"), ("0:1", "dram"), ("1", "psys")):
            zone(tmp_path, at, name, 3_500_000)
    assert energy.parts == {"package-0": 2.5, "dram-0": 2.5}
    assert energy.joules == 5.0


def test_a_counter_that_wrapped(tmp_path):
    zone(tmp_path, "0", "package-0", 990_000_000)
    with Energy(tmp_path, no_gpus) as energy:
        zone(tmp_path, "0", "package-0", 20_000_000)
    assert energy.joules == pytest.approx(30.0)


def test_gpus_add_to_it(tmp_path):
    readings = iter([{"gpu-0": (100.0, float("inf"))}, {"gpu-0": (107.5, float("inf"))}])
    with Energy(tmp_path, lambda: next(readings)) as energy:
        pass
    assert (energy.joules, energy.parts) == (7.5, {"gpu-0": 7.5})


def test_nothing_answers(tmp_path):
    with Energy(tmp_path / "absent", no_gpus) as energy:
        pass
    assert energy.joules is None
    assert readers(tmp_path / "absent")["CPU"].startswith("absent")


def test_counters_that_may_not_be_read_or_make_no_sense_are_left_out(tmp_path):
    zone(tmp_path, "0", "package-0", 5)
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("forbidden")
    assert rapl(tmp_path) == {}
    assert "only root" in readers(tmp_path)["CPU"]


def test_an_exception_inside_still_ends_the_reading(tmp_path):
    zone(tmp_path, "0", "package-0", 1_000_000)
    energy = Energy(tmp_path, no_gpus)

    def work():
        with energy:
            zone(tmp_path, "0", "package-0", 2_000_000)
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert energy.joules == 1.0


def test_without_a_driver_nvml_is_silent(monkeypatch):
    def absent(name):
        raise OSError(name)

    monkeypatch.setattr("ctypes.CDLL", absent)
    assert nvml() == {}


class FakeNvml:
    """Two GPUs, of which the second is too old to count energy."""

    def __init__(self, starts: int = 0) -> None:
        self.starts, self.shut = starts, False

    def nvmlInit_v2(self):
        return self.starts

    def nvmlDeviceGetCount_v2(self, count):
        count._obj.value = 2
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, at, device):
        device._obj.value = at + 1
        return 0

    def nvmlDeviceGetTotalEnergyConsumption(self, device, millijoules):
        millijoules._obj.value = 5000
        return 0 if device.value == 1 else 3

    def nvmlShutdown(self):
        self.shut = True


def test_gpus_that_count_energy_are_read_and_the_library_is_let_go(monkeypatch):
    library = FakeNvml()
    monkeypatch.setattr("ctypes.CDLL", lambda name: library)
    assert nvml() == {"gpu-0": (5.0, float("inf"))}
    assert library.shut


def test_a_driver_without_a_gpu_is_silent(monkeypatch):
    monkeypatch.setattr("ctypes.CDLL", lambda name: FakeNvml(starts=9))
    assert nvml() == {}
