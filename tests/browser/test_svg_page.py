"""The page of `netwright svg serve` in a real browser, over the real server: every feature, by mouse, key and phone."""

import re
import time
from pathlib import Path

import numpy as np
import pytest

from netwright.core import web
from netwright.svg.server import bench as benches
from svg_server import Held, logo, noise, png, served

LOGO = {"name": "logo.png", "mimeType": "image/png", "buffer": png(logo(64))}
NOISE = {"name": "noise.jpg", "mimeType": "image/jpeg", "buffer": png(noise(40), "JPEG")}
DROP = """([name, type, bytes, how]) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], name, { type }));
  if (how === "paste") document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true }));
  else for (const kind of ["dragenter", "dragover", "drop"])
    document.body.dispatchEvent(new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }));
}"""


class Near:
    """A predictor that is somewhat off. On a busy machine it is asked, on a quiet one tracing is quicker."""

    def features(self, raster):
        return None

    def predict(self, about, settings):
        bits = np.array([one.color_precision for one in settings], float)
        made = type("Guess", (), {})()
        for what, value in {"ssim": 0.8 + bits / 80, "bytes": 300 * bits, "paths": bits, "corners": 4 * bits}.items():
            for end, share in (("", 1), ("_low", 0.95), ("_high", 1.05)):
                setattr(made, what + end, value * share)
        return made


@pytest.fixture(scope="module")
def server():
    with served(Near(), body=2_000_000) as made:
        yield made


@pytest.fixture
def page(browser, server):
    """`page(width, scheme)` is the page; at the end no script complained and no other host was asked."""
    complaints, asked, contexts = [], [], []

    def open_(width=1280, scheme="light", at=server.at, **options):
        context = browser.new_context(
            viewport={"width": width, "height": 844 if width < 500 else 800}, color_scheme=scheme, **options
        )
        contexts.append(context)
        made = context.new_page()
        made.set_default_timeout(90_000)
        made.on("console", lambda message: complaints.append(message.text))
        made.on("pageerror", lambda error: complaints.append(str(error)))
        made.on("request", lambda request: asked.append(request.url))
        made.goto(f"{at}/")
        return made

    yield open_
    for context in contexts:
        context.close()
    assert [one for one in complaints if not one.startswith("Failed to load resource")] == []  # faults on demand
    assert [url for url in asked if not re.match(r"(blob:)?http://127\.0\.0\.1:|data:", url)] == []


def until(page, true):
    """Wait for an expression; Playwright's own way evaluates it in the page, whose policy forbids that."""
    deadline = time.monotonic() + 120
    while not page.evaluate(true):
        assert time.monotonic() < deadline, true
        page.wait_for_timeout(30)


def traced(page, file=LOGO):
    """The page once every trace of a file is there."""
    if file is not None:
        page.set_input_files("#file", file)
    until(page, "!document.getElementById('download').disabled && document.getElementById('progress').hidden")
    page.wait_for_selector("#after img")
    return page


def figures(page):
    return [page.inner_text(f"#{name}") for name in ("ssim", "bytes", "paths")]


def move(page, to):
    page.eval_on_selector(
        "#quality", f"one => {{ one.value = {to}; one.dispatchEvent(new Event('input', {{ bubbles: true }})); }}"
    )


def test_the_slider_goes_from_the_smallest_to_the_most_alike(page):
    one = traced(page(), NOISE)
    last = int(one.get_attribute("#quality", "max"))
    assert last >= 1
    seen = []
    for at in range(last + 1):
        move(one, at)
        text = one.get_attribute("#quality", "aria-valuetext")
        seen.append((one.evaluate("document.getElementById('bytes').textContent"), float(one.inner_text("#ssim"))))
        assert text.startswith(f"similarity {one.inner_text('#ssim')}")
        assert one.locator(".plot .selected").count() == 1
        assert "predicted" in one.inner_text("#bytes-more")
        assert one.locator(".plot .guess").count() == 1
    likes = [like for _, like in seen]
    assert likes == sorted(likes)
    assert len(set(seen)) == len(seen)
    one.focus("#quality")
    one.keyboard.press("Home")
    assert one.input_value("#quality") == "0"
    one.keyboard.press("ArrowRight")
    assert one.input_value("#quality") == "1"
    one.locator(".plot .hit").first.click(force=True)
    assert one.locator(".plot .selected").count() == 1


