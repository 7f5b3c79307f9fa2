"""The torch-free floors stay free of torch, and of what else is slow to import, in fresh processes."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import json, sys
from netwright.cli import main
try:
    code = main(sys.argv[1:])
except SystemExit as end:
    code = end.code
heavy = {"torch", "openvino", "onnx", "matplotlib", "sqlalchemy", "mlflow", "ray", "scipy", "pandas"}
print(json.dumps({"code": code, "heavy": sorted(heavy & sys.modules.keys())}), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--version"],
        ["hardware", "--help"],
        ["hardware", "list"],
        ["hardware", "show", "h100", "--json"],
        ["predict", "--help"],
        ["predict", "Qwen3-8B", "--device", "h100", "--json"],
        ["doctor"],
    ],
    ids=" ".join,
)
def test_these_commands_import_nothing_heavy(words):
    done = subprocess.run([sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, check=True)
    assert json.loads(done.stderr.splitlines()[-1]) == {"code": 0, "heavy": []}
    assert done.stdout


@pytest.mark.parametrize("floor", ["core", "hardware", "predict", "cli"])
def test_no_module_of_a_torch_free_floor_imports_torch(floor):
    program = (
        f"import importlib, pkgutil, sys, netwright.{floor} as floor\n"
        "for found in pkgutil.walk_packages(floor.__path__, floor.__name__ + '.'):\n"
        "    if '.migrations' not in found.name: importlib.import_module(found.name)\n"
        "assert 'torch' not in sys.modules, sorted(m for m in sys.modules if m.startswith('netwright'))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
