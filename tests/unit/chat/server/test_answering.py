"""Replies and clients that leave, dawdle, take nothing, or are many."""

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import pytest

from netwright.chat.batch import InTurn, Together
from netwright.chat.engine import Engine
from netwright.chat.scripted import Scripted
from scripted_server import END, PLAIN, TOKENIZER, Slow, endless, saying, served

CHAT = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 400, "temperature": 0}


def until(true, seconds=8.0):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def quiet(decoder):
    """Waits until a decoder is at rest; how many tokens it has said."""
    count = -1
    while count != decoder.count:
        count = decoder.count
        time.sleep(4 * decoder.seconds + 0.05)
    return count


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("n", [1, 3])
def test_a_client_that_leaves_ends_its_replies_within_a_token(stream, n):
    batch, decoder = endless(seconds=0.05)
    with served({"m": batch}) as server:
        line = socket.create_connection(("127.0.0.1", int(server.at.rpartition(":")[2])))
        body = json.dumps({**CHAT, "stream": stream, "n": n}).encode()
        head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        line.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        until(lambda: decoder.count >= 5)
        at = decoder.count
        line.close()
        assert quiet(decoder) <= at + 2  # the one that was being read, and one more before the loop had looked
        text = httpx.get(f"{server.at}/metrics").text
        assert 'netwright_requests_total{route="/v1/chat/completions",status="499"} 1' in text
        assert "netwright_cancelled_total 1" in text
        assert "netwright_replies 0" in text
        again = httpx.post(f"{server.at}/v1/chat/completions", json={**CHAT, "max_tokens": 3})
        assert again.json()["choices"][0]["message"]["content"] == "aaa"


def test_a_client_of_openai_that_closes_its_stream_ends_the_reply():
    batch, decoder = endless(seconds=0.03)
    with served({"m": batch}) as server, openai.OpenAI(base_url=f"{server.at}/v1", api_key="x") as client:
        stream = client.chat.completions.create(model="m", messages=CHAT["messages"], stream=True)
        next(stream)
        next(stream)
        at = decoder.count
        stream.close()
        assert quiet(decoder) <= at + 2


def reading(server, body):
    """A connection that has asked and reads nothing, its buffers as small as they can be."""
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line.connect(("127.0.0.1", int(server.at.rpartition(":")[2])))
    written = json.dumps(body).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    line.sendall(f"{head}Content-Length: {len(written)}\r\n\r\n".encode() + written)
    return line


def test_a_client_that_reads_nothing_is_given_up_and_holds_nobody():
    batch, decoder = endless(longest=1 << 20)
    quick, _ = saying("Hello")
    with served({"m": batch, "q": quick}, stall_s=0.5, max_tokens=1_000_000) as server:
        line = reading(server, {**CHAT, "model": "m", "stream": True, "max_tokens": 900_000})
        until(lambda: decoder.count > 100)
        reply = httpx.post(f"{server.at}/v1/chat/completions", json={**CHAT, "model": "q"})
        assert reply.json()["choices"][0]["message"]["content"] == "Hello"
        until(lambda: "netwright_cancelled_total 1" in httpx.get(f"{server.at}/metrics").text)
        assert quiet(decoder) < 100_000
        line.close()


class Letters(Scripted):
    """Says the first letter of the last message again and again."""

    def __init__(self, seconds=0.0):
        super().__init__(self.line, 257)
        self.seconds = seconds

    def line(self, ids):
        mark = TOKENIZER.literal("user\n")
        at = next((n for n in range(len(ids), -1, -1) if list(ids[n : n + len(mark)]) == mark), -1) + len(mark)
        return ids[at] if 0 < at < len(ids) else 0

    def feed(self, ids, all=False):
        time.sleep(self.seconds)
        return super().feed(ids, all)


