"""What is too long is summed up once, several turns at a time; what fits is given as it stands."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netwright.chat.sampling import Sampling
from netwright.chat.summary import ASK, SAID, Summarising
from netwright.chat.turn import Piece
from netwright.core.error import UserError
from netwright.data import prompt
from netwright.data.language import byte_tokenizer
from netwright.data.text import Message

TOKENIZER = byte_tokenizer()
TOLD = Sampling(max_tokens=60)


class Model:
    """A generator that keeps what it is asked, and sums up in a word."""

    tokenizer, longest, precision = TOKENIZER, 1000, "fp32"

    def __init__(self):
        self.asked = []

    def stream(self, messages, sampling=TOLD, cancelled=lambda: False):
        ids, left_out = prompt.fitted(TOKENIZER, messages, self.longest - 1, "refuse")
        assert left_out == 0
        assert len(ids) <= self.longest
        self.asked.append(list(messages))
        yield Piece(f"summary {self.summaries}" if messages[-1].content == ASK else "reply")
        yield Piece("", finish="stop")

    @property
    def summaries(self):
        return sum(messages[-1].content == ASK for messages in self.asked)


def chat(turns, words=60):
    said = []
    for at in range(turns):
        said += [Message("user", f"question {at} " + "w" * words), Message("assistant", f"answer {at}")]
    return said[:-1]


def test_what_fits_is_given_as_it_stands():
    model = Model()
    list(Summarising(model).stream(chat(3), TOLD))
    assert model.asked == [chat(3)]


def test_the_oldest_turns_give_way_to_a_summary_which_is_kept():
    model = Model()
    engine = Summarising(model)
    system = Message("system", "Be kind.")
    counts = []
    for turns in range(1, 25):
        list(engine.stream([system, *chat(turns)], TOLD))
        given = model.asked[-1]
        assert given[0].role == "system"
        assert given[0].content.startswith("Be kind.")
        assert given[-1] == chat(turns)[-1]
        assert model.summaries == 0 or SAID in given[0].content
        counts.append(model.summaries)
    assert counts[0] == 0
    assert 1 <= counts[-1] <= 8  # several turns at a time


def test_a_last_turn_that_is_too_long_is_refused():
    with pytest.raises(UserError, match="leave room"):
        list(Summarising(Model()).stream([*chat(2), Message("user", "x" * 3000)], TOLD))


def test_ids_go_through():
    class Ids:
        tokenizer, longest, precision = TOKENIZER, 10, "fp32"

        def stream(self, ids, sampling, cancelled):
            return iter([Piece(str(ids), finish="stop")])

    assert [piece.text for piece in Summarising(Ids()).stream([1, 2])] == ["[1, 2]"]


@given(
    st.lists(st.tuples(st.sampled_from(["user", "assistant", "system"]), st.integers(0, 400)), min_size=1, max_size=14)
)
def test_any_conversation_is_answered_or_refused(shape):
    messages = [Message(role, "w" * length) for role, length in shape]
    model = Model()
    try:
        list(Summarising(model).stream(messages, TOLD))
    except UserError:
        return
    assert model.asked[-1][-1] == messages[-1]
