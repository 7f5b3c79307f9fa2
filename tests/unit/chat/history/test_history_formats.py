"""Chats out and in: nothing is lost on the way, nothing hostile gets through, nothing is half imported."""

import functools
import html.parser
import json
import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.chat.history import About, History, bundle, formats, nodes, reading
from netwright.core import db
from netwright.core.error import UserError
from netwright.data.text import conversations as shapes

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


@pytest.fixture(params=["sqlite", "postgres"])
def history(request, tmp_path, monkeypatch):
    """An empty history, in a database of each kind."""
    monkeypatch.delenv(db.VARIABLE, raising=False)
    if request.param == "postgres":
        monkeypatch.setenv(db.VARIABLE, request.getfixturevalue("postgres_url"))
    with History.open(tmp_path / "runs") as opened:
        yield opened
        assert opened.verify() == []


def exported(history, format, ids=None):
    return "".join(formats.written(history, format, ids))


def imported(history, text):
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    return bundle.restore(history, reading.parsed(data))


def answered(history, chat, text, to="tip", **about):
    with history.begin(chat, About(**about), to) as reply:
        reply.write(text)
        return reply.finish("stop", {"tokens": 3, "seconds": 0.25})


def filled(history):
    """Two conversations, one with branches and a fork, with everything that can be told of them."""
    chat = history.new(system="Be <b>brief</b>.")
    first = history.add(chat, "user", "Why is the sky blue?")
    one = answered(history, chat, "Rayleigh", model="smol", artifact="d" * 64, seed=1 << 40, sampling={"stop": ["é"]})
    two = answered(history, chat, "Paint", first, system="Lie.")
    history.rate(chat, one, 1)
    history.rate(chat, two, -1, 'a "lie"')
    history.switch(chat, one)
    history.add(chat, "user", "Thanks", name="Ann")
    history.tag(chat, "physics")
    history.pin(chat)
    fork = history.fork(chat, one, "mine")
    history.edit(chat, first, "Why?")
    history.new(title="empty")
    other = history.new()
    history.add(other, "user", "🙂\n```\ncode\n```")
    return chat, fork, other


@pytest.mark.parametrize("format", ["json", "jsonl"])
def test_whole_trees_come_back_equal_and_twice_is_once(history, format):
    filled(history)
    text = exported(history, format)
    before = [history.path(one.id) for one in history.conversations()]
    with History.open(None) as other:
        added = imported(other, text)
        assert added == bundle.Added(4, 6, 2)
        assert exported(other, format) == text
        assert [other.path(one.id) for one in other.conversations()] == before
        assert imported(other, text) == bundle.Added(0, 0, 0)
        assert exported(other, format) == text
        assert other.verify() == []
    assert imported(history, text) == bundle.Added(0, 0, 0)
    assert exported(history, format) == text
    for one in list(history.conversations()):
        history.delete(one.id)
    assert imported(history, text) == added
    assert exported(history, format) == text


def random_history(draw, history):
    for _ in range(draw(st.integers(0, 3))):
        chat = history.new(draw(TEXT), draw(TEXT.filter(str.strip) | st.just("")), draw(TEXT))
        for _ in range(draw(st.integers(0, 6))):
            known = [one.id for one in history.nodes(chat)]
            at = draw(st.sampled_from([None, *known]))
            if at and draw(st.booleans()):
                with history.begin(
                    chat, About(draw(TEXT), system=draw(TEXT), seed=draw(st.none() | st.integers(0, 9))), at
                ) as reply:
                    reply.write(draw(TEXT))
                    made = reply.finish(
                        "stop", draw(st.dictionaries(TEXT, st.floats(allow_nan=False, allow_infinity=False)))
                    )
                history.rate(chat, made, draw(st.sampled_from([-1, 0, 1])), draw(TEXT))
            else:
                history.add(chat, draw(st.sampled_from(nodes.ROLES)), draw(TEXT), at, draw(TEXT))
        known = [one.id for one in history.nodes(chat)]
        if known and draw(st.booleans()):
            history.fork(chat, draw(st.sampled_from(known)))
        if known and draw(st.booleans()):
            history.move(chat, draw(st.sampled_from([None, *known])))
        history.pin(chat, draw(st.booleans()))