@pytest.mark.parametrize("how", ["drop", "paste"])
def test_an_image_is_dropped_or_pasted(page, how):
    one = page()
    one.evaluate(DROP, ["dropped.png", "image/png", list(LOGO["buffer"]), how])
    traced(one, None)
    assert "dropped.png · 64 × 64" in one.inner_text("#file-name")
    assert one.is_hidden("#drop")
    assert one.is_hidden("#start")


def test_the_sample_and_then_another_image(page):
    one = page()
    one.click("#sample")
    traced(one, None)
    assert "sample.png" in one.inner_text("#file-name")
    before = figures(one)
    traced(one)
    assert "logo.png" in one.inner_text("#file-name")
    assert figures(one) != before


def test_outlines_are_chosen_and_what_was_traced_is_kept(page):
    one = page()
    asked = []
    one.on("request", lambda request: asked.append(request.url))
    traced(one)
    words = {}
    for mode in ("polygon", "curves", "auto"):
        one.locator(f"input[value={mode}]").check(force=True)
        traced(one, None)
        words[mode] = one.inner_text("#words")
    assert "straight lines" in words["polygon"]
    assert "smooth curves" in words["curves"]
    assert len([url for url in asked if "v1/front" in url]) == 3, "auto was there already"
    one.focus("input[value=auto]")
    one.keyboard.press("ArrowRight")
    assert one.is_checked("input[value=curves]")


def test_a_wish_is_granted_or_it_is_said_that_it_is_not(page):
    one = traced(page())
    one.fill("#min-ssim", "0.5")
    one.click("#find")
    one.wait_for_selector("#wish-said.good")
    assert "Found" in one.inner_text("#wish-said")
    traced(one, None)
    assert "found for your wish" in one.inner_text("#preset")
    one.fill("#min-ssim", "")
    one.fill("#max-bytes", "0.05")
    one.keyboard.press("Enter")
    one.wait_for_selector("#wish-said.bad")
    assert "nearest" in one.inner_text("#wish-said")
    one.fill("#max-bytes", "much")
    one.click("#find")
    assert one.get_attribute("#max-bytes", "aria-invalid") == "true"
    assert one.get_attribute("#min-ssim", "aria-invalid") == "false"
    for name in ("#min-ssim", "#max-bytes", "#max-paths"):
        one.fill(name, "")
    one.click("#find")
    assert one.inner_text("#wish-said") == "Say at least one."


def test_the_svg_is_downloaded_and_copied(page):
    one = traced(page(permissions=["clipboard-read", "clipboard-write"]))
    with one.expect_download() as waiting:
        one.click("#download")
    assert waiting.value.suggested_filename == "logo.svg"
    saved = Path(waiting.value.path()).read_text()
    assert saved.startswith("<svg ")
    one.click("#copy")
    until(one, "document.getElementById('toast').textContent.startsWith('Copied')")
    assert one.evaluate("navigator.clipboard.readText()") == saved
    assert one.locator("#after img").get_attribute("src").startswith("blob:")


def test_the_source_is_copied_where_the_browser_has_no_clipboard(page):
    one = traced(page())
    one.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    one.click("#copy")
    until(one, "document.getElementById('toast').textContent.startsWith('Copied')")


def spot(page):
    box = page.locator("#page").bounding_box()
    return box["x"], box["y"], box["width"], box["height"]


def test_the_divider_moves_by_mouse_and_by_key(page):
    one = traced(page())
    view = one.locator("#view").bounding_box()
    middle = view["y"] + view["height"] / 2
    one.mouse.move(view["x"] + view["width"] / 2, middle)
    one.mouse.down()
    one.mouse.move(view["x"] + view["width"] * 0.25, middle, steps=4)
    one.mouse.up()
    assert one.get_attribute("#divider", "aria-valuenow") == "25"
    assert "inset(0px 0px 0px" in one.evaluate("document.getElementById('after').style.clipPath")
    one.focus("#divider")
    for key, value in (("ArrowRight", "27"), ("PageUp", "37"), ("Home", "0"), ("ArrowLeft", "0"), ("End", "100")):
        one.keyboard.press(key)
        assert one.get_attribute("#divider", "aria-valuenow") == value


