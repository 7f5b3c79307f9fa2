"""llama.cpp answers as the engine over the network does: same greedy text, stops, limits, cancelling, prefixes."""

import pytest

from netwright.chat.engine import Engine
from netwright.chat.llamacpp import LlamaCpp
from netwright.chat.sampling import Sampling
from netwright.core.error import UserError
from netwright.data.language import byte_tokenizer
from netwright.data.text import Message
from netwright.export import decoding, gguf
from small_language import LLAMA, language_artifact

TOKENIZER = byte_tokenizer()


@pytest.fixture(scope="module")
def engines(tmp_path_factory):
    pytest.importorskip("xllamacpp")
    folder = tmp_path_factory.mktemp("llamacpp")
    artifact = language_artifact(folder / "a", LLAMA)
    path = gguf.written(artifact, folder / "x.gguf")
    return LlamaCpp(path, TOKENIZER, longest=128), Engine(decoding.open(artifact), TOKENIZER)


def answer(engine, prompt, **told):
    pieces = list(engine.stream(prompt, Sampling(**told)))
    return "".join(piece.text for piece in pieces), pieces[-1]


def test_both_answer_the_same_ids(engines):
    prompt = TOKENIZER.literal("Hello world")
    told = {"max_tokens": 6, "ignore_end": True, "logprobs": 2}
    tokens = [[token for piece in one.stream(prompt, Sampling(**told)) for token in piece.tokens] for one in engines]
    theirs = [token.id for token in tokens[0]]
    ours = [token.id for token in tokens[1]]
    # llama.cpp tells no ids of halves of characters
    assert theirs == ours[: len(theirs)] or set(theirs) <= set(ours)


def test_limits_stops_and_statistics(engines):
    llama_cpp = engines[0]
    text, last = answer(llama_cpp, [40, 41, 42], max_tokens=5, ignore_end=True)
    assert (last.finish, last.statistics.tokens, last.statistics.prompt) == ("length", 5, 3)
    _, again = answer(llama_cpp, [40, 41, 42], max_tokens=5, ignore_end=True)
    assert again.statistics.reused == 2
    whole, _ = answer(llama_cpp, [40, 41, 42], max_tokens=30, ignore_end=True)
    clean = next(one for one in whole if one != "\ufffd")
    text, last = answer(llama_cpp, [40, 41, 42], max_tokens=30, ignore_end=True, stop=(clean,))
    assert (text, last.finish) == (whole.partition(clean)[0], "stop")


def test_cancelling_and_leaving_end_it(engines):
    llama_cpp = engines[0]
    seen = []
    pieces = []
    for piece in llama_cpp.stream([40], Sampling(max_tokens=100, ignore_end=True), lambda: len(seen) >= 3):
        pieces.append(piece)
        seen.append(piece)
    assert pieces[-1].finish == "cancelled"
    assert pieces[-1].statistics.tokens < 100
    stream = llama_cpp.stream([40], Sampling(max_tokens=100, ignore_end=True))
    next(stream)
    with pytest.raises(RuntimeError, match=r"chat\.batch"):
        next(llama_cpp.stream([40]))
    stream.close()
    assert answer(llama_cpp, [40], max_tokens=2, ignore_end=True)[1].finish == "length"


def test_what_it_cannot_do_is_said(engines, tmp_path):
    llama_cpp = engines[0]
    for prompt, told, what in (
        ([], {}, "at least one token"),
        ([1] * 129, {}, "128 at most"),
        ([1], {"beams": 2}, "no beams"),
        ([Message("user", "x" * 500)], {}, "leave room"),
    ):
        with pytest.raises(UserError, match=what):
            llama_cpp.stream(prompt, Sampling(**told))
    with pytest.raises(UserError, match="invalid tokens"):
        list(llama_cpp.stream([10**6], Sampling()))
    with pytest.raises(UserError, match="no such file"):
        LlamaCpp(tmp_path / "none.gguf", TOKENIZER)
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(UserError, match="refuses it"):
        LlamaCpp(tmp_path / "bad.gguf", TOKENIZER)
