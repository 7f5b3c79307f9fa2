"""The tree keeps the house rules: floors, sizes, names, docstrings, mirrored tests, nothing of one machine."""

import ast
import importlib
import inspect
import json
import os
import pkgutil
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

import netwright
from netwright import cli

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "netwright"
FILES = sorted(SOURCE.rglob("*.py"))
NAMES = [path.relative_to(SOURCE).as_posix() for path in FILES]
HARD_CAP, SOFT_MEDIAN = 600, 180
VAGUE = re.compile(r"(^|_)(utils?|helpers?|common|misc|managers?|handlers?|factory|factories|base)(_|$)")


def tracked() -> list[Path]:
    """Files that are in the repository, or would be; without git, all but what is made."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.splitlines()
        found = [ROOT / name for name in listed]
    except (OSError, subprocess.CalledProcessError):
        made = {".git", ".venv", "runs", "build", "site", "__pycache__", ".hypothesis"}
        found = [path for path in ROOT.rglob("*") if not made & set(path.relative_to(ROOT).parts)]
    return [path for path in found if path.is_file() and path.stat().st_size < 2_000_000]


def test_no_file_is_too_long():
    lengths = {name: len(path.read_text().splitlines()) for name, path in zip(NAMES, FILES, strict=True)}
    assert {name: n for name, n in lengths.items() if n > HARD_CAP} == {}
    assert statistics.median(n for n in lengths.values() if n > 20) <= SOFT_MEDIAN


@pytest.mark.parametrize("name", NAMES)
def test_names_are_of_the_trade(name):
    vague = [part for part in re.split(r"[/.]", name) if VAGUE.search(part)]
    classes = [node.name for node in ast.walk(ast.parse((SOURCE / name).read_text())) if isinstance(node, ast.ClassDef)]
    words = [re.sub(r"(?<=[a-z])(?=[A-Z])", "_", one).lower() for one in classes]
    assert vague + [word for word in words if VAGUE.search(word)] == []


def test_public_names_are_exactly_those_stated():
    found = {
        name for name in vars(netwright) if not name.startswith("_") and not inspect.ismodule(vars(netwright)[name])
    }
    assert found | {"__version__"} == set(netwright.__all__)
    for name in netwright.__all__:
        assert getattr(netwright, name) is not None


SHAPES = {"cli/": {"arguments", "main"}, "predict/suites/": {"read", "describe", "roofline", "fit_constants"}}
"""Functions that every module of a folder has, told once: cli/__init__.py, and Suite in predict/learning/table.py."""
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def says_all(node: Definition) -> bool:
    """Whether a definition has a docstring, or is a function of one statement that its name tells."""
    return ast.get_docstring(node) is not None or (not isinstance(node, ast.ClassDef) and len(node.body) == 1)


@pytest.mark.parametrize("name", [name for name in NAMES if "migrations/versions" not in name])
def test_what_is_public_is_documented(name):
    tree = ast.parse((SOURCE / name).read_text())
    assert ast.get_docstring(tree), f"{name} does not say what it is"
    public = [node for node in tree.body if isinstance(node, Definition) and not node.name.startswith("_")]
    silent = {node.name for node in public if not says_all(node)}
    told = [shape for folder, shape in SHAPES.items() if name.startswith(folder)]
    assert silent - set().union(*told) == set()


def modules() -> list[str]:
    walked = pkgutil.walk_packages(netwright.__path__, "netwright.")
    return [one.name for one in walked if "migrations" not in one.name and not one.name.endswith("__main__")]


@pytest.mark.parametrize("name", modules())
def test_every_module_can_be_imported_alone(name):
    assert importlib.import_module(name).__doc__


def test_unit_tests_mirror_the_source():
    folders = {path.parent.relative_to(SOURCE).as_posix() for path in FILES} - {".", "core/migrations"}
    for path in sorted((ROOT / "tests" / "unit").rglob("test_*.py")):
        folder = path.parent.relative_to(ROOT / "tests" / "unit").as_posix()
        assert folder in folders or folder == ".", f"{path} mirrors no folder of src/netwright"
        stems = {one.stem for one in (SOURCE / folder).glob("*.py")} | {
            one.name for one in (SOURCE / folder).iterdir() if one.is_dir()
        }
        tested = path.stem.removeprefix("test_")
        parts = tested.split("_")
        spans = {"_".join(parts[i:j]) for i in range(len(parts)) for j in range(i + 1, len(parts) + 1)}
        assert spans & (stems | {Path(folder).name}), f"{path} is named after no module of {folder}"


def test_test_names_are_unique():
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_the_floors_hold():
    ended = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports; raise SystemExit(lint_imports())"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout
    assert " kept, 0 broken" in ended.stdout


LIGHT = """
import json, sys
from netwright import cli
try:
    cli.main({words!r})
except SystemExit:
    pass
print(json.dumps(sorted(name for name in ("torch", "matplotlib", "sqlalchemy", "mlflow") if name in sys.modules)))
"""


@pytest.mark.parametrize("words", [["--help"], *([verb, "--help"] for verb in cli.VERBS), ["hardware", "list"]])
def test_help_imports_nothing_heavy(words, tmp_path):
    ended = subprocess.run(
        [sys.executable, "-c", LIGHT.format(words=words)], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert json.loads(ended.stdout.splitlines()[-1]) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_has_the_shape_of_a_verb(verb):
    module = cli.module(verb)
    assert module.EXAMPLE.startswith(f"netwright {verb}")
    assert module.HELP[0].islower()
    assert callable(module.main)
    text = cli.build_parser(verb).format_help()
    assert verb in text


def recipes() -> list[Path]:
    return sorted((ROOT / "recipes").glob("*.toml"))


@pytest.mark.parametrize("path", recipes(), ids=lambda path: path.name)
def test_every_recipe_is_one(path, tmp_path):
    from netwright.core import recipe
    from netwright.study import delivery, study

    sections = study.SECTIONS if "study" in recipe.read_toml(path) else delivery.SECTIONS
    parsed = recipe.load(path, [], sections)
    (tmp_path / "resolved.toml").write_text(parsed.toml())
    assert recipe.load(tmp_path / "resolved.toml", [], sections).digest == parsed.digest
    assert f"recipes/{path.name}" in path.read_text(), "its first lines say how to run it"


HOSTS = r"registry\.npmjs\.org|pypi\.org|files\.pythonhosted\.org|deb\.debian\.org|registry\.yarnpkg\.com"
PLACES = r"/root/|/home/[a-z]|/work/|/Users/|[A-Z]:\\\\Users"


def test_nothing_of_one_machine_is_in_the_tree():
    this = ROOT / "tests" / "contract" / "test_tree.py"
    found = []
    for path in tracked():
        if path == this or path.suffix in (".gz", ".png", ".npz", ".pdf", ".bin", ".woff2"):
            continue
        for at, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if re.search(PLACES, line) or re.search(HOSTS, line):
                found.append(f"{path.relative_to(ROOT)}:{at}: {line.strip()[:100]}")
    assert found == []


def test_scripts_can_be_run():
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
