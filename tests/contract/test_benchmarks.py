"""Every benchmark can be imported: what it is made of is still where it says."""

import runpy
from pathlib import Path

import pytest

BENCHMARKS = sorted((Path(__file__).parents[2] / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("file", BENCHMARKS, ids=lambda file: file.stem)
def test_it_finds_what_it_imports(file, monkeypatch):
    monkeypatch.syspath_prepend(str(file.parent))
    runpy.run_path(str(file), run_name="benchmark")
