"""The chat's page in a real browser, over an API in memory: every feature is driven as a person would."""

import json
import re
import time

import chat_api
import pytest

TURNS = [("user", "Why is the sky blue?"), ("assistant", "Rayleigh *scattering*.")]


def expect(thing):
    from playwright.sync_api import expect as playwright_expect

    return playwright_expect(thing)


def until(true):
    """Waits for what a person cannot see: the state of the server."""
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def send(page, text):
    page.fill("#typed", text)
    expect(page.locator("#send")).to_be_enabled()
    page.keyboard.press("Enter")


def last(page):
    return page.locator(".message").last


def act(page, name, message=None):
    """Presses the button of that name under a message, the last unless told."""
    message = message or last(page)
    message.hover()
    message.get_by_role("button", name=name, exact=True).click()


def replied(page, text="Answer 1."):
    expect(last(page).locator(".body")).to_contain_text(text)
    expect(page.locator("#send")).to_have_attribute("aria-label", "Send")


def test_a_first_question_is_answered_kept_and_listed(chat, chats):
    page = chat()
    expect(page.locator("#notice h2")).to_have_text("Ask SmolLM2 135M")
    assert page.evaluate("document.activeElement.id") == "typed"
    send(page, "Hello there")
    replied(page)
    assert page.locator(".message").count() == 2
    assert last(page).locator("strong").inner_text() == "Hello there"
    expect(page.locator("#title")).to_have_text("Hello there")
    expect(page.locator("#list a")).to_have_text("Hello there")
    expect(page.locator("#list a")).to_have_attribute("aria-current", "page")
    (kept,) = chats.chats.values()
    assert [node["content"] for node in kept["nodes"].values()] == [
        "Hello there",
        "You said **Hello there**. Answer 1.",
    ]
    assert page.input_value("#typed") == ""
    page.reload()
    expect(last(page)).to_contain_text("Answer 1.")
    send(page, "And more")
    expect(page.locator(".message")).to_have_count(4)
    replied(page)


def test_an_example_fills_the_field(chat):
    page = chat()
    page.locator(".example").first.click()
    assert "sky" in page.input_value("#typed")
    assert page.evaluate("document.activeElement.id") == "typed"
    assert page.locator("#send").is_enabled()


