"""The report in a real browser, offline: it works, fits a phone, and can be read and used without a mouse."""

import itertools
import re
from pathlib import Path

import pytest

from netwright.core import artifact, recipe
from netwright.measure import memory
from netwright.study.study import SECTIONS, study

RECIPE = """
[task]
name = "synthetic"
[model]
name = "cnn"
width = 4
[train]
epochs = 2
batch = 50
lr = 0.02
threads = 1
[quantize]
samples = 20
examples = 100
[bench]
batch = [1, 4]
threads = 1
seconds = 0.05
rounds = 6
[study]
chains = ["int8"]
devices = ["h100", "l4", "4090", "mi300x", "a100"]
batches = [1, 256]
max_drop = 0.2
"""


@pytest.fixture(scope="module")
def page_file(tmp_path_factory) -> Path:
    """The report of a real study; only the memory of fresh processes is made up."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "tiny.toml").write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "peak", lambda artifact, batches, threads: {"import": 1e6, "1": 2e6, "4": 3e6})
        return study(recipe.load(folder / "tiny.toml", [], SECTIONS), folder / "runs").report


@pytest.mark.parametrize("width", [390, 768, 1200])
def test_the_page_never_scrolls_sideways(width, opened):
    page = opened(width)
    for summary in page.query_selector_all("summary"):
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    boxes = page.evaluate("""[...document.querySelectorAll('section')].map(box => {
        const place = box.getBoundingClientRect(); return [place.left, place.right] })""")
    assert all(left >= 0 and right <= width for left, right in boxes)


def test_wide_tables_scroll_inside_their_box_by_keyboard_too(opened):
    page = opened(390)
    box = page.locator("div.wide").first
    assert box.evaluate("box => box.scrollWidth > box.clientWidth + 50")
    box.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.querySelector('div.wide').scrollLeft > 0")
    name = page.locator("div.wide tbody th").first.bounding_box()
    assert name["x"] >= 0  # the names stay while the figures move
    for each in page.locator("div.wide").all():
        assert each.get_attribute("aria-label")
        assert each.get_attribute("tabindex") == "0"


def column(page, at):
    return page.evaluate(f"""[...document.querySelectorAll('table[data-sortable] tbody tr')].map(
        row => Number(row.cells[{at}].dataset.value))""")


def test_columns_sort_by_click_and_by_keyboard(opened):
    page = opened()
    heads = page.locator("table[data-sortable] thead th")
    names = [text.strip() for text in heads.all_inner_texts()]
    at = names.index("latency p50")
    before = column(page, at)
    button = heads.nth(at).locator("button")
    button.click()
    assert column(page, at) == sorted(before)
    assert heads.nth(at).get_attribute("aria-sort") == "ascending"
    button.click()
    assert column(page, at) == sorted(before, reverse=True)
    assert heads.nth(at).get_attribute("aria-sort") == "descending"
    size = names.index("size")
    heads.nth(size).locator("button").focus()
    page.keyboard.press("Enter")
    assert column(page, size) == sorted(column(page, size))
    assert heads.nth(at).get_attribute("aria-sort") is None
    page.keyboard.press("Space")
    assert heads.nth(size).get_attribute("aria-sort") == "descending"
    assert sorted(column(page, at)) == sorted(before)


def test_every_figure_of_the_json_is_on_the_page(opened, page_file):
    summary = artifact.read_json(page_file.with_name("report.json"))
    page = opened()
    rows = page.locator("table[data-sortable] tbody tr")
    assert rows.count() == len(summary["candidates"]) == 5
    for at, row in enumerate(summary["candidates"]):
        assert row["label"] in rows.nth(at).inner_text()
        values = rows.nth(at).locator("td[data-value]").evaluate_all("cells => cells.map(x => Number(x.dataset.value))")
        assert row["figures"]["latency"]["value"] in values
        assert row["figures"]["accuracy"]["value"] in values
    for sentence in summary["verdict"]:
        assert sentence in page.locator(".verdict").inner_text()


def test_plots_are_there_and_say_what_they_show(opened):
    page = opened(390)
    plots = page.get_by_role("img")
    names = [plot.get_attribute("aria-label") for plot in plots.all()]
    assert names == [
        "accuracy against latency",
        "accuracy against latency, here and predicted elsewhere",
        "latency here, and predicted elsewhere",
        "training curves",
        "plan against actual",
    ]
    for plot in plots.all():
        box = plot.bounding_box()
        assert box["width"] > 300
        assert box["height"] > 100


def test_the_outline_is_in_order(opened):
    page = opened()
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4,h5,h6')].map(x => Number(x.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below - above <= 1 for above, below in itertools.pairwise(levels))
    assert page.locator("html").get_attribute("lang") == "en"
    for table in page.locator("table").all():
        assert table.locator("caption").count() == 1
        assert table.locator("th:not([scope])").count() == 0
        assert table.locator("tbody tr").count() == table.locator("tbody th[scope=row]").count()


def channels(colour):
    return [float(part) for part in re.findall(r"[\d.]+", colour)]


def luminance(colour):
    """Relative luminance (WCAG 2.2)."""
    parts = [c / 255 for c in channels(colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


TEXTS = """[...document.querySelectorAll('body *')].flatMap(element => {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
    if (!own || element.closest('svg,script,style') || !element.checkVisibility()) return [];
    let behind = element, paper;
    do { paper = getComputedStyle(behind).backgroundColor; behind = behind.parentElement }
    while (behind && paper === 'rgba(0, 0, 0, 0)');
    return [[element.textContent.trim().slice(0, 40), getComputedStyle(element).color, paper]];
})"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_on_what_is_behind_it(scheme, opened):
    page = opened(scheme=scheme)
    for summary in page.query_selector_all("summary"):
        summary.click()
    seen = page.evaluate(TEXTS)
    assert len(seen) > 100
    bright = luminance(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert bright > 0.8 if scheme == "light" else bright < 0.05
    faint = []
    for text, ink, paper in seen:
        lighter, darker = sorted((luminance(ink), luminance(paper)), reverse=True)
        if (lighter + 0.05) / (darker + 0.05) < 4.5:  # WCAG 2.2, 1.4.3, level AA
            faint.append((text, ink, paper))
    assert faint == []


def test_everything_is_reached_by_the_tab_key(opened):
    page = opened(390)
    wanted = page.locator("button, summary, [tabindex='0']:visible").count()
    reached = set()
    for _ in range(wanted + 5):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate("""(() => { const x = document.activeElement;
            return x === document.body ? '' : x.tagName + x.textContent.slice(0, 30) + x.offsetTop })()""")
        )
    assert len(reached - {""}) >= page.locator("button:visible, summary:visible").count() + 3
