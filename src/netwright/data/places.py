"""Places a source can be had from: npm, PyPI, Debian, the Hugging Face hub.

Each place answers a URL, found by asking the ordinary client on this machine, so that its registry,
mirror and proxy settings hold and no host stands here. The bytes are then downloaded by `download`, which
resumes. No client installs anything and no code of a package is run. This file does not know what the
bytes should be; `sources` checks them.

A place that does not answer costs at most PATIENCE seconds: a TCP connection is tried first, and only
then the client is asked, without retries of its own.
"""

from __future__ import annotations

import html
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

from netwright import __version__
from netwright.core.artifact import disk_error
from netwright.core.error import UserError

PATIENCE = 2.5
"""Seconds in which a place has to accept a connection."""

CLIENT_SECONDS = 60
"""A client is asked only after its registry has answered, so this covers a slow machine, not a dead network."""

STALL_SECONDS = 20
"""A transfer that brings no byte for so long is broken off, and resumed."""

CHUNK = 1 << 20


class PlaceFailedError(Exception):
    """This place cannot give it; the next one may. The message is the reason a person reads."""


def npm(package: str, version: str) -> str:
    """URL of a package's tarball."""
    answers(_ask("npm", "config", "get", "registry"))
    return _ask("npm", "view", f"{package}@{version}", "dist.tarball", "--fetch-retries=0")


def pypi(package: str, file: str) -> str:
    """URL of one file of a project, from the index that pip is set to.

    The index is read, instead of `pip download` run, because pip runs the setup code of an sdist.
    """
    manual = _ask(sys.executable, "-m", "pip", "download", "--help", COLUMNS="2000")
    index = re.search(r"Base URL of the Python Package Index \(default (\S+?)\)", manual)
    if index is None:
        raise PlaceFailedError("pip does not say which index it uses")
    page = f"{index[1].rstrip('/')}/{package}/"
    answers(page)
    kinds = "application/vnd.pypi.simple.v1+json, text/html;q=0.5"
    try:
        with _open(page, {"Accept": kinds}) as reply:
            kind, body = reply.headers.get_content_type(), reply.read(20_000_000)
        links = _links(kind, body)
    except (OSError, http.client.HTTPException, ValueError) as fault:
        raise PlaceFailedError(_reason(fault)) from fault
    for link in links:
        url = urllib.parse.urljoin(page, link).partition("#")[0]
        if urllib.parse.unquote(url.rpartition("/")[2]) == file:
            return url
    raise PlaceFailedError(f"the index has no file {file}")


def debian(package: str) -> str:
    """URL of a package's .deb, from the package lists of this machine. Needs no root."""
    line = _ask("apt-get", "download", "--print-uris", package)
    found = re.match(r"'([^']+)' \S+ \d+", line)
    if found is None:
        raise PlaceFailedError(f"apt does not know {package}: sudo apt-get update")
    answers(found[1])
    return found[1]


def hub(repo: str, revision: str, file: str) -> str:
    """URL of one file of a model repository on the hub."""
    try:
        import huggingface_hub
    except ModuleNotFoundError:
        raise PlaceFailedError("needs pip install 'netwright[hf]'") from None
    url: str = huggingface_hub.hf_hub_url(repo, file, revision=revision)
    answers(url)
    return url


