"""This machine, and machines faked as files under another root."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netwright.hardware import detect

XEON = """processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Intel(R) Xeon(R) Platinum 8480+
flags\t\t: fpu sse avx2 avx512f avx512_vnni avx512_bf16 amx_tile amx_int8 amx_bf16 avx512_fp16

processor\t: 1
flags\t\t: fpu
"""
GRAVITON = "processor\t: 0\nFeatures\t: fp asimd asimddp i8mm bf16 sve\n"


@pytest.fixture
def fake(tmp_path):
    def write(**files):
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


def test_this_machine_is_consistent():
    here = detect.detect()
    assert 1 <= here.threads <= here.cores == os.cpu_count()
    assert here.memory_available > 0
    assert here.disk_free > 0
    assert here.cpu
    assert {gpu.api for gpu in here.gpus} | here.reasons.keys() == {"cuda", "rocm", "xpu", "mps", "npu"}


def test_instructions_of_the_first_core():
    assert detect.isa(XEON)[:4] == ("avx2", "avx512f", "avx512_vnni", "avx512_bf16")
    assert "neon_dot" in detect.isa(GRAVITON)
    assert detect.isa("") == ()


def test_what_they_make_fast(fake):
    root = fake(proc__cpuinfo=XEON)
    here = detect.detect(root)
    assert here.cpu == "Intel(R) Xeon(R) Platinum 8480+"
    assert here.manufacturer == "Intel"
    assert here.fast == {"int8": "amx_int8", "bf16": "amx_bf16", "fp16": "avx512_fp16"}


@pytest.mark.parametrize(
    ("text", "threads"), [("150000 100000", 2), ("50000 100000", 1), ("max 100000", None), ("", None)]
)
def test_the_containers_quota(fake, text, threads, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    (root := fake(sys__fs__cgroup__x="")).joinpath("sys/fs/cgroup/cpu.max").write_text(text)
    assert detect.usable_threads(root) == (threads or 8)


def test_the_older_quota(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    folder = tmp_path / "sys/fs/cgroup/cpu"
    folder.mkdir(parents=True)
    (folder / "cpu.cfs_period_us").write_text("100000\n")
    (folder / "cpu.cfs_quota_us").write_text("300000\n")
    assert detect.usable_threads(tmp_path) == 3
    (folder / "cpu.cfs_quota_us").write_text("-1\n")
    assert detect.usable_threads(tmp_path) == 8


@given(st.text(alphabet="0123456789 -maxX\n", max_size=20))
def test_a_quota_of_any_text_is_survived(tmp_path_factory, text):
    root = tmp_path_factory.mktemp("root")
    (root / "sys/fs/cgroup").mkdir(parents=True)
    (root / "sys/fs/cgroup/cpu.max").write_text(text)
    assert detect.usable_threads(root) >= 1


def test_the_containers_memory(fake):
    root = fake(proc__cpuinfo=XEON)
    (root / "sys/fs/cgroup").mkdir(parents=True)
    (root / "sys/fs/cgroup/memory.max").write_text(str(2**20))
    assert detect.detect(root).memory == 2**20


def test_cards_by_their_maker(fake, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    root = fake(
        sys__class__drm__card0__device__vendor="0x8086\n",
        sys__class__drm__card0__device__device="0xe211\n",
        sys__class__drm__card1__device__vendor="0x1002\n",
        sys__class__drm__card1__device__mem_info_vram_total="17179869184\n",
        dev__kfd="",
        dev__accel__accel0="",
    )
    gpus, reasons = detect.accelerators(root)
    assert detect.Gpu("Intel GPU 0xe211", "xpu") in gpus
    assert detect.Gpu("AMD GPU", "rocm", 2.0**34) in gpus
    assert detect.Gpu("NPU accel0", "npu") in gpus
    assert reasons["cuda"] == "no NVIDIA driver (no nvidia-smi)"


def test_an_nvidia_card_without_its_tool(fake, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert "no nvidia-smi to ask" in detect.accelerators(fake(dev__nvidia0=""))[1]["cuda"]


def test_nvidias_answer():
    gpus = detect.parse_nvidia("NVIDIA H200, 143771, 580.65.06\nOdd card, [N/A], 1\nwarning: nonsense\n")
    assert gpus == [
        detect.Gpu("NVIDIA H200", "cuda", 143771 * 2.0**20, "580.65.06"),
        detect.Gpu("Odd card", "cuda", None, "1"),
    ]


def test_a_tool_that_fails_is_said(fake, tmp_path, monkeypatch):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nexit 9\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert detect.accelerators(tmp_path)[1]["cuda"] == "nvidia-smi is there, but finds no GPU"


def test_the_fingerprint_follows_the_machine(fake):
    here = detect.detect()
    assert detect.fingerprint() == detect.fingerprint(here)
    assert len(detect.fingerprint()) == 8
    assert detect.fingerprint(detect.detect(fake(proc__cpuinfo=XEON))) != detect.fingerprint(here)


def test_the_largest_cache_is_read_where_the_system_tells(tmp_path):
    assert detect.largest_cache(tmp_path) == 0
    for at, size in enumerate(["48K\n", "2048K\n", "105M\n", "much\n"]):
        folder = tmp_path / f"sys/devices/system/cpu/cpu0/cache/index{at}"
        folder.mkdir(parents=True)
        (folder / "size").write_text(size)
    assert detect.largest_cache(tmp_path) == 105 * 2**20


def test_the_instructions_of_this_machine_are_those_of_its_own_cpuinfo():
    assert detect.isa() == detect.detect().isa
