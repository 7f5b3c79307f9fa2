"""What is no Python in the package is installed with it: a page that only a checkout has would be missing elsewhere."""

import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "netwright"


def test_every_file_that_is_no_python_is_installed():
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["netwright"]
    installed = {path for pattern in told for path in PACKAGE.glob(pattern)}
    ignored = {".pyc", ".py"}
    here = {path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix not in ignored}
    listed = subprocess.run(["git", "ls-files", str(PACKAGE)], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode == 0 and listed.stdout:
        here &= {ROOT / line for line in listed.stdout.splitlines()}
    assert sorted(str(path.relative_to(PACKAGE)) for path in here - installed) == []
    assert len(here) > 50