@given(st.data(), st.sampled_from(["json", "jsonl"]))
@settings(max_examples=50, deadline=None)
def test_any_tree_comes_back_equal(data, format):
    with History.open(None) as history, History.open(None) as other:
        random_history(data.draw, history)
        text = exported(history, format)
        imported(other, text)
        assert exported(other, format) == text
        assert imported(other, text) == bundle.Added(0, 0, 0)
        assert other.verify() == []
        for reader in ("markdown", "html", "chatgpt", "sharegpt", "messages", "good", "preferences"):
            exported(history, reader)


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_any_tree_goes_through_chatgpts_format(data):
    def shape(history):
        return sorted(
            (
                [(n.role, n.content) for n in history.path(one.id)],
                one.system,
                sorted(lines(history, one.id)),
            )
            for one in history.conversations(999)
            if history.nodes(one.id)
        )

    def lines(history, chat):
        found = {}
        for one in history.nodes(chat):
            found[one.id] = (*found.get(one.parent, ()), (one.role, one.content))
        return found.values()

    with History.open(None) as history, History.open(None) as other:
        for _ in range(data.draw(st.integers(0, 3))):
            chat = history.new(data.draw(st.sampled_from(["", "Be kind."])))
            for _ in range(data.draw(st.integers(0, 6))):
                known = [one.id for one in history.nodes(chat)]
                role = data.draw(st.sampled_from(["user", "assistant", "tool"]))
                history.add(chat, role, data.draw(TEXT.filter(bool)), data.draw(st.sampled_from([None, *known])))
        text = exported(history, "chatgpt")
        imported(other, text)
        assert shape(other) == shape(history)
        assert sum(imported(other, text).__dict__.values()) == 0
        assert other.verify() == []


@pytest.mark.parametrize("format", ["sharegpt", "messages"])
def test_the_way_to_the_tip_goes_through_others_formats(history, format):
    chat, _, _ = filled(history)
    text = exported(history, format)
    with History.open(None) as other:
        assert imported(other, text).conversations == 3
        assert sum(imported(other, text).__dict__.values()) == 0
        (found,) = [one for one in other.conversations() if other.path(one.id)[0].content == "Why?"] or [None]
        assert [one.content for one in other.path(found.id)] == [one.content for one in history.path(chat)]
        assert found.system == "Be <b>brief</b>."
        assert found.title == history.conversation(chat).title
        assert exported(other, format).count("\n") == text.count("\n")


def test_a_later_change_elsewhere_wins_and_an_earlier_does_not(history):
    chat, *_ = filled(history)
    text = exported(history, "json", [chat])
    with History.open(None) as other:
        imported(other, text)
        other.rename(chat, "elsewhere")
        other.add(chat, "user", "more")
        later = exported(other, "json")
    history.rename(chat, "mine")
    imported(history, text)
    assert history.conversation(chat).title == "mine"
    imported(history, later)
    assert history.conversation(chat).title == "elsewhere"
    assert history.path(chat)[-1].content == "more"


CHATGPT = {
    "title": "Sky", "create_time": 1700000000.5, "update_time": 1700000009.5, "conversation_id": "abc",
    "current_node": "d",
    "mapping": {
        "root": {"id": "root", "message": None, "parent": None, "children": ["s"]},
        "s": {"message": {"author": {"role": "system"}, "content": {"content_type": "text", "parts": [""]}},
              "parent": "root", "children": ["a"]},
        "c": {"message": {"author": {"role": "assistant"}, "content": {"content_type": "text", "parts": ["Paint."]},
                          "create_time": None}, "parent": "a", "children": []},
        "d": {"message": {"author": {"role": "assistant"}, "metadata": {"model_slug": "gpt-4o"}, "create_time": 5,
                          "content": {"content_type": "multimodal_text", "parts": [{"content_type": "image"}, "See."]}},
              "parent": "a", "children": ["e"]},
        "a": {"message": {"author": {"role": "user"}, "content": {"content_type": "text", "parts": ["Why?"]}},
              "parent": "s", "children": ["d", "c"]},
        "e": {"message": {"author": {"role": "tool"}, "content": {"content_type": "x", "result": 1}}, "parent": "d"},
    },
}  # fmt: skip


def test_chatgpts_export_is_read_with_its_branches(history):
    assert imported(history, json.dumps([CHATGPT])) == bundle.Added(1, 3, 1)
    (one,) = history.conversations()
    assert (one.title, one.created, one.system) == ("Sky", 1700000009.5, "")
    asked, reply = history.path(one.id)
    assert (asked.content, reply.content, reply.which, reply.siblings) == ("Why?", "['image']\nSee.", 1, 2)
    assert (reply.replies[0].model, reply.created) == ("gpt-4o", 5.0)
    more = json.loads(json.dumps(CHATGPT)) | {"update_time": 1700000010, "current_node": "f"}
    more["mapping"]["f"] = {
        "message": {"author": {"role": "user"}, "content": {"parts": ["And?"]}},
        "parent": "d",
    }
    assert imported(history, json.dumps([more])) == bundle.Added(0, 1, 0)  # an export of next month
    assert [node.content for node in history.path(one.id)] == ["Why?", "['image']\nSee.", "And?"]