def test_sixty_four_clients_at_once_get_each_their_own():
    batch = InTurn([Engine(Letters(), TOKENIZER, lookup=False) for _ in range(4)])
    letters = [chr(ord("0") + at) for at in range(64)]
    end, counts = time.monotonic() + 3, [0] * 64

    def talk(server, at):
        with openai.OpenAI(base_url=f"{server.at}/v1", api_key="x", timeout=60, max_retries=0) as client:
            while time.monotonic() < end or not counts[at]:
                said = [{"role": "user", "content": letters[at] * 3}]
                stream = client.chat.completions.create(
                    model="m", messages=said, stream=True, max_tokens=12, temperature=0
                )
                text = "".join(one.choices[0].delta.content or "" for one in stream)
                assert text == letters[at] * 12
                counts[at] += 1

    with served({"m": batch}) as server, ThreadPoolExecutor(64) as pool:
        list(pool.map(lambda at: talk(server, at), range(64)))
    assert min(counts) >= 1


def test_several_replies_and_their_usage():
    batch, _ = saying("Hello")
    with served({"m": batch}) as server, openai.OpenAI(base_url=f"{server.at}/v1", api_key="x") as client:
        whole = client.chat.completions.create(model="m", messages=CHAT["messages"], n=3)
        assert [one.message.content for one in whole.choices] == ["Hello"] * 3
        assert [one.index for one in whole.choices] == [0, 1, 2]
        one = client.chat.completions.create(model="m", messages=CHAT["messages"])
        assert whole.usage.prompt_tokens == one.usage.prompt_tokens
        assert whole.usage.completion_tokens == 15
        texts = ["", "", ""]
        for chunk in client.chat.completions.create(model="m", messages=CHAT["messages"], n=3, stream=True):
            for choice in chunk.choices:
                texts[choice.index] += choice.delta.content or ""
        assert texts == ["Hello"] * 3


def test_logprobs_are_those_of_the_engine():
    batch, _ = saying("Hé")
    with served({"m": batch}) as server, openai.OpenAI(base_url=f"{server.at}/v1", api_key="x") as client:
        asked = {"model": "m", "messages": CHAT["messages"], "logprobs": True, "top_logprobs": 2}
        reply = client.chat.completions.create(**asked).choices[0]
        told = reply.logprobs.content
        assert bytes(at for one in told for at in one.bytes).decode() == "Hé"
        assert all(len(one.top_logprobs) == 2 and one.top_logprobs[0].logprob == one.logprob for one in told)
        assert all(-1 < one.logprob <= 0 for one in told)
        streamed = [
            one for chunk in client.chat.completions.create(**asked, stream=True) for choice in chunk.choices
            if choice.logprobs for one in choice.logprobs.content
        ]  # fmt: skip
        assert [one.token for one in streamed] == [one.token for one in told]
        bare = client.chat.completions.create(**{**asked, "top_logprobs": 0}).choices[0].logprobs.content
        assert all(one.top_logprobs == [] for one in bare)


def test_completions_of_several_prompts():
    batch, _ = saying("!?", tokenizer=PLAIN)
    with served({"m": batch}) as server, openai.OpenAI(base_url=f"{server.at}/v1", api_key="x") as client:
        reply = client.completions.create(model="m", prompt=["One", "Two"], n=2, temperature=0, logprobs=1)
        assert [one.text for one in reply.choices] == ["!?"] * 4
        assert reply.usage.prompt_tokens == len(PLAIN.literal("OneTwo"))
        assert reply.choices[0].logprobs.tokens == ["!", "?"]
        assert reply.choices[0].logprobs.text_offset == [0, 1]
        ids = client.completions.create(model="m", prompt=[1, 2, 3], stream=True)
        assert "".join(one.choices[0].text for one in ids) == "!?"
        for wrong in ([300], [-1], [END, 999]):
            with pytest.raises(openai.BadRequestError, match="no token"):
                client.completions.create(model="m", prompt=wrong)
        with pytest.raises(openai.BadRequestError, match="no chat template"):
            client.chat.completions.create(model="m", messages=CHAT["messages"])
        with pytest.raises(openai.BadRequestError, match="no embeddings"):
            client.embeddings.create(model="m", input="x")


