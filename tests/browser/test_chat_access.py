"""The chat's page by keyboard, by screen reader, on a phone, in light and dark: axe-core finds no serious fault."""

import re

import pytest
from test_chat_page import act, expect, last, send

ANSWER = """## Heading

Text with **bold**, `code`, a [link](https://example.org) and $x^2$.

| a | b |
|---|--:|
| 1 | 2 |

- [x] done
- [ ] open

> quoted

```python
def f(x):  # a comment
    return "text" + str(12)
```

$$\\sum_{i=1}^n i = \\frac{n(n+1)}{2}$$
"""


@pytest.fixture
def filled(chats):
    """A world with everything in it; the conversation to open."""
    chats.chat([("user", "Another")], tags=["work"])
    name = chats.chat([("user", "First"), ("assistant", ANSWER), ("user", "Then?"), ("assistant", "No.")], pinned=True)
    one = chats.chats[name]
    tip = one["tip"]
    chats.add(one, one["nodes"][tip]["parent"], "assistant", "Yes.", thumb=1, note="good", finish="length")
    return name


def faults(page, axe):
    """Serious and critical faults that axe-core finds: what, where, why."""
    page.evaluate(axe)
    page.wait_for_timeout(250)  # drawers slide
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [
        (one["id"], node["target"], node["failureSummary"])
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


def opened(page, name):
    page.goto(re.sub(r"#.*", "", page.url) + f"#/{name}")
    expect(page.locator(".message").nth(3)).to_contain_text("Yes.")


def elsewhere(page):
    last(page).get_by_role("button", name="Elsewhere").click()
    expect(last(page).locator("tbody tr")).to_have_count(2)


STATES = {
    "empty": lambda page, name: page.wait_for_selector(".example"),
    "chat": opened,
    "settings": lambda page, name: (opened(page, name), page.click("#settings-open")),
    "models": lambda page, name: (opened(page, name), page.click("#model")),
    "elsewhere": lambda page, name: (opened(page, name), elsewhere(page)),
    "list": lambda page, name: (opened(page, name), page.keyboard.press("Control+k"), page.keyboard.type("first")),
    "dialog": lambda page, name: (opened(page, name), act(page, "Bad reply")),
    "edit": lambda page, name: (opened(page, name), act(page, "Edit", page.locator(".mine").last)),
    "error": lambda page, name: (opened(page, name), send(page, "break"), page.wait_for_selector(".fault p")),
    "writing": lambda page, name: (opened(page, name), send(page, "slow"), page.wait_for_selector(".writing")),
}


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark"), (320, "light")])
def test_axe_finds_nothing_serious_and_nothing_scrolls_sideways(width, scheme, chat, filled, axe):
    page = chat(width, scheme)
    for state, reach in STATES.items():
        page.goto(chat.address + "?" + state)
        reach(page, filled)
        assert (state, faults(page, axe)) == (state, [])
        assert page.evaluate("document.documentElement.scrollWidth") <= width, state
        outside = page.evaluate(
            """[...document.querySelectorAll('main *, .settings *, .menu *, dialog *')].filter(one => {
            if (one.closest('.wide, pre, .hidden, [hidden]') || !one.checkVisibility()) return 0;
            const box = one.getBoundingClientRect();
            return box.width > 1 && (box.right > innerWidth + 1 || box.left < -1);
            }).map(one => one.outerHTML.slice(0, 80))"""
        )
        assert (state, outside) == (state, [])


def test_the_list_is_a_drawer_on_a_phone(chat, filled):
    page = chat(390, hash_=f"#/{filled}")
    expect(last(page)).to_contain_text("Yes.")
    assert not page.locator("#list a").first.is_visible()
    page.click("#side-open")
    expect(page.locator("#list a").first).to_be_visible()
    assert page.locator("#side-open").get_attribute("aria-expanded") == "true"
    assert page.evaluate("document.querySelector('main').inert")
    page.keyboard.press("Escape")
    expect(page.locator("#list a").first).to_be_hidden()
    assert page.evaluate("document.activeElement.id") == "side-open"
    page.click("#side-open")
    page.locator("#list a", has_text="Another").click()
    expect(page.locator("#title")).to_have_text("Another")
    expect(page.locator("#list a").first).to_be_hidden()
    page.click("#side-open")
    page.mouse.click(380, 400)
    expect(page.locator("#list a").first).to_be_hidden()


def test_settings_lie_over_a_narrow_page_and_close_by_escape(chat):
    page = chat(390)
    expect(page.locator(".example").first).to_be_visible()
    page.click("#settings-open")
    assert page.evaluate("document.querySelector('main').inert && document.getElementById('side').inert")
    page.keyboard.press("Escape")
    assert page.locator("#settings").is_hidden()
    assert page.evaluate("document.activeElement.id") == "settings-open"
    assert not page.evaluate("document.querySelector('main').inert")


def test_the_first_tab_skips_to_the_field(chat, filled):
    page = chat(390, hash_=f"#/{filled}", is_mobile=True, has_touch=True)  # nothing has the focus yet
    expect(last(page)).to_contain_text("Yes.")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "skip"
    expect(page.locator("#skip")).to_be_in_viewport()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "typed"
    assert page.url.endswith(f"#/{filled}")


def test_everything_is_reached_and_named_by_keyboard(chat, filled):
    page = chat(hash_=f"#/{filled}")
    expect(last(page)).to_contain_text("Yes.")
    wanted = page.evaluate(
        """[...document.querySelectorAll('button, a, input, textarea, select, [tabindex="0"]')]
        .filter(one => one.checkVisibility() && !one.disabled && one.tabIndex >= 0).length"""
    )
    page.evaluate("document.activeElement.blur()")
    reached = []
    for _ in range(wanted + 3):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("""(() => { const x = document.activeElement; x.dataset.reached = 1;
            return x.ariaLabel || x.labels?.[0]?.textContent || x.textContent.trim() || x.title; })()""")
        )
    assert page.evaluate("document.querySelectorAll('[data-reached]').length") >= wanted
    assert all(reached)