def answers(url: str) -> None:
    """Raise PlaceFailedError unless the host of a URL, or the proxy before it, accepts a connection in PATIENCE."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "file":
        return
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise PlaceFailedError(f"not a web address: {url[:80]!r}")
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not urllib.request.proxy_bypass(parts.hostname):
        parts = urllib.parse.urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    address = (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
    outcome: list[str] = []

    def connect() -> None:
        try:
            socket.create_connection(address, timeout=PATIENCE).close()
            outcome.append("")
        except OSError as fault:
            outcome.append(_reason(fault))

    # in a thread, because the resolver knows no time limit
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    if not outcome or outcome[0]:
        raise PlaceFailedError(f"does not answer ({outcome[0] if outcome else f'{PATIENCE:g} s'})")


def download(url: str, part: Path, limit: int, advance: Callable[[int], object]) -> None:
    """Bring a URL into the file `part`, going on behind the bytes that are there already.

    A transfer that breaks is resumed as long as each try brings something. Raises PlaceFailedError for what the
    other side did or when more than `limit` bytes come, UserError for a full disk.
    """
    tries = 0
    while True:
        start = part.stat().st_size if part.exists() else 0
        try:
            if _transfer(url, part, start, limit, advance):
                return
            reason = "the connection broke"
        except urllib.error.HTTPError as fault:
            if fault.code == 416 and start:  # the part is as long as the file, or longer than it
                fault.close()
                if fault.headers.get("Content-Range", "") == f"bytes */{start}":
                    return
                part.unlink()
                continue
            raise PlaceFailedError(_reason(fault)) from fault
        except (OSError, http.client.HTTPException) as fault:
            reason = _reason(fault)
            if isinstance(fault, OSError) and isinstance(error := disk_error(fault, part), UserError):
                raise error from fault
        grown = part.exists() and part.stat().st_size > start
        tries = 0 if grown else tries + 1
        if tries == 2:
            raise PlaceFailedError(reason)


def _transfer(url: str, part: Path, start: int, limit: int, advance: Callable[[int], object]) -> bool:
    """One request; true when everything that was promised has come."""
    with _open(url, {"Range": f"bytes={start}-"} if start else {}) as reply:
        goes_on = reply.status == 206 and reply.headers.get("Content-Range", "").startswith(f"bytes {start}-")
        if reply.status == 206 and not goes_on:
            raise PlaceFailedError("answers another range than was asked for")
        promised = int(reply.headers.get("Content-Length") or -1)
        if (start if goes_on else 0) + promised > limit:
            raise PlaceFailedError(f"offers {promised:,} bytes, more than the {limit:,} it may have")
        advance(start if goes_on else 0)
        come = 0
        with part.open("ab" if goes_on else "wb") as file:
            while chunk := reply.read(CHUNK):
                come += len(chunk)
                if (start if goes_on else 0) + come > limit:
                    raise PlaceFailedError(f"sends more than the {limit:,} bytes it may have")
                file.write(chunk)
                advance(len(chunk))
    return promised in (-1, come)


def _open(url: str, headers: dict[str, str]) -> http.client.HTTPResponse:
    request = urllib.request.Request(url, headers={"User-Agent": f"netwright/{__version__}", **headers})
    reply: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=STALL_SECONDS)
    return reply


def _links(kind: str, body: bytes) -> list[str]:
    if kind.endswith("json"):
        return [str(file["url"]) for file in json.loads(body)["files"]]
    return [html.unescape(link) for link in re.findall(r'<a\s[^>]*?href="([^"]+)"', body.decode(errors="replace"))]


def _ask(client: str, *words: str, **environment: str) -> str:
    """The last line, or all lines, that a client prints; its failure is the place's."""
    program = shutil.which(client)
    if program is None:
        raise PlaceFailedError(f"{client} is not installed")
    try:
        done = subprocess.run(
            [program, *words],
            capture_output=True,
            text=True,
            timeout=CLIENT_SECONDS,
            stdin=subprocess.DEVNULL,
            check=False,
            env={**os.environ, **environment},
        )
    except subprocess.TimeoutExpired:
        raise PlaceFailedError(f"{Path(client).name} gave no answer in {CLIENT_SECONDS} s") from None
    if done.returncode or not done.stdout.strip():
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        said = [line for line in lines if re.search(r"\berror\b|^E:", line, re.IGNORECASE)] or lines[-1:] or ["nothing"]
        raise PlaceFailedError(f"{Path(client).name} says: {'; '.join(said[:2])[:240]}")
    return done.stdout.strip()


def _reason(fault: Exception) -> str:
    inner = getattr(fault, "reason", None)
    code = getattr(fault, "code", None)
    return f"HTTP {code}" if code else str(inner or fault or type(fault).__name__)[:160]
