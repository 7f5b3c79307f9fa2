"""The page of the catalogue in a real browser, offline: it finds and sorts devices and fits a phone, light and dark."""

import pytest

from netwright.hardware import catalog, report


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "hardware.html"
    report.write(path, catalog.all())
    return path


def visible(page) -> list[str]:
    return page.evaluate("""[...document.querySelectorAll('#catalogue tbody tr')].filter(row => !row.hidden)
        .map(row => row.cells[0].textContent)""")


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_the_page_never_scrolls_sideways(width, opened):
    page = opened(width)
    for summary in page.query_selector_all("summary"):
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    boxes = page.evaluate("""[...document.querySelectorAll('section, .find > *, .plot')].map(box => {
        const place = box.getBoundingClientRect(); return [place.left, place.right] })""")
    assert all(left >= 0 and right <= width for left, right in boxes)


def test_devices_are_found_by_words_maker_tier_and_memory(opened):
    page = opened()
    assert len(visible(page)) == len(catalog.all())
    page.fill("#find-text", "hopper nvl")
    found = visible(page)
    assert found
    assert all("NVL" in name for name in found)
    assert page.inner_text("#found") == f"{len(found)} device" + ("" if len(found) == 1 else "s")
    page.fill("#find-text", "")
    page.select_option("#find-manufacturer", "AMD")
    assert visible(page) == [device.name for device in catalog.all() if device.manufacturer == "AMD"]
    page.fill("#find-memory", "200")
    assert visible(page) == [d.name for d in catalog.all() if d.manufacturer == "AMD" and d.memory >= 200e9]
    page.fill("#find-memory", "")
    page.select_option("#find-tier", "AI_Flagship")
    assert 0 < len(visible(page)) < 16
    page.fill("#find-text", "no such device")
    assert page.inner_text("#found") == "0 devices"


def test_columns_sort_numbers_and_words_with_the_empty_last(opened):
    page = opened()
    heads = page.locator("#catalogue thead th")
    names = [text.strip() for text in heads.all_inner_texts()]
    price = names.index("price")
    rows = "[...document.querySelectorAll('#catalogue tbody tr')]"
    read = f"{rows}.map(row => row.cells[{price}].dataset.value ?? null)"
    heads.nth(price).locator("button").click()
    values = page.evaluate(read)
    stated = [float(value) for value in values if value is not None]
    assert stated == sorted(stated)
    assert values[: len(stated)] == [value for value in values if value is not None]
    heads.nth(price).locator("button").click()
    values = page.evaluate(read)
    assert [float(value) for value in values[: len(stated)]] == sorted(stated, reverse=True)
    assert heads.nth(price).get_attribute("aria-sort") == "descending"
    heads.nth(0).locator("button").focus()
    page.keyboard.press("Enter")
    found = visible(page)
    assert found[0].lower().startswith(("amd", "aws", "alibaba", "apple"))
    assert found[-1].lower() > found[0].lower()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(scheme, opened):
    page = opened(1280, scheme)
    seen = page.evaluate("""[...document.querySelectorAll('h1, h2, p, td, th, label, a, small, summary')].slice(0, 400)
        .map(one => { let back = one, paint;
            do { paint = getComputedStyle(back).backgroundColor; back = back.parentElement }
            while (back && paint === 'rgba(0, 0, 0, 0)');
            return [getComputedStyle(one).color, paint] })""")
    pairs = {(ink, paper) for ink, paper in map(tuple, seen)}
    assert len(pairs) > 3
    assert all(contrast(ink, paper) >= 4.5 for ink, paper in pairs), pairs


def contrast(ink: str, paper: str) -> float:
    """Ratio of luminance (WCAG 2.1)."""
    light, dark = sorted((luminance(ink), luminance(paper)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [float(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_figure_and_table_says_what_it_is(opened):
    page = opened()
    assert all(svg.get_attribute("aria-label") for svg in page.locator("svg").all())
    assert all(box.get_attribute("aria-label") for box in page.locator("div.wide").all())
    assert page.locator("table caption").count() == page.locator("table").count()
    for name in ("Figures", "Devices", "Quality", "Metrics", "Sources"):
        target = page.locator("nav a", has_text=name).get_attribute("href")
        assert page.locator(target).count() == 1
