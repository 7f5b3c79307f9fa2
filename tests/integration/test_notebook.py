"""The notebooks run from the top: their cells, in order, in one fresh process and folder, on a tiny data set."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import small_svg

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "svg_quality.ipynb"


def cells() -> list[str]:
    notebook = json.loads(NOTEBOOK.read_text())
    assert notebook["nbformat"] == 4
    assert all(cell["outputs"] == [] for cell in notebook["cells"] if cell["cell_type"] == "code")
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_it_trains_shows_its_curves_and_leaves_a_copy(tmp_path):
    small_svg.write(tmp_path / "data", tmp_path / "cache", images=25, settings=4)
    script = tmp_path / "cells.py"
    script.write_text("\n\n".join(cells()))
    ast.parse(script.read_text())
    own = {"SVG_QUALITY_DATA": tmp_path / "data", "SVG_QUALITY_AWAY": tmp_path / "away", "SVG_QUALITY_EPOCHS": 2,
           "SVG_QUALITY_BATCH": 16, "NETWRIGHT_CACHE": tmp_path / "cache"}  # fmt: skip
    ended = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, **{name: str(value) for name, value in own.items()}},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr + ended.stdout
    assert "correlation" in ended.stdout
    (report,) = tmp_path.glob("runs/*-deliver-*/report.html")
    assert "Estimated against measured" in report.read_text()
    (kept,) = tmp_path.glob("away/*-train-*/artifact/weights.safetensors")
    (made,) = tmp_path.glob("runs/*-train-*/artifact/weights.safetensors")
    assert kept.read_bytes() == made.read_bytes()