def test_shift_and_enter_begin_a_line_and_nothing_empty_is_sent(chat, chats):
    page = chat()
    page.focus("#typed")
    page.keyboard.press("Enter")
    page.keyboard.type("  ")
    page.keyboard.press("Enter")
    page.fill("#typed", "one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("two")
    assert page.input_value("#typed") == "one\ntwo"
    assert not any(call.startswith("POST") for call, _ in chats.asked)
    page.keyboard.press("Enter")
    replied(page)
    assert page.locator(".mine .body").inner_text() == "one\ntwo"


@pytest.mark.parametrize("how", ["Escape", "button", "reload"])
def test_a_reply_is_stopped_and_what_came_is_kept(how, chat, chats):
    page = chat()
    send(page, "slow please")
    expect(last(page).locator(".body")).to_contain_text("word8")
    expect(page.locator("#send")).to_have_attribute("aria-label", "Stop")
    if how == "Escape":
        page.keyboard.press("Escape")
    elif how == "button":
        page.click("#send")
    else:
        page.reload()
    until(lambda: chats.stopped)
    (one,) = chats.chats.values()
    written = one["nodes"][one["tip"]]["content"]
    expect(last(page)).to_contain_text("Stopped.")
    expect(last(page).locator(".body")).to_have_text(written.strip())
    assert "word8" in written
    expect(page.locator("#title")).to_have_text("slow please")
    expect(page.locator("#send")).to_have_attribute("aria-label", "Send")
    assert page.locator("#fault").inner_text() == ""


def test_a_reply_goes_on_while_another_chat_is_looked_at(chat, chats):
    chats.chat(TURNS, title="Sky")
    page = chat()
    send(page, "slow please")
    expect(last(page)).to_contain_text("word3")
    page.locator("#list a", has_text="Sky").click()
    expect(last(page)).to_contain_text("Rayleigh")
    assert page.locator("#send").get_attribute("aria-label") == "Send"
    expect(page.locator("#list .busy")).to_have_count(1)
    page.locator("#list a", has_text="slow").click()
    expect(last(page)).to_contain_text("word40")
    assert chats.stopped == []
    page.keyboard.press("Escape")
    until(lambda: chats.stopped)


def test_regenerating_makes_a_branch_and_arrows_go_between(chat, chats):
    name = chats.chat(TURNS)
    page = chat(hash_=f"#/{name}")
    act(page, "Answer again")
    replied(page, "Answer 2.")
    expect(last(page).locator(".branches")).to_contain_text("2/2")
    act(page, "Branch before")
    expect(last(page).locator(".body")).to_have_text("Rayleigh scattering.")
    expect(last(page).locator(".branches")).to_contain_text("1/2")
    assert last(page).get_by_role("button", name="Branch before", exact=True).is_disabled()
    act(page, "Branch after")
    replied(page, "Answer 2.")
    act(page, "Delete this branch")
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(last(page).locator(".body")).to_have_text("Rayleigh scattering.")
    assert last(page).locator(".branches").count() == 0


def test_an_edit_becomes_a_branch_and_its_draft_is_kept(chat, chats):
    name = chats.chat([*TURNS, ("user", "Really?"), ("assistant", "Yes.")])
    page = chat(hash_=f"#/{name}")
    first = page.locator(".message").first
    act(page, "Edit", first)
    page.keyboard.press("End")
    page.keyboard.type(" At noon.")
    page.keyboard.press("Escape")
    expect(first.locator(".body")).to_have_text("Why is the sky blue?")
    act(page, "Edit", first)
    page.fill(".editing textarea", "Why is it red?")
    page.reload()
    act(page, "Edit", page.locator(".message").first)
    assert page.input_value(".editing textarea") == "Why is it red?"
    page.keyboard.press("Enter")
    replied(page)
    assert page.locator(".message").count() == 2
    expect(page.locator(".message").first.locator(".branches")).to_contain_text("2/2")
    act(page, "Branch before", page.locator(".message").first)
    expect(page.locator(".message")).to_have_count(4)
    act(page, "Edit", page.locator(".message").first)
    assert page.input_value(".editing textarea") == "Why is the sky blue?"  # what was sent is no draft any more


def test_arrow_up_edits_the_last_question(chat, chats):
    page = chat(hash_=f"#/{chats.chat(TURNS)}")
    expect(last(page)).to_contain_text("Rayleigh")
    page.focus("#typed")
    page.keyboard.press("ArrowUp")
    assert page.input_value(".editing textarea") == "Why is the sky blue?"


def test_a_chat_is_renamed_pinned_tagged_filtered_forked_and_deleted(chat, chats):
    old = chats.chat([("user", "first")], updated="2026-01-01T00:00:00+00:00")
    chats.chat([("user", "second")])
    page = chat(hash_=f"#/{old}")
    expect(page.locator("#list a")).to_have_text(["second", "first"])

    def choose(action):
        page.click("#more")
        page.get_by_role("menuitem", name=action, exact=True).click()

    choose("Pin")
    expect(page.locator("#list a")).to_have_text(["first", "second"])
    expect(page.locator(".group").first).to_have_text("Pinned")
    choose("Rename")
    page.fill("#ask-title", "The first of all")
    page.keyboard.press("Enter")
    expect(page.locator("#title")).to_have_text("The first of all")
    choose("Tags")
    page.fill("#ask-tags", "school, , physics, school")
    page.keyboard.press("Enter")
    expect(page.locator(".chip")).to_have_text(["physics", "school"])
    assert chats.chats[old]["tags"] == ["school", "physics"]
    page.locator(".chip", has_text="physics").click()
    expect(page.locator("#list a")).to_have_count(1)
    expect(page.locator(".chip", has_text="physics")).to_have_attribute("aria-pressed", "true")
    page.locator(".chip", has_text="physics").click()
    expect(page.locator("#list a")).to_have_count(2)
    act(page, "Fork: a new chat that begins like this")
    expect(page.locator("#title")).to_have_text("The first of all (fork)")
    choose("Delete")
    page.get_by_role("button", name="Cancel").click()
    assert len(chats.chats) == 3
    choose("Delete")
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.locator("#list a")).to_have_count(2)
    expect(page.locator("#title")).to_have_text("New chat")


