"""Every block of code in the documentation runs, with recipes that are tiny; the site builds strictly.

The blocks of a page run one after another in one folder, as a reader would run them. There, `recipes/` holds
small recipes of the same names on synthetic data, and `make` only says what it would do. A block that says
takes minutes is run with the real recipes, by the slow suite.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LOG.md")] + sorted(
    (ROOT / "docs").rglob("*.md")
)
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LONG = re.compile("takes (half a minute|minutes)")

TINY = """
[task]
name = "synthetic"
examples = 100
[model]
name = "cnn"
width = 4
[train]
epochs = 1
batch = 50
"""
TINY_STUDY = """
[bench]
batch = [1]
seconds = 0.02
rounds = 6
memory = false
[study]
chains = ["int8"]
formats = ["onnx"]
devices = ["NVIDIA L4"]
"""


def blocks(page: Path) -> list[tuple[str, str]]:
    return [(found[1], found[2]) for found in BLOCK.finditer(page.read_text())]


def with_blocks(long: bool) -> list[Path]:
    return [page for page in PAGES if any(bool(LONG.search(text)) == long for _, text in blocks(page))]


def run(folder: Path, language: str, text: str, commands: Path) -> None:
    make = folder / "bin" / "make"
    make.parent.mkdir(exist_ok=True)
    make.write_text(f'#!/bin/sh\nexec {shutil.which("make")} -n -C {ROOT} "$@"\n')
    make.chmod(0o755)
    path = os.pathsep.join([str(make.parent), str(commands), str(Path(sys.executable).parent), os.environ["PATH"]])
    command = ["bash", "-euo", "pipefail", "-c", text] if language == "bash" else [commands / "python", "-c", text]
    ended = subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, f"{text}\n{ended.stdout}\n{ended.stderr}"
    assert "Traceback" not in ended.stderr, ended.stderr


@pytest.mark.parametrize("page", with_blocks(long=False), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_blocks_of_a_page_run(page, tmp_path, commands):
    (tmp_path / "recipes").mkdir()
    for real in (ROOT / "recipes").glob("*.toml"):
        study = "[study]" in real.read_text()
        (tmp_path / "recipes" / real.name).write_text(TINY + (TINY_STUDY if study else ""))
    for language, text in blocks(page):
        if not LONG.search(text) or text.startswith("make "):
            run(tmp_path, language, text, commands)


@pytest.mark.slow
@pytest.mark.parametrize("page", with_blocks(long=True), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_blocks_of_a_page_run_with_the_real_recipes(page, tmp_path, commands):
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    for language, text in blocks(page):
        run(tmp_path, language, text, commands)


def test_no_block_is_in_a_language_that_is_not_run():
    languages = {
        (page.name, found)
        for page in PAGES
        for found in re.findall(r"^```(\w*)$", page.read_text(), re.MULTILINE)
        if found not in ("", "bash", "python")
    }
    assert languages <= {("extend.md", "toml")}


def test_links_between_files_lead_somewhere():
    broken = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
            generated = target.startswith(("reference/", "../reference/"))
            if "://" not in target and not generated and not (page.parent / target).exists():
                broken.append(f"{page.name}: {target}")
    assert broken == []


def test_the_site_builds_strictly(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    recipes = (tmp_path / "site" / "reference" / "recipes" / "index.html").read_text()
    assert "one of cosine" in recipes or "one-cycle" in recipes
    verbs = (tmp_path / "site" / "reference" / "command-line" / "index.html").read_text()
    assert "netwright study" in verbs