def test_arrows_move_through_list_and_menus(chat, filled):
    page = chat(hash_=f"#/{filled}")
    expect(page.locator("#list a")).to_have_count(2)
    page.focus("#search")
    place = "document.activeElement.textContent"
    page.keyboard.press("ArrowDown")
    assert "First" in page.evaluate(place)
    page.keyboard.press("ArrowDown")
    assert "Another" in page.evaluate(place)
    page.keyboard.press("ArrowDown")
    assert "Another" in page.evaluate(place)
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    assert page.evaluate("document.activeElement.id") == "search"
    page.focus("#more")
    page.keyboard.press("Enter")
    assert page.evaluate(place) == "Rename"
    page.keyboard.press("ArrowUp")
    assert page.evaluate(place) == "Delete"
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    assert page.evaluate(place) == "Unpin"
    page.keyboard.press("Escape")
    assert page.locator(".menu").count() == 0
    assert page.evaluate("document.activeElement.id") == "more"
    page.click("#more")
    page.mouse.click(700, 500)
    assert page.locator(".menu").count() == 0


def test_shortcuts_are_shown_and_closed(chat, filled):
    page = chat(hash_=f"#/{filled}")
    expect(last(page)).to_contain_text("Yes.")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("?")
    expect(page.locator("#dialog")).to_contain_text("Ctrl")
    page.keyboard.press("Escape")
    expect(page.locator("#dialog")).to_be_hidden()
    page.focus("#typed")
    page.keyboard.type("?")
    assert page.input_value("#typed") == "?"
    assert page.locator("#dialog").is_hidden()
    page.keyboard.press("Control+Shift+O")
    expect(page.locator("#title")).to_have_text("New chat")


def test_a_reply_is_read_out_in_sentences(chat, chats):
    chats.script["tell"] = ["One sentence ", "is here. ", *["And so on "] * 20, "to the last."]
    page = chat()
    page.evaluate(
        """window.heard = []; new MutationObserver(() => heard.push(document.getElementById('said').textContent))
        .observe(document.getElementById('said'), {childList: true, characterData: true, subtree: true})"""
    )
    send(page, "tell")
    expect(page.locator("#said")).to_contain_text("End of the reply.")
    heard = [text for text in page.evaluate("heard") if text]
    assert len(heard) <= 3
    assert "".join(heard).replace(" End of the reply.", "").split() == "".join(chats.script["tell"]).split()
    assert page.locator("#said").get_attribute("aria-live") == "polite"


def test_motion_is_reduced_where_wished(chat, chats):
    page = chat(reduced_motion="reduce")
    send(page, "slow please")
    expect(page.locator(".dots i").first).to_be_attached()
    assert page.evaluate("document.getAnimations().length") == 0
    assert page.evaluate("getComputedStyle(document.querySelector('.dots i')).animationName") == "none"


def test_the_outline_is_in_order(chat, filled):
    page = chat(hash_=f"#/{filled}")
    expect(last(page)).to_contain_text("Yes.")
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4,h5,h6')].map(x => Number(x.tagName[1]))")
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert levels.count(2) >= 4
    assert page.locator("html").get_attribute("lang") == "en"
