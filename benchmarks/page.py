"""The chat's page in Chromium: bytes and time of the first load, opening long chats, the cost of streaming.

    python benchmarks/page.py               # 5 runs each, prints Markdown tables

The API is canned and answers at once, on this machine. A page is "open" when its newest message is drawn and the
browser has painted it; older ones are drawn when there is time. Needs playwright and chromium.
"""

from __future__ import annotations

import http.server
import json
import os
import platform
import shutil
import statistics
import sys
import threading
from importlib import resources
from typing import Any

PAGE = resources.files("netwright.chat") / "page"
FILES = {
    "/": ("index.html", "text/html"),
    "/chat.css": ("chat.css", "text/css"),
    "/chat.js": ("chat.js", "text/javascript"),
}
RUNS, RATE, SECONDS = 5, 100, 20
BAR_BYTES = 300_000
REPLY = """Here is **what** was asked for, with `code` and $x_{i+1} = \\frac{a}{b}$.

1. First this,
2. then that: [a link](https://example.org).

| step | cost |
|---|--:|
| one | $O(n)$ |
| two | $O(n \\log n)$ |

```python
def f(x: int) -> int:
    return x + 1  # the next
```

And some more words that make a paragraph of ordinary length, as replies have them."""
MODEL = {
    "id": "m",
    "title": "Model",
    "loaded": True,
    "precision": "INT8",
    "engine": "openvino",
    "threads": 2,
    "size": 144_000_000,
    "parameters": 135_000_000,
    "speed": None,
    "loss": None,
    "longest": 8192,
}
STATE = {
    "version": "0",
    "models": [MODEL],
    "default": "m",
    "presets": [],
    "sampling": {"temperature": 0.7},
    "tags": [],
    "filters": {"on": False},
}
SPENT = """async ([text, rate, seconds]) => {
    const { Stream } = await import('./chat.js'), stream = new Stream(), pieces = text.match(/\\s*\\S{1,5}/g);
    document.getElementById('messages').append(stream.element);
    let long = 0, at = 0;
    const watched = new PerformanceObserver(list => {
        for (const one of list.getEntries()) long = Math.max(long, one.duration);
    });
    watched.observe({ entryTypes: ['longtask'] });
    const began = performance.now();
    while (performance.now() - began < seconds * 1000) {
        const due = Math.floor((performance.now() - began) / 1000 * rate);
        for (; at < due; at++) stream.add(pieces[at % pieces.length]);
        await new Promise(done => setTimeout(done, 1000 / rate));
    }
    stream.draw();
    return [stream.spent / (performance.now() - began), long, stream.text.length];
}"""
PAINTED = "new Promise(done => requestAnimationFrame(() => setTimeout(() => done(performance.now()))))"


def conversation(messages: int) -> dict[str, Any]:
    """A chat of so many messages, half of them replies of ordinary length."""
    path = []
    for at in range(messages):
        reply = {"id": f"r{at}", "model": "m", "precision": "INT8", "engine": "openvino", "sampling": {}, "seed": 1}
        reply |= {"finish": "stop", "statistics": None, "thumb": 0, "note": ""}
        role = ("user", "assistant")[at % 2]
        content = f"{at}: {REPLY if at % 2 else 'How is this done?'}"
        path.append(
            {
                "id": f"m{at}",
                "parent": f"m{at - 1}" if at else None,
                "role": role,
                "content": content,
                "siblings": [f"m{at}"],
                "reply": reply if at % 2 else None,
            }
        )
    facts = {"id": str(messages), "title": "A chat", "pinned": False, "tags": [], "system": None}
    return {**facts, "tip": f"m{messages - 1}", "messages": path}


class Canned(http.server.BaseHTTPRequestHandler):
    """The page's files and three calls of its API."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path in FILES:
            name, kind = FILES[path]
            return self.answer((PAGE / name).read_bytes(), kind)
        if path == "/api/state":
            found: Any = STATE
        elif path == "/api/conversations":
            found = {"conversations": [], "next": None}
        else:
            found = conversation(int(path.rsplit("/", 1)[1]))
        return self.answer(json.dumps(found).encode(), "application/json")

    def answer(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing is told."""


def spread(times: list[float]) -> str:
    return f"{statistics.median(times):.0f} [{min(times):.0f}, {max(times):.0f}]"


def busy(metrics: Any) -> float:
    """Seconds that the page's main thread has worked: scripts, layout, painting."""
    found = metrics.send("Performance.getMetrics")["metrics"]
    return float(next(one["value"] for one in found if one["name"] == "TaskDuration"))


def main() -> int:
    from playwright.sync_api import sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("NETWRIGHT_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Canned)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/"
    total = sum(len((PAGE / name).read_bytes()) for name, _ in FILES.values())
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        where = (
            f"Chromium {browser.version}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {platform.machine()}"
        )
        print(f"{where}; {RUNS} runs: median [least, most]\n")
        print(f"first load: {total:,} bytes in {len(FILES)} files, not compressed; bar {BAR_BYTES:,}\n")
        print("| what | ms |\n|---|---|")
        for what, hash_, ready in (
            ("first load, empty", "", ".example"),
            *(
                (f"a chat of {n:,} messages", f"#/{n}", f".message[data-id=m{n - 1}] .code")
                for n in (10, 100, 500, 2000)
            ),
        ):
            times = []
            for _ in range(RUNS):
                context = browser.new_context(viewport={"width": 1280, "height": 800})
                page = context.new_page()
                page.goto(address + hash_, wait_until="commit")
                page.wait_for_selector(ready)
                times.append(page.evaluate(PAINTED))
                context.close()
            print(f"| {what}, until painted | {spread(times)} |")
        print("\n| streaming | drawing, % of the main thread | all tasks, % | longest task, ms |\n|---|---|---|---|")
        for what, text in (("replies", REPLY), ("one long block of code", "```python\n" + "x = f(1)  # one\n" * 500)):
            page = browser.new_page()
            page.goto(address)
            page.wait_for_selector(".example")
            metrics = page.context.new_cdp_session(page)
            metrics.send("Performance.enable")
            before = busy(metrics)
            share, longest, size = page.evaluate(SPENT, [text, RATE, SECONDS])
            tasks = (busy(metrics) - before) / SECONDS
            told = f"{what}, {RATE} tokens/s for {SECONDS} s, {size:,} characters"
            print(f"| {told} | {100 * share:.1f} | {100 * tasks:.1f} | {longest:.0f} |")
            page.close()
        browser.close()
    server.shutdown()
    return 0 if total <= BAR_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
