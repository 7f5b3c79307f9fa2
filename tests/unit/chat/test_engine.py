"""Replies in whole characters, stop texts, cancelling, prefixes read once, faults, and lookup that changes nothing."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.chat.engine import Engine
from netwright.chat.sampling import Sampling
from netwright.chat.scripted import Scripted
from netwright.core.error import UserError
from netwright.data.language import byte_tokenizer
from netwright.data.text import Message
from netwright.export import decoding
from small_language import LLAMA, language_artifact

TOKENIZER = byte_tokenizer()
END = TOKENIZER.stop[0]
V = len(TOKENIZER)


def scripted(text, **about):
    return Scripted([*TOKENIZER.literal(text), END], V, **about)


def said(pieces):
    pieces = list(pieces)
    assert all(piece.finish is None for piece in pieces[:-1])
    assert pieces[-1].finish is not None
    assert "\ufffd" not in "".join(piece.text for piece in pieces)
    return "".join(piece.text for piece in pieces), pieces[-1]


@given(st.text(max_size=20).filter(lambda text: text.encode("utf-8", "ignore").decode() == text), st.booleans())
def test_every_piece_is_whole_and_all_of_them_are_the_reply(text, lookup):
    text = text.replace("\ufffd", "")
    engine = Engine(scripted(text), TOKENIZER, lookup=lookup)
    pieces = list(engine.stream([0, 1], Sampling()))
    assert "".join(piece.text for piece in pieces) == text
    assert [token.id for piece in pieces for token in piece.tokens] == TOKENIZER.literal(text)
    assert pieces[-1].finish == "stop"
    assert pieces[-1].statistics.tokens == len(text.encode())
    for piece in pieces:
        piece.text.encode()


@given(st.text(alphabet="ab🙂漢", min_size=1, max_size=12), st.text(alphabet="ab🙂漢", min_size=1, max_size=3))
def test_a_stop_text_over_tokens_is_never_shown(text, stop):
    text, last = said(Engine(scripted(before := text), TOKENIZER).stream([0], Sampling(stop=(stop,))))
    assert text == before.partition(stop)[0]
    assert last.finish == "stop"


def test_a_reply_ends_at_max_tokens_and_at_the_longest_text():
    text, last = said(Engine(scripted("abcdef"), TOKENIZER).stream([0], Sampling(max_tokens=3)))
    assert (text, last.finish, last.statistics.tokens) == ("abc", "length", 3)
    text, last = said(Engine(scripted("abcdef", longest=4), TOKENIZER).stream([0, 1], Sampling()))
    assert (text, last.finish) == ("abc", "length")  # 2 read, 2 more, and one that is not read any more
    whole = list(Engine(scripted("🙂"), TOKENIZER).stream([0], Sampling(max_tokens=2)))
    assert [piece.text for piece in whole] == ["\ufffd"]  # cut in the middle by the limit: said as what it is


def test_cancelling_ends_within_a_token():
    for count in range(6):
        decoder = scripted("abcdef")
        asked = itertools.count()
        pieces = list(
            Engine(decoder, TOKENIZER).stream([0], Sampling(), lambda count=count, asked=asked: next(asked) >= count)
        )
        assert pieces[-1].finish == "cancelled"
        assert "".join(piece.text for piece in pieces) == "abcdef"[:count]
        assert sum(decoder.fed) == count  # nothing is computed after
    decoder = scripted("x")
    long = list(Engine(decoder, TOKENIZER).stream([0] * 2000, Sampling(), lambda: len(decoder.fed) == 2))
    assert (long[-1].finish, decoder.fed) == ("cancelled", [512, 512])


def test_a_conversation_is_read_from_where_it_differs():
    decoder = scripted("abc")
    engine = Engine(decoder, TOKENIZER)
    said(engine.stream([5, 6, 7], Sampling()))
    decoder.fed.clear()
    _, last = said(engine.stream([5, 6, 7, *TOKENIZER.literal("abc"), 9], Sampling()))
    assert (last.statistics.prompt, last.statistics.reused) == (7, 6)
    assert decoder.fed[0] == 1
    _, last = said(engine.stream([5, 6, 7], Sampling()))
    assert last.statistics.reused == 2  # the last token is read for its logits
    _, last = said(engine.stream([8], Sampling()))
    assert last.statistics.reused == 0
    engine.forget()
    assert said(engine.stream([8], Sampling()))[1].statistics.reused == 0


@settings(max_examples=60)
@given(st.lists(st.tuples(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.integers(0, 7)), max_size=5))
def test_replies_left_half_way_leave_no_trace(requests):
    def line(ids):
        return (sum(ids[-3:]) * 7 + len(ids)) % 4

    engine = Engine(Scripted(line, V), TOKENIZER)
    for ids, taken in requests:
        stream = engine.stream(ids, Sampling(max_tokens=8, ignore_end=True, logprobs=1))
        list(itertools.islice(stream, taken))
        stream.close()
        fresh = Engine(Scripted(line, V), TOKENIZER, lookup=False)
        told = Sampling(max_tokens=8, ignore_end=True)
        wanted = [token.id for piece in fresh.stream(ids, told) for token in piece.tokens]
        assert [token.id for piece in engine.stream(ids, told) for token in piece.tokens] == wanted


def test_a_decoder_that_fails_leaves_an_engine_that_works():
    decoder = scripted("abcdef", fail_after=3)
    engine = Engine(decoder, TOKENIZER)
    with pytest.raises(RuntimeError, match="fails here"):
        list(engine.stream([0], Sampling()))
    decoder.fail_after = 1 << 60
    assert said(engine.stream([0], Sampling()))[0] == "abcdef"


def test_two_replies_at_once_are_refused():
    engine = Engine(scripted("abc"), TOKENIZER)
    first = engine.stream([0])
    next(first)
    with pytest.raises(RuntimeError, match=r"chat\.batch"):
        next(engine.stream([0]))
    first.close()
    assert said(engine.stream([0]))[0] == "abc"


def test_what_cannot_be_read_is_refused_before_any_work():
    decoder = scripted("abc", longest=8)
    engine = Engine(decoder, TOKENIZER)
    for ids, what in (([], "at least one token"), ([0] * 9, "8 at most"), ([V], "ids from 0"), ([-1], "ids from 0")):
        with pytest.raises(UserError, match=what):
            engine.stream(ids)
    with pytest.raises(UserError, match="the last one"):
        engine.stream([Message("user", "too long for eight")])
    assert decoder.fed == []


def test_a_long_conversation_slides_and_says_so():
    engine = Engine(scripted("ok", longest=200), TOKENIZER)
    messages = [Message("system", "S")]
    for at in range(5):
        messages += [Message("user", f"q{at}"), Message("assistant", f"a{at}")]
    _, last = said(engine.stream([*messages, Message("user", "now")], Sampling(max_tokens=10)))
    assert last.statistics.left_out > 0
    assert last.statistics.prompt <= 190
    refusing = Engine(scripted("ok", longest=200), TOKENIZER, long="refuse")
    with pytest.raises(UserError, match="shorten the conversation"):
        refusing.stream([*messages, Message("user", "now")])


def test_logprobs_are_those_of_the_model():
    pieces = list(Engine(scripted("ab"), TOKENIZER).stream([0], Sampling(logprobs=2)))
    first = pieces[0].tokens[0]
    x = -np.abs(np.arange(V) - first.id).astype(float)
    x[first.id] = 10
    assert first.logprob == pytest.approx(10 - np.log(np.exp(x).sum()), abs=1e-5)
    assert first.instead[0] == (first.id, first.logprob)
    assert len(first.instead) == 2


def test_beams_answer_the_scripted_reply():
    text, last = said(Engine(scripted("ab"), TOKENIZER).stream([0], Sampling(beams=2, max_tokens=5)))
    assert (text, last.finish) == ("ab", "stop")


@settings(max_examples=40)
@given(st.lists(st.integers(0, 4), min_size=3, max_size=40), st.integers(1, 7), st.integers(0, 2**31), st.booleans())
def test_lookup_changes_no_token(prompt, period, seed, warm):
    def line(ids):
        return (len(ids) % period + ids[-1]) % 5 if len(ids) % 11 else 3

    told = Sampling(max_tokens=60, ignore_end=True, temperature=0.7 if warm else 0.0, seed=seed)
    found = []
    for lookup in (False, True):
        decoder = Scripted(line, V)
        clock = (float(n) for n in itertools.count())
        engine = Engine(decoder, TOKENIZER, lookup=lookup, clock=lambda clock=clock: next(clock))
        pieces = list(engine.stream(prompt, told))
        found.append([token.id for piece in pieces for token in piece.tokens])
        assert len(decoder) == len(prompt) + 59
    assert found[0] == found[1]


@pytest.fixture(scope="module")
def tiny_llama(tmp_path_factory):
    return language_artifact(tmp_path_factory.mktemp("engine") / "a", LLAMA)


def test_a_network_answers_the_same_with_and_without_lookup_and_prefix(tiny_llama):
    told = Sampling(max_tokens=40, ignore_end=True)
    prompt = TOKENIZER.literal("abc abc abc abc abc ")
    found = []
    for lookup in (False, True, True):
        engine = Engine(decoding.open(tiny_llama), TOKENIZER, lookup=lookup)
        for _ in range(2):
            pieces = list(engine.stream(prompt, told))
            found.append([token.id for piece in pieces for token in piece.tokens])
    assert all(ids == found[0] for ids in found)
