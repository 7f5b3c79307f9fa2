"""The API that the chat's page talks to, in memory: a tree of messages, scripted replies, faults on demand.

    with serving(Api()) as address: ...

What is asked for decides the reply: "slow" streams until it is stopped, "break" ends in an error, "cut" ends without an
end, "held" is blocked by a filter; `api.script` overrides it. `api.fail["GET /api/state"] = 503` fails each such call,
`api.wait` makes one slow.
"""

import asyncio
import contextlib
import itertools
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from importlib import resources
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

PAGE = resources.files("netwright.chat") / "page"
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
MODELS: list[dict[str, Any]] = [
    {
        "id": "smollm2-135m-int8",
        "title": "SmolLM2 135M",
        "loaded": True,
        "precision": "INT8",
        "engine": "openvino",
        "threads": 2,
        "size": 144_000_000,
        "parameters": 134_515_008,
        "speed": {"value": 61.23, "low": 58.1, "high": 64.0},
        "loss": 0.0081,
        "longest": 8192,
    },
    {
        "id": "smollm2-360m-int4",
        "title": "SmolLM2 360M",
        "loaded": False,
        "precision": "INT4",
        "engine": "llamacpp",
        "threads": 2,
        "size": 229_000_000,
        "parameters": 361_821_120,
        "speed": None,
        "loss": None,
        "longest": 8192,
    },
]
SAMPLING = {
    "temperature": 0.7,
    "top_p": 0.95,
    "top_k": 40,
    "min_p": 0.0,
    "repetition_penalty": 1.1,
    "max_tokens": 512,
    "seed": None,
    "stop": [],
}
PRESETS = [
    {"name": "Precise", "system": "Answer in one sentence.", "sampling": {"temperature": 0.0}},
    {"name": "Storyteller", "system": "You tell stories.", "sampling": {"temperature": 1.1, "top_p": 0.9}},
]
STATISTICS = {
    "prompt": 48,
    "reused": 32,
    "tokens": 84,
    "first_token": 0.214,
    "seconds": 1.6,
    "per_second": 61.2,
    "left_out": 0,
}


