"""The page's routes: what is said is kept, streamed, branched and found again; bad requests lose nothing."""

import json
import time

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netwright.chat.history.store import History
from scripted_server import endless, saying, served


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    hello, _ = saying("Hello, *world*!")
    slow, decoder = endless("a", 0.02)
    with (
        History.open(tmp_path_factory.mktemp("chats")) as history,
        served({"m": hello, "slow": slow}, history=history) as one,
    ):
        one.history, one.decoder = history, decoder
        yield one


@pytest.fixture
def api(server):
    with httpx.Client(base_url=server.at, timeout=20) as client:
        yield client


def events(answer):
    return [json.loads(line.removeprefix("data: ")) for line in answer.iter_lines() if line.startswith("data: ")]


def ask(api, id, **body):
    with api.stream("POST", f"/api/conversations/{id}/replies", json=body) as answer:
        assert answer.status_code == 200, answer.read()
        return events(answer)


def begin(api, **body):
    return api.post("/api/conversations", json=body).json()["id"]


def test_a_reply_is_streamed_and_kept_with_what_made_it(api, server):
    id = begin(api, system="Be brief.")
    told = ask(api, id, content="Hi <b>there</b>", sampling={"temperature": 0.5, "seed": 7})
    assert [one["type"] for one in told if one["type"] != "text"] == ["user", "begin", "end"]
    assert "".join(one["text"] for one in told if one["type"] == "text") == "Hello, *world*!"
    chat = api.get(f"/api/conversations/{id}").json()
    assert chat["title"] == "Hi <b>there</b>"
    assert chat["system"] == "Be brief."
    assert [(one["role"], one["content"]) for one in chat["messages"]] == [
        ("user", "Hi <b>there</b>"), ("assistant", "Hello, *world*!")
    ]  # fmt: skip
    assert chat["messages"][1] == told[-1]["message"]
    reply = chat["messages"][1]["reply"]
    assert (reply["model"], reply["finish"], reply["seed"], reply["system"]) == ("m", "stop", 7, "Be brief.")
    assert reply["sampling"]["temperature"] == 0.5
    assert reply["statistics"]["tokens"] > 0
    assert server.history.verify() == []


def test_edits_and_other_replies_are_branches_that_can_be_switched_and_deleted(api):
    id = begin(api)
    first = ask(api, id, content="one")
    user = first[0]["message"]
    edited = ask(api, id, content="two", parent=user["parent"])[0]["message"]
    assert set(edited["siblings"]) == {user["id"], edited["id"]}
    chat = api.patch(f"/api/conversations/{id}", json={"tip": user["id"]}).json()
    assert [one["content"] for one in chat["messages"]] == ["one", "Hello, *world*!"]
    again = ask(api, id, parent=user["id"], model="m")[-1]["message"]
    assert again["parent"] == user["id"]
    fork = api.post(f"/api/conversations/{id}/fork", json={"message": user["id"]}).json()
    assert [one["content"] for one in fork["messages"]] == ["one"]
    chat = api.delete(f"/api/conversations/{id}/messages/{user['id']}").json()
    assert [one["content"] for one in chat["messages"]] == ["two", "Hello, *world*!"]
    assert api.delete(f"/api/conversations/{id}").status_code == 204
    assert api.get(f"/api/conversations/{id}").status_code == 404
    assert api.get(f"/api/conversations/{fork['id']}").status_code == 200


def test_who_leaves_ends_the_reply_and_what_was_streamed_stays(api, server):
    id = begin(api)
    with api.stream("POST", f"/api/conversations/{id}/replies", json={"content": "go", "model": "slow"}) as answer:
        seen = 0
        for line in answer.iter_lines():
            seen += '"text"' in line
            if seen == 5:
                break
    for _ in range(200):
        chat = api.get(f"/api/conversations/{id}").json()
        if len(chat["messages"]) == 2:
            break
        time.sleep(0.02)
    reply = chat["messages"][1]
    assert reply["reply"]["finish"] == "cancelled"
    assert set(reply["content"]) == {"a"}
    assert len(reply["content"]) >= 3
    count = server.decoder.count
    time.sleep(0.2)
    assert server.decoder.count <= count + 1  # the token that it was at


def test_lists_tags_pins_titles_search_and_feedback(api):
    ids = [begin(api, title=f"chat {at}") for at in range(5)]
    api.patch(f"/api/conversations/{ids[0]}", json={"pinned": True, "tags": ["zebra", "b"], "title": "First"})
    chat = api.patch(f"/api/conversations/{ids[0]}", json={"tags": ["zebra"]}).json()
    assert (chat["title"], chat["tags"], chat["pinned"]) == ("First", ["zebra"], True)
    listed = api.get("/api/conversations", params={"limit": 2}).json()
    assert listed["conversations"][0]["id"] == ids[0]
    more = api.get("/api/conversations", params={"limit": 2, "after": listed["next"]}).json()["conversations"]
    assert not {one["id"] for one in more} & {one["id"] for one in listed["conversations"]}
    tagged = api.get("/api/conversations", params={"tag": "zebra"}).json()["conversations"]
    assert [one["id"] for one in tagged] == [ids[0]]
    assert "zebra" in api.get("/api/state").json()["tags"]
    reply = ask(api, ids[1], content="the quick brown xylophone")[-1]["message"]
    (hit,) = api.get("/api/search", params={"q": "xylo"}).json()["results"]
    assert hit["conversation"] == ids[1]
    assert [part["text"] for part in hit["snippet"] if part["hit"]] == ["xylo"]
    place = f"/api/conversations/{ids[1]}/messages/{reply['id']}/feedback"
    assert api.put(place, json={"thumb": -1, "note": "wrong"}).status_code == 204
    kept = api.get(f"/api/conversations/{ids[1]}").json()["messages"][1]["reply"]
    assert (kept["thumb"], kept["note"]) == (-1, "wrong")
    for bad in ({"thumb": 3}, {"thumb": "up"}, {"note": 5}):
        assert api.put(place, json=bad).status_code == 400


