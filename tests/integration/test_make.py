"""The Makefile with an interpreter that writes down what it was asked: what is installed, when, in which order."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FAKE = """#!/bin/sh
case "$*" in
    *version_info*) exit {version} ;;
    *ensurepip*) exit {venv} ;;
    "-m venv .venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python && cp "$0" .venv/bin/netwright; exit $? ;;
esac
echo "$(basename "$0") $*" >> asked
"""


@pytest.fixture
def make(tmp_path):
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "make", "sed", "cp", "mkdir", "touch", "basename", "rm", "expand"):
        (tools / name).symlink_to(shutil.which(name))

    def call(*targets: str, version: int = 0, venv: int = 0) -> tuple[int, list[str], str]:
        fake = tools / "python"
        fake.write_text(FAKE.format(version=version, venv=venv))
        fake.chmod(0o755)
        environment = {"PATH": str(tools), "PYTHON": str(fake)}
        ended = subprocess.run(
            ["make", *targets], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        asked = tmp_path / "asked"
        lines = asked.read_text().splitlines() if asked.exists() else []
        asked.unlink(missing_ok=True)
        return ended.returncode, lines, ended.stdout + ended.stderr

    call.folder = tmp_path
    return call


TORCH = "python -m pip install -c constraints.txt torch==2.13.0"
STUDY = "netwright study recipes/quickstart.toml"


def test_demo_installs_torch_first_and_only_what_it_needs_then_studies(make):
    code, asked, said = make("demo")
    assert code == 0, said
    assert asked == [TORCH, "python -m pip install -c constraints.txt -e .[openvino,onnx,plot]", STUDY]


def test_a_second_time_nothing_is_installed(make):
    make("demo")
    assert make("demo")[1] == [STUDY]


def test_test_after_demo_installs_the_rest_in_the_same_environment(make):
    make("demo")
    _, asked, _ = make("test")
    assert asked[:2] == [TORCH, "python -m pip install -c constraints.txt -e .[dev]"]
    assert asked[2].startswith("python -m pytest")
    assert "--cov" not in asked[2].split()  # `make coverage` does that
    assert len(make("test")[1]) == 1
    assert make("demo")[1] == [STUDY]


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_what_changed_is_installed_again(make, name):
    make("demo")
    stamp = make.folder / ".venv" / ".demo"
    os.utime(stamp, (stamp.stat().st_atime - 10, stamp.stat().st_mtime - 10))
    (make.folder / name).touch()
    assert make("demo")[1][0] == TORCH


def test_an_old_python_is_told(make):
    code, asked, said = make("demo", version=1)
    assert (code, asked) == (2, [])
    assert "needs Python 3.11, 3.12 or 3.13" in said


def test_a_missing_venv_module_is_told(make):
    code, asked, said = make("demo", venv=1)
    assert (code, asked) == (2, [])
    assert "apt-get install python3-venv" in said
    assert not (make.folder / ".venv").exists()


def test_help_names_every_target(make):
    _, _, said = make()
    targets = [line.split(":")[0] for line in (ROOT / "Makefile").read_text().splitlines() if "## " in line]
    assert len(targets) >= 6
    assert all(f"make {target}" in said for target in targets if target.isalpha())
