"""What this machine is: cores, instructions, memory, disk, accelerators. Reads; measures nothing.

    here = detect()
    here.threads, here.isa, here.gpus

`machine()` joins it with the rates of `probe` into a Device. Where something is absent, `reasons` says why,
for a person who expected it. This file never imports torch.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from netwright.core.error import UserError

if TYPE_CHECKING:
    from netwright.hardware.device import Device

FLAGS = {  # a name of ours -> names in /proc/cpuinfo on x86 and Arm
    "avx2": ("avx2",),
    "avx512f": ("avx512f",),
    "avx512_vnni": ("avx512_vnni",),
    "avx_vnni": ("avx_vnni",),
    "avx512_bf16": ("avx512_bf16",),
    "avx512_fp16": ("avx512_fp16",),
    "amx_tile": ("amx_tile",),
    "amx_int8": ("amx_int8",),
    "amx_bf16": ("amx_bf16",),
    "neon": ("asimd",),
    "neon_dot": ("asimddp",),
    "i8mm": ("i8mm",),
    "bf16": ("bf16",),
    "sve": ("sve",),
}


@dataclass(frozen=True)
class Gpu:
    """An accelerator in this machine. `memory` in bytes, None where the system does not say."""

    name: str
    api: str
    memory: float | None = None
    driver: str = ""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """This machine as its operating system tells it. Memory and disk in bytes."""

    system: str
    cpu: str
    manufacturer: str
    cores: int
    threads: int
    """What this process may use: the least of cores, affinity and the container's quota."""
    isa: tuple[str, ...]
    memory: int
    memory_available: int
    disk_free: int
    gpus: tuple[Gpu, ...]
    reasons: dict[str, str]
    """Accelerator API that is absent -> why."""

    @property
    def fast(self) -> dict[str, str]:
        """dtype -> the instructions that make it fast on this CPU; a dtype without any is absent."""
        ways = {
            "int8": ("amx_int8", "avx512_vnni", "avx_vnni", "i8mm", "neon_dot"),
            "bf16": ("amx_bf16", "avx512_bf16", "bf16"),
            "fp16": ("avx512_fp16",),
        }
        found = {dtype: [flag for flag in flags if flag in self.isa] for dtype, flags in ways.items()}
        return {dtype: flags[0] for dtype, flags in found.items() if flags}


def detect(root: Path = Path("/")) -> Machine:
    """Look at this machine; `root` is where /proc, /sys and /dev lie."""
    info = _read(root / "proc/cpuinfo")
    gpus, reasons = accelerators(root)
    return Machine(
        system=f"{platform.system()} {platform.machine()}",
        cpu=_cpu_name(info),
        manufacturer=_maker(info),
        cores=os.cpu_count() or 1,
        threads=usable_threads(root),
        isa=isa(info),
        memory=_memory_limit(root, psutil.virtual_memory().total),
        memory_available=psutil.virtual_memory().available,
        disk_free=shutil.disk_usage(Path.cwd()).free,
        gpus=tuple(gpus),
        reasons=reasons,
    )


def fingerprint(here: Machine | None = None) -> str:
    """Eight characters that stay the same while CPU, cores, memory and system do."""
    here = here or detect()
    parts = (here.system, here.cpu, str(here.cores), str(here.threads), f"{here.memory / 2**30:.0f} GiB")
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:8]


def machine() -> Device:
    """This machine's CPU as a Device, with measured rates: from the cache, or by a probe of some 10 s."""
    from netwright.hardware import probe

    return probe.device(detect())


def isa(cpuinfo: str | None = None) -> tuple[str, ...]:
    """The instruction sets that matter here, of the first core in /proc/cpuinfo: this machine's, if none is given."""
    info = _read(Path("/proc/cpuinfo")) if cpuinfo is None else cpuinfo
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", info, re.MULTILINE)
    present = set(found.group(1).split()) if found else set()
    return tuple(name for name, flags in FLAGS.items() if present.intersection(flags))


def largest_cache(root: Path = Path("/")) -> int:
    """Bytes of the largest cache of the first core; 0 where the system does not tell."""
    sizes = [_read(path) for path in (root / "sys/devices/system/cpu/cpu0/cache").glob("index*/size")]
    found = [re.fullmatch(r"([0-9]{1,9})([KM])", size.strip()) for size in sizes]
    return max((int(one[1]) * (1024 if one[2] == "K" else 2**20) for one in found if one), default=0)


