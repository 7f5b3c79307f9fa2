"""A `Generator` over llama.cpp, in this process, through the package xllamacpp.

    engine = LlamaCpp(artifact.path("model.gguf"), tokenizer, threads=2)
    for piece in engine.stream([Message("user", "Hi")], Sampling()): ...

Ids go in, so that template and tokenizer are netwright's own, and nobody's words become special tokens. llama.cpp
keeps the last prompt and reply, and reads on from where the next differs. It tells text, not ids, but where logprobs
are asked for (they cost it a sort of the vocabulary a token). Its server listens on a port of the loopback address that
the system chooses: other users of this machine could ask it.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from netwright.chat.engine import Prompt, readable
from netwright.chat.sampling import GREEDY, Sampling
from netwright.chat.stops import Stops
from netwright.chat.turn import Finish, Piece, Statistics, Token
from netwright.core.error import UserError
from netwright.core.table import extra
from netwright.data.prompt import Long
from netwright.data.tokenizer import Tokenizer
from netwright.export.decoding import room


class LlamaCpp:
    """A GGUF file in llama.cpp. `longest` is the context in tokens, whose memory is taken when it is opened."""

    def __init__(
        self, path: Path, tokenizer: Tokenizer, threads: int = 1, longest: int = 2048, long: Long = "slide",
        precision: str = "gguf", log: int = -1,
    ) -> None:  # fmt: skip
        package = extra("xllamacpp", "llama.cpp")
        params = package.CommonParams()
        params.model.path, params.n_ctx, params.n_parallel = str(path), longest, 1
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        params.verbosity, params.cache_ram_mib = log, 0  # its cache of prompts would take 8 GiB
        params.warmup = True
        if not path.is_file():
            raise UserError("model", str(path), "no such file", "netwright export ARTIFACT --format gguf")
        try:
            self._server = package.Server(params)
        except RuntimeError as fault:
            raise UserError("model", str(path), f"llama.cpp refuses it: {fault}", "export it again") from None
        self.tokenizer, self.longest, self.long, self.precision = tokenizer, longest, long, precision
        self._busy = threading.Lock()

    def stream(
        self, prompt: Prompt, sampling: Sampling = GREEDY, cancelled: Callable[[], bool] = lambda: False
    ) -> Iterator[Piece]:
        """The reply, piece by piece. Raises UserError for what cannot be read, and for beams."""
        begin = time.perf_counter()
        if sampling.beams > 1:
            raise UserError("sampling.beams", sampling.beams, "llama.cpp has no beams", "sampling.beams=1")
        if sampling.json:
            raise UserError("sampling.json", True, "not with llama.cpp", "another engine, such as OpenVINO")
        ids, left_out = readable(self.tokenizer, prompt, self.longest, sampling, self.long)
        room(0, len(ids), self.longest)
        return self._pieces(ids, left_out, sampling, cancelled, begin)

    def _pieces(
        self, ids: list[int], left_out: int, told: Sampling, cancelled: Callable[[], bool], begin: float
    ) -> Iterator[Piece]:
        if not self._busy.acquire(blocking=False):
            raise RuntimeError("this engine is answering; several requests at once are for netwright.chat.batch")
        answers: queue.Queue[Mapping[str, Any] | None] = queue.Queue()
        left = threading.Event()

        def take(answer: Mapping[str, Any]) -> bool:
            """llama.cpp's word for `go on` is False."""
            answers.put(answer)
            return left.is_set() or cancelled()

        def work() -> None:
            with contextlib.suppress(Exception):
                self._server.handle_completions(_request(ids, told, self.longest), take)
            answers.put(None)

        worker = threading.Thread(target=work, name="llama.cpp", daemon=True)
        worker.start()
        try:
            yield from self._shown(answers, told, cancelled, len(ids), left_out, begin)
        finally:
            left.set()
            worker.join()
            self._busy.release()

    def _shown(
        self, answers: queue.Queue[Mapping[str, Any] | None], told: Sampling, cancelled: Callable[[], bool],
        prompt: int, left_out: int, begin: float,
    ) -> Iterator[Piece]:  # fmt: skip
        stops = Stops(told.stop)
        tokens: list[Token] = []
        count, first, last = 0, 0.0, 0.0
        finish: Finish | None = None
        timings: Mapping[str, Any] = {}
        while finish is None:
            answer = answers.get()
            if answer is None:
                finish = "cancelled" if cancelled() else None
                if finish is None:
                    raise RuntimeError("llama.cpp ended without an answer")
                break
            if "error" in answer:
                raise UserError("prompt", f"{prompt} tokens", str(answer["error"].get("message")), "shorten it")
            timings = answer.get("timings", timings)
            for choice in answer.get("choices", ()):
                found = _tokens(choice, told.logprobs)
                tokens += found
                if choice["text"] or found:
                    last = time.perf_counter()
                    first = first or last
                    count += max(1, len(found))
                text = stops.push(choice["text"])
                if text:
                    yield Piece(text, tuple(tokens))
                    tokens = []
                finish = choice["finish_reason"]
                if stops.stopped:
                    finish = "stop"
            if finish is None and cancelled():
                finish = "cancelled"
        now = time.perf_counter()
        count = int(timings.get("predicted_n", count))
        pace = last - first
        found_statistics = Statistics(
            prompt=prompt,
            reused=int(timings.get("cache_n", 0)),
            left_out=left_out,
            tokens=count,
            first_token=(first or now) - begin,
            seconds=now - begin,
            per_second=(count - 1) / pace if pace > 0 else 0.0,
        )
        yield Piece(stops.end(), tuple(tokens), finish, found_statistics)


def _request(ids: list[int], told: Sampling, longest: int) -> dict[str, Any]:
    return {
        "prompt": ids,
        "n_predict": min(told.max_tokens, max(1, longest - len(ids))),
        "stream": True,
        "cache_prompt": True,
        "temperature": told.temperature,
        "top_k": told.top_k,
        "top_p": told.top_p,
        "min_p": told.min_p,
        "repeat_penalty": told.penalty,
        "repeat_last_n": told.window,
        "frequency_penalty": told.frequency,
        "presence_penalty": told.presence,
        "seed": told.seed % 2**32,
        "n_probs": told.logprobs,
        "ignore_eos": told.ignore_end,
        "samplers": ["penalties", "top_k", "top_p", "min_p", "temperature"],
    }


def _tokens(choice: Mapping[str, Any], count: int) -> list[Token]:
    """The tokens of an answer; their logprobs were asked for, or there are none."""
    found = (choice.get("logprobs") or {}).get("content", ()) if count else ()
    return [
        Token(one["id"], one["logprob"], tuple((x["id"], x["logprob"]) for x in one["top_logprobs"])) for one in found
    ]
