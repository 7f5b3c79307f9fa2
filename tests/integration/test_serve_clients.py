"""netwright serve as a process, over a tiny network, with the official client; a broken model beside it; its end."""

import json
import os
import signal
import subprocess
import sys

import httpx
import openai
import pytest

from small_languages import small_llama, text_file


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    """The address of a server with two models, one of which is broken, and its process."""
    folder = tmp_path_factory.mktemp("serving")
    made = small_llama(folder / "tiny", text_file(folder), steps=20)
    broken = small_llama(folder / "broken", text_file(folder), steps=1)
    weights = broken.folder / "model.safetensors"
    weights = weights if weights.exists() else next(broken.folder.glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    command = [sys.executable, "-m", "netwright", "serve", f"tiny={made.folder}", "--model", f"bad={broken.folder}"]
    environment = {**os.environ, "NETWRIGHT_SERVE_MAX_TOKENS": "12", "NETWRIGHT_SERVE_DRAIN_S": "3"}
    process = subprocess.Popen(
        [*command, "--port", "0", "--threads", "1"], cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr
    lines = []
    for line in process.stderr:
        lines.append(line)
        if "/v1 answers with tiny, bad" in line:
            break
    else:
        pytest.fail("".join(lines))
    yield next(word for word in line.split() if word.endswith("/v1")), process
    process.terminate()
    process.wait(20)
    process.stderr.close()


@pytest.fixture(scope="module")
def client(serving):
    with openai.OpenAI(base_url=serving[0], api_key="none", max_retries=0, timeout=60) as made:
        yield made


def test_the_client_of_openai(client):
    assert [one.id for one in client.models.list()] == ["tiny", "bad"]
    asked = {"model": "tiny", "prompt": "the cat", "temperature": 0.8, "seed": 5}
    whole = client.completions.create(**asked)
    assert 0 < whole.usage.completion_tokens <= 12
    assert (
        "".join(one.choices[0].text for one in client.completions.create(**asked, stream=True)) == whole.choices[0].text
    )
    several = client.completions.create(**asked, n=3)
    assert several.choices[0].text == whole.choices[0].text
    assert len({one.text for one in several.choices}) > 1
    told = client.completions.create(**asked, logprobs=2).choices[0].logprobs
    assert all(len(one) == 2 for one in told.top_logprobs)
    assert max(told.token_logprobs) <= 0


def test_a_reply_that_is_json(client):
    more = {"extra_body": {"response_format": {"type": "json_object"}}, "max_tokens": 200}
    finished = 0
    for seed in range(6):
        reply = client.completions.create(model="tiny", prompt="the cat", temperature=1, seed=seed, **more).choices[0]
        assert reply.text.lstrip()[:1] in ("{", "")
        if reply.finish_reason == "stop":
            assert isinstance(json.loads(reply.text), dict)
            finished += 1
    forced = {"extra_body": {**more["extra_body"]}, "stop": ['"'], "max_tokens": 200}
    reply = client.completions.create(model="tiny", prompt="the cat", temperature=0, **forced).choices[0]
    assert set(reply.text) <= set("{} \n\t\r")


def test_a_broken_file_is_told_and_the_other_model_answers(client):
    with pytest.raises(openai.InternalServerError) as told:
        client.completions.create(model="bad", prompt="x")
    assert told.value.status_code == 503
    assert "sha256" in str(told.value)
    assert client.completions.create(model="tiny", prompt="x").choices
    with pytest.raises(openai.BadRequestError, match="no chat template"):
        client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "Hi"}])


def test_it_ends_when_it_is_told(serving):
    address, process = serving
    assert httpx.get(f"{address.removesuffix('/v1')}/health").json()["status"] == "ready"
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) in (0, -signal.SIGTERM)
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}/models")
