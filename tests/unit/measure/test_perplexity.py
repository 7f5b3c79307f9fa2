"""Perplexity by a sliding window: what torch computes itself, by token and by byte, alone and in pairs."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.core.error import UserError
from netwright.data.language import byte_tokenizer
from netwright.data.text import Message, Record
from netwright.data.tokenizer import Tokenizer
from netwright.measure import likelihood, perplexity
from netwright.measure.perplexity import Config, _bytes, _windows
from netwright.models.load import open_model
from small_languages import small_llama, text_file


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A small model as it was drawn, and the same one trained."""
    folder = tmp_path_factory.mktemp("pair")
    data = text_file(folder)
    return small_llama(folder / "a", data), small_llama(folder / "b", data, 40), data


def direct(artifact, ids, window, stride):
    """Losses of ids[1:], by torch, a window at a time from its own beginning."""
    model, found = open_model(artifact), []
    for first in [1, *range(window, len(ids), stride)]:
        end = min(window if first == 1 else first + stride, len(ids))
        begin = 0 if first == 1 else first - (window - stride)
        with torch.inference_mode():
            logits = model(torch.tensor([ids[begin:end]]))[0]
        losses = torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(ids[begin + 1 : end]), reduction="none")
        found.append(losses[first - begin - 1 :].numpy())
    return np.concatenate(found)


@pytest.mark.parametrize(("window", "stride"), [(64, 32), (33, 7), (16, 15), (8, 1), (256, 128)])
def test_it_is_what_torch_computes(pair, window, stride):
    artifact, _, data = pair
    text = data.read_text()[:300]
    seen = perplexity.read(artifact, [text], Config(window=window, stride=stride))
    ids = Tokenizer.read(artifact.folder, artifact.processor).encode(text)
    wanted = direct(artifact, ids, window, stride)
    np.testing.assert_allclose(seen.seen.loss_N, wanted, rtol=2e-5)
    found, bits = seen.measurements()
    assert found.value == pytest.approx(math.exp(wanted.mean()), rel=1e-5)
    assert found.low < found.value < found.high
    assert bits.quantity == "bits_per_byte"
    assert bits.value == pytest.approx(wanted.mean() / math.log(2), rel=1e-5)  # every token is a byte
    assert found.conditions["tokens"] == len(ids) - 1


def test_two_are_compared_token_by_token(pair):
    drawn, trained, data = pair
    texts = perplexity.texts_of(data)
    before, after = (perplexity.read(one, texts, Config(window=64)) for one in (drawn, trained))
    change = perplexity.ratio(after, before)
    assert change.value == pytest.approx(after.measurements()[0].value / before.measurements()[0].value)
    assert change.low < change.value < change.high < 0.5
    same = perplexity.ratio(before, before)
    assert (same.low, same.value, same.high) == (1, 1, 1)
    assert perplexity.ratio(after, perplexity.read(drawn, texts, Config(window=32))) is None  # with another context
    assert perplexity.ratio(after, perplexity.read(drawn, texts, Config(tokens=100))) is None


def test_a_runner_reads_as_a_decoder_does(pair, monkeypatch):
    artifact, _, data = pair
    text = data.read_text()[:40]
    before = perplexity.read(artifact, [text], Config(window=20))
    monkeypatch.setattr(likelihood.decoding, "DECODERS", {})
    after = perplexity.read(artifact, [text], Config(window=20))
    np.testing.assert_allclose(before.seen.loss_N, after.seen.loss_N, rtol=1e-4)
    assert before.tokens == after.tokens


def test_of_conversations_only_replies_count(pair):
    artifact = pair[0]
    talk = Record(messages=(Message("user", "Hello there"), Message("assistant", "Hi!")))
    seen = perplexity.read(artifact, [talk])
    assert seen.bytes_N.sum() == len("Hi!<|im_end|>")


def test_many_texts_are_the_groups(pair):
    artifact = pair[0]
    seen = perplexity.read(artifact, [f"text {at} is here" for at in range(25)])
    assert seen.about["over"] == "texts"
    assert seen.measurements()[0].n == 25
    few = perplexity.read(artifact, ["one text alone that is long enough to be cut in stretches"])
    assert few.measurements()[0].n >= 20


def test_no_more_tokens_are_read_than_asked_for(pair):
    artifact, _, data = pair
    seen = perplexity.read(artifact, perplexity.texts_of(data), Config(tokens=50, window=32))
    assert len(seen.seen.loss_N) == 50


@pytest.mark.parametrize(
    ("texts", "config", "match"),
    [
        ([], Config(), "no token that can be predicted"),
        (["", "a"], Config(), "no token that can be predicted"),
        (["some text"], Config(window=257), "reads 256 tokens at most"),
        (["some text"], Config(window=16, stride=16), "less than the window"),
        (["some text"], Config(window=1), "less than the window"),
    ],
)
def test_what_cannot_be_read_is_refused(pair, texts, config, match):
    with pytest.raises(UserError, match=match):
        perplexity.read(pair[0], texts, config)


def test_a_network_that_reads_no_text_is_refused(tiny):
    with pytest.raises(UserError, match="no language model"):
        perplexity.likelihood.open(tiny["image"].artifact)


def test_no_texts(tmp_path):
    (tmp_path / "empty.txt").write_text(" \n")
    with pytest.raises(UserError, match="no text in it"):
        perplexity.texts_of(tmp_path / "empty.txt")


@given(st.text(max_size=80))
def test_bytes_of_tokens_sum_to_those_of_the_text(text):
    ids, places = byte_tokenizer().encode_with_places(text)
    sizes = _bytes(text, places)
    assert len(sizes) == len(ids)
    assert sizes.sum() == len(text.encode())
    assert (sizes >= 0).all()


@given(st.lists(st.integers(0, 50), min_size=1, max_size=4), st.integers(2, 20), st.integers(1, 19), st.integers(0, 60))
@settings(max_examples=200)
def test_every_token_counts_once_with_context_before_it(sizes, window, stride, most):
    stride = min(stride, window - 1)
    pieces = [perplexity.Encoded(list(range(n)), np.ones(n, bool), np.ones(n, np.int64)) for n in sizes]
    counted = []
    for at, begin, first, end in _windows(pieces, window, stride, most):
        assert begin < first < end <= begin + window
        assert begin == 0 or first - begin >= window - stride
        counted += [(at, place) for place in range(first, end)]
    whole = [(at, place) for at, n in enumerate(sizes) for place in range(1, n)]
    assert counted == (whole[:most] if most else whole)
