"""Energy that this machine used while something ran, where it can be read at all.

    with Energy() as energy:
        work()
    energy.joules          # None where nothing answers, as on most virtual machines

Readers: RAPL under /sys/class/powercap (CPU packages and DRAM; often readable by root only) and NVML's
counter of each NVIDIA GPU since Volta. A counter covers all that its chip did meanwhile, not only this
process. This file does not know what the work was.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

POWERCAP = Path("/sys/class/powercap")

Counters = Mapping[str, tuple[float, float]]
"""Part -> joules since some time, and the joules after which that counter starts again at 0 (inf: never)."""


class Energy:
    """Joules between entering and leaving, in all and by part ("package-0", "dram-0", "gpu-0").

    A counter that wrapped once in between is reckoned with; CPU counters wrap after minutes to an hour.
    """

    def __init__(self, root: Path = POWERCAP, gpus: Callable[[], Counters] | None = None) -> None:
        self._root, self._gpus = root, gpus or nvml
        self._before: Counters = {}
        self.parts: dict[str, float] = {}

    def _read(self) -> Counters:
        return {**rapl(self._root), **self._gpus()}

    def __enter__(self) -> Energy:
        self.parts = {}
        self._before = self._read()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        after = self._read() if self._before else {}
        for part, (now, wraps_at) in after.items():
            if part in self._before:
                used = now - self._before[part][0]
                self.parts[part] = used if used >= 0 else used + wraps_at

    @property
    def joules(self) -> float | None:
        """All parts together, or None where nothing answered."""
        return sum(self.parts.values()) if self.parts else None


def readers(root: Path = POWERCAP) -> dict[str, str]:
    """What could tell energy here -> "reads" or why it does not."""
    found = sorted(root.glob("intel-rapl:*")) if root.is_dir() else []
    cpu = "reads" if rapl(root) else "there, but only root may read it" if found else "absent: no RAPL in /sys"
    return {"CPU": cpu, "NVIDIA GPU": "reads" if nvml() else "absent: no NVML, or no GPU that counts energy"}


def rapl(root: Path = POWERCAP) -> dict[str, tuple[float, float]]:
    """Counters of CPU packages, and of DRAM, which packages leave out. AMD's are under the same names."""
    counters = {}
    for zone in sorted(root.glob("intel-rapl:*")) if root.is_dir() else []:
        with contextlib.suppress(OSError, ValueError):
            name = (zone / "name").read_text().strip()
            if name.startswith("package") or name == "dram":
                part = name if name != "dram" else f"dram-{zone.name.split(':')[1]}"
                micro = int((zone / "energy_uj").read_text())
                counters[part] = (micro / 1e6, int((zone / "max_energy_range_uj").read_text()) / 1e6)
    return counters


def nvml() -> dict[str, tuple[float, float]]:
    """Counters of NVIDIA's management library; empty without the driver."""
    try:
        library = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return {}
    if library.nvmlInit_v2() != 0:
        return {}
    counters = {}
    try:
        count = ctypes.c_uint()
        library.nvmlDeviceGetCount_v2(ctypes.byref(count))
        for at in range(count.value):
            device, millijoules = ctypes.c_void_p(), ctypes.c_ulonglong()
            if library.nvmlDeviceGetHandleByIndex_v2(at, ctypes.byref(device)) != 0:
                continue
            if library.nvmlDeviceGetTotalEnergyConsumption(device, ctypes.byref(millijoules)) == 0:
                counters[f"gpu-{at}"] = (millijoules.value / 1e3, float("inf"))
    finally:
        library.nvmlShutdown()
    return counters
