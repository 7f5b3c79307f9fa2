"""How an image comes in: as a request's body, or as a file of a form (multipart/form-data, RFC 7578).

    upload = await received(request, most=20_000_000, seconds=30.0)      # upload.content, upload.fields

Bodies are measured while they come. The form's parser takes a whole body, and no more than a few parts.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.requests import ClientDisconnect, Request

from netwright.svg.server.refusal import RefusedError, too_large

MOST_PARTS = 16
"""Fields and files of a form."""
MOST_FIELD, MOST_HEADERS = 1_000, 4_000
"""Bytes of a field's value, and of a part's headers."""
_BOUNDARY = re.compile(r';\s*boundary=(?:"([^"]{1,70})"|([^\s";,]{1,70}))', re.IGNORECASE)
_DISPOSITION = re.compile(rb"^content-disposition:\s*form-data\b([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_PARAMETER = re.compile(rb';\s*(name|filename)="((?:[^"\\]|\\.)*)"', re.IGNORECASE)


@dataclass(frozen=True)
class Upload:
    """An image's bytes, and what was wished for beside it."""

    content: bytes
    fields: Mapping[str, str] = field(default_factory=dict)


async def received(request: Request, most: int, seconds: float) -> Upload:
    """The image of a request. Raises RefusedError: too large, too slow, no form, no image in it."""
    length = request.headers.get("content-length", "0")
    if not length.isdigit() or int(length) > most:
        raise too_large(most)
    body = bytearray()
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(seconds):
                part = await anext(stream)
        except StopAsyncIteration:
            break
        except TimeoutError:
            raise RefusedError(
                408, "the image did not come in time", "too_slow", headers={"Connection": "close"}
            ) from None
        except ClientDisconnect:
            raise ConnectionError("the client has gone") from None
        body += part
        if len(body) > most:
            raise too_large(most)
    kind = request.headers.get("content-type", "")
    if not kind.lower().startswith("multipart/"):
        return Upload(bytes(body))
    found = _BOUNDARY.search(kind)
    if not kind.lower().startswith("multipart/form-data") or not found:
        raise _malformed("multipart/form-data with a boundary is taken, no other")
    return parsed(bytes(body), (found[1] or found[2]).encode("latin-1"))


def parsed(body: bytes, boundary: bytes) -> Upload:
    """A form's one file, and its fields. Raises RefusedError 400."""
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary, MOST_PARTS + 2)
    if len(pieces) < 2:
        raise _malformed("the boundary is nowhere in it")
    content: bytes | None = None
    fields: dict[str, str] = {}
    for at, piece in enumerate(pieces[1:]):
        if piece.startswith(b"--"):
            break
        if at == MOST_PARTS:
            raise _malformed(f"it may have {MOST_PARTS} parts")
        name, is_file, value = _part(piece)
        if is_file:
            if content is not None:
                raise _malformed("it has several files: send one image a request")
            content = value
        elif name in fields:
            raise _malformed("a field is said twice")
        elif len(value) > MOST_FIELD:
            raise _malformed(f"a field may have {MOST_FIELD} bytes")
        else:
            fields[name] = value.decode("utf-8", "replace")
    else:
        raise _malformed("it is cut short")
    if content is None:
        raise _malformed('it has no file: send the image as one, curl -F "image=@FILE"')
    return Upload(content, fields)


def _part(piece: bytes) -> tuple[str, bool, bytes]:
    """Name, whether it is a file, and value of a part: white space, headers, an empty line, the value."""
    head, empty, value = piece.partition(b"\r\n\r\n")
    if not empty or len(head) > MOST_HEADERS or not head.lstrip(b" \t").startswith(b"\r\n"):
        raise _malformed("a part has no headers")
    told = _DISPOSITION.search(head)
    about = {key.lower(): text for key, text in _PARAMETER.findall(told[1])} if told else {}
    if b"name" not in about:
        raise _malformed("a part has no name")
    return about[b"name"].decode("utf-8", "replace"), b"filename" in about, value


def _malformed(why: str) -> RefusedError:
    return RefusedError(400, f"the form cannot be read: {why}", "malformed_form", "form", 'curl -F "image=@FILE"')
