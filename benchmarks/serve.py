"""The server under load, on this machine: what it loses, mixes up, holds back and costs.

    python benchmarks/serve.py crowd ARTIFACT      # 64 clients stream for a minute; replies beside those made alone
    python benchmarks/serve.py streams ARTIFACT    # tokens/s of eight streams over one
    python benchmarks/serve.py overhead ARTIFACT   # tokens/s of eight streams over the same batch without a server
    python benchmarks/serve.py json ARTIFACT       # tokens/s of replies that are JSON over free ones

ARTIFACT is a language model as `netwright serve` takes it; the server is a process of its own, clients are another.
Rounds are interleaved, ratios medians over rounds with bootstrap intervals.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from netwright.chat import opening as models
from netwright.chat.batch import Batch
from netwright.chat.sampling import Sampling
from netwright.chat.server import opening
from netwright.core import artifact as artifacts
from netwright.core import stats
from netwright.data import prompt as prompts

Reply = tuple[float, float, str, int]
"""Seconds to the first piece, seconds in all, the text, tokens."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=sorted(VERBS))
    parser.add_argument("artifact")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--reply", type=int, default=64)
    args = parser.parse_args()
    found = opening.served(args.artifact, args.runs)
    args.folder, args.precision = found.folder, found.precision
    gc.collect()
    gc.freeze()  # or the client would stand still now and then, and its server be blamed
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"load {load}; {os.cpu_count()} CPUs; {args.threads} threads; {time.strftime('%Y-%m-%d')}; {args.folder}")
    VERBS[args.verb](args)


