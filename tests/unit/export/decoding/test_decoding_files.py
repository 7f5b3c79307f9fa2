"""Decoders answer the same, however a text is cut into pieces, and whichever runtime reads it."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netwright import export
from netwright.core.error import UserError
from netwright.export import decoding, verify

FORMATS = ["torch", "openvino", "onnx"]
NEAR = {"rtol": 1e-3, "atol": 2e-4}


@pytest.fixture(scope="session")
def decoders(written):
    return {name: decoding.open(written[1][name]) for name in FORMATS}


@pytest.mark.parametrize("name", FORMATS[1:])
def test_the_file_is_certified_and_says_its_perplexity(name, written):
    certificate = verify.read(written[1][name])
    assert certificate.passed
    assert certificate.relative_error < 1e-5
    assert certificate.perplexity == pytest.approx(certificate.reference_perplexity, rel=1e-4)
    assert {1, 2, 9, 32} <= set(certificate.lengths)


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_cut_and_any_forgetting_answers_as_reading_at_once(name, decoders, data):
    decoder, reference = decoders[name], decoders["torch"]
    ids = data.draw(st.lists(st.integers(0, 256), min_size=2, max_size=48))
    reference.keep(0)
    want_TV = reference.feed(ids, all=True)
    decoder.keep(0)
    read = 0
    while read < len(ids):
        if read and data.draw(st.booleans()):
            read = data.draw(st.integers(0, read))
            decoder.keep(read)
        more = data.draw(st.integers(1, len(ids) - read))
        every = data.draw(st.booleans())
        got = decoder.feed(ids[read : read + more], all=every)
        read += more
        assert len(decoder) == read
        np.testing.assert_allclose(got, want_TV[read - more : read] if every else want_TV[read - 1], **NEAR)


@pytest.mark.parametrize("name", FORMATS)
def test_what_cannot_be_read_is_refused_and_changes_nothing(name, decoders):
    decoder = decoders[name]
    decoder.keep(0)
    want = decoder.feed([5, 6, 7])
    for wrong, said in (([], "at least one token"), ([1] * 46, "reads 48 at most")):
        with pytest.raises(UserError, match=said):
            decoder.feed(wrong)
    assert len(decoder) == 3
    decoder.keep(2)
    np.testing.assert_allclose(decoder.feed([7]), want, **NEAR)


@pytest.mark.parametrize("name", FORMATS)
def test_two_decoders_share_nothing(name, written, decoders):
    one, other = decoders[name], decoding.open(written[1][name])
    one.keep(0)
    one.feed([1, 2, 3])
    other.feed([9, 8, 7, 6])
    together = one.feed([4])
    one.keep(0)
    np.testing.assert_allclose(one.feed([1, 2, 3, 4]), together, **NEAR)
    assert len(other) == 4


@pytest.mark.parametrize("name", FORMATS[1:])
def test_tokens_that_are_forgotten_again_and_again_do_not_count(name, decoders):
    decoder = decoders[name]
    decoder.keep(0)
    want = decoder.feed([3, 1, 4, 1, 5])
    for at in range(40):
        decoder.feed([at, at + 1, at + 2])
        decoder.keep(5)
    decoder.keep(4)
    np.testing.assert_allclose(decoder.feed([5]), want, **NEAR)


@pytest.mark.parametrize("name", FORMATS[1:])
def test_packed_rows_are_answered_as_by_the_network(name, written):
    task, files = written
    inputs = {key: x.numpy() for key, x in task.example(5).items()}
    assert (inputs["positions"][:, 1:] == 0).any(), "several texts a row"
    np.testing.assert_allclose(export.open(files[name])(inputs), export.open(files["torch"])(inputs), **NEAR)


def test_the_file_has_the_ports_that_openvino_genai_wants(written):
    from netwright.export import openvino

    model = openvino.load(written[1]["openvino"])
    assert {port.any_name for port in model.inputs} == {"input_ids", "attention_mask", "position_ids", "beam_idx"}
    assert len(model.get_sinks()) == 4  # keys and values of two layers
    weights = written[1]["openvino"].files["model.bin"].size
    assert weights < 1.1 * written[1]["torch"].files["weights.safetensors"].size  # the tied embedding is there once


def test_a_precision_that_is_none_is_refused(written):
    for name in FORMATS:
        with pytest.raises(UserError, match="precision"):
            decoding.open(written[1][name], precision="fp8")


@pytest.mark.parametrize(
    ("isa", "stored", "computed", "threads", "usable", "ends"),
    [
        (("amx_bf16",), "fp32", "bf16", 1, 2, True),
        (("amx_bf16",), "fp32", "bf16", 2, 1, True),
        (("amx_bf16",), "fp32", "bf16", 2, 2, False),
        (("amx_bf16",), "fp32", "fp32", 1, 2, False),
        (("amx_bf16",), "int8-weights", "bf16", 1, 2, False),
        (("avx512_bf16",), "fp32", "bf16", 1, 2, False),
    ],
)
def test_what_would_end_the_process_is_refused(monkeypatch, written, isa, stored, computed, threads, usable, ends):
    from netwright.export.decoding import openvino

    monkeypatch.setattr(openvino.detect, "isa", lambda: isa)
    monkeypatch.setattr(openvino.detect, "usable_threads", lambda: usable)
    assert openvino.crashes(stored, computed, threads) == ends
    if ends:
        with pytest.raises(UserError, match="on one thread.*2 threads or more"):
            decoding.open(written[1]["openvino"], threads, computed)
