"""What requests mean, and what is refused: types, values, and what this server does not do."""

import json

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.chat.server import wire
from netwright.chat.server.refusal import RefusedError
from netwright.core.error import UserError

HI = [{"role": "user", "content": "Hi"}]


def asked(**more):
    return wire.ChatRequest.model_validate({"messages": HI, **more})


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"temperature": "1"}, "temperature"), ({"temperature": 3}, "temperature"), ({"top_p": -1}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"), ({"max_tokens": 1.5}, "max_tokens"), ({"max_tokens": True}, "max_tokens"),
        ({"n": 0}, "n"), ({"n": 9}, "n"), ({"seed": "x"}, "seed"), ({"seed": 2**70}, "seed"), ({"stop": 3}, "stop"),
        ({"stop": ["a"] * 17}, "stop"), ({"stop": ""}, "stop"), ({"stop": ["a", 1]}, "stop[1]"),
        ({"stream": "yes"}, "stream"), ({"stream": 1}, "stream"),
        ({"top_logprobs": 21, "logprobs": True}, "top_logprobs"),
        ({"top_logprobs": 2}, "top_logprobs"), ({"logprobs": 2}, "logprobs"),
        ({"presence_penalty": 3}, "presence_penalty"),
        ({"response_format": {"type": "json_schema"}}, "response_format.type"),
        ({"response_format": "json"}, "response_format"),
        ({"messages": []}, "messages"), ({"messages": "Hi"}, "messages"), ({"messages": [3]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content"),
        ({"messages": [{"content": "Hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "poet", "content": "Hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "tool", "content": "Hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
         "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"tools": [{"type": "function"}]}, "tools"), ({"functions": [{}]}, "tools"),
        ({"modalities": ["audio"]}, "modalities"),
        ({"logit_bias": {"1": 2}}, "logit_bias"), ({"model": 3}, "model"), ({"model": "x"}, "model"),
        ({"model": "../m"}, "model"), ({"min_p": 2}, "min_p"),
        ({"repetition_penalty": 0}, "repetition_penalty"), ({"stream_options": 3}, "stream_options"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(hello, more, param):
    reply = httpx.post(f"{hello.at}/v1/chat/completions", content=json.dumps({"messages": HI, **more}), headers=JSON)
    assert reply.status_code == (404 if param == "model" and isinstance(more["model"], str) else 400), reply.text
    told = reply.json()["error"]
    assert told["param"] == param
    assert told["type"] == "invalid_request_error"


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"3", b"null", b'"x"', b"\xff", b"[" * 100_000,
     b'{"messages": ' + b"[" * 5000 + b"]" * 5000 + b"}",
     b'{"messages": [{"role": "user", "content": "Hi"}], "temperature": NaN}',
     b'{"messages": [{"role": "user", "content": "\\ud800"}]}',
     b'{"messages": [{"role": "user", "content": "Hi"}], "seed": ' + b"9" * 5000 + b"}"],
)  # fmt: skip
def test_bodies_that_are_no_requests(hello, body):
    reply = httpx.post(f"{hello.at}/v1/chat/completions", content=body, headers=JSON)
    assert reply.status_code == 400, reply.text
    assert reply.json()["error"]["type"] == "invalid_request_error"


def test_a_body_of_another_type_and_other_paths_and_methods(hello):
    assert httpx.post(f"{hello.at}/v1/chat/completions", content=b"{}").status_code == 400
    for path in ("/", "/v1", "/v1/", "/v1/chat", "/v1/models/../../etc/passwd", "/..%2f..%2fetc/passwd", "/%00"):
        reply = httpx.get(hello.at + path)
        assert reply.status_code == 404
        assert reply.json()["error"]["type"] == "invalid_request_error"
    reply = httpx.get(f"{hello.at}/v1/chat/completions")
    assert (reply.status_code, reply.json()["error"]["code"]) == (405, "method_not_allowed")


def test_unknown_fields_are_ignored_and_parts_of_text_read():
    request = asked(user="me", store=True, service_tier="auto", tools=[], tool_choice="none")
    assert wire.conversation(request)[0].content == "Hi"
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    said = wire.conversation(asked(messages=[{"role": "developer", "content": parts}, *HI]))
    assert [(one.role, one.content) for one in said] == [("system", "ab"), ("user", "Hi")]


def test_settings_are_carried_over():
    told = wire.sampling(
        asked(temperature=0.5, top_p=0.9, top_k=-1, min_p=0.1, seed=-1, stop="x", max_tokens=5, max_completion_tokens=7,
              logprobs=True, top_logprobs=0, frequency_penalty=1, presence_penalty=-1, repetition_penalty=1.1,
              response_format={"type": "json_object"}), 9,
    )  # fmt: skip
    assert (told.temperature, told.top_p, told.top_k, told.min_p, told.seed) == (0.5, 0.9, 0, 0.1, 2**63 - 1)
    assert (told.stop, told.max_tokens, told.logprobs, told.json) == (("x",), 7, 1, True)
    assert (told.frequency, told.presence, told.penalty) == (1.0, -1.0, 1.1)
    plain = wire.sampling(asked(), 9)
    assert (plain.temperature, plain.max_tokens, plain.logprobs, plain.json) == (1.0, 9, 0, False)
    assert wire.sampling(asked(), 9).seed != plain.seed


@pytest.mark.parametrize(
    "more", [{"suffix": "x"}, {"echo": True}, {"best_of": 2}, {"prompt": ["a"] * 17},
             {"prompt": ["a"] * 16, "n": 8}],
)  # fmt: skip
def test_completions_refuse_what_they_do_not_do(more):
    with pytest.raises(RefusedError):
        wire.prompts(wire.CompletionRequest.model_validate({"prompt": "x", **more}))


@pytest.mark.parametrize("given", ["a", ["a", "b"], [1, 2], [[1, 2], [3]]])
def test_prompts_are_texts_or_ids(given):
    found = wire.prompts(wire.CompletionRequest.model_validate({"prompt": given}))
    assert found == (given if isinstance(given, list) and not isinstance(given[0], int) else [given])


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=8,
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted({*wire.ChatRequest.model_fields})), anything, max_size=4))
def test_any_object_is_a_request_or_refused(values):
    import pydantic

    try:
        request = wire.ChatRequest.model_validate({"messages": HI, **values})
        wire.conversation(request)
        wire.sampling(request, 5)
    except pydantic.ValidationError as fault:
        wire.refusal(fault.errors())
    except (RefusedError, UserError):
        pass