@contextmanager
def server(args: argparse.Namespace) -> Iterator[tuple[int, psutil.Process]]:
    """The port of a server, and its process."""
    command = [sys.executable, "-m", "netwright", "serve", f"it={args.folder}", "--port", "0", "--threads"]
    command += [str(args.threads), "serve.log=false", f"runs={args.runs}"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    line = next(line for line in process.stderr if "/v1 answers" in line)
    try:
        yield int(line.split("/v1")[0].rpartition(":")[2]), psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(60)


def bare(args: argparse.Namespace) -> Batch:
    """The same batch without a server."""
    return models.opened_together(artifacts.open(args.folder), args.threads, args.precision)


async def ask(port: int, body: dict[str, Any]) -> Reply:
    """A streamed completion, by a client that does no more than it must."""
    begin, first, parts, count = time.perf_counter(), 0.0, [], 0
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    data = json.dumps({"stream": True, "stream_options": {"include_usage": True}, **body}).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n"
    writer.write(f"{head}Content-Type: application/json\r\nConnection: close\r\n\r\n".encode() + data)
    status = await reader.readline()
    if b" 200 " not in status:
        raise RuntimeError((status + await reader.read(2000)).decode())
    async for line in reader:
        if line.startswith(b"data: {"):
            first = first or time.perf_counter()
            told = json.loads(line[6:])
            if "error" in told:
                raise RuntimeError(told["error"]["message"])
            parts += [one["text"] for one in told["choices"]]
            count = (told.get("usage") or {}).get("completion_tokens", count)
    writer.close()
    return first - begin, time.perf_counter() - begin, "".join(parts), count


def asked(at: int, args: argparse.Namespace, **more: Any) -> dict[str, Any]:
    """What client `at` asks: a beginning and a seed of its own."""
    names = ["Lily", "Tom", "Ben", "Mia", "Sam", "Anna", "Max", "Sue"]
    things = ["a ball", "a red hat", "a big dog", "a tree", "the sea", "a small boat", "a bird", "the moon"]
    prompt = f"One day, {names[at % 8]} saw {things[at // 8 % 8]} and"
    return {"prompt": prompt, "seed": at, "temperature": 0.8, "top_p": 0.95, "max_tokens": args.reply, **more}


def length(at: int, args: argparse.Namespace) -> int:
    """Tokens that client `at` of a crowd wants: half to one and a half times --reply, or all would end together."""
    return args.reply // 2 + at * 7 % args.reply


def alone(batch: Batch, at: int, args: argparse.Namespace) -> str:
    """What the engine says to it when nobody else asks."""
    told = asked(at, args)
    sampling = Sampling(temperature=0.8, top_p=0.95, seed=at, max_tokens=length(at, args))
    return "".join(piece.text for piece in batch.submit(prompts.plain(batch.tokenizer, told["prompt"]), sampling))


def crowd(args: argparse.Namespace) -> None:
    """Many clients for a while."""
    with bare(args) as batch:
        expected = [alone(batch, at, args) for at in range(args.clients)]
    firsts: list[float] = []
    wave: list[float] = []
    wrong, lost, memory = 0, 0, []

    async def client(port: int, at: int, until: float) -> None:
        nonlocal wrong, lost
        kept = wave  # all come at once, the first time
        while time.perf_counter() < until:
            try:
                first, _, text, _ = await ask(port, asked(at, args, max_tokens=length(at, args)))
            except (RuntimeError, OSError):
                lost += 1
                continue
            kept.append(first)
            kept = firsts
            wrong += text != expected[at]

    async def watched(process: psutil.Process, until: float) -> None:
        while time.perf_counter() < until:
            memory.append(process.memory_info().rss / 2**20)
            await asyncio.sleep(1)

    async def all_of_them(port: int, process: psutil.Process) -> None:
        await ask(port, asked(0, args))  # the model is opened
        until = time.perf_counter() + args.seconds
        await asyncio.gather(watched(process, until), *(client(port, at, until) for at in range(args.clients)))

    with server(args) as (port, process):
        asyncio.run(all_of_them(port, process))
    median, slowest = float(np.median(firsts)), max(firsts)
    half = memory[len(memory) // 2 :]
    replies = len(firsts) + len(wave)
    print(f"{args.clients} clients, {args.seconds:g} s: {replies} replies, {lost} lost, {wrong} mixed up")
    late = float(np.quantile(firsts, 0.99))
    print(f"first token: median {median:.3f} s, 99 % within {late:.3f} s")
    print(f"slowest {slowest:.3f} s, {slowest / median:.2f} times the median")
    print(f"of the first {len(wave)}, who came at once: median {np.median(wave):.3f} s, slowest {max(wave):.3f} s")
    grown = half[-1] - half[0]
    print(f"memory: {memory[0]:.0f} MB, {half[0]:.0f} MB half-way, {memory[-1]:.0f} MB at the end ({grown:+.1f} MB)")


async def pace(port: int, streams: int, args: argparse.Namespace, seed: int, **more: Any) -> float:
    """Tokens a second of so many streams, after their first pieces."""
    begin = time.perf_counter()
    replies = await asyncio.gather(*(ask(port, asked(seed + at, args, **more)) for at in range(streams)))
    return sum(one[3] for one in replies) / (time.perf_counter() - begin)


def ratio(name: str, values: list[float], of: str, others: list[float]) -> None:
    spread = stats.bootstrap(np.array(values) / np.array(others), np.median)
    print(f"{name}: {np.median(values):.1f} tokens/s; {of}: {np.median(others):.1f} tokens/s")
    print(f"ratio {spread.value:.3f} [{spread.low:.3f}, {spread.high:.3f}], {len(values)} rounds")


def streams(args: argparse.Namespace) -> None:
    """Eight and one."""
    one, eight = [], []
    with server(args) as (port, _):
        asyncio.run(pace(port, 8, args, 0))
        for turn in range(args.rounds):
            one.append(asyncio.run(pace(port, 1, args, turn)))
            eight.append(asyncio.run(pace(port, 8, args, turn)))
    ratio("8 streams", eight, "1 stream", one)


def overhead(args: argparse.Namespace) -> None:
    """With a server and without."""
    with_server, without, served, own = [], [], [], []

    def seconds(process: psutil.Process) -> float:
        return process.cpu_times().user + process.cpu_times().system

    with server(args) as (port, process), bare(args) as batch:

        def directly(seed: int) -> float:
            begin = time.perf_counter()
            replies = []
            for at in range(8):
                told = asked(seed + at, args)
                settings = Sampling(temperature=0.8, top_p=0.95, seed=seed + at, max_tokens=args.reply)
                replies.append(batch.submit(prompts.plain(batch.tokenizer, told["prompt"]), settings))
            ends = [list(one)[-1].statistics for one in replies]
            return sum(one.tokens for one in ends if one) / (time.perf_counter() - begin)

        asyncio.run(pace(port, 8, args, 0))
        directly(0)
        for turn in range(args.rounds):
            begin = seconds(psutil.Process())
            without.append(directly(100 * turn))
            own.append(seconds(psutil.Process()) - begin)
            begin = seconds(process)
            with_server.append(asyncio.run(pace(port, 8, args, 100 * turn)))
            served.append(seconds(process) - begin)
    ratio("8 streams of the server", with_server, "without it", without)
    # the same tokens both times; what other programs take of the processors is not in this one
    spread = stats.bootstrap(np.array(served) / np.array(own), np.median)
    print(f"processor time: ratio {spread.value:.3f} [{spread.low:.3f}, {spread.high:.3f}]")


def json_mode(args: argparse.Namespace) -> None:
    """Replies that are JSON, and free ones, one at a time."""
    free, formed = [], []
    more = {"response_format": {"type": "json_object"}}
    with server(args) as (port, _):
        asyncio.run(pace(port, 1, args, 0, **more))

        async def one(turn: int, **more: Any) -> float:
            replies = [await ask(port, asked(turn * 10 + at, args, **more)) for at in range(5)]
            return sum(one[3] - 1 for one in replies) / sum(one[1] - one[0] for one in replies)

        for turn in range(args.rounds):
            free.append(asyncio.run(one(turn)))
            formed.append(asyncio.run(one(turn, **more)))
    ratio("JSON", formed, "free", free)


VERBS = {"crowd": crowd, "streams": streams, "overhead": overhead, "json": json_mode}

if __name__ == "__main__":
    main()
