"""Requests are answered each with its own pieces, one after another or together; faults belong to who asked."""

import threading

import pytest

from netwright.chat.batch import InTurn, Together
from netwright.chat.engine import Engine
from netwright.chat.sampling import Sampling
from netwright.chat.scripted import Scripted
from netwright.chat.turn import Piece
from netwright.core.error import UserError
from netwright.data.language import byte_tokenizer
from netwright.export.decoding.paged import PagedDecoder, PagedSession

TOKENIZER = byte_tokenizer()


def echo(ids):
    """Answers with the first id of the prompt."""
    return TOKENIZER.stop[0] if len(ids) > 6 else ids[0]


def text(reply):
    return "".join(piece.text for piece in reply)


@pytest.mark.parametrize("engines", [1, 3])
def test_replies_are_not_mixed_up(engines):
    with InTurn([Engine(Scripted(echo, 257), TOKENIZER) for _ in range(engines)]) as batch:
        replies = [batch.submit([at, 0, 0]) for at in range(20)]
        assert [text(reply) for reply in replies] == [TOKENIZER.decode([at]) * 4 for at in range(20)]


class Slow:
    """A generator that waits to be cancelled."""

    tokenizer, longest, precision = TOKENIZER, 10, "fp32"

    def __init__(self):
        self.begun = threading.Event()

    def stream(self, prompt, sampling=Sampling(), cancelled=lambda: False):  # noqa: B008
        self.begun.set()
        while not cancelled():
            threading.Event().wait(0.005)
        yield Piece("", finish="cancelled")


def test_a_reply_is_cancelled_before_and_while_it_is_answered_and_a_full_queue_says_so():
    slow = Slow()
    with InTurn([slow], waiting=1) as batch:
        first = batch.submit([0])
        slow.begun.wait()
        second = batch.submit([0])
        with pytest.raises(UserError, match="wait at most"):
            batch.submit([0])
        second.cancel()
        first.cancel()
        assert [piece.finish for reply in (first, second) for piece in reply] == ["cancelled", "cancelled"]
    with pytest.raises(RuntimeError, match="closed"):
        batch.submit([0])


def test_a_fault_reaches_who_asked_and_nobody_else():
    with InTurn([Engine(Scripted(echo, 257), TOKENIZER)]) as batch:
        bad, good = batch.submit([]), batch.submit([1, 0, 0])
        with pytest.raises(UserError, match="at least one token"):
            text(bad)
        assert text(good)


@pytest.fixture(scope="session")
def file(written):
    return written[1]["openvino"]


PROMPTS = [[at, at + 1, at + 2][: 1 + at % 3] for at in range(9)] + [[5] * 40, [5] * 40 + [6]]


def ids(reply):
    return [token.id for piece in reply for token in piece.tokens]


@pytest.mark.parametrize("told", [Sampling(max_tokens=5), Sampling(max_tokens=5, temperature=0.8, seed=3)])
@pytest.mark.parametrize("streams", [1, 3, 64])
def test_together_each_reply_is_what_it_is_alone(told, streams, file):
    engine = Engine(PagedDecoder(PagedSession(file, 1)), TOKENIZER)
    alone = [ids(engine.stream(prompt, told)) for prompt in PROMPTS]
    with Together(PagedSession(file, 1), TOKENIZER, streams=streams) as batch:
        replies = [batch.submit(prompt, told) for prompt in PROMPTS]
        assert [ids(reply) for reply in replies] == alone


def test_together_what_is_wrong_is_told_to_who_asked(file):
    with Together(PagedSession(file, 1), TOKENIZER) as batch:
        wrong = [batch.submit(prompt) for prompt in ([], [1] * 60, [9999])]
        beams = batch.submit([1], Sampling(beams=2))
        right = batch.submit([1, 2], Sampling(max_tokens=3))
        for reply in (*wrong, beams):
            with pytest.raises(UserError):
                list(reply)
        assert len(ids(right)) <= 3


def test_together_a_fault_of_the_runtime_ends_what_was_read_and_nothing_after_it(file, monkeypatch):
    session = PagedSession(file, 1)
    with Together(session, TOKENIZER) as batch:
        healthy = session.read

        def fails(*told, **more):
            monkeypatch.setattr(session, "read", healthy)
            raise RuntimeError("the runtime fails here")

        monkeypatch.setattr(session, "read", fails)
        with pytest.raises(RuntimeError, match="fails here"):
            list(batch.submit([1, 2]))
        assert ids(batch.submit([1, 2], Sampling(max_tokens=2, ignore_end=True)))
    assert session.book.left == session.book.most


def test_together_a_cancelled_reply_leaves_its_pages(file):
    session = PagedSession(file, 1)
    with Together(session, TOKENIZER) as batch:
        told = Sampling(max_tokens=40, ignore_end=True)
        replies = [batch.submit([at], told) for at in range(4)]
        replies[1].cancel()
        last = [list(reply)[-1] for reply in replies]
    assert [piece.finish for piece in last] == ["length", "cancelled", "length", "length"]
    assert last[1].statistics.tokens < 40
    assert session.book.left == session.book.most


def test_together_requests_wait_for_pages_and_all_are_answered(file):
    page = PagedSession(file, 1).page_bytes
    session = PagedSession(file, 1, memory=5 * page)
    with Together(session, TOKENIZER) as batch:
        replies = [batch.submit([at], Sampling(max_tokens=8, ignore_end=True)) for at in range(9)]
        assert [len(ids(reply)) for reply in replies] == [8] * 9
        again = list(batch.submit([3] * 40, Sampling(max_tokens=2, ignore_end=True)))[-1]
        more = list(batch.submit([3] * 40 + [4], Sampling(max_tokens=2, ignore_end=True)))[-1]
    assert (again.statistics.reused, more.statistics.reused) == (0, 32)
