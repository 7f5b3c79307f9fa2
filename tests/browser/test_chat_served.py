"""The chat's page over the server itself and a history on disk, so that both keep to what the other says."""

import json
import re

import pytest
from test_chat_page import act, expect, last, send, until

from netwright.chat.history.store import History
from netwright.chat.server.shelf import Volume
from scripted_server import endless, saying, served

ABOUT = {
    "precision": "int8", "engine": "openvino", "threads": 2, "size": 140_000_000, "parameters": 134_000_000,
    "speed": {"value": 61.2, "low": 58.0, "high": 64.0}, "loss": 0.008, "longest": 8192,
}  # fmt: skip


@pytest.fixture
def home(browser, tmp_path):
    """`home(hash)` is the page of a server whose models are "m", which says one sentence, and "slow"."""
    complaints, asked, contexts = [], [], []
    batch, _ = saying("A **bold** word, and `code`.")
    slow, decoder = endless("a", 0.02)
    volumes = {"m": Volume(lambda: batch, about=lambda: ABOUT), "slow": slow}
    with History.open(tmp_path) as history, served(volumes, history=history) as server:

        def open_(width=1280, hash_=""):
            context = browser.new_context(viewport={"width": width, "height": 800}, accept_downloads=True)
            contexts.append(context)
            page = context.new_page()
            page.set_default_timeout(60_000)
            page.on("console", lambda message: complaints.append(message.text))
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("request", lambda request: asked.append(request.url))
            page.goto(server.at + "/" + hash_)
            return page

        open_.server, open_.history, open_.decoder = server, history, decoder
        yield open_
        for context in contexts:
            context.close()
        at = server.at
    assert complaints == []
    assert [url for url in asked if not url.startswith((at, "data:", f"blob:{at}"))] == []


def replied(page):
    expect(last(page).locator(".body")).to_contain_text("A bold word")
    expect(page.locator("#send")).to_have_attribute("aria-label", "Send")


def test_a_day_with_the_page(home):
    page = home()
    send(page, "First question")
    replied(page)
    assert last(page).locator("strong").inner_text() == "bold"
    expect(page.locator("#title")).to_have_text("First question")
    expect(last(page)).to_contain_text("tokens")
    act(page, "Good reply")
    page.fill("#ask-note", "well said")
    page.get_by_role("button", name="Keep", exact=True).click()
    (one,) = home.history.conversations()
    until(lambda: home.history.path(one.id)[-1].thumb == 1)
    act(page, "Answer again")
    replied(page)
    until(lambda: len(home.history.path(one.id)[-1].replies) == 2)  # the same words again: one message, two records
    mine = page.locator(".message").first
    act(page, "Edit", mine)
    page.locator(".editing textarea").fill("Another question")
    page.locator(".editing textarea").press("Enter")
    replied(page)
    expect(page.locator(".message").first).to_contain_text("2/2")
    act(page, "Branch before", page.locator(".message").first)
    expect(page.locator(".message").first).to_contain_text("First question")
    page.reload()
    expect(page.locator(".message").first).to_contain_text("First question")
    page.keyboard.press("Control+k")
    page.keyboard.type("another quest")
    expect(page.locator(".snippet mark").first).to_have_text(re.compile("another|quest", re.IGNORECASE))
    assert home.history.verify() == []


def test_a_stopped_reply_is_kept_and_goes_on_in_the_list(home):
    page = home()
    page.evaluate("localStorage.setItem('netwright.model', 'slow')")
    page.reload()
    page.click(".model")
    page.get_by_role("option", name=re.compile("slow")).or_(page.get_by_role("radio", name=re.compile("slow"))).or_(
        page.get_by_role("menuitemradio", name=re.compile("slow"))
    ).first.click()
    send(page, "Go on for ever")
    expect(last(page).locator(".body")).to_contain_text("aaaaaa")
    page.keyboard.press("Escape")
    (one,) = home.history.conversations()
    until(lambda: len(home.history.path(one.id)) == 2)
    reply = home.history.path(one.id)[-1]
    assert reply.replies[-1].finish == "cancelled"
    expect(page.locator("#send")).to_have_attribute("aria-label", "Send")
    expect(last(page).locator(".body")).to_contain_text("aaaaaa")


def test_files_go_out_and_in(home, tmp_path):
    page = home()
    send(page, "To be exported")
    replied(page)
    page.click("#export")
    page.select_option("#ask-format", "json")
    with page.expect_download() as download:
        page.get_by_role("button", name="Export", exact=True).click()
    whole = json.loads(download.value.path().read_text())
    assert {one["content"] for one in whole["messages"]} == {"To be exported", "A **bold** word, and `code`."}
    file = tmp_path / "other.jsonl"
    turns = [
        {"role": "user", "content": "Imported <img src=x onerror=alert(1)>"},
        {"role": "assistant", "content": "Yes"},
    ]
    file.write_text(json.dumps({"messages": turns}))
    with page.expect_file_chooser() as chooser:
        page.click("#import")
    chooser.value.set_files(str(file))
    expect(page.locator("#list a")).to_have_count(2)
    page.get_by_role("link", name=re.compile("Imported")).click()
    expect(page.locator(".message").first).to_contain_text("onerror=alert(1)")
    assert page.locator(".message img").count() == 0


@pytest.mark.parametrize("width", [1280, 390])
def test_the_monitor_shows_what_happened_and_asks_nobody_else(width, home, axe):
    page = home(width)
    send(page, "Hi")
    replied(page)
    page.goto(home.server.at + "/monitor")
    expect(page.locator("figure")).to_have_count(8)
    expect(page.locator("#now")).to_contain_text("none")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.select_option("#hours", "1")
    expect(page.locator("#said")).to_have_text("")
    found = page.evaluate(f"(async () => {{ {axe}; return (await axe.run()).violations; }})()")
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []
