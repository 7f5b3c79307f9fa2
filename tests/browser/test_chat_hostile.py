"""The chat's page among hostile content and broken answers: nothing runs, nothing is lost, nothing hangs."""

import chat_api
import pytest
from test_chat_page import act, expect, last, replied, send, until

BAD = "<img src=x onerror=pwned()><script>pwned()</script>\"'><svg onload=pwned()>"
MADE = "img, script:not([src]), iframe, object, svg:not(.drawn), [onerror], [onload], [style*=url]"


@pytest.fixture
def everywhere(chats):
    """A world whose every text is an attack; the conversation to open."""
    hostile_model = {**chat_api.MODELS[0], "title": BAD, "precision": BAD, "engine": BAD, "id": BAD}
    chats.models = [hostile_model, chat_api.MODELS[1]]
    chats.presets = [{"name": BAD, "system": BAD, "sampling": {"temperature": BAD, BAD: BAD}}]
    turns = [
        ("user", BAD),
        (
            "assistant",
            f"# {BAD}\n\n- {BAD}\n\n[{BAD}](javascript:pwned())\n\n```{BAD}\n{BAD}\n```\n\n"
            f"|{BAD}|\n|-|\n|{BAD}|\n\n$${BAD}$$",
        ),
    ]
    name = chats.chat(turns, title=BAD, tags=[BAD, "javascript:pwned()"], system=BAD)
    reply = next(node["reply"] for node in chats.chats[name]["nodes"].values() if node["reply"])
    reply |= {
        "note": BAD,
        "model": BAD,
        "precision": BAD,
        "engine": BAD,
        "seed": BAD,
        "sampling": {BAD: BAD},
        "thumb": 1,
    }
    return name


def test_attacks_are_shown_as_text_everywhere(chat, chats, everywhere):
    page = chat(hash_=f"#/{everywhere}")
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    expect(page.locator("#title")).to_have_text(BAD)
    expect(page.locator(".row-title")).to_have_text(BAD)
    assert BAD in page.locator(".chip").all_inner_texts()
    assert last(page).locator("pre").inner_text() == BAD
    last(page).get_by_role("button", name="Details").click()
    assert BAD in last(page).locator(".facts").inner_text()
    page.click("#settings-open")
    page.select_option("#preset", BAD)
    page.click("#model")
    page.keyboard.press("Escape")
    page.fill("#search", "<img")
    expect(page.locator("#list mark")).to_have_count(2)
    page.fill("#search", "")
    act(page, "Good reply")
    expect(last(page).get_by_role("button", name="Good reply")).to_have_attribute("aria-pressed", "false")
    chats.script[BAD] = ["\0error"]
    page.click("#more")
    page.get_by_role("menuitem", name="Delete").click()
    expect(page.locator("#dialog p")).to_contain_text(BAD)
    page.keyboard.press("Escape")
    assert page.locator(MADE).count() == 0
    assert page.evaluate("typeof pwned") == "undefined"
    assert page.evaluate("[...document.links].filter(one => !/^https?:/.test(one.href)).length") == 0


def test_the_policy_forbids_inline_script_even_where_markup_were_made(browser):
    with chat_api.serving(chat_api.Api()) as address:
        page = browser.new_page()
        page.goto(address)
        told = page.evaluate(
            """() => new Promise(done => {
            document.addEventListener('securitypolicyviolation', event => done(event.effectiveDirective));
            const made = document.createElement('script'); made.textContent = 'window.pwned = 1';
            document.body.append(made); })"""
        )
        assert told == "script-src-elem"
        assert page.evaluate("window.pwned") is None
        own = page.locator("meta[http-equiv=Content-Security-Policy]").get_attribute("content")
        assert f"{own}; frame-ancestors 'none'" == chat_api.CSP  # which a page cannot say of itself
        page.close()


def test_ids_of_any_characters_are_only_names(chat, chats):
    chats.chat([("user", "odd"), ("assistant", "name")], id='a"..?c=#d%20é&', title="Odd")
    page = chat()
    page.locator("#list a").click()
    expect(page.locator("#title")).to_have_text("Odd")
    expect(page.locator("#list a")).to_have_attribute("aria-current", "page")


def test_long_messages_open_fast_and_whole_when_asked(chat, chats):
    words = "hostile *words* " * 65_536
    line = "x" * 1_000_000
    name = chats.chat([("user", line), ("assistant", words), ("user", words), ("assistant", "[" * 90_000)])
    page = chat()
    page.goto(f"{chat.address}#/{name}")
    expect(page.locator(".message")).to_have_count(4)
    page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
    first = page.locator(".message").nth(1)
    assert len(first.locator(".plain").inner_text()) < 20_000
    first.get_by_role("button", name="Show the whole message (1 MB)").click()
    assert first.locator(".plain").text_content() == words
    act(page, "Copy", first)


def test_a_long_reply_streams_on_as_plain_text(chat, chats):
    piece = "- some *words* here\n" * 100
    chats.script["much"] = [piece] * 300
    chats.delay = 0.0005
    page = chat()
    send(page, "much")
    expect(page.locator("#send")).to_have_attribute("aria-label", "Stop")
    expect(page.locator("#send")).to_have_attribute("aria-label", "Send", timeout=20_000)
    assert last(page).locator(".markdown > .plain").text_content() == piece * 300
    page.reload()
    expect(last(page).get_by_role("button", name="Show the whole message (600 kB)")).to_be_visible()


def test_five_hundred_messages_are_there_and_drawn(chat, chats):
    turns = [
        (("user", "assistant")[at % 2], f"Message **{at}** with `code`\n\n- a list\n- of things") for at in range(500)
    ]
    page = chat()
    name = chats.chat(turns)
    page.goto(f"{chat.address}#/{name}")
    expect(last(page)).to_contain_text("Message 499")
    expect(last(page)).to_be_in_viewport()
    expect(page.locator(".theirs ul")).to_have_count(250)
    assert page.locator(".theirs strong").all_text_contents() == [str(at) for at in range(1, 500, 2)]
    expect(last(page)).to_be_in_viewport()
    page.evaluate("document.getElementById('thread').scrollTop = 0")
    expect(page.locator("#jump")).to_be_visible()
    page.click("#jump")
    expect(last(page)).to_be_in_viewport()


def test_reading_above_is_not_disturbed_by_a_reply(chat, chats):
    page = chat(hash_=f"#/{chats.chat([('user', 'x ' * 500), ('assistant', 'y ' * 3000)])}")
    expect(last(page)).to_contain_text("y y")
    send(page, "slow please")
    expect(last(page)).to_contain_text("word3")
    page.mouse.move(640, 400)
    page.mouse.wheel(0, -900)
    page.wait_for_timeout(200)
    place = page.evaluate("document.getElementById('thread').scrollTop")
    expect(last(page)).to_contain_text("word60")
    assert page.evaluate("document.getElementById('thread').scrollTop") == place
    page.click("#jump")
    expect(last(page)).to_contain_text("word90")
    assert page.evaluate("(x => x.scrollHeight - x.scrollTop - x.clientHeight)(document.getElementById('thread'))") < 60
    page.keyboard.press("Escape")


ANSWERS = {
    "no JSON": ("<html>Bad gateway</html>", 200, "cannot be read"),
    "an error that is no JSON": ("<html>Bad gateway</html>", 502, "answered 502"),
    "an error without a message": ('{"error": {"message": {"a": 1}}}', 500, "answered 500"),
    "an error of null": ("null", 500, "answered 500"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_that_are_broken_are_said(name, chat, chats):
    body, status, said = ANSWERS[name]
    page = chat(hash_=f"#/{chats.chat([('user', 'x'), ('assistant', 'y')])}")
    expect(last(page)).to_contain_text("y")
    page.route("**/api/conversations/*/replies", lambda route: route.fulfill(body=body, status=status))
    page.route("**/api/conversations?*", lambda route: route.fulfill(body=body, status=status))
    page.fill("#typed", "precious")
    page.keyboard.press("Enter")
    expect(page.locator("#fault p")).not_to_be_empty()
    expect(page.locator("#side-note")).to_contain_text(said)
    assert page.input_value("#typed") == "precious"


def test_a_stream_cut_anywhere_inside_a_character_is_read_as_sent(chat, chats):
    text = "Grüße, 世界 😀 — end"
    chats.script["greet"], chats.bytewise = [text[:8], text[8:]], True
    page = chat()
    send(page, "greet")
    replied(page, text)
    (one,) = chats.chats.values()
    assert one["nodes"][one["tip"]]["content"] == text


def test_an_event_stream_of_nonsense_ends_in_words(chat, chats):
    page = chat(hash_=f"#/{chats.chat([('user', 'x'), ('assistant', 'y')])}")
    expect(last(page)).to_contain_text("y")
    page.route(
        "**/api/conversations/*/replies",
        lambda route: route.fulfill(body="data: [1\n\nevent: x\n\ndata: null\n", content_type="text/event-stream"),
    )
    send(page, "precious")
    expect(page.locator("#fault p")).not_to_be_empty()
    assert page.input_value("#typed") == "precious"


def test_a_full_storage_does_not_stop_the_page(chat, chats):
    page = chat()
    expect(page.locator(".example").first).to_be_visible()
    page.evaluate("""() => { try {
        for (let k = 0; ; k++) localStorage.setItem('fill' + k, 'x'.repeat(1e6 >> Math.min(20, k >> 3)));
    } catch { } }""")
    send(page, "Hello")
    replied(page)
    until(lambda: len(chats.chats) == 1)
