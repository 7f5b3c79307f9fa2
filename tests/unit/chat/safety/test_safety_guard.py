"""Replies filtered as they grow: nothing hidden is shown, wherever pieces are cut; a block ends a reply at once."""

import itertools
import json
import re
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.chat.batch import InTurn
from netwright.chat.engine import Engine
from netwright.chat.safety import journal, personal, rules, words
from netwright.chat.safety.finding import Finding, whole
from netwright.chat.safety.guard import Guard, Guarded
from netwright.chat.safety.rules import Rule, Rules
from netwright.chat.sampling import Sampling
from netwright.chat.scripted import Scripted
from netwright.chat.turn import Piece
from netwright.data.language import byte_tokenizer
from netwright.data.text import Message

TOKENIZER = byte_tokenizer()
END = TOKENIZER.stop[0]


class Sentences:
    """A filter that tells sentences in capitals, as late as it may."""

    name = "sentences"

    def check(self, text):
        return whole(self.scan(), text)

    def scan(self):
        return LateScan()


class LateScan:
    def __init__(self):
        self.settled, self._held = 0, ""

    def push(self, text, end=False):
        self._held += text
        found, begun = [], 0
        while begun < len(self._held):
            at = self._held.find(".", begun, begun + 40) + 1
            if not at and len(self._held) - begun >= 40:
                at = begun + 40
            at = at or (len(self._held) if end else 0)
            if not at:
                break
            if re.search(r"[A-Z]{3}", self._held[begun:at]):
                found.append(Finding("loud", self.settled, self.settled + at - begun, 0.7, "capitals"))
            self.settled += at - begun
            begun = at
        self._held = self._held[begun:]
        return found


MINE = words.Words([("mild", "darn"), ("mild", "*zonk*"), ("said", "secret plan b"), ("said", "secret")])
BAD = words.Words([("bad", "stop here"), ("bad", "quit")])
FILTERS = {
    "mask": (Rule(MINE, "mask", "both", 0.5), Rule(personal.Personal(), "mask", "both", 0.75)),
    "late": (
        Rule(MINE, "mask", "both", 0.95),
        Rule(Sentences(), "mask", "reply", 0.5),
        Rule(personal.Personal(), "log", "reply", 0),
    ),
    "block": (
        Rule(personal.Personal(), "mask", "reply", 0.75),
        Rule(BAD, "block", "both", 0.5),
        Rule(MINE, "mask", "both", 0.5),
    ),
    "all": (Rule(BAD, "block", "both", 1.0), Rule(Sentences(), "log", "reply", 0.5), Rule(MINE, "log", "both", 0.5)),
}
PARTS = st.sampled_from(
    [
        "darn",
        "d.a.r.n ",
        " ",
        "secret",
        " plan",
        " b",
        "zonk",
        "quit",
        "stop",
        " here",
        ".",
        "ABC",
        "4111 1111 1111 1111",
        "ann@shop.org",
        "sk" + "-proj-" + "a1B2" * 90,
        "x" * 80,
        "\u200b",
        "ordinary words ",
        "\n",
        "Ｄarn",
        "-----BEGIN" + " PRIVATE KEY-----\n",
        "A1b2C3d4" * 8 + "\n",
        "-----END" + " PRIVATE KEY-----",
        "q u i t",
    ]
)


def pieces(parts, finish="stop"):
    yield from (Piece(part) for part in parts)
    yield Piece("", (), finish)


def cut(text, cuts):
    places = sorted({0, len(text), *(min(at, len(text)) for at in cuts)})
    return [text[a:b] for a, b in itertools.pairwise(places)]


@pytest.mark.parametrize("name", FILTERS)
@settings(max_examples=150, deadline=None)
@given(parts=st.lists(PARTS, max_size=16), cuts=st.lists(st.integers(0, 1500), max_size=25))
def test_chunks_change_nothing_that_is_shown_or_decided(name, parts, cuts):
    text = "".join(parts)
    guard = Guard(Rules(FILTERS[name], "Calm."))
    verdict = guard.answered(text)
    for chunks in (cut(text, cuts), list(text)):
        flow = guard.flow()
        shown = "".join([*(flow.push(chunk) for chunk in chunks), flow.push("", end=True)])
        assert shown == verdict.text
        assert flow.blocked == (verdict.action == "block")
        assert flow.held == 0
        assert tuple(flow.decisions) == verdict.decisions
        got = list(guard.reply(pieces(chunks)))
        said = "".join(piece.text for piece in got)
        calm = "" if verdict.action != "block" else "\n\nCalm." if verdict.text else "Calm."
        assert said == verdict.text + calm
        assert got[-1].finish == ("blocked" if verdict.action == "block" else "stop")
        assert all(piece.finish is None for piece in got[:-1])