def test_a_long_list_comes_in_parts(chat, chats):
    for at in range(120):
        chats.chat([("user", f"question {at}")], updated=f"2026-01-01T00:00:00.{at:03}+00:00")
    page = chat()
    expect(page.locator("#list a")).to_have_count(50)
    page.get_by_role("button", name="Show more").click()
    expect(page.locator("#list a")).to_have_count(100)
    page.get_by_role("button", name="Show more").click()
    expect(page.locator("#list a")).to_have_count(120)
    assert page.get_by_role("button", name="Show more").count() == 0
    names = page.locator("#list .row-title").all_inner_texts()
    assert names == [f"question {at}" for at in reversed(range(120))]


def test_search_marks_what_it_found_and_opens_the_branch_it_is_on(chat, chats):
    name = chats.chat(TURNS, title="Sky")
    one = chats.chats[name]
    tip = one["tip"]
    hidden = chats.add(one, None, "user", "A question about zebras & <b>stripes</b>")
    chats.add(one, hidden["id"], "assistant", "They are black.")
    one["tip"] = tip
    page = chat()
    page.keyboard.press("Control+k")
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.type("zebras")
    expect(page.locator("#list mark")).to_have_text("zebras")
    expect(page.locator(".snippet")).to_contain_text("& <b>stripes</b>")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator(".message").first).to_contain_text("zebras")
    expect(page.locator(".message").first.locator(".branches")).to_contain_text("2/2")
    page.focus("#search")
    page.fill("#search", "nowhere")
    expect(page.locator("#side-note")).to_have_text("Nothing was found.")
    page.keyboard.press("Escape")
    expect(page.locator("#list a .row-title")).to_have_text(["Sky"])


def test_drafts_are_kept_for_each_chat(chat, chats):
    one, two = chats.chat(TURNS, title="One"), chats.chat(TURNS, title="Two")
    page = chat(hash_=f"#/{one}")
    expect(page.locator("#title")).to_have_text("One")
    page.fill("#typed", "for one")
    page.locator("#list a", has_text="Two").click()
    expect(page.locator("#title")).to_have_text("Two")
    assert page.input_value("#typed") == ""
    page.fill("#typed", "for two")
    page.keyboard.press("Control+Shift+O")
    expect(page.locator("#title")).to_have_text("New chat")
    page.fill("#typed", "for a new one")
    page.reload()
    expect(page.locator("#title")).to_have_text("New chat")
    expect(page.locator("#typed")).to_have_value("for a new one")
    for name, text in ((one, "for one"), (two, "for two")):
        page.goto(f"{chat.address}#/{name}")
        expect(page.locator("#typed")).to_have_value(text)


def test_a_slow_answer_does_not_undo_a_later_choice(chat, chats):
    one, two = chats.chat(TURNS, title="One"), chats.chat(TURNS, title="Two")
    chats.wait[f"GET /api/conversations/{one}"] = 0.5
    chats.wait["GET /api/search"] = 0.5
    page = chat()
    page.locator("#list a", has_text="One").click()
    page.locator("#list a", has_text="Two").click()
    expect(page.locator("#title")).to_have_text("Two")
    page.fill("#search", "blue")
    until(lambda: any(call == "GET /api/search" for call, _ in chats.asked))
    page.fill("#search", "")
    page.wait_for_timeout(800)
    assert page.locator("#title").inner_text() == "Two"
    assert page.url.endswith(two)
    assert page.locator("#list .row-title").all_inner_texts() == ["Two", "One"]
    assert page.locator("#list mark").count() == 0