def test_the_picture_is_enlarged_and_moved(page):
    one = traced(page())
    fitted = spot(one)
    assert one.get_attribute("#fit", "aria-pressed") == "true"
    one.click("#one")
    assert spot(one)[2:] == (64, 64)
    one.click("#four")
    assert spot(one)[2:] == (256, 256)
    assert one.inner_text("#scale") == "400 %"
    before = spot(one)
    one.mouse.move(300, 300)
    one.mouse.down()
    one.mouse.move(330, 280, steps=3)
    one.mouse.up()
    after = spot(one)
    assert (round(after[0] - before[0]), round(after[1] - before[1])) == (30, -20)
    one.mouse.wheel(0, -300)
    assert spot(one)[2] > after[2]
    one.focus("#view")
    one.keyboard.press("ArrowLeft")
    one.keyboard.press("-")
    for _ in range(30):
        one.keyboard.press("+")
    assert one.inner_text("#scale") == "3200 %"
    assert one.is_disabled("#in")
    one.keyboard.press("0")
    assert spot(one) == fitted
    one.dblclick("#view", position={"x": 200, "y": 200})
    assert one.get_attribute("#fit", "aria-pressed") == "false"
    svg = one.locator("#after img").bounding_box()
    assert (svg["x"], svg["width"]) == pytest.approx((spot(one)[0], spot(one)[2])), "both lie on one another"


def test_a_transparent_image_lies_on_a_checkerboard(page):
    one = traced(page())
    style = "getComputedStyle(document.getElementById('page')).backgroundImage"
    assert "conic-gradient" in one.evaluate(style)
    one.click("#squares")
    assert one.evaluate(style) == "none"


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("notes.txt", b"hello", "notes.txt is no image that can be read."),
        ("cut.png", LOGO["buffer"][:80], "cut.png is damaged or cut short"),
        ("drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'><script>alert(2)</script></svg>",
         "drawing.svg is an SVG or XML file already"),
        ("none.png", b"", "The image none.png is empty."),
        ("large.png", bytes(2_100_000), "The image has 2.1 MB: at most 2.0 MB are taken."),
    ],
)  # fmt: skip
def test_what_cannot_be_traced_is_told_in_words(page, name, content, told):
    one = page()
    until(one, "document.getElementById('takes').textContent.includes('MB')")
    alerts = []
    one.on("dialog", lambda dialog: (alerts.append(dialog.message), dialog.dismiss()))
    one.set_input_files("#file", {"name": name, "mimeType": "image/png", "buffer": content})
    one.wait_for_selector("#fault strong")
    assert told in one.inner_text("#fault")
    assert one.is_visible("#start")
    assert alerts == []
    traced(one)
    assert one.inner_text("#fault") == ""


def test_a_name_is_text_and_nothing_else(page):
    one = traced(page(), {**LOGO, "name": "<img src=x onerror=alert(1)>.png"})
    assert "<img" in one.inner_text("#file-name")
    assert one.locator("#file-name img").count() == 0


def test_an_image_can_be_traced_smaller(page):
    one = page()
    one.set_input_files("#file", {**LOGO, "buffer": png(logo(300))})
    traced(one, None)
    assert "300 × 300" in one.inner_text("#file-name")
    one.select_option("#side", "256")
    traced(one, None)
    assert "300 x 300 to 256 x 256" in one.inner_text("#notes")


def test_what_is_under_way_is_shown_and_can_be_stopped(page, monkeypatch):
    Held.made = []
    monkeypatch.setattr(benches, "Tracer", Held)
    with served() as slow:
        one = page(at=slow.at)
        one.set_input_files("#file", LOGO)
        until(one, "document.getElementById('said-progress').textContent.startsWith('Traced 0 of')")
        assert one.is_visible("#progress")
        assert one.is_disabled("#download")
        one.click("#stop")
        one.wait_for_selector("#progress", state="hidden")
        until(one, "fetch('health').then(r => r.json()).then(h => h.under_way === 0)")
        assert all(tracer.stopped for tracer in Held.made if tracer.begun.is_set())
        one.close()


