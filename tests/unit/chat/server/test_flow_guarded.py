"""What filters hide is never sent: not to the model, not to a client, however the reply is asked for."""

import json

import httpx
import pytest

from netwright.chat.history.store import History
from netwright.chat.safety import rules
from netwright.chat.safety.guard import Guard, Watch
from netwright.chat.safety.journal import Config as Kept
from netwright.chat.safety.journal import Journal
from scripted_server import saying, served

SECRET = "Well, the word is zanzibar, and that is all there is to say of it."


def guard(action, tmp_path, where="both"):
    off = {"personal": {"action": "off"}, "requests": {"action": "off"}}
    told = {"words": {"action": action, "words": ["zanzibar"], "lists": [], "where": where}, "sentence": "Calm."}
    return Guard(rules.opened(rules.from_values({**off, **told})), Journal(Kept(file="j.jsonl"), tmp_path))


def asked(address, place, stream, text="Say it"):
    body = {"model": "m", "stream": stream, "max_tokens": 200}
    body |= {"prompt": text} if "chat" not in place else {"messages": [{"role": "user", "content": text}]}
    answer = httpx.post(address + place, json=body, timeout=20)
    if not stream or answer.status_code != 200:
        return answer, "", None
    chunks = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    parts = [one for chunk in chunks for one in chunk["choices"]]
    said = "".join((part["delta"].get("content") or "") if "delta" in part else part["text"] for part in parts)
    return answer, said, parts[-1]["finish_reason"]


@pytest.mark.parametrize("place", ["/v1/chat/completions", "/v1/completions"])
def test_what_is_masked_or_blocked_is_never_sent(place, tmp_path):
    for action, shown, reason in (
        ("mask", "Well, the word is [words]", "stop"),
        ("block", "Well, the word is \n\nCalm.", "content_filter"),
    ):
        batch, decoder = saying(SECRET)
        with served({"m": batch}, guard=guard(action, tmp_path, "reply")) as server:
            whole, _, _ = asked(server.at, place, stream=False)
            choice = whole.json()["choices"][0]
            text = choice["message"]["content"] if "message" in choice else choice["text"]
            _, said, finish = asked(server.at, place, stream=True)
            for one in (text, said):
                assert "zanzibar" not in one
                assert one.startswith(shown) or one.startswith(shown.replace("[words]", "["))
            assert (finish, choice["finish_reason"]) == (reason, reason)
            if action == "block":
                assert decoder.count < 2 * len(SECRET)  # it was not said to the end, twice
    lines = [json.loads(line) for line in (tmp_path / "j.jsonl").read_text().splitlines()]
    assert {one["action"] for one in lines} == {"mask", "block"}
    assert "zanzibar" not in (tmp_path / "j.jsonl").read_text()


@pytest.mark.parametrize("place", ["/v1/chat/completions", "/v1/completions"])
def test_what_is_asked_is_held_or_masked_before_the_model_reads_it(place, tmp_path):
    batch, decoder = saying("Hello")
    with served({"m": batch}, guard=guard("block", tmp_path)) as server:
        answer, _, _ = asked(server.at, place, stream=True, text="What of Zanzibar?")
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "content_filter"
        assert answer.json()["error"]["message"] == "Calm."
        assert decoder.count == 0
        assert asked(server.at, place, stream=False, text="What of Tanzania?")[0].status_code == 200
    batch, _ = saying("Hello")
    seen = []
    submit = batch.submit
    batch.submit = lambda ids, *rest: (seen.append(batch.tokenizer.decode(ids)), submit(ids, *rest))[1]
    with served({"m": batch}, guard=guard("mask", tmp_path)) as server:
        asked(server.at, place, stream=False, text="What of Zanzibar?")
    assert "What of [" in seen[0]
    assert "anzibar" not in seen[0]


def test_the_page_keeps_and_shows_only_what_may_be_shown(tmp_path):
    batch, _ = saying(SECRET)
    with (
        History.open(tmp_path) as history,
        served({"m": batch}, history=history, guard=guard("block", tmp_path)) as server,
        httpx.Client(base_url=server.at, timeout=20) as api,
    ):
        assert api.get("/api/state").json()["filters"] == {"on": True}
        id = api.post("/api/conversations", json={}).json()["id"]
        held = api.post(f"/api/conversations/{id}/replies", json={"content": "Zanzibar!"})
        assert held.json()["error"]["code"] == "content_filter"
        assert history.path(id) == []
        told = api.post(f"/api/conversations/{id}/replies", json={"content": "Say it"})
        events = [json.loads(line[6:]) for line in told.text.splitlines() if line.startswith("data: {")]
        assert "zanzibar" not in told.text
        (filtered,) = [one for one in events if one["type"] == "filter"]
        assert filtered["action"] == "block"
        assert events[-1]["message"]["reply"]["finish"] == "blocked"
        assert "zanzibar" not in history.path(id)[-1].content


def test_a_filter_that_breaks_ends_its_reply_and_no_other(tmp_path, monkeypatch):
    batch, _ = saying("one two three")
    made = guard("mask", tmp_path)
    with served({"m": batch}, guard=made) as server:
        broken = {"on": True}
        watched = Watch.push

        def fails(self, piece):
            if broken["on"]:
                raise ValueError("a filter's fault")
            return watched(self, piece)

        monkeypatch.setattr(Watch, "push", fails)
        assert asked(server.at, "/v1/completions", stream=False)[0].status_code == 500
        broken["on"] = False
        assert asked(server.at, "/v1/completions", stream=False)[0].status_code == 200