@pytest.mark.parametrize("call", ["POST /api/conversations", "POST /api/conversations/c1/replies"])
def test_what_was_typed_outlives_a_server_that_refuses(call, chat, chats):
    if call.endswith("replies"):
        chats.chat(TURNS)
    page = chat(hash_="#/c1" if chats.chats else "")
    if chats.chats:
        expect(last(page)).to_contain_text("Rayleigh")
    chats.fail[call] = 503
    send(page, "Precious words")
    expect(page.locator("#fault")).to_contain_text("The server is busy.")
    assert page.input_value("#typed") == "Precious words"
    page.reload()
    expect(page.locator("#typed")).to_have_value("Precious words")
    page.focus("#typed")
    page.keyboard.press("Enter")
    expect(page.locator("#fault")).to_contain_text("The server is busy.")
    chats.fail.clear()
    page.get_by_role("button", name="Retry").click()
    replied(page)
    assert page.input_value("#typed") == ""


@pytest.mark.parametrize(("word", "said"), [("break", "ran out of memory"), ("cut", "connection ended")])
def test_a_reply_that_fails_keeps_what_came_and_can_be_tried_again(word, said, chat, chats):
    page = chat()
    send(page, f"{word} now")
    expect(page.locator("#fault")).to_contain_text(said)
    expect(last(page).locator(".body")).to_have_text("Some words")
    expect(last(page)).to_contain_text("Interrupted")
    chats.script[f"{word} now"] = ["All ", "well."]
    page.get_by_role("button", name="Retry").click()
    replied(page, "All well.")
    assert page.locator("#fault").inner_text() == ""
    expect(last(page).locator(".branches")).to_contain_text("2/2")


def test_a_server_that_is_away_is_said_and_tried_again(chat, chats):
    chats.fail["GET /api/state"] = 503
    page = chat()
    expect(page.locator("#fault")).to_contain_text("The server is busy.")
    chats.fail.clear()
    page.get_by_role("button", name="Retry").click()
    expect(page.locator("#notice h2")).to_have_text("Ask SmolLM2 135M")
    chats.fail["GET /api/conversations"] = 500
    page.goto(chat.address + "#/c99")
    expect(page.locator("#fault")).to_contain_text("The server is busy.")
    chats.fail.clear()
    page.get_by_role("button", name="Retry").click()
    expect(page.locator("#fault")).to_contain_text("not here")
    page.context.set_offline(True)
    send(page, "Anyone?")
    expect(page.locator("#fault")).to_contain_text("does not answer")
    page.context.set_offline(False)
    page.get_by_role("button", name="Retry").click()
    replied(page)


def test_no_model_is_said(chat, chats):
    chats.models = []
    page = chat()
    expect(page.locator("#fault")).to_contain_text("netwright serve MODEL")
    page.fill("#typed", "Hello")
    assert page.locator("#send").is_disabled()


def test_a_key_is_asked_for_once_and_again_when_wrong(chat, chats):
    chats.key = "open sesame"
    page = chat()
    page.fill("#ask-key", "wrong")
    page.keyboard.press("Enter")
    expect(page.locator("#dialog")).to_contain_text("does not take this key")
    page.fill("#ask-key", "open sesame")
    page.keyboard.press("Enter")
    expect(page.locator("#notice h2")).to_have_text("Ask SmolLM2 135M")
    send(page, "Hello")
    replied(page)
    page.reload()
    replied(page)
    assert not page.locator("#dialog").is_visible()
    assert page.evaluate("JSON.stringify(localStorage)").find("sesame") < 0


def test_settings_are_sent_kept_and_set_back(chat, chats):
    page = chat()
    page.click("#settings-open")
    assert page.evaluate("document.activeElement.id") == "settings-title"
    page.fill("#set-temperature", "0.2")
    expect(page.get_by_label("Temperature, by sliding")).to_have_value("0.2")
    page.fill("#set-seed", "42")
    page.fill("#set-stop", "END\nSTOP")
    page.fill("#set-top_p", "7")
    expect(page.locator("#set-top_p")).to_have_attribute("aria-invalid", "true")
    page.fill("#system", "Be brief.")
    page.reload()
    page.click("#settings-open")
    assert page.input_value("#set-temperature") == "0.2"
    send(page, "Hello")
    replied(page)
    (one,) = chats.chats.values()
    sampling = one["nodes"][one["tip"]]["reply"]["sampling"]
    assert sampling == {**chat_api.SAMPLING, "temperature": 0.2, "seed": 42, "stop": ["END", "STOP"]}
    assert one["system"] == "Be brief."
    page.get_by_role("button", name="Back to the defaults").click()
    send(page, "Again")
    expect(page.locator(".message")).to_have_count(4)
    replied(page)
    assert one["nodes"][one["tip"]]["reply"]["sampling"] == chat_api.SAMPLING
    for name in chat_api.SAMPLING:
        sentence = page.locator(f"#set-{name}-about").inner_text()
        assert sentence.endswith(".")
        assert page.locator(f"#set-{name}").get_attribute("aria-describedby") == f"set-{name}-about"


