"""The same figure is the same text, fits a page, and leaves matplotlib as it was."""

import re
import xml.etree.ElementTree

import matplotlib
import pytest

from netwright.core import figure, plot
from netwright.core.error import UserError
from netwright.core.measurement import exact


def draw():
    return plot.bars({"<a> & b": exact("latency", 1e-3), "b": exact("latency", 2e-3)})


def test_svg_is_the_same_every_time():
    once = draw()
    assert figure.svg_text(once) == figure.svg_text(once) == figure.svg_text(draw())


def test_svg_is_one_element_as_wide_as_its_place():
    text = figure.svg_text(draw(), alt='it\'s "so" <fast>')
    root = xml.etree.ElementTree.fromstring(text)
    assert root.get("aria-label") == 'it\'s "so" <fast>'
    assert "width" not in root.attrib
    assert "width:100%" in root.get("style")
    assert "viewBox" in root.attrib
    assert "Matplotlib" not in text
    assert not re.search(r"\d{4}-\d\d-\d\d", text)


def test_names_inside_an_svg_are_its_own_and_all_there():
    one, two = figure.svg_text(draw()), figure.svg_text(plot.bars({"x": exact("size", 5)}))
    ids = [set(re.findall(r'\sid="([^"]+)"', text)) for text in (one, two)]
    assert not ids[0] & ids[1]
    for text, known in zip((one, two), ids, strict=True):
        assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', text)) <= known


def test_png_is_as_wide_as_asked(tmp_path):
    from PIL import Image

    figure.save_png(draw(), tmp_path / "plots" / "bars.png", width=390)
    with Image.open(tmp_path / "plots" / "bars.png") as picture:
        assert abs(picture.width - 390) <= 1
    assert [path.name for path in (tmp_path / "plots").iterdir()] == ["bars.png"]


def test_settings_of_matplotlib_stay_and_do_not_matter():
    plain = figure.svg_text(draw())
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        before = dict(matplotlib.rcParams)
        assert figure.svg_text(draw()) == plain
        assert dict(matplotlib.rcParams) == before


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(UserError, match=r"netwright\[plot\]"):
        draw()