def test_usual_files_are_recognised(history):
    assert imported(history, "[]") == bundle.Added(0, 0, 0)
    assert imported(history, '\ufeff{"messages": [{"role": "user", "content": "hi"}]}\n\n').messages == 1
    line = '{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}\n'
    assert imported(history, line * 2) == bundle.Added(1, 2, 0)
    parts = [{"role": "developer", "content": "s"}, {"role": "user", "content": [{"type": "text", "text": "x"}]}]
    assert imported(history, json.dumps({"messages": parts})).messages == 1
    assert imported(history, '{"messages": []}') == bundle.Added(0, 0, 0)


def deep(levels):
    return "[" * levels + "]" * levels


def mapping(**nodes):
    made = {name: {"parent": parent, "message": None} for name, parent in nodes.items()}
    return json.dumps([{"mapping": made}])


BROKEN = {
    "nothing": b"",
    "no UTF-8": b'{"messages": "\xff"}',
    "no JSON": b"hello",
    "half": b'{"messages": [',
    "a number": b"7",
    "a null": b"[null]",
    "NaN": b'{"messages": [], "x": NaN}',
    "infinite": b'{"messages": [], "x": 1e999}',
    "a huge number": b'{"messages": [], "x": ' + b"9" * 30 + b"}",
    "a number of thousands of digits": b'{"messages": [], "x": ' + b"9" * 5000 + b"}",
    "a million levels": deep(1_000_000).encode(),
    "a million levels in a field": ('{"messages": ' + deep(1_000_000) + "}").encode(),
    "no known shape": b'{"chats": []}',
    "mixed": b'{"messages": []}\n{"conversations": []}',
    "NUL": b'{"messages": [{"role": "user", "content": "a\\u0000b"}]}',
    "half a character": b'{"messages": [{"role": "user", "content": "a\\ud800b"}]}',
    "half a character in a name": b'{"messages": [], "\\udfff": 1}',
    "10 MB": json.dumps({"messages": [{"role": "user", "content": "x" * 10_000_000}]}).encode(),
    "a role that is none": b'{"messages": [{"role": "boss", "content": "x"}]}',
    "a role of another type": b'{"messages": [{"role": [], "content": "x"}]}',
    "no content": b'{"messages": [{"role": "user"}]}',
    "content of another type": b'{"messages": [{"role": "user", "content": 7}]}',
    "messages of another type": b'{"messages": {"role": "user"}}',
    "messages that are no records": b'{"messages": ["hi"]}',
    "ShareGPT of another type": b'{"conversations": 7}',
    "the second is broken": b'{"messages": [{"role": "user", "content": "x"}]}\n{"messages": 7}',
    "a mapping that is none": b'[{"mapping": []}]',
    "a mapping of no records": b'[{"mapping": {"a": 1}}]',
    "an orphan": mapping(a="b").encode(),
    "a cycle": mapping(a="b", b="a", c=None).encode(),
    "its own parent": mapping(a="a").encode(),
    "a parent of another type": b'[{"mapping": {"a": {"parent": 7}}}]',
    "a message of another type": b'[{"mapping": {"a": {"parent": null, "message": 7}}}]',
    "an unknown tip": b'[{"current_node": "x", "mapping": {"a": {"parent": null, "message": null}}}]',
    "an unhashable tip": b'[{"current_node": [], "mapping": {"a": {"parent": null, "message": null}}}]',
    "parts of another type": b'[{"mapping": {"a": {"parent": null, "message": {"author": {"role": "user"}, '
    b'"content": {"parts": 7}}}}}]',
    "another version": b'{"format": "netwright-chats", "version": 99}',
    "own lists missing": b'{"format": "netwright-chats", "version": 1, "messages": 7}',
    "own lines broken": b'{"format": "netwright-chats", "version": 1}\n{"kind": "message", "id": 7}',
    "own lines of no kind": b'{"format": "netwright-chats", "version": 1}\n{"kind": []}',
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_one_refusal_and_nothing_is_kept(history, name):
    with pytest.raises(UserError, match=r"import"):
        imported(history, BROKEN[name])
    assert history.conversations() == []


def test_a_chain_of_many_messages_is_no_recursion(history):
    said = [{"author": {"role": "user"}, "content": {"parts": [str(n)]}} for n in range(5000)]
    made = {str(n): {"parent": str(n - 1) if n else None, "message": one} for n, one in enumerate(said)}
    assert imported(history, json.dumps([{"mapping": made, "title": "long"}])).messages == 5000
    (one,) = history.conversations()
    assert len(history.path(one.id)) == 5000
    for format in formats.FORMATS:
        exported(history, format)
    history.delete(one.id)
    assert history.search("4999") == []


def changes():
    """Each a way to break a file of netwright's own."""

    def set_(kind, at, name, value):
        return lambda told: told[kind][at].__setitem__(name, value)

    yield from (set_("messages", 0, name, value) for name, value in [
        ("content", "other"), ("id", "0" * 64), ("id", 7), ("role", "boss"), ("parent", "0" * 64), ("created", "now"),
        ("created", True), ("origin", "other"), ("name", None), ("origin", "<script>"), ("id", "x" * 65)])  # fmt: skip
    yield from (set_("replies", 0, name, value) for name, value in [
        ("message", "0" * 64), ("thumb", 9), ("thumb", True), ("finish", "streaming"), ("sampling", []), ("seed", 1.5),
        ("threads", 1 << 40), ("statistics", {"a": "x" * (2 << 20)}), ("note", 7), ("system", "x" * 5_000_000),
        ("sampling", json.loads('{"a":' * 100 + "1" + "}" * 100))])  # fmt: skip
    yield from (set_("conversations", 0, name, value) for name, value in [
        ("tip", "0" * 64), ("origin", "other"), ("messages", []), ("messages", ["0" * 64]), ("messages", [[]]),
        ("tags", [7]), ("tags", ["A B\n"]), ("title", "x" * 5000), ("pinned", 1), ("id", "../x"),
        ("id", "")])  # fmt: skip
    yield lambda told: told["messages"].pop(0)
    yield lambda told: told["conversations"].clear()
    yield lambda told: told["conversations"].append(told["conversations"][0])
    yield lambda told: told["replies"].append(told["replies"][0])
    yield lambda told: told["messages"].append(7)
    yield lambda told: told.pop("replies")


def test_a_changed_file_of_our_own_is_refused(history):
    filled(history)
    whole = exported(history, "json")
    for number, change in enumerate(changes()):
        told = json.loads(whole)
        change(told)
        with History.open(None) as other:
            try:
                imported(other, json.dumps(told))
            except UserError as refusal:
                assert refusal.setting.startswith("import")  # noqa: PT017
            else:
                pytest.fail(f"change {number} was taken")
            assert other.conversations() == []


def test_a_shuffled_file_is_the_same(history):
    _, fork, _ = filled(history)
    told = json.loads(exported(history, "json"))
    for seed in range(5):
        for kind in ("messages", "replies", "conversations"):
            random.Random(seed).shuffle(told[kind])
        with History.open(None) as other:
            assert imported(other, json.dumps(told)) == bundle.Added(4, 6, 2)
            assert [one.id for one in other.path(fork)] == [one.id for one in history.path(fork)]
            assert other.verify() == []


def test_a_conversation_of_the_same_id_that_is_another_is_refused(history):
    chat, *_ = filled(history)
    with History.open(None) as other:
        filled(other)
        other_text = exported(other, "json").replace(other.conversations()[0].id, chat)
    before = exported(history, "json")
    with pytest.raises(UserError, match="it is another one"):
        imported(history, other_text)
    assert exported(history, "json") == before


@functools.cache
def files():
    """Exports of one history."""
    with History.open(None) as history:
        filled(history)
        return [exported(history, format).encode() for format in ("json", "jsonl", "chatgpt", "sharegpt", "messages")]


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_any_torn_file_is_taken_whole_or_refused(data):
    """Bytes of real exports, cut and changed at random: an import or a UserError, and never a broken tree."""
    raw = bytearray(data.draw(st.sampled_from(files())))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 40))] = data.draw(st.sampled_from(
            [b"", b"null", b"[]", b"{}", b'"', b"}", b"1e400", b"\xff", b"\\u0000", b"-1", b"true", b'"parent"', b","]
        ))  # fmt: skip
    with History.open(None) as other:
        try:
            imported(other, bytes(raw))
        except UserError:
            assert other.conversations() == []
        assert other.verify() == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["messages", "mapping", "conversations", "role", "content", "parts", "parent", "message",
                         "author", "children", "from", "value", "format", "version", "kind", "id", "a"]),
        inner, max_size=4,
    ),
    max_leaves=15,
)  # fmt: skip