def test_a_preset_sets_system_prompt_and_sampling(chat, chats):
    page = chat(hash_=f"#/{chats.chat(TURNS)}")
    expect(last(page)).to_contain_text("Rayleigh")
    page.click("#settings-open")
    page.select_option("#preset", "Storyteller")
    until(lambda: chats.chats["c1"]["system"] == "You tell stories.")
    expect(page.locator("#system")).to_have_value("You tell stories.")
    expect(page.locator("#set-temperature")).to_have_value("1.1")
    page.fill("#system", "You tell jokes.")
    page.keyboard.press("Tab")
    until(lambda: chats.chats["c1"]["system"] == "You tell jokes.")


def test_models_show_what_was_measured_and_are_chosen(chat, chats):
    page = chat()
    page.click("#model")
    texts = page.get_by_role("menuitemradio").all_inner_texts()
    assert re.search(
        r"INT8 · openvino · 135M parameters · 144 MB\s+61.2 \[58.1, 64\] tokens/s · perplexity \+0.81 %", texts[0]
    )
    assert "speed not measured · quality not measured" in texts[1]
    assert "loaded when first asked" in texts[1]
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#model-name")).to_have_text("SmolLM2 360M")
    assert page.evaluate("document.activeElement.id") == "model"
    send(page, "Hello")
    replied(page)
    (one,) = chats.chats.values()
    assert one["nodes"][one["tip"]]["reply"]["model"] == "smollm2-360m-int4"
    page.reload()
    expect(page.locator("#model-name")).to_have_text("SmolLM2 360M")


def test_figures_details_and_elsewhere_are_under_a_reply(chat, chats):
    name = chats.chat(TURNS)
    page = chat(hash_=f"#/{name}")
    figures = last(page).locator(".figures")
    expect(figures).to_contain_text("84 tokens")
    expect(figures).to_contain_text("61.2 tok/s")
    expect(figures).to_contain_text("first 214 ms")
    expect(figures).to_contain_text("32 reused")
    figures.get_by_role("button", name="Details").click()
    assert "INT8" in last(page).locator(".facts").inner_text()
    figures.get_by_role("button", name="Elsewhere").click()
    expect(last(page).locator("tbody tr").first).to_contain_text("NVIDIA L4")
    assert "412 [361, 480]" in last(page).locator("tbody tr").first.inner_text()
    assert last(page).locator(".facts").count() == 0
    figures.get_by_role("button", name="Elsewhere").click()
    chats.fail["GET /api/predictions"] = 503
    figures.get_by_role("button", name="Elsewhere").click()
    expect(last(page).locator(".elsewhere")).to_contain_text("busy")
    chats.fail.clear()
    last(page).get_by_role("button", name="Retry").click()
    expect(last(page).locator("tbody tr")).to_have_count(2)


def test_thumbs_with_a_note(chat, chats):
    page = chat(hash_=f"#/{chats.chat(TURNS)}")
    reply = next(node["reply"] for node in chats.chats["c1"]["nodes"].values() if node["reply"])
    act(page, "Bad reply")
    page.fill("#ask-note", "Too <i>short</i>")
    page.get_by_role("button", name="Keep").click()
    expect(last(page).locator(".note")).to_have_text("Your note: Too <i>short</i>")
    assert (reply["thumb"], reply["note"]) == (-1, "Too <i>short</i>")
    pressed = last(page).get_by_role("button", name="Bad reply")
    expect(pressed).to_have_attribute("aria-pressed", "true")
    act(page, "Bad reply")
    expect(last(page).get_by_role("button", name="Bad reply")).to_have_attribute("aria-pressed", "false")
    assert (reply["thumb"], reply["note"]) == (0, "")
    act(page, "Good reply")
    page.keyboard.press("Escape")
    assert reply["thumb"] == 0


