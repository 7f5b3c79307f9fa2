"""The report of traced images in a real browser, offline: fits a phone, pictures load, the wipe wipes, tables sort."""

from pathlib import Path

import pytest
from PIL import Image

from netwright.svg import batch, report
from netwright.svg.wish import Wish
from scripted_tracer import ScriptedPredictor, ScriptedTracer, picture


@pytest.fixture(scope="module")
def page_file(tmp_path_factory) -> Path:
    """Two images, the first wider than the page shows, and a file that failed."""
    folder = tmp_path_factory.mktemp("svg")
    for name, side in (("a-name-of-many-letters-that-never-ends-" * 3 + ".png", 700), ("b.png", 60)):
        Image.fromarray(picture(side)).save(folder / name)
    (folder / "c.png").write_bytes(b"no image")
    jobs = batch.place(batch.find([folder])[0], folder / "out")
    true = batch.Tracer
    batch.Tracer = ScriptedTracer
    try:
        asked = batch.Asked(Wish(), 2, quick=True, how="predict")
        found = list(batch.trace_all(jobs, asked, ScriptedPredictor()))
    finally:
        batch.Tracer = true
    done = [one for one in found if isinstance(one, batch.Done)]
    failed = [one for one in found if isinstance(one, batch.Failed)]
    report.write(folder / "report.html", done, failed, "netwright svg trace . --report report.html")
    return folder / "report.html"


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_never_scrolls_sideways(width, scheme, opened):
    page = opened(width, scheme)
    for summary in page.locator("summary").all():
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    boxes = page.evaluate("""[...document.querySelectorAll('section, figure, .stack, .plot')].map(box => {
        const place = box.getBoundingClientRect(); return [place.left, place.right] })""")
    assert all(left >= 0 and right <= width for left, right in boxes)


def test_every_picture_loads(opened):
    page = opened()
    sizes = page.evaluate("[...document.images].map(one => one.complete && one.naturalWidth)")
    assert len(sizes) == 2 * 8
    assert all(sizes)


def test_the_wipe_shows_more_or_less_of_the_svg(opened):
    page = opened()
    over = page.locator(".over").first
    before = over.evaluate("one => one.style.clipPath")
    page.locator(".wipe input").first.focus()
    page.keyboard.press("End")
    assert before == "inset(0px 0px 0px 50%)"
    assert over.evaluate("one => one.style.clipPath") == "inset(0px 0px 0px 100%)"


def test_a_heading_sorts(opened):
    page = opened()
    table = page.locator("table").first
    table.locator("th button", has_text="bytes").click()
    sizes = [
        int(text.split("\n")[0].replace(",", "")) for text in table.locator("tbody td:nth-child(2)").all_inner_texts()
    ]
    assert sizes == sorted(sizes)