@given(JSON)
@settings(max_examples=200, deadline=None)
def test_any_json_is_read_or_refused(value):
    try:
        found = reading.parsed(json.dumps(value).encode())
    except UserError as refusal:
        assert refusal.setting.startswith("import")  # noqa: PT017
    else:
        with History.open(None) as history:
            bundle.restore(history, found)
            assert history.verify() == []


def test_thumbs_become_training_data_that_netwright_reads(history):
    chat, *_ = filled(history)
    (pair,) = [json.loads(line) for line in exported(history, "preferences").splitlines()]
    assert (pair["chosen"][0]["content"], pair["rejected"][0]["content"]) == ("Rayleigh", "Paint")
    assert pair["prompt"] == [{"role": "user", "content": "Why is the sky blue?"}]
    record, shape = shapes.convert(pair, "x")
    assert shape == "chosen"
    assert [one.content for one in record.messages] == ["Why is the sky blue?", "Rayleigh"]
    found = [json.loads(line) for line in exported(history, "good", [chat]).splitlines()]
    assert [[one["content"] for one in row["messages"]] for row in found] == [["Why is the sky blue?", "Rayleigh"]]
    shapes.convert(found[0], "x")
    later = answered(history, chat, "You asked.", system="Be short.")
    history.rate(chat, later, 1)
    rows = [json.loads(line)["messages"] for line in exported(history, "good", [chat]).splitlines()]
    assert ["Be short.", "Why?", "You asked."] in [[one["content"] for one in row] for row in rows]


