"""What the official client of OpenAI gets, whole and streamed."""

import openai
import pytest

ASKED = [{"role": "user", "content": "Hi"}]


@pytest.fixture(scope="module")
def client(hello):
    with openai.OpenAI(base_url=f"{hello.at}/v1", api_key="none", max_retries=0) as made:
        yield made


def test_a_reply_at_once(client):
    reply = client.chat.completions.create(model="m", messages=ASKED)
    assert reply.choices[0].message.content == "Hello, world!"
    assert reply.choices[0].finish_reason == "stop"
    assert (reply.usage.completion_tokens, reply.model, reply.object) == (13, "m", "chat.completion")
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + 13


def test_a_reply_streamed(client):
    chunks = list(
        client.chat.completions.create(model="m", messages=ASKED, stream=True, stream_options={"include_usage": True})
    )
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(one.choices[0].delta.content or "" for one in chunks if one.choices) == "Hello, world!"
    assert [one.choices[0].finish_reason for one in chunks if one.choices][-1] == "stop"
    assert chunks[-1].usage.completion_tokens == 13
    assert chunks[-1].choices == []
    assert all(one.usage is None for one in chunks[:-1])
    assert len({one.id for one in chunks}) == 1
    assert len(chunks) > 13
