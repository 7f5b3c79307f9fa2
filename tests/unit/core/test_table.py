"""Tables of names to modules, and optional packages."""

import importlib.metadata
import sys

import pytest

from netwright.core import table
from netwright.core.error import UserError

TABLE = {"stats": "netwright.core.stats", "error": "netwright.core.error"}


@pytest.fixture
def third_party(monkeypatch):
    point = importlib.metadata.EntryPoint("recipe", "netwright.core.recipe", "netwright.things")
    monkeypatch.setattr(
        importlib.metadata, "entry_points", lambda group: [point] if group == "netwright.things" else []
    )


def test_a_name_opens_its_module(third_party):
    from netwright.core import recipe, stats

    assert table.resolve(TABLE, "stats", "task.name") is stats
    assert table.resolve(TABLE, "recipe", "task.name", "netwright.things") is recipe
    assert table.names(TABLE, "netwright.things") == ["error", "recipe", "stats"]
    assert table.names(TABLE) == ["error", "stats"]


def test_an_unknown_name_gives_the_nearest(third_party):
    with pytest.raises(UserError, match='did you mean "stats"') as refusal:
        table.resolve(TABLE, "stat", "task.name", "netwright.things")
    assert refusal.value.setting == "task.name"


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(UserError, match=r"pip install 'netwright\[openvino\]'"):
        table.extra("openvino", "an export")


def test_a_package_can_be_asked_for_without_being_imported(monkeypatch, tmp_path):
    (tmp_path / "matplotlib.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "matplotlib", raising=False)
    table.need("matplotlib", "a figure")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UserError, match=r"pip install 'netwright\[plot\]'"):
        table.need("matplotlib", "a figure")


def test_a_package_that_is_broken_is_no_missing_extra(monkeypatch, tmp_path):
    (tmp_path / "nncf.py").write_text("import a_module_that_is_nowhere")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "nncf", raising=False)
    with pytest.raises(ModuleNotFoundError, match="a_module_that_is_nowhere"):
        table.extra("nncf", "quantization")


def test_every_extra_that_is_named_exists():
    provided = importlib.metadata.metadata("netwright").get_all("Provides-Extra")
    assert set(table._EXTRA_OF.values()) <= set(provided)