def usable_threads(root: Path = Path("/")) -> int:
    """How many threads this process may run at once, after affinity and the container's CPU quota."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, period = (_read(root / "sys/fs/cgroup/cpu.max").split() + ["max", "100000"])[:2]
    if quota == "max":
        quota = _read(root / "sys/fs/cgroup/cpu/cpu.cfs_quota_us").strip() or "-1"
        period = _read(root / "sys/fs/cgroup/cpu/cpu.cfs_period_us").strip() or "100000"
    both = re.fullmatch(r"(-?[0-9]{1,15}) ([1-9][0-9]{0,14})", f"{quota} {period}")
    allowed = int(both[1]) / int(both[2]) if both else -1.0
    return max(1, min(affinity, round(allowed))) if allowed > 0 else affinity


def check_threads(setting: str, threads: int) -> None:
    """Raises UserError for more threads than can be of use: thousands of them bring a machine to a halt."""
    most = max(64, usable_threads())
    if threads > most:
        raise UserError(setting, threads, f"at most {most}; 0 takes all that this process may use", f"{setting}=0")


def accelerators(root: Path = Path("/")) -> tuple[list[Gpu], dict[str, str]]:
    """Accelerators beside the CPU, and for each API without any, why."""
    gpus: list[Gpu] = []
    reasons: dict[str, str] = {}
    for api, look in (("cuda", _cuda), ("rocm", _rocm), ("xpu", _xpu), ("mps", _mps), ("npu", _npu)):
        found = look(root)
        if isinstance(found, str):
            reasons[api] = found
        else:
            gpus += found
    return gpus, reasons


def _cuda(root: Path) -> list[Gpu] | str:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        seen = (root / "dev/nvidia0").exists()
        return "a GPU device is there, but no nvidia-smi to ask" if seen else "no NVIDIA driver (no nvidia-smi)"
    query = [tool, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return "nvidia-smi is there, but finds no GPU"
    return parse_nvidia(answer) or "nvidia-smi lists no GPU"


def parse_nvidia(answer: str) -> list[Gpu]:
    """GPUs of `nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader,nounits`."""
    rows = [[cell.strip() for cell in line.split(",")] for line in answer.splitlines() if line.count(",") == 2]
    return [
        Gpu(name, "cuda", float(mib) * 2**20 if re.fullmatch(r"[0-9]+(\.[0-9]*)?", mib) else None, driver)
        for name, mib, driver in rows
    ]


def _rocm(root: Path) -> list[Gpu] | str:
    if not (root / "dev/kfd").exists():
        return "no AMD compute driver (no /dev/kfd)"
    return _cards(root, "0x1002", "rocm", "AMD GPU") or "/dev/kfd is there, but no AMD GPU"


def _xpu(root: Path) -> list[Gpu] | str:
    return _cards(root, "0x8086", "xpu", "Intel GPU") or "no Intel GPU in /sys/class/drm"


def _mps(root: Path) -> list[Gpu] | str:
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return [Gpu("Apple GPU", "mps")]
    return "no Apple silicon"


def _npu(root: Path) -> list[Gpu] | str:
    return [Gpu(f"NPU {path.name}", "npu") for path in sorted(root.glob("dev/accel/accel*"))] or "no /dev/accel"


def _cards(root: Path, vendor: str, api: str, name: str) -> list[Gpu]:
    found = []
    for card in sorted(root.glob("sys/class/drm/card*/device")):
        if _read(card / "vendor").strip() == vendor:
            total = _read(card / "mem_info_vram_total").strip()
            code = _read(card / "device").strip()
            found.append(Gpu(f"{name} {code}".strip(), api, float(total) if total.isdecimal() else None))
    return found


def _cpu_name(info: str) -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", info, re.MULTILINE)
    if found:
        return found.group(1).strip()
    if platform.system() == "Darwin":
        asked = subprocess.run(
            ["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False
        )
        return asked.stdout.strip() or "Apple"
    return platform.processor() or platform.machine() or "CPU"


def _maker(info: str) -> str:
    found = re.search(r"^vendor_id\s*:\s*(\S+)$", info, re.MULTILINE)
    return {"GenuineIntel": "Intel", "AuthenticAMD": "AMD"}.get(found.group(1) if found else "", "unknown")


def _memory_limit(root: Path, total: int) -> int:
    """The container's limit where there is one below the machine's memory."""
    limit = _read(root / "sys/fs/cgroup/memory.max").strip()
    return min(total, int(limit)) if limit.isdecimal() else total


def _read(path: Path) -> str:
    """A file's text, or nothing where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
