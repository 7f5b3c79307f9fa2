"""The page to try predictions at, in a real browser: it answers, refuses in words, and fits a phone."""

import threading
import time

import pytest

from netwright.predict import learned, server


@pytest.fixture(scope="module")
def address():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learned, "rows", lambda *_: None)
        patch.setattr(learned, "check", lambda: None)
        listening = server.listener(None, "127.0.0.1", 0)
        thread = threading.Thread(target=listening.run, daemon=True)
        thread.start()
        deadline = time.monotonic() + 20
        while not listening.started:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        host, port = listening.servers[0].sockets[0].getsockname()
        yield f"http://{host}:{port}/"
        listening.should_exit = True
        thread.join(10)


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "dark")])
def test_a_question_is_answered_or_refused(browser, address, width, scheme):
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    complaints, asked = [], []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    page.fill("[name=device]", "l40s, h100")
    page.keyboard.press("Enter")
    page.wait_for_selector("table")
    assert page.locator("caption").all_inner_texts() == ["NVIDIA L40S", "NVIDIA H100 SXM"]
    assert "cost of a million tokens" in page.inner_text("#answer")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.fill("[name=device]", "l44 <b>")
    page.click("button")
    page.wait_for_selector(".error")
    assert "did you mean" in page.inner_text(".error")
    assert page.locator("#answer b").count() == 0
    assert complaints == []
    assert all(url.startswith(address) for url in asked)
    context.close()
