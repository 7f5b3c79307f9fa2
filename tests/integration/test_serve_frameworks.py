"""LangChain and llm ask a server as they would ask OpenAI."""

import json
import os
import subprocess
import sys

import pytest

from scripted_server import saying, served


@pytest.fixture(scope="module")
def server():
    with served({"hello": saying("Hello, world!")[0]}) as made:
        yield made


def test_langchain(server):
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(model="hello", base_url=f"{server.at}/v1", api_key="none", max_retries=0)
    reply = model.invoke([("system", "Be kind."), ("human", "Hi")])
    assert reply.content == "Hello, world!"
    assert reply.usage_metadata["output_tokens"] == 13
    parts = list(model.stream("Hi"))
    assert "".join(part.content for part in parts) == "Hello, world!"
    assert len(parts) > 10
    assert [one.content for one in model.batch(["a", "b", "c"])] == ["Hello, world!"] * 3


def test_llm(server, tmp_path):
    model = {"model_id": "local", "model_name": "hello", "api_base": f"{server.at}/v1"}
    (tmp_path / "extra-openai-models.yaml").write_text(json.dumps([model]))
    environment = {**os.environ, "LLM_USER_PATH": str(tmp_path), "OPENAI_API_KEY": "none"}
    for more in ([], ["--no-stream"], ["-o", "temperature", "0.5", "-o", "max_tokens", "5"]):
        ended = subprocess.run(
            [sys.executable, "-m", "llm", "-m", "local", "Hi", *more],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.strip() == ("Hello" if "max_tokens" in more else "Hello, world!")