@settings(max_examples=200, deadline=None)
@given(st.lists(PARTS, max_size=16), st.lists(st.integers(0, 1500), max_size=25))
def test_nothing_that_is_found_is_shown(parts, cuts):
    """Told by another count than the guard's: take away what the filters find, and the rest is what is shown."""
    text = "".join(parts)
    hidden = [one for rule in FILTERS["mask"] for one in rule.filter.check(text) if rule.counts(one)]
    flow = Guard(Rules(FILTERS["mask"])).flow()
    shown = "".join([*(flow.push(chunk) for chunk in cut(text, cuts)), flow.push("", end=True)])
    kept = "".join(one for at, one in enumerate(text) if not any(h.start <= at < h.end for h in hidden))
    assert re.sub(r"\[(mild|said|e-mail|credit card|OpenAI key|private key|phone|IP address|IBAN)\]", "", shown) == kept


@pytest.mark.parametrize("unit", ["darn ", "ann@shop.org ", "words ", "quit. ", "ABC. ", "!", "A1b2"])
def test_long_texts_are_read_whole(unit):
    """With findings everywhere, and in one piece; `benchmarks/safety.py --linear` measures the time."""
    rules = Rules((*FILTERS["mask"], Rule(Sentences(), "log", "reply", 0.5), Rule(BAD, "log", "both", 0.5)))
    small, large = (Guard(rules).answered(unit * (count // len(unit))) for count in (10_000, 40_000))
    assert len(large.decisions) >= len(small.decisions)
    assert len(large.text) >= len(small.text)


def test_a_mask_says_the_kind_and_overlaps_are_one():
    guard = Guard(Rules(FILTERS["mask"]))
    verdict = guard.answered("my secret plan b is ann@shop.org, darn")
    assert verdict.text == "my [said] is [e-mail], [mild]"
    assert verdict.action == "mask"
    assert guard.asked("nothing").action == "pass"


def test_ordinary_text_flows_word_by_word():
    flow = Guard(Rules(FILTERS["block"])).flow()
    text = "The quick brown fox jumps over the lazy dog and is never held back for long by any of the filters here. "
    for at, one in enumerate(text, 1):
        flow.push(one)
        assert at - flow.shown <= 10


def engine(text, **about):
    decoder = Scripted([*TOKENIZER.literal(text), END], len(TOKENIZER), **about)
    return decoder, Engine(decoder, TOKENIZER, lookup=False)


def test_a_blocked_reply_ends_its_computation_and_says_a_calm_sentence():
    decoder, answering = engine("Well, you should quit now" + " and more" * 100)
    told = list(Guarded(answering, Guard(Rules(FILTERS["block"], "Calm."))).stream([1], Sampling(max_tokens=2000)))
    assert "".join(piece.text for piece in told) == "Well, you should \n\nCalm."
    assert told[-1].finish == "blocked"
    assert told[-1].statistics.tokens == sum(decoder.fed) <= len("Well, you should quit n") + 1
    assert list(answering.stream([1], Sampling(max_tokens=1)))  # the engine is free again


def test_a_reader_that_leaves_ends_the_computation():
    decoder, answering = engine("word " * 100)
    stream = Guarded(answering, Guard(Rules(FILTERS["block"]))).stream([1], Sampling(max_tokens=2000))
    next(stream)
    stream.close()
    read = sum(decoder.fed)
    assert read < 20
    assert list(answering.stream([1], Sampling(max_tokens=1)))
    assert sum(decoder.fed) == read + 1


def test_a_reply_of_a_batch_is_cancelled():
    decoder, answering = engine("so quit" + " more" * 200)
    with InTurn([answering]) as batch:
        reply = batch.submit([1], Sampling(max_tokens=2000))
        told = list(Guard(Rules(FILTERS["block"], "Calm.")).reply(reply, reply.cancel))
    assert "".join(piece.text for piece in told) == "so \n\nCalm."
    assert reply.cancelled.is_set()
    assert sum(decoder.fed) < 1000


def test_a_fault_of_the_engine_is_raised_and_what_is_held_back_is_not_shown():
    _, answering = engine("one darn thing", fail_after=8)
    seen = []
    stream = Guarded(answering, Guard(Rules(FILTERS["mask"]))).stream([1], Sampling(max_tokens=50))
    with pytest.raises(RuntimeError, match="fails here"):
        seen.extend(piece.text for piece in stream)
    assert "".join(seen) == "one"


def test_tokens_are_told_only_where_nothing_can_be_hidden():
    _, answering = engine("a darn thing")
    hidden = list(Guarded(answering, Guard(Rules(FILTERS["mask"]))).stream([1], Sampling(max_tokens=50)))
    assert not any(piece.tokens for piece in hidden)
    logged = Rules(tuple(rule for rule in FILTERS["all"] if rule.action == "log"))
    told = list(Guarded(answering, Guard(logged)).stream([1], Sampling(max_tokens=50)))
    assert [token.id for piece in told for token in piece.tokens] == TOKENIZER.literal("a darn thing")
    assert "".join(piece.text for piece in told) == "a darn thing"


class Recorder:
    tokenizer, longest, precision = TOKENIZER, 1000, "fp32"

    def __init__(self):
        self.prompts = []

    def stream(self, prompt, sampling=None, cancelled=lambda: False):
        self.prompts.append(prompt)
        return pieces(["ok"])


def test_what_is_asked_is_masked_or_blocked_before_any_work(tmp_path):
    with journal.Journal(journal.Config(file="j"), tmp_path) as told:
        check_what_is_asked(Guard(Rules(FILTERS["block"], "Calm."), told), tmp_path)


def check_what_is_asked(guard, tmp_path):
    recorder = Recorder()
    guarded = Guarded(recorder, guard)
    assert (guarded.tokenizer, guarded.longest, guarded.precision) == (TOKENIZER, 1000, "fp32")
    before = [Message("system", "darn"), Message("user", "darn one"), Message("assistant", "darn two")]
    assert [piece.text for piece in guarded.stream([*before, Message("user", "a zonky day")])] == ["ok"]
    assert [one.content for one in recorder.prompts[0]] == ["darn", "[mild] one", "darn two", "a [mild] day"]
    rows = [json.loads(line) for line in (tmp_path / "j").read_text().splitlines()]
    assert [(row["side"], row["action"]) for row in rows] == [("asked", "mask")]  # of the last message alone
    (piece,) = guarded.stream([*before, Message("user", "stop here")])
    assert (piece.text, piece.finish, piece.statistics.tokens) == ("Calm.", "blocked", 0)
    (piece,) = guarded.stream([Message("user", "quit"), Message("assistant", "no"), Message("user", "hi")])
    assert piece.finish == "blocked"
    assert len(recorder.prompts) == 1
    list(guarded.stream(TOKENIZER.literal("so darn it")))
    assert TOKENIZER.decode(recorder.prompts[1]) == "so [mild] it"
    (piece,) = guarded.stream(TOKENIZER.literal("stop here"))
    assert piece.finish == "blocked"


def test_without_rules_nothing_changes():
    _, answering = engine("a darn thing")
    plain = list(answering.stream([1], Sampling(max_tokens=50)))
    same = list(Guarded(answering, Guard(Rules(()))).stream([1], Sampling(max_tokens=50)))
    assert [(one.text, one.tokens, one.finish) for one in same] == [(one.text, one.tokens, one.finish) for one in plain]


def test_many_replies_at_once_do_not_mix(tmp_path):
    told = journal.Journal(journal.Config(file="j"), tmp_path)
    guard, out = Guard(Rules(FILTERS["mask"]), told), {}

    def run(n):
        out[n] = "".join(piece.text for piece in guard.reply(pieces([f"reply {n} ", "da", "rn ", "end"])))

    threads = [threading.Thread(target=run, args=(n,)) for n in range(20)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    told.close()
    assert out == {n: f"reply {n} [mild] end" for n in range(20)}
    assert len((tmp_path / "j").read_text().splitlines()) == 20


def test_defaults_of_an_owner_guard_a_reply():
    guard = Guard(rules.opened(rules.from_values({"requests": {"action": "off"}})))
    assert guard.answered("Mail ann@shop.org, sh1t!").text == "Mail [e-mail], [profanity]!"
    assert guard.asked("I am ann@shop.org, sh1t!").text == "I am ann@shop.org, [profanity]!"
