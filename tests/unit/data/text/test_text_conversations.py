"""Every shape of conversation becomes the same messages; roles that do not alternate are told with their place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netwright.data.text import Message, conversations
from netwright.data.text.conversations import convert, shape
from netwright.data.text.streams import BrokenError

ASKED, TOLD = "What is 1 + 1?", "2"
CHAT = [{"role": "user", "content": ASKED}, {"role": "assistant", "content": TOLD}]
PAIR = (Message("user", ASKED), Message("assistant", TOLD))

SHAPES = [
    ("messages", {"messages": CHAT, "id": 3}),
    ("messages", {"conversation": CHAT}),
    ("messages", CHAT),
    ("messages", {"messages": [{"role": "user", "content": [{"type": "text", "text": ASKED}]}, CHAT[1]]}),
    ("messages", {"messages": [{"role": "system", "content": " "}, *CHAT]}),
    ("ShareGPT", {"conversations": [{"from": "human", "value": ASKED}, {"from": "gpt", "value": TOLD}]}),
    ("ShareGPT", {"conversations": CHAT}),
    ("chosen", {"chosen": CHAT, "rejected": [CHAT[0], {"role": "assistant", "content": "3"}]}),
    ("chosen", {"prompt": ASKED, "chosen": TOLD, "rejected": "3"}),
    ("chosen", {"prompt": CHAT[:1], "chosen": CHAT[1:], "rejected": "3"}),
    ("chosen", {"prompt": ASKED, "chosen": CHAT, "rejected": CHAT}),
    ("chosen", {"chosen": f"\n\nHuman: {ASKED}\n\nAssistant: {TOLD}", "rejected": ""}),
    ("Alpaca", {"instruction": ASKED, "input": "", "output": TOLD}),
    ("Alpaca", {"instruction": ASKED, "output": TOLD, "text": "all of it again"}),
    ("prompt/completion", {"prompt": ASKED, "completion": TOLD}),
    ("prompt/completion", {"prompt": ASKED, "response": TOLD}),
    ("prompt/completion", {"prompt": CHAT[:1], "completion": CHAT[1:]}),
    ("question/answer", {"question": ASKED, "answer": TOLD, "ans": 2.0}),
]


@pytest.mark.parametrize(("name", "row"), SHAPES)
def test_every_shape_gives_the_same_messages(name, row):
    record, found = convert(row, "a:1")
    assert (record.messages, found, record.place) == (PAIR, name, "a:1")


def test_system_messages_and_inputs_are_kept():
    alpaca = {"instruction": "Add.", "input": "1 and 1", "output": TOLD, "system": "Be short."}
    assert convert(alpaca, "")[0].messages == (
        Message("system", "Be short."), Message("user", "Add.\n\n1 and 1"), Message("assistant", TOLD)
    )  # fmt: skip
    sharegpt = {"system": "Be short.", "conversations": [{"from": "human", "value": ASKED}]}
    assert convert(sharegpt, "")[0].messages == (Message("system", "Be short."), Message("user", ASKED))
    developer = {"messages": [{"role": "developer", "content": "Be short."}, *CHAT]}
    assert convert(developer, "")[0].messages[0] == Message("system", "Be short.")


def test_texts():
    assert convert("a text", "")[0].text == "a text"
    assert convert({"document": "a text"}, "") == (convert("a text", "")[0], "text")
    assert convert({"messages": CHAT, "body": "b"}, "", "body")[0].text == "b"
    assert shape(["title", "body"]) == ""


def turn(role, content="x"):
    return {"role": role, "content": content}


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"messages": [turn("user"), turn("user")]}, "message 2 is of the user, where the assistant's turn is"),
        ({"messages": [turn("assistant")]}, "message 1 is of the assistant, where the user's turn is"),
        ({"messages": [turn("system"), turn("assistant")]}, "message 2 is of the assistant"),
        ({"messages": [turn("user"), turn("system")]}, "message 2 is of the system"),
        ({"messages": [turn("system"), turn("system"), turn("user")]}, "message 2 is of the system"),
        ({"messages": [turn("user"), turn("assistant", " ")]}, "message 2, of the assistant, says nothing"),
        ({"messages": [turn("usr")]}, "message 1 has the role 'usr'"),
        ({"messages": [turn(["user"])]}, "has the role"),
        ({"messages": [turn("tool")]}, "'tool', not system, user or assistant"),
        ({"messages": [turn("user", None)]}, "has a null for content"),
        ({"messages": [turn("user", [{"type": "image_url"}])]}, "a part of type 'image_url', and only text"),
        ({"messages": "hello"}, "the messages are a text"),
        ({"messages": ["hello"]}, "message 1 is a text"),
        ({"chosen": "no prompt", "rejected": ""}, "has no prompt"),
        ({"prompt": 3, "completion": "x"}, '"prompt" is a number'),
        ({"question": "x", "answer": 3}, '"answer" is a number'),
        ({"question": "x", "answer": None}, "says nothing"),
        ({}, "no known shape"),
        ([], "a list, where"),
        (3.5, "a number, where"),
        (True, "a truth value, where"),
    ],
)
def test_what_is_wrong_is_said(row, why):
    with pytest.raises(BrokenError, match=why):
        convert(row, "a:1")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["role", "content", "from", "value", "text", "type", "user"]), inner, max_size=3),
    max_leaves=10,
)  # fmt: skip
FIELDS = st.sampled_from(sorted({name for either, _ in conversations._FIRST for names in either for name in names}))


@given(st.dictionaries(FIELDS, JSON, max_size=4))
def test_any_row_is_converted_or_refused(row):
    try:
        record, found = convert(row, "a:1")
    except BrokenError:
        return
    assert found
    conversations.check(record.messages)
