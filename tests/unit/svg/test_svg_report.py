"""The page: whole in itself, safe from what it shows, and there even where images have gone."""

import base64
import hashlib
import re

import numpy as np
import pytest
from PIL import Image as Pictures

from netwright.svg import batch, explain, figures, report
from netwright.svg.batch import Asked, Failed, find, place, trace_all
from netwright.svg.choose import choose
from netwright.svg.raster import from_pixels
from netwright.svg.setting import DEFAULT
from netwright.svg.wish import Wish
from scripted_tracer import ScriptedPredictor, ScriptedTracer, picture

NAME = 'a"><script>alert(1)</script>.png'.replace("/", "_")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    for name, side in ((NAME, 48), ("b.png", 150)):
        Pictures.fromarray(picture(side)).save(folder / name)
    jobs = place(find([folder])[0], folder / "out")
    tracer = batch.Tracer
    batch.Tracer = ScriptedTracer
    try:
        return list(trace_all(jobs, Asked(Wish(max_bytes=9000), 2, how="predict"), ScriptedPredictor()))
    finally:
        batch.Tracer = tracer


def test_nothing_is_fetched_and_no_script_but_its_own_runs(done, tmp_path):
    report.write(
        tmp_path / "new" / "r.html", done, [Failed("<b>x.png", "is <i>empty</i>")], "netwright svg trace '<x>'"
    )
    text = (tmp_path / "new" / "r.html").read_text()
    assert "<script>alert" not in text
    assert "<b>x" not in text
    assert "<i>empty" not in text
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", text)
    assert "http://" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", text)
    seal = re.search(r"script-src 'sha256-([^']+)'", text)[1]
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL)[1]
    assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() == seal
    assert text.count("data:image/svg+xml;base64,") == 2
    assert text.count('class="wipe"') == 2
    for word in ("2 images as SVG", "chosen", "Do it again", "Failed"):
        assert word in text


def test_one_image_has_its_figures_on_top(done, tmp_path):
    report.write(tmp_path / "r.html", done[1:], [], "netwright svg trace b.png")
    text = (tmp_path / "r.html").read_text()
    assert 'class="tiles"' in text
    assert f"{done[1].row['bytes']:,}" in text


def test_an_image_that_has_gone_and_an_svg_that_was_changed_are_told(done, tmp_path):
    job = batch.Job(tmp_path / "gone.png", done[1].job.target)
    changed = batch.Done(done[0].job, {**done[0].row, "sha256": "0"})
    report.write(tmp_path / "r.html", [batch.Done(job, done[1].row), changed], [], "again")
    text = (tmp_path / "r.html").read_text()
    assert text.count("is not there any more, or was changed since") == 2
    assert "image/svg+xml" not in text


def test_a_large_svg_is_shown_as_pixels(monkeypatch):
    raster = from_pixels(picture(700))
    svg = ScriptedTracer().trace(picture(700), DEFAULT)
    monkeypatch.setattr(report, "INLINE", 1)
    found = report.pictures(raster, svg)
    assert found.as_pixels
    assert found.width == report.WIDEST
    assert all("svg" not in one[:30] for one in (found.after, found.before))


def test_the_worst_part_is_where_they_differ():
    before = picture(300)
    after = before.copy()
    after[200:240, 220:260] = 0
    left, top, width, height = report.worst(before, after)
    assert (width, height) == (report.PART, report.PART)
    assert left <= 240 < left + width
    assert top <= 220 < top + height
    small = report.worst(before[:20, :30], before[:20, :30])
    assert small == (0, 0, 30, 20)
    red = report.heat(before, after)
    assert red[220, 240, 0] > 2 * red[220, 240, 1] * 0.5
    assert (np.ptp(red[:150, :150].astype(int), axis=2) == 0).all()


def test_the_figure_of_a_front_has_every_trace(done):
    figure = figures.front(done[0].row)
    axis = figure.axes[0]
    circles = sum(len(line.get_xdata()) for line in axis.lines if line.get_marker() == "o")
    assert circles == len(done[0].row["tried"]) + 1
    assert sum(len(line.get_xdata()) for line in axis.lines if line.get_marker() == "D") > 3


def test_the_page_of_parameters(tmp_path):
    raster, tracer = from_pixels(picture(), "circles"), ScriptedTracer()
    choice = choose(raster, Wish(preset="default"), tracer)
    steps = explain.explain(raster, DEFAULT, tracer, ScriptedPredictor(), patience=0.0)
    report.write_explained(tmp_path / "e.html", raster, choice, steps, "netwright svg explain circles.png")
    text = (tmp_path / "e.html").read_text()
    assert text.count("a prediction") > 20
    assert "filter_speckle" in text