class Page(html.parser.HTMLParser):
    """Collects tags, attributes and what the pre elements hold."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.texts, self.inside = set(), [], [], False

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes += attributes
        if tag == "pre":
            self.inside = True
            self.texts.append("")

    def handle_endtag(self, tag):
        self.inside = self.inside and tag != "pre"

    def handle_data(self, data):
        if self.inside:
            self.texts[-1] += data


ATTACKS = (
    "<script>alert(1)</script>", "</pre><img src=x onerror=alert(1)>", "<style>*{display:none}</style>",
    '"><svg onload=alert(1)>', "{{ 7 * 7 }}{% raw %}", "<!--", "&lt;b&gt;", "]]>", "javascript:alert(1)", "</textarea>",
)  # fmt: skip


def test_a_page_runs_nothing_whoever_wrote_the_words(history):
    for attack in ATTACKS:
        chat = history.new(system=attack, title=attack)
        first = history.add(chat, "user", attack, name=attack)
        answered(history, chat, attack, model=attack)
        answered(history, chat, attack + "2", first, model=attack)
        history.tag(chat, attack)
    imported(
        history, json.dumps([{"messages": [{"role": "user", "content": one} for one in ATTACKS], "title": ATTACKS[0]}])
    )
    text = exported(history, "html")
    page = Page()
    page.feed(text)
    plain = {"html", "head", "meta", "title", "style", "body", "main", "article", "h1", "h2", "p", "blockquote", "pre",
             "section", "details", "summary"}  # fmt: skip
    assert page.tags == plain
    assert {name for name, _ in page.attributes} <= {"lang", "charset", "name", "content", "http-equiv", "id", "open"}
    assert "default-src 'none'" in dict(page.attributes).get("content", "") or "default-src 'none'" in text
    assert not re.search(r"src=|href=|@import|url\(http", text.split("</style>")[0])
    shown = [one.removeprefix("\n") for one in page.texts]
    for attack in ATTACKS:
        assert shown.count(attack) >= 4


def test_markdown_and_html_tell_the_whole_tree(history):
    chat, *_ = filled(history)
    for format in ("markdown", "html"):
        text = exported(history, format, [chat])
        for words in ("Why?", "Rayleigh", "Paint", "Thanks", "physics", "Branch after message 1, Why is the sky blue?"):
            assert words in text, (format, words)
        assert text.index("Why?") < text.index("Branch")


def test_one_conversation_alone_and_an_unknown_format(history):
    *_, other = filled(history)
    assert len(json.loads(exported(history, "json", [other]))["messages"]) == 1
    with pytest.raises(UserError, match="no such conversation"):
        exported(history, "json", ["x"])
    with pytest.raises(UserError, match="markdown"):
        exported(history, "word")
    assert formats.of_suffix(".MD") == "markdown"
    assert formats.of_suffix(".doc") is None


def test_files_that_are_none_are_refused(tmp_path, monkeypatch):
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(UserError, match="no such file"):
            reading.read(path)
    monkeypatch.setattr(reading, "LARGEST", 10)
    (tmp_path / "large").write_text(" " * 11)
    with pytest.raises(UserError, match="larger than"):
        reading.read(tmp_path / "large")