def test_a_server_that_has_gone_is_told(page):
    with served() as short:
        one = page(at=short.at)
        until(one, "document.getElementById('takes').textContent.includes('MB')")
    one.set_input_files("#file", LOGO)
    one.wait_for_selector("#fault strong")
    assert "does not answer" in one.inner_text("#fault")
    one.close()


def test_a_key_is_asked_for_and_kept(page):
    with served(key=web.hashed("a-key-of-mine")) as locked:
        one = page(at=locked.at)
        one.wait_for_selector("#key[open]")
        one.fill("#key-text", "not-this-one")
        one.keyboard.press("Enter")
        until(one, "document.getElementById('key-wrong').textContent !== ''")
        one.fill("#key-text", "a-key-of-mine")
        one.keyboard.press("Enter")
        until(one, "document.getElementById('takes').textContent.includes('MB')")
        traced(one)
        one.reload()
        until(one, "document.getElementById('takes').textContent.includes('MB')")
        assert one.locator("#key[open]").count() == 0
        one.close()


def test_light_and_dark_by_choice(page):
    one = page(scheme="light")
    paper = "getComputedStyle(document.body).backgroundColor"
    light = one.evaluate(paper)
    one.click("#theme")
    one.click("#theme")
    assert one.get_attribute("#theme", "aria-label") == "Theme: dark"
    assert one.evaluate(paper) != light
    one.reload()
    assert one.evaluate(paper) != light


def faults(page, axe):
    """Serious and critical faults that axe-core finds."""
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [
        (one["id"], node["target"], node["failureSummary"])
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark"), (320, "light")])
def test_axe_finds_nothing_serious_and_nothing_scrolls_sideways(page, axe, width, scheme):
    one = page(width, scheme)

    def check(state):
        assert (state, faults(one, axe)) == (state, [])
        assert one.evaluate("document.documentElement.scrollWidth") <= width, state
        outside = one.evaluate(
            """[...document.querySelectorAll('main *, header *')].filter(one => {
            if (one.closest('.view, .hidden, [hidden], option') || !one.checkVisibility()) return 0;
            const box = one.getBoundingClientRect();
            return box.width > 1 && (box.right > innerWidth + 1 || box.left < -1);
            }).map(one => one.outerHTML.slice(0, 80))"""
        )
        assert (state, outside) == (state, [])

    check("empty")
    traced(one)
    one.click("summary")
    check("traced")
    one.fill("#max-bytes", "0.05")
    one.press("#max-bytes", "Enter")
    one.wait_for_selector("#wish-said.bad, #fault strong", timeout=30_000)
    assert one.inner_text("#fault") == ""
    check("wish")
    one.set_input_files("#file", {**LOGO, "buffer": b"broken"})
    one.wait_for_selector("#fault strong")
    check("refused")


def test_everything_is_reached_by_keyboard(page):
    one = traced(page(), NOISE)
    reached = set()
    one.evaluate("document.activeElement.blur()")
    for _ in range(30):
        one.keyboard.press("Tab")
        reached.add(one.evaluate("document.activeElement.id || document.activeElement.name"))
    assert reached >= {
        "another", "theme", "view", "divider", "out", "in", "fit", "one", "four", "squares", "quality", "mode",
        "min-ssim", "max-bytes", "max-paths", "find", "side", "download", "copy",
    }  # fmt: skip


def test_a_phone_drags_the_divider_and_scrolls_past_the_picture(page):
    one = traced(page(390, has_touch=True, is_mobile=True))
    assert one.evaluate("document.documentElement.scrollHeight > innerHeight")
    assert one.evaluate("getComputedStyle(document.getElementById('view')).touchAction") == "pan-y"
    one.tap("#four")
    assert one.evaluate("getComputedStyle(document.getElementById('view')).touchAction") == "none"
    move(one, 0)
    assert one.is_visible("#download")