def test_a_stop_text_and_a_length_end_a_reply():
    batch, _ = saying("Hello, world!")
    with served({"m": batch}) as server:

        def ask(**more):
            told = httpx.post(f"{server.at}/v1/chat/completions", json={**CHAT, **more}).json()["choices"][0]
            return told["message"]["content"], told["finish_reason"]

        assert ask(stop="wor") == ("Hello, ", "stop")
        assert ask(stop=["xyz", ","]) == ("Hello", "stop")
        assert ask(max_tokens=4) == ("Hell", "length")
        assert ask(max_completion_tokens=5, max_tokens=4) == ("Hello", "length")
        assert ask() == ("Hello, world!", "stop")


def test_a_fault_of_the_runtime_is_told_before_and_within_a_stream_and_the_server_lives():
    class Failing(Slow):
        def feed(self, ids, all=False):
            if self.count == 5:
                self.count = 0
                raise RuntimeError("secret inner words")
            return super().feed(ids, all)

    said = [*TOKENIZER.literal("Hello, world!"), END]
    batch = InTurn([Engine(Failing(said), TOKENIZER, lookup=False)])
    with served({"m": batch}) as server:
        reply = httpx.post(f"{server.at}/v1/chat/completions", json=CHAT)
        assert (reply.status_code, reply.json()["error"]["type"]) == (500, "server_error")
        assert "secret" not in reply.text
        stream = httpx.post(f"{server.at}/v1/chat/completions", json={**CHAT, "stream": True}).text
        events = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith("data: {")]
        assert events[-1]["error"]["code"] == "internal_error"
        assert "secret" not in stream
        client = openai.OpenAI(base_url=f"{server.at}/v1", api_key="x", max_retries=0)
        with client, pytest.raises(openai.APIError):
            list(client.chat.completions.create(model="m", messages=CHAT["messages"], stream=True))
        short = httpx.post(f"{server.at}/v1/chat/completions", json={**CHAT, "max_tokens": 2})
        assert short.status_code == 200


def test_a_full_queue_and_too_many_requests_are_told_to_come_again():
    decoder = Slow(lambda ids: 64, 0.02, 257)
    batch = InTurn([Engine(decoder, TOKENIZER, lookup=False)], waiting=1)
    with served({"m": batch}, waiting=4) as server, ThreadPoolExecutor(8) as pool:
        asked = [
            pool.submit(httpx.post, f"{server.at}/v1/chat/completions", json={**CHAT, "max_tokens": 30})
            for _ in range(8)
        ]
        replies = [one.result() for one in asked]
    statuses = sorted(one.status_code for one in replies)
    assert statuses[0] == 200
    assert statuses[-1] == 503
    assert set(statuses) == {200, 503}
    refused = next(one for one in replies if one.status_code == 503)
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["error"]["code"] == "overloaded"


def test_one_long_reply_does_not_hold_short_ones_of_a_batch(tmp_path):
    from netwright.chat.opening import opened_together
    from netwright.export import Config
    from netwright.study import stages
    from small_languages import small_llama, text_file

    made = small_llama(tmp_path / "a", text_file(tmp_path))
    exported = stages.exported(tmp_path / "runs", made, "openvino", Config(examples=2))
    batch = opened_together(exported, 1)
    assert isinstance(batch, Together)
    asked = {"prompt": "the cat", "temperature": 1}
    with served({"m": batch}) as server, ThreadPoolExecutor(1) as pool:

        def ask(**more):
            return httpx.post(f"{server.at}/v1/completions", json={**asked, **more}, timeout=60)

        waiting = pool.submit(ask, max_tokens=200, seed=1)
        until(lambda: "netwright_replies 1" in httpx.get(f"{server.at}/metrics").text)
        short = [ask(max_tokens=2) for _ in range(3)]
        assert [one.status_code for one in [*short, waiting.result()]] == [200] * 4
        alone = [ask(seed=at, max_tokens=20).json()["choices"] for at in range(8)]
        with ThreadPoolExecutor(8) as many:
            together = many.map(lambda at: ask(seed=at, max_tokens=20).json()["choices"], range(8))
            assert list(together) == alone
        assert len({json.dumps(one) for one in alone}) > 1
