"""GGUF files: what is written is read back, for every architecture, kind of storage and tokenizer."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netwright import export
from netwright.core.error import UserError
from netwright.data.language import byte_tokenizer
from netwright.data.tokenizer import Tokenizer
from netwright.export import gguf
from netwright.models import llama
from netwright.models.imports import gguf as reading
from netwright.models.imports import vocabulary
from netwright.models.load import open_model
from small_language import LLAMA, NETWORKS, language_artifact

STEPS = {"F32": 0.0, "F16": 2**-11, "Q8_0": 1 / 127, "Q4_0": 1 / 7, "Q4_1": 1 / 7}
"""Largest error of a weight, over the largest weight of its block."""


@pytest.mark.parametrize("stored", gguf.PRECISIONS)
@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_written_is_read_back_within_a_step(name, stored, tmp_path):
    made = language_artifact(tmp_path / "a", NETWORKS[name])
    path = gguf.written(made, tmp_path / "x.gguf", stored)
    found = reading.read(path, {"source": "x"})
    told = NETWORKS[name]
    assert found.config == (told if name == "gpt2" else dataclasses.replace(told, kv_heads=told.kv_heads or told.heads))
    before, after = open_model(made).state_dict(), found.network().state_dict()
    assert before.keys() == after.keys()
    for key, x in before.items():
        limit = STEPS[stored] * float(x.abs().max()) if x.ndim > 1 else 0.0
        assert float((x - after[key]).abs().max()) <= limit
    assert found.tokenizer.json == byte_tokenizer().json
    assert (found.tokenizer.special, found.tokenizer.stop) == (byte_tokenizer().special, byte_tokenizer().stop)


SCALED = {"scaled": dataclasses.replace(LLAMA, theta=100.0, scaling=(8.0, 1.0, 4.0, 64.0))}


@pytest.mark.parametrize("stored", ["F32", "Q8_0"])
@pytest.mark.parametrize("name", [*NETWORKS, *SCALED])
def test_llama_cpp_answers_as_the_network_does(name, stored, tmp_path):
    llama_cpp = pytest.importorskip("xllamacpp")
    made = language_artifact(tmp_path / "a", {**NETWORKS, **SCALED}[name])
    params = llama_cpp.CommonParams()
    params.model.path = str(gguf.written(made, tmp_path / "x.gguf", stored))
    params.n_ctx, params.n_parallel, params.warmup, params.verbosity = 128, 1, False, -1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    server = llama_cpp.Server(params)
    ids = [72, 101, 108, 108, 111, 33, 5]
    answer = server.handle_completions(
        {
            "prompt": ids,
            "n_predict": 1,
            "temperature": 0,
            "n_probs": 5,
            "logit_bias": [[at, False] for at in range(94, 257)],
        }
    )  # ASCII alone
    told = answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
    model = reading.read(tmp_path / "x.gguf", {}).network()
    with torch.inference_mode():
        logprob_V = model(torch.tensor([ids]))[0, -1].log_softmax(0)
    ours = {one["id"]: float(logprob_V[one["id"]]) for one in told}
    assert [one["logprob"] for one in told] == pytest.approx(list(ours.values()), abs=2e-2 if stored == "F32" else 0.2)


@given(
    factor=st.floats(1.5, 64),
    low=st.floats(0.25, 8),
    wide=st.floats(0.1, 8),
    first=st.sampled_from([64.0, 512.0, 8192.0]),
    theta=st.sampled_from([100.0, 10_000.0, 500_000.0]),
    width=st.sampled_from([16, 64, 128]),
)
def test_scaled_angles_are_told_from_what_frequencies_are_divided_by(factor, low, wide, first, theta, width):
    about = {"width": width, "heads": 1, "kv_heads": 1, "theta": theta}
    told = dataclasses.replace(LLAMA, **about, scaling=(factor, low, low + wide, first))
    found = reading.scaling(told, gguf.divisors(told).astype(np.float64))
    wanted = llama.frequencies(told)
    torch.testing.assert_close(llama.frequencies(dataclasses.replace(told, scaling=found)), wanted, rtol=4e-3, atol=0)


def test_of_llama_3_the_very_numbers_are_told_and_other_divisors_are_refused():
    told = dataclasses.replace(LLAMA, width=64, heads=1, kv_heads=1, theta=500_000.0, scaling=(32.0, 1.0, 4.0, 8192.0))
    assert reading.scaling(told, gguf.divisors(told).astype(np.float64)) == told.scaling
    assert reading.scaling(told, np.ones(32)) == ()
    for wrong in (np.full(31, 2.0), np.full(32, np.nan), np.linspace(1, 8, 32)[::-1], np.zeros(32)):
        with pytest.raises(UserError, match="as Llama 3"):
            reading.scaling(told, wrong)


def test_an_export_has_a_certificate_and_its_precision(tmp_path):
    made = language_artifact(tmp_path / "a", LLAMA)
    with pytest.raises(UserError, match=r"export\.precision"):
        export.check_source(made, "onnx", "Q8_0")
    with pytest.raises(UserError, match="Q8_0"):
        gguf.written(made, tmp_path / "x", "Q5_K")
    assert export.PACKAGES["gguf"] == ("gguf",)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    source=st.text(max_size=40),
    template=st.text(max_size=60),
    tokens=st.sets(st.text(min_size=1, max_size=8), max_size=5),
)
def test_hostile_names_travel_as_they_are(source, template, tokens, tmp_path):
    letters = json.loads(byte_tokenizer().json)["model"]["vocab"]
    special = {token: vocabulary.CONTROL for token in tokens if token not in letters and encodable(token)}
    ids = {**letters, **{token: len(letters) + at for at, token in enumerate(special)}}
    made = Tokenizer(
        vocabulary.byte_level(ids, [], special, "smollm"), {"eos_token": "<|endoftext|>"}, (256,),
        template if encodable(template) else "", True,
    )  # fmt: skip
    artifact = language_artifact(tmp_path / "a", LLAMA, made, source if encodable(source) else "x")
    found = reading.read(gguf.written(artifact, tmp_path / "x.gguf", "Q4_0"), {})
    assert json.loads(found.tokenizer.json)["added_tokens"] == json.loads(made.json)["added_tokens"]
    assert found.tokenizer.template == made.template
    assert found.tokenizer.begins
    text = "Hi 1234 " + "".join(special)
    assert found.tokenizer.encode(text) == made.encode(text)


def encodable(text: str) -> bool:
    return text.encode("utf-8", "ignore").decode() == text


def test_a_vocabulary_of_pieces_keeps_its_merges(tmp_path):
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{at:02X}>" for at in range(256)), "▁", "a", "b", "▁a", "ab", "▁ab"]
    scores = [0.0] * 259 + [-10.0, -11.0, -12.0, -2.0, -1.0, -3.0]
    special = dict.fromkeys(pieces[:3], vocabulary.CONTROL)
    written = vocabulary.sentencepiece(pieces, scores, special, "<unk>")
    roles = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    made = Tokenizer(written, roles, (1, 2), "", True)
    found = reading.read(
        gguf.written(language_artifact(tmp_path / "a", LLAMA, made), tmp_path / "x.gguf"), {}
    ).tokenizer
    assert json.loads(found.json)["model"]["merges"] == json.loads(written)["model"]["merges"]
    assert (found.stop, found.special, found.begins) == (made.stop, made.special, True)
    for text in ("ab a b", "aab ü 🙂", ""):
        assert found.encode(text) == made.encode(text)


def test_what_llama_cpp_does_not_have_is_refused(tmp_path, tiny):
    for config, why in (
        (dataclasses.replace(LLAMA, bias=True, scaling=(8.0, 1.0, 4.0, 64.0)), "no qwen2"),
        (dataclasses.replace(LLAMA, bias=True, head_norm=True), "both"),
    ):
        with pytest.raises(UserError, match=why):
            gguf.written(language_artifact(tmp_path / "a", config), tmp_path / "x.gguf")
    with pytest.raises(UserError, match="only language models"):
        export.check_source(tiny["text"].artifact, "gguf")
    with pytest.raises(UserError, match="no name in GGUF"):
        gguf.split({"type": "Whitespace"})
    for broken in (None, {}, {"pretokenizers": None}, {"type": 3}, {"type": "ByteLevel", "use_regex": "maybe"}):
        with pytest.raises(UserError, match="no name in GGUF"):
            gguf.split(broken)
    short = dataclasses.replace(LLAMA, vocabulary=256)
    with pytest.raises(UserError, match="257 ids"):
        gguf.vocabulary(byte_tokenizer(), short.vocabulary)
    with pytest.raises(UserError, match="no byte-pair"):
        gguf.vocabulary(Tokenizer("{}"), 10)


def test_blocks_that_do_not_fit_are_stored_in_halves(tmp_path):
    odd = dataclasses.replace(LLAMA, width=72, heads=4, hidden=96)
    found = reading.read(gguf.written(language_artifact(tmp_path / "a", odd), tmp_path / "x.gguf", "Q8_0"), {})
    assert found.about["stored"] == ["F16", "Q8_0"]
    assert np.isfinite(found.network().head.detach().numpy()).all()  # type: ignore[union-attr]
