"""Every beginning of an object is taken, whatever is taken whole is JSON, and replies are it under any logits."""

import json
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.chat import json_object
from netwright.chat.engine import Engine
from netwright.chat.json_object import DONE, START, JsonReply, Vocabulary, advance, read, vocabulary
from netwright.chat.sampling import Sampler, Sampling
from netwright.chat.scripted import Scripted
from netwright.core.error import UserError
from netwright.data.language import byte_tokenizer

BYTES = byte_tokenizer()
TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(TEXT, VALUES, max_size=4)


@settings(max_examples=300, deadline=None)
@given(
    OBJECTS,
    st.booleans(),
    st.sampled_from([None, 0, 1, 4, "\t"]),
    st.sampled_from([(", ", ": "), (",", ":"), (" ,\n", "\t: ")]),
)
def test_every_beginning_of_an_object_is_one(value, ascii, indent, separators):
    text = json.dumps(value, ensure_ascii=ascii, indent=indent, separators=separators).encode()
    state = START
    for at, byte in enumerate(text):
        state = advance(state, byte)
        assert state is not None, text[: at + 1]
        assert (state.place == DONE) == (at == len(text) - 1)
    assert read(state, b" \n") is not None
    assert read(state, b"x") is None


@settings(max_examples=300, deadline=None)
@given(OBJECTS, st.data())
def test_what_is_taken_whole_is_json_whatever_was_changed(value, data):
    text = bytearray(json.dumps(value, ensure_ascii=False).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        kind = data.draw(st.sampled_from(["change", "insert", "remove"]))
        byte = data.draw(st.sampled_from(list(b'{}[]":,0123456789.-+eEtfn\\u/ \n\x00\x1f\x7f\x80\xc3\xed\xf5\xff')))
        text[at : at + (kind != "insert")] = b"" if kind == "remove" and len(text) > 1 else bytes([byte])
    state = read(START, bytes(text))
    if state is not None and state.place == DONE:
        assert isinstance(json.loads(bytes(text)), dict)
    else:
        whole = True
        try:
            whole = isinstance(json.loads(bytes(text)), dict)
        except ValueError:
            whole = False
        taken_by_python_alone = b"NaN" in text or b"Infinity" in text
        assert not whole or taken_by_python_alone, text


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32))
def test_a_walk_at_random_ends_in_json(seed):
    chance, state, text = random.Random(seed), START, b""
    while state.place != DONE and len(text) < 3000:
        fine = [byte for byte in range(256) if advance(state, byte) is not None]
        assert fine, text
        ending = [byte for byte in fine if byte in b'}]"']
        byte = chance.choice(ending if ending and len(text) > 60 else fine)
        state, text = advance(state, byte), text + bytes([byte])
    assert state.place == DONE
    assert isinstance(json.loads(text), dict)


@pytest.mark.parametrize(
    "text",
    ["[", '"', "1", "x", "```", "{,", "{]", '{"a"}', '{"a":}', '{"a":1,}', "{'a'", '{"a":01', '{"a":1.}', '{"a":.1',
     '{"a":+1', '{"a":1e}', '{"a":tru}', '{"a":nul1', '{"a":"\\x', '{"a":"\\u12g', '{"a":"\n', '{"a":[1,]', '{"a":[1}',
     '{"a":{]', "{}{", '{"a":--1', '{"a" 1', '{"a":1 2', '{"a"::', "{{"],
)  # fmt: skip
def test_what_begins_no_object(text):
    assert read(START, text.encode()) is None


@pytest.mark.parametrize(
    "text", [b'{"\x80', b'{"\xc0\x80', b'{"\xed\xa0\x80', b'{"\xf5', b'{"\xe0\x80', b'{"\xc3"', b'{"\xf4\x90']
)
def test_bytes_that_are_no_text(text):
    assert read(START, text) is None


def test_bounds():
    assert read(START, b'{"a":' * json_object.DEPTH + b"1") is not None
    assert read(START, b'{"a":' * (json_object.DEPTH + 1)) is None
    assert read(START, b'{"a":' + b" " * json_object.WHITE) is not None
    assert read(START, b'{"a":' + b" " * (json_object.WHITE + 1)) is None
    assert read(START, b'{"a":' + b"1" * json_object.DIGITS) is not None
    assert read(START, b'{"a":' + b"1" * (json_object.DIGITS + 1)) is None