def test_files_go_out_and_come_back(api, tmp_path):
    id = begin(api)
    ask(api, id, content="to be kept")
    whole = api.get("/api/export", params={"format": "json", "conversation": id})
    assert whole.headers["content-disposition"].startswith("attachment")
    hello, _ = saying("Hi")
    with (
        History.open(tmp_path) as other,
        served({"m": hello}, history=other) as second,
        httpx.Client(base_url=second.at) as api2,
    ):
        assert api2.post("/api/import", content=whole.content).json() == {"conversations": 1, "messages": 2}
        assert api2.post("/api/import", content=whole.content).json() == {"conversations": 0, "messages": 0}
        chat = api2.get(f"/api/conversations/{id}").json()
        assert [one["content"] for one in chat["messages"]] == ["to be kept", "Hello, *world*!"]
        refused = api2.post("/api/import", content=b'{"format": "netwright-chats"')
        assert refused.status_code == 400
        assert "error" in refused.json()
        assert len(api2.get("/api/conversations").json()["conversations"]) == 1
    assert api.get("/api/export", params={"format": "exe"}).status_code == 400


def test_what_is_wrong_is_told_and_nothing_is_kept(api):
    id = begin(api)
    for status, body in (
        (400, {"content": "  "}), (400, {}), (404, {"content": "x", "model": "none"}), (400, {"content": 5}),
        (400, {"content": "x", "sampling": {"temperature": "hot"}}), (400, {"content": "x", "sampling": {"nope": 1}}),
        (400, {"content": "x", "sampling": {"beams": 4}}), (404, {"parent": "f" * 64}),
    ):  # fmt: skip
        answer = api.post(f"/api/conversations/{id}/replies", json=body)
        assert answer.status_code == status, (body, answer.text)
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert api.get(f"/api/conversations/{id}").json()["messages"] == []
    assert api.post("/api/conversations/none/replies", json={"content": "x"}).status_code == 404
    assert api.post("/api/conversations", headers={"Origin": "http://evil.example"}, json={}).status_code == 403


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(["GET", "POST", "PATCH", "DELETE", "PUT"]),
    place=st.sampled_from(
        ["conversations", "conversations/{}", "conversations/{}/fork", "conversations/{}/replies", "search", "export",
         "conversations/{}/messages/{}", "conversations/{}/messages/{}/feedback", "import", "state"]
    ),
    words=st.text(max_size=20),
    body=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
            st.sampled_from(["title", "tags", "tip", "content", "parent", "sampling", "thumb", "message"]), inner
        ),
    ),
)  # fmt: skip
def test_no_request_is_a_fault_of_the_server(api, method, place, words, body):
    quoted = httpx.QueryParams({"q": words.encode("utf-8", "replace").decode()})
    path = place.replace("{}", str(quoted)[2:] or "x")
    data = json.dumps(body)
    answer = api.request(method, f"/api/{path}?{quoted}", content=data, headers={"Content-Type": "application/json"})
    assert answer.status_code < 500, answer.text


def test_the_page_asks_nobody_else_and_needs_no_key_but_its_data_do(tmp_path):
    hello, _ = saying("Hi")
    from netwright.chat.server.settings import Key
    from netwright.core.web import hashed

    with (
        History.open(tmp_path) as history,
        served({"m": hello}, history=history, keys={"me": Key(hash=hashed("secret-key"))}) as one,
        httpx.Client(base_url=one.at) as api,
    ):
        for place in ("/", "/chat.css", "/chat.js"):
            answer = api.get(place)
            assert answer.status_code == 200
            assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert api.get("/api/state").status_code == 401
        told = api.get("/api/state", headers={"Authorization": "Bearer secret-key"}).json()
        assert told["default"] == "m"
        assert told["sampling"]["temperature"] == 0.7


def test_a_file_may_say_any_time_and_the_list_still_stands(api):
    for at, time_ in enumerate((1760000000000, 1e18, -1e18)):
        text = json.dumps([{"messages": [{"role": "user", "content": f"odd time {at}"}], "update_time": time_}])
        assert api.post("/api/import", content=text).status_code in (200, 400)
    assert api.get("/api/conversations").status_code == 200
    assert api.get("/api/search", params={"q": "odd"}).status_code == 200


def test_who_leaves_before_the_first_word_leaves_no_empty_reply(tmp_path):
    batch, _ = endless("a", 0.3)
    with (
        History.open(tmp_path) as history,
        served({"m": batch}, history=history) as server,
        httpx.Client(base_url=server.at, timeout=20) as api,
    ):
        id = begin(api)
        with api.stream("POST", f"/api/conversations/{id}/replies", json={"content": "go"}) as answer:
            next(answer.iter_lines())
        deadline = time.monotonic() + 10
        while server.made.state.desk.flows and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.1)
        assert [node.role for node in history.path(id)] == ["user"]
        assert history.verify() == []


def test_a_change_that_is_wrong_changes_nothing_and_an_odd_origin_is_refused(api):
    id = begin(api, title="Before")
    assert api.patch(f"/api/conversations/{id}", json={"title": "After", "tags": [""]}).status_code == 400
    assert api.get(f"/api/conversations/{id}").json()["title"] == "Before"
    assert api.post("/api/conversations", headers={"Origin": "http://["}, json={}).status_code == 403