def test_a_filter_says_that_it_acted(chat, chats):
    page = chat()
    send(page, "held please")
    expect(last(page)).to_contain_text("A safety filter acted (block): an insult")
    expect(last(page)).to_contain_text("held this reply back")


@pytest.mark.parametrize(
    "form", ["markdown", "json", "jsonl", "html", "sharegpt", "chatgpt", "messages", "good", "preferences"]
)
def test_export_gives_a_file(form, chat, chats):
    page = chat(hash_=f"#/{chats.chat(TURNS)}")
    expect(last(page)).to_contain_text("Rayleigh")
    page.click("#export")
    page.select_option("#ask-format", form)
    with page.expect_download() as download:
        page.get_by_role("button", name="Export", exact=True).click()
    assert download.value.suggested_filename == f"chats.{form}"
    asked = next(facts for call, facts in chats.asked if call == "GET /api/export")
    assert asked == {"format": form, "conversation": "c1"}


def test_import_by_choosing_and_by_dropping(chat, chats, tmp_path):
    page = chat()
    file = tmp_path / "chats.json"
    file.write_text(json.dumps({"text": "Imported"}))
    page.set_input_files("#file", file)
    expect(page.locator("#toast")).to_have_text("1 chat, 1 message imported; 2 were here already.")
    expect(page.locator("#list a")).to_have_text(["Imported"])
    moved = page.evaluate_handle(
        "() => { const data = new DataTransfer(); data.items.add(new File(['no chats'], 'x.txt')); return data; }"
    )
    page.dispatch_event("#thread", "dragover", {"dataTransfer": moved})
    expect(page.locator("#drop")).to_be_visible()
    page.dispatch_event("#thread", "drop", {"dataTransfer": moved})
    expect(page.locator("#toast")).to_contain_text("in no format that is known")
    assert page.locator("#drop").is_hidden()


def test_a_message_and_its_code_are_copied(chat, chats):
    text = "See:\n\n```python\nx = 1\n```"
    page = chat(
        hash_=f"#/{chats.chat([('user', 'code'), ('assistant', text)])}",
        permissions=["clipboard-read", "clipboard-write"],
    )
    act(page, "Copy")
    expect(page.locator("#said")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == text
    page.locator("figcaption button").click()
    expect(page.locator("figcaption button")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == "x = 1"
    expect(page.locator("figcaption button")).to_have_text("Copy")


def test_colours_follow_the_system_until_chosen(chat):
    page = chat(scheme="dark")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.click("#theme")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert light != dark
    page.reload()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == light
    page.click("#theme")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark
    page.emulate_media(color_scheme="light")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark
    page.click("#theme")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == light


def test_another_tabs_reply_is_followed(chat, chats):
    name = chats.chat(TURNS[:1])
    one = chats.chats[name]
    made = chats.add(one, one["tip"], "assistant", "Half of", finish="streaming", statistics=None)
    page = chat(hash_=f"#/{name}")
    expect(last(page).locator(".body")).to_have_text("Half of")
    made["content"], made["reply"]["finish"] = "Half of it, and all.", "stop"
    expect(last(page).locator(".body")).to_have_text("Half of it, and all.")


def test_the_page_is_small_and_has_no_inline_script_or_style():
    names = ("index.html", "chat.css", "chat.js")
    assert sum(len((chat_api.PAGE / name).read_bytes()) for name in names) <= 130_000
    html, script = ((chat_api.PAGE / name).read_text() for name in ("index.html", "chat.js"))
    assert not re.search(r"\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)|<style", html)
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|setAttribute\(\"style", script
    )
    assert not re.search(r"https?://(?!www\.w3\.org/)[a-z]", script + html.replace("http://www.w3.org/2000/svg", ""))