def words(chance, count=300):
    """A vocabulary of every byte and of texts as tokenizers make them."""
    made = {bytes([at]) for at in range(256)}
    while len(made) < 256 + count:
        made.add(
            "".join(chance.choices('{}[]":, \n\\u0123e-+.truefalsn aé€😀', k=chance.randint(2, 6))).encode()[
                : chance.randint(2, 9)
            ]
        )
    return [*sorted(made), None, b""]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_a_mask_is_what_each_token_says(seed):
    chance = random.Random(seed)
    spellings = words(chance)
    vocabulary_ = Vocabulary(spellings)
    state, text = START, b""
    for _ in range(60):
        expected = [bool(one) and read(state, one) is not None for one in spellings]
        assert vocabulary_.mask(state).tolist() == expected, text
        fine = [one for one, right in zip(spellings, expected, strict=True) if right]
        if state.place == DONE or not fine:
            break
        chosen = chance.choice(fine)
        state, text = read(state, chosen), text + chosen


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("top_p", [1.0, 0.5])
def test_under_any_logits_a_reply_is_json(temperature, top_p):
    spellings = words(random.Random(1))
    one, generator = Vocabulary(spellings), np.random.default_rng(0)
    whole = 0
    for seed in range(20):
        sampler = Sampler(Sampling(temperature=temperature, top_p=top_p, seed=seed))
        reply, text = JsonReply(one), b""
        for _ in range(400):
            logits_V = generator.normal(size=len(spellings) + 3).astype(np.float32) * 3
            logits_V[[at for at, word in enumerate(spellings) if word in (b"}", b'"', b"]")]] += 2
            before = logits_V.copy()
            text += spellings[reply.choose(logits_V, sampler.choose)]
            assert np.array_equal(before, logits_V)
            if reply.complete:
                break
        assert read(START, text) is not None
        if reply.complete:
            assert isinstance(json.loads(text), dict)
            whole += 1
    assert whole > 5


def test_hopeless_logits_and_a_vocabulary_without_brackets():
    reply = JsonReply(Vocabulary([b"{", b"}", None]))
    assert reply.choose(np.full(3, np.nan, np.float32), Sampler(Sampling()).choose) == 0
    assert reply.choose(np.full(3, -np.inf, np.float32), Sampler(Sampling(temperature=1)).choose) == 1
    assert reply.complete
    with pytest.raises(RuntimeError, match="no token"):
        JsonReply(Vocabulary([b"a", b"b"])).choose(np.zeros(2, np.float32), Sampler(Sampling()).choose)


def test_an_engine_that_would_chatter_answers_an_object():
    chatter = Scripted([*BYTES.literal('Sure! {"a": [1, 2]} Bye'), 256], 257)
    pieces = list(Engine(chatter, BYTES).stream([1], Sampling(json=True, max_tokens=200)))
    text = "".join(piece.text for piece in pieces)
    assert pieces[-1].finish in ("stop", "length")
    assert read(START, text.encode()) is not None
    lines = [*BYTES.literal('{"a": [1, 2]} and so on')]
    pieces = list(Engine(Scripted(lines, 257), BYTES).stream([1], Sampling(json=True, max_tokens=200)))
    assert ("".join(piece.text for piece in pieces), pieces[-1].finish) == ('{"a": [1, 2]}', "stop")


def test_a_setting_that_cannot_be():
    for wrong in ({"json": 1}, {"json": True, "beams": 2}):
        with pytest.raises(UserError, match="json"):
            Sampling(**wrong)


def test_fifty_thousand_tokens_cost_little():
    chance = random.Random(3)
    letters = [*"abcdefghijklmnopqrstuvwxyz", *"ABC 0123456789", " ", " ", '"', ",", "{", "}", ":", "\n", "é"]
    made = {bytes([at]) for at in range(256)}
    while len(made) < 49_152:
        made.add("".join(chance.choices(letters, k=chance.randint(2, 9))).encode())
    spellings = sorted(made)
    one = Vocabulary(spellings)
    for text in (b"", b"{", b'{"a', b'{"a"', b'{"a":', b'{"a":[1', b'{"a":[1,"b"'):
        one.mask(read(START, text))
    kept = one.mask(read(START, b'{"a":[1,"b"'))
    assert one.mask(read(START, b'{"a":[1,"b"')) is kept  # made once a state
    assert 0 < kept.sum() < len(spellings)


def test_a_vocabulary_is_made_once():
    assert vocabulary(byte_tokenizer()) is vocabulary(byte_tokenizer())
