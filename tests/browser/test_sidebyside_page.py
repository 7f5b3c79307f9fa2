"""Answers side by side in a real browser, offline: blind until revealed, votes that can be copied, fits a phone."""

import json
from pathlib import Path

import pytest

from netwright.measure import sidebyside
from netwright.measure.items import Item

EVIL = "<script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\">"
LONG = "A very long answer without end. " * 60 + "x" * 400
NAMES = ("base", "tuned", "int8 openvino")


@pytest.fixture(scope="module")
def page_file(tmp_path_factory) -> Path:
    """Three models on four prompts, blind; one answers with a script, one with a word of 400 letters, one nothing."""
    prompts = [Item("free", "", text) for text in ("What is it?", EVIL, "Say it\nin two lines", "y" * 300)]
    texts = {"base": [EVIL, LONG, "", "short"], "tuned": ["fine"] * 4, "int8 openvino": [LONG, "a\n  b", EVIL, "z"]}
    columns = [
        sidebyside.Column(
            name,
            f"language/llama {name} 3fa9c1d2",
            [{"text": text, "tokens": 12, "seconds": 1.5, "ended": at != 1} for at, text in enumerate(texts[name])],
        )
        for name in NAMES
    ]
    folder = tmp_path_factory.mktemp("page")
    return sidebyside.write(folder / "sidebyside.html", prompts, columns, [f"said of tuned {EVIL}"], blind=0)


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_never_scrolls_sideways(width, scheme, opened):
    page = opened(width, scheme)
    page.locator("[data-vote]").first.click()
    page.locator("#reveal").click()
    page.locator("summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    boxes = page.evaluate("""[...document.querySelectorAll('section, .card, .bar, .act')].map(box => {
        const place = box.getBoundingClientRect(); return [place.left, place.right] })""")
    assert all(left >= 0 and right <= width for left, right in boxes)


def test_what_models_answer_is_text(opened):
    page = opened()
    assert page.title() == "Side by side: 3 models, blind"
    assert page.locator(".text", has_text="document.title").count() == 2
    assert page.locator("main img, main script").count() == 0


def test_names_and_times_are_hidden_until_they_are_revealed(opened):
    page = opened()
    hidden = page.locator("main").inner_text()
    assert not any(name in hidden for name in NAMES)
    assert "1.5 s" not in hidden
    assert page.locator("#reveal").is_disabled()
    assert not page.locator("#copy").is_visible()
    sections = page.locator("[data-prompt]")
    for at in range(3):
        cards = sections.nth(at).locator(".card")
        own = [card.locator("[data-vote]").get_attribute("data-vote") for card in cards.all()]
        cards.nth(own.index("1")).locator("[data-vote]").click()
    sections.nth(3).get_by_text("No difference").click()
    assert page.locator("#judged").inner_text() == "4 of 4 judged"
    page.locator("#reveal").click()
    shown = page.locator("main").inner_text()
    assert all(name in shown for name in NAMES)
    assert "1.5 s" in shown
    told = json.loads(page.locator("#json").input_value())
    assert told["tally"] == {"base": 0, "tuned": 3, "int8 openvino": 0}
    assert told["ties"] == 1
    assert told["blind"] is True
    assert [vote["best"] for vote in told["votes"]] == ["tuned", "tuned", "tuned", None]
    assert page.locator("[data-vote]:enabled").count() == 0  # who has seen the names votes no more
    page.reload()
    assert page.locator("#judged").inner_text() == "4 of 4 judged"
    page.locator("#again").click()
    assert page.locator("#judged").inner_text() == "0 of 4 judged"
    assert not any(name in page.locator("main").inner_text() for name in NAMES)


def test_a_vote_is_changed_and_taken_back(opened):
    page = opened()
    votes = page.locator("[data-prompt]").first.locator("[data-vote]")
    votes.nth(0).click()
    votes.nth(1).click()
    assert page.locator("[aria-pressed=true]").count() == 1
    assert page.locator("#judged").inner_text() == "1 of 4 judged"
    votes.nth(1).focus()
    page.keyboard.press("Enter")
    assert page.locator("#judged").inner_text() == "0 of 4 judged"


def test_the_page_works_by_keyboard_and_says_what_things_are(opened):
    page = opened(390)
    assert page.locator("html").get_attribute("lang") == "en"
    names = [one.inner_text() for one in page.locator("button:visible").all()]
    assert all(names)
    for box in page.locator(".text").all():
        assert box.get_attribute("aria-label").startswith("Answer ")
    small = page.locator("button:visible").evaluate_all("all => all.filter(x => x.offsetHeight < 36).length")
    assert small == 0  # a finger finds them
