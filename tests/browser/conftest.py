"""A browser that asks nobody but the page, and a page that is opened in it."""

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import chat_api
import platformdirs
import pytest

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


AXE = "axe-core@4.14.1"
PATIENCE_S = 60
"""Seconds until what a page shall show counts as missing; a busy machine is slow, and nothing here is timed."""


@pytest.fixture(scope="session")
def axe():
    """The script of axe-core, which finds faults of accessibility: NETWRIGHT_AXE, or by npm into the user's cache."""
    named = os.environ.get("NETWRIGHT_AXE")
    folder = platformdirs.user_cache_path("netwright") / AXE
    found = Path(named) if named else folder / "node_modules" / "axe-core" / "axe.min.js"
    if not found.is_file():
        npm = shutil.which("npm")
        if npm is None:
            absent(f"no npm on PATH to get {AXE}, and NETWRIGHT_AXE names no axe.min.js")
        folder.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--prefix", str(folder), "--no-save", "--ignore-scripts", "--no-audit", AXE]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if not found.is_file():
            absent(f"{AXE} cannot be fetched: {ended.stderr.strip()[-300:]}")
    return found.read_text(encoding="utf-8")


def absent(what):
    """Skip with the reason, or fail where everything must be there."""
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(what)


@pytest.fixture(scope="module")
def browser(chromium):
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("playwright is not installed")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE_S * 1000)
    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        yield opened
        opened.close()


@pytest.fixture
def opened(browser, page_file):
    """`opened(width, scheme)` is the page, offline; at the end nothing was complained of or asked for."""
    complaints, asked, contexts = [], [], []

    def open_(width=1200, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(page_file.as_uri())
        return page

    yield open_
    for context in contexts:
        context.close()
    assert complaints == []
    assert [url for url in asked if url != page_file.as_uri() and not url.startswith("data:")] == []


@pytest.fixture
def chats():
    """The chat's API in memory, to be filled before the page is opened."""
    return chat_api.Api()


@pytest.fixture
def chat(browser, chats):
    """`chat(width, scheme)` is the chat's page; at the end no script complained and no other host was asked."""
    complaints, asked, contexts = [], [], []
    with chat_api.serving(chats) as address:

        def open_(width=1280, scheme="light", hash_="", **options):
            context = browser.new_context(
                viewport={"width": width, "height": 844 if width < 500 else 800}, color_scheme=scheme, **options
            )
            contexts.append(context)
            page = context.new_page()
            page.set_default_timeout(PATIENCE_S * 1000)
            page.on("console", lambda message: complaints.append(message.text))
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("request", lambda request: asked.append(request.url))
            page.goto(address + hash_)
            return page

        open_.address = address
        yield open_
        for context in contexts:
            context.close()
    assert [one for one in complaints if not one.startswith("Failed to load resource")] == []  # faults on demand
    assert [url for url in asked if not url.startswith((address, "data:", f"blob:{address}"))] == []