class Api:
    """The state of the server, and its answers."""

    def __init__(self, key: str | None = None) -> None:
        self.key = key
        self.fail: dict[str, int] = {}
        self.wait: dict[str, float] = {}
        self.asked: list[tuple[str, Any]] = []
        self.script: dict[str, list[str]] = {}
        self.chats: dict[str, dict[str, Any]] = {}
        self.stopped: list[str] = []
        self.models, self.presets, self.delay, self.bytewise = MODELS, PRESETS, 0.002, False
        self._ids = itertools.count(1)

    def fresh(self, kind: str) -> str:
        return f"{kind}{next(self._ids)}"

    def chat(self, turns: list[tuple[str, str]], **facts: Any) -> str:
        """A conversation that is there already; its id."""
        one = {
            "id": self.fresh("c"),
            "title": turns[0][1][:60] if turns else "",
            "pinned": False,
            "tags": [],
            "system": None,
            "tip": None,
            "updated": datetime.now(UTC).isoformat(),
            "nodes": {},
        } | facts
        self.chats[one["id"]] = one
        for role, content in turns:
            self.add(one, one["tip"], role, content)
        return str(one["id"])

    def add(self, chat: dict[str, Any], parent: str | None, role: str, content: str, **reply: Any) -> dict[str, Any]:
        made = {"id": self.fresh("m"), "parent": parent, "role": role, "content": content, "reply": None}
        if role == "assistant":
            made["reply"] = {
                "id": self.fresh("r"),
                "model": self.models[0]["id"],
                "precision": "INT8",
                "engine": "openvino",
                "sampling": {"temperature": 0.7},
                "seed": 7,
                "finish": "stop",
                "statistics": dict(STATISTICS),
                "thumb": 0,
                "note": "",
            } | reply
        chat["nodes"][made["id"]] = made
        chat["tip"] = made["id"]
        chat["updated"] = datetime.now(UTC).isoformat()
        if not chat["title"]:
            chat["title"] = content[:60]
        return made

    def path(self, chat: dict[str, Any]) -> list[dict[str, Any]]:
        found, at = [], chat["tip"]
        while at is not None:
            found.append(self.told(chat, chat["nodes"][at]))
            at = chat["nodes"][at]["parent"]
        return found[::-1]

    def told(self, chat: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
        siblings = [one["id"] for one in chat["nodes"].values() if one["parent"] == node["parent"]]
        return {**node, "siblings": siblings}

    def whole(self, chat: dict[str, Any]) -> dict[str, Any]:
        facts = {name: chat[name] for name in ("id", "title", "pinned", "tags", "system", "tip")}
        return {**facts, "messages": self.path(chat)}

    def leaf(self, chat: dict[str, Any], node: str) -> str:
        while below := [one["id"] for one in chat["nodes"].values() if one["parent"] == node]:
            node = below[-1]
        return node

    # the calls

    async def state(self, _: Request) -> Response:
        tags = sorted({tag for chat in self.chats.values() for tag in chat["tags"]})
        default = self.models[0]["id"] if self.models else None
        return JSONResponse(
            {
                "version": "0.1.0",
                "models": self.models,
                "default": default,
                "presets": self.presets,
                "sampling": SAMPLING,
                "tags": tags,
                "filters": {"on": True},
            }
        )

    async def listing(self, request: Request) -> Response:
        tag, after = request.query_params.get("tag"), int(request.query_params.get("after", 0))
        limit = int(request.query_params.get("limit", 50))
        found = [chat for chat in self.chats.values() if not tag or tag in chat["tags"]]
        found.sort(key=lambda chat: (chat["pinned"], chat["updated"]), reverse=True)
        shown = [
            {name: chat[name] for name in ("id", "title", "pinned", "tags", "updated")}
            | {"messages": len(chat["nodes"])}
            for chat in found[after : after + limit]
        ]
        return JSONResponse(
            {"conversations": shown, "next": str(after + limit) if after + limit < len(found) else None}
        )

    async def create(self, request: Request) -> Response:
        body = await request.json()
        made = self.chat([], system=body["system"], title=body["title"] or "")
        return JSONResponse(self.whole(self.chats[made]))

    def named(self, request: Request) -> dict[str, Any] | None:
        return self.chats.get(request.path_params["id"])

    async def one(self, request: Request) -> Response:
        chat = self.named(request)
        if chat is None:
            return fault(404, "no such conversation")
        if request.method == "DELETE":
            del self.chats[chat["id"]]
            return Response(status_code=204)
        if request.method == "PATCH":
            fields = await request.json()
            if "tip" in fields:
                fields["tip"] = self.leaf(chat, fields["tip"])
            chat.update(fields)
        return JSONResponse(self.whole(chat))

    async def branch(self, request: Request) -> Response:
        chat, gone = self.named(request), request.path_params["message"]
        assert chat is not None
        parent = chat["nodes"][gone]["parent"]
        doomed = {gone}
        for node in chat["nodes"].values():
            if node["parent"] in doomed:
                doomed.add(node["id"])
        chat["nodes"] = {name: node for name, node in chat["nodes"].items() if name not in doomed}
        left = [node["id"] for node in chat["nodes"].values() if node["parent"] == parent]
        chat["tip"] = self.leaf(chat, left[-1]) if left else parent
        return JSONResponse(self.whole(chat))

    async def fork(self, request: Request) -> Response:
        chat, body = self.named(request), await request.json()
        assert chat is not None
        chat = {**chat, "tip": body["message"]}
        made = self.chat([(one["role"], one["content"]) for one in self.path(chat)], title=f"{chat['title']} (fork)")
        return JSONResponse(self.whole(self.chats[made]))

    async def replies(self, request: Request) -> Response:
        chat, body = self.named(request), await request.json()
        if chat is None:
            return fault(404, "no such conversation")
        lines = self.stream(chat, body)
        return StreamingResponse(torn(lines) if self.bytewise else lines, media_type="text/event-stream")

    async def stream(self, chat: dict[str, Any], body: dict[str, Any]) -> AsyncIterator[str]:
        def event(kind: str, **facts: Any) -> str:
            return f"data: {json.dumps({'type': kind, **facts}, ensure_ascii=False)}\n\n"

        parent = body["parent"]
        if body["content"] is not None:
            asked = self.add(chat, parent, "user", body["content"])
            parent = asked["id"]
            yield event("user", message=self.told(chat, asked))
        text = chat["nodes"][parent]["content"]
        made = self.add(chat, parent, "assistant", "", finish="streaming", statistics=None)
        made["reply"] |= {"model": body["model"], "sampling": {**SAMPLING, **body["sampling"]}}
        reply = made["reply"]
        yield event("begin", message=self.told(chat, made))
        try:
            for piece in self.pieces(text, len(self.told(chat, made)["siblings"])):
                await asyncio.sleep(0.03 if "slow" in text else self.delay)
                if piece == "\0error":
                    reply["finish"] = "interrupted"
                    yield event("error", error={"message": "The model ran out of memory.", "type": "server_error"})
                    return
                if piece == "\0cut":
                    reply["finish"] = "interrupted"
                    return
                if piece == "\0held":
                    reply["finish"] = "blocked"
                    yield event("filter", reason="an insult", action="block")
                    break
                made["content"] += piece
                yield event("text", text=piece)
            else:
                reply["finish"] = "stop"
            reply["statistics"] = dict(STATISTICS)
            yield event("end", message=self.told(chat, made))
        finally:  # also where the client went away
            if reply["finish"] == "streaming":
                reply["finish"] = "cancelled"
                self.stopped.append(made["id"])

    def pieces(self, text: str, which: int) -> Iterator[str]:
        if text in self.script:
            yield from self.script[text]
        elif "slow" in text:
            yield from (f"word{at} " for at in range(2000))
        elif "break" in text:
            yield from ("Some ", "words", "\0error")
        elif "cut" in text:
            yield from ("Some ", "words", "\0cut")
        elif "held" in text:
            yield "\0held"
        else:
            yield from ("You ", "said **", text[:200], "**. ", f"Answer {which}.")

    async def search(self, request: Request) -> Response:
        wanted, found = request.query_params["q"].lower(), []
        for chat in self.chats.values():
            for node in chat["nodes"].values():
                at = node["content"].lower().find(wanted)
                if at >= 0:
                    text, end = node["content"], at + len(wanted)
                    snippet = [
                        {"text": text[max(0, at - 30) : at], "hit": False},
                        {"text": text[at:end], "hit": True},
                        {"text": text[end : end + 60], "hit": False},
                    ]
                    found.append(
                        {
                            "conversation": chat["id"],
                            "title": chat["title"],
                            "message": node["id"],
                            "role": node["role"],
                            "snippet": snippet,
                            "updated": chat["updated"],
                        }
                    )
        return JSONResponse({"results": found[: int(request.query_params["limit"])]})

    async def feedback(self, request: Request) -> Response:
        body = await request.json()
        node = self.chats[request.path_params["id"]]["nodes"][request.path_params["message"]]
        node["reply"] |= body
        return Response(status_code=204)

    async def export(self, request: Request) -> Response:
        named = f'attachment; filename="chats.{request.query_params["format"]}"'
        return Response(str(dict(request.query_params)), headers={"Content-Disposition": named})

    async def import_(self, request: Request) -> Response:
        body = await request.body()
        if not body.startswith(b"{"):
            return fault(400, "This file is in no format that is known: json, jsonl, sharegpt, chatgpt, messages.")
        self.chat([("user", json.loads(body)["text"])])
        return JSONResponse({"conversations": 1, "messages": 1, "known": 2})

    async def predictions(self, _: Request) -> Response:
        await asyncio.sleep(0.05)
        wide = {"value": 0.0312, "low": 0.024, "high": 0.041}
        return JSONResponse(
            {
                "devices": [
                    {"device": "NVIDIA L4", "per_second": {"value": 412, "low": 361, "high": 480}, "first_token": wide},
                    {
                        "device": "Intel Core Ultra 7 155H",
                        "per_second": {"value": 92.4, "low": 71, "high": 118},
                        "first_token": {"value": 0.18, "low": 0.13, "high": 0.26},
                    },
                ]
            }
        )

    async def guarded(self, request: Request, answer: Any) -> Response:
        """Every call goes through here: what was asked is noted, faults are made, the key is checked."""
        path = request.url.path
        if path.startswith("/api/"):
            self.asked.append((f"{request.method} {path}", dict(request.query_params)))
            await asyncio.sleep(self.wait.get(f"{request.method} {path}", 0))
            for prefix, status in self.fail.items():
                if f"{request.method} {path}".startswith(prefix):
                    return fault(status, "The server is busy.")
            if self.key and request.headers.get("authorization") != f"Bearer {self.key}":
                return fault(401, "a key is wanted")
        response: Response = await answer(request)
        response.headers["Content-Security-Policy"] = CSP
        return response

    def app(self) -> Starlette:
        routes = [
            Route("/api/state", self.state),
            Route("/api/conversations", self.listing),
            Route("/api/conversations", self.create, methods=["POST"]),
            Route("/api/conversations/{id}", self.one, methods=["GET", "PATCH", "DELETE"]),
            Route("/api/conversations/{id}/messages/{message}", self.branch, methods=["DELETE"]),
            Route("/api/conversations/{id}/fork", self.fork, methods=["POST"]),
            Route("/api/conversations/{id}/replies", self.replies, methods=["POST"]),
            Route("/api/search", self.search),
            Route("/api/conversations/{id}/messages/{message}/feedback", self.feedback, methods=["PUT"]),
            Route("/api/export", self.export),
            Route("/api/import", self.import_, methods=["POST"]),
            Route("/api/predictions", self.predictions),
            Mount("/", StaticFiles(directory=str(PAGE), html=True)),
        ]
        made = Starlette(routes=routes)
        made.add_middleware(BaseHTTPMiddleware, dispatch=self.guarded)
        return made


async def torn(lines: AsyncIterator[str]) -> AsyncIterator[bytes]:
    """Events byte by byte, with other line ends and what else the format allows between them."""
    async for line in lines:
        whole = f": a comment\r\nid: 7\r\n{line.strip()}\r\n\r\ndata: no JSON\n\n".encode()
        for at in range(len(whole)):
            yield whole[at : at + 1]


def fault(status: int, message: str) -> Response:
    shape = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return JSONResponse({"error": shape}, status_code=status)


@contextlib.contextmanager
def serving(api: Api, port: int = 0) -> Iterator[str]:
    """The address of the page and its API, served by a thread."""
    config = uvicorn.Config(api.app(), host="127.0.0.1", port=port, log_config=None, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    server.should_exit = True
    thread.join(10)
