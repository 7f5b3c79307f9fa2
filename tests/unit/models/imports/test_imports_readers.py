"""Models of others: GGUF, llama2.c and Hugging Face's folders give the same network and the same ids."""

import contextlib
import functools
import json
import shutil
import struct

import gguf
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from netwright.core.error import UserError
from netwright.data import sources
from netwright.models import imports
from netwright.models.imports import gguf as reader
from netwright.models.imports import vocabulary


def folder_of(tmp_path, model, tokenizer='{"version":"1.0"}'):
    model.save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text(byte_json())
    return tmp_path


def byte_json():
    from netwright.data.language import byte_tokenizer

    return byte_tokenizer().json


def small_llama(**settings):
    torch.manual_seed(0)
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(
        vocab_size=257, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, **settings,
    )).eval()  # fmt: skip


def small_gpt2():
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=257, n_embd=32, n_layer=2, n_head=4, n_positions=64)
    return transformers.GPT2LMHeadModel(config).eval()


@pytest.mark.parametrize("make", [small_llama, lambda: small_llama(tie_word_embeddings=True), small_gpt2])
def test_a_folder_of_transformers_answers_as_it_did_there(make, tmp_path):
    model = make()
    foreign = imports.read(str(folder_of(tmp_path, model)))
    ids = torch.randint(0, 257, (2, 30))
    with torch.inference_mode():
        torch.testing.assert_close(foreign.network()(ids), model(ids).logits, rtol=1e-4, atol=2e-5)
    assert foreign.tokenizer.decode(foreign.tokenizer.encode("héllo 日本")) == "héllo 日本"


def test_shards_are_read_one_by_one(tmp_path):
    model = small_llama()
    folder_of(tmp_path, model)
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    (tmp_path / "model.safetensors").unlink(missing_ok=True)
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    ids = torch.randint(0, 257, (1, 9))
    with torch.inference_mode():
        torch.testing.assert_close(imports.read(str(tmp_path)).network()(ids), model(ids).logits, rtol=1e-4, atol=2e-5)


def broken_config(folder, **said):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **said}))


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda f: (f / "config.json").unlink(), "no config.json"),
        (lambda f: (f / "config.json").write_text("{"), "not JSON"),
        (lambda f: (f / "config.json").write_text("[]"), "no JSON object"),
        (lambda f: broken_config(f, model_type="mamba"), "mamba"),
        (lambda f: broken_config(f, hidden_size=-4), "width"),
        (lambda f: broken_config(f, hidden_size=64), "the network's is"),
        (lambda f: broken_config(f, num_hidden_layers=3), "missing"),
        (lambda f: broken_config(f, num_hidden_layers=1), "not in the network"),
        (lambda f: broken_config(f, rope_parameters={"rope_type": "yarn"}), "yarn"),
        (lambda f: (f / "model.safetensors").unlink(), "missing"),
        (lambda f: (f / "model.safetensors").write_bytes(b"\xff" * 100), "not safetensors"),
        (lambda f: shutil.move(f / "model.safetensors", f / "pytorch_model.bin"), "pickle"),
        (lambda f: (f / "tokenizer.json").write_text("{}"), "not a tokenizer"),
        (lambda f: (f / "tokenizer.json").unlink(), "no tokenizer"),
        (
            lambda f: (f / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../../x.safetensors"}}'),
            "outside",
        ),
    ],
)
def test_a_damaged_folder_is_refused_in_one_sentence(harm, told, tmp_path):
    folder_of(tmp_path, small_llama())
    harm(tmp_path)
    with pytest.raises(UserError, match=told) as refusal:
        imports.read(str(tmp_path)).network()
    assert "\n" not in str(refusal.value)


def test_what_is_no_model_is_refused(tmp_path):
    for name in ("no-such-model", str(tmp_path), str(tmp_path / "no.gguf"), "mnist"):
        with pytest.raises(UserError):
            imports.read(name)


def written_gguf(path, model, foreign, kind="llama"):
    """A Llama as llama.cpp's own tools write it: queries and keys turned."""
    writer = gguf.GGUFWriter(path, kind)
    writer.add_block_count(2)
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(48)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    tokens = [foreign.tokenizer.token(at) for at in range(257)]
    tokens[255] = "\u0120a"
    writer.add_token_list(tokens)
    writer.add_token_types([1] * 256 + [3])
    writer.add_token_merges(["\u0120 a"])
    names = {theirs: ours for ours, theirs in reader.LLAMA.items()}
    for name, tensor in model.state_dict().items():
        stem, ending = name.rsplit(".", 1)
        if stem.startswith("model.layers."):
            _, _, layer, rest = stem.split(".", 3)
            turned = {"self_attn.q_proj": 4, "self_attn.k_proj": 2}.get(rest)
            data = reader.in_pairs(tensor, turned) if turned else tensor
            stem = f"blk.{layer}.{names[rest]}"
        else:
            stem, data = names[stem], tensor
        writer.add_tensor(f"{stem}.{ending}", data.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_a_gguf_answers_as_the_folder_does(tmp_path):
    model = small_llama()
    (tmp_path / "hf").mkdir()
    foreign = imports.read(str(folder_of(tmp_path / "hf", model)))
    written_gguf(tmp_path / "m.gguf", model, foreign)
    read = imports.read(str(tmp_path / "m.gguf"))
    ids = torch.randint(0, 257, (2, 30))
    with torch.inference_mode():
        torch.testing.assert_close(read.network()(ids), model(ids).logits, rtol=1e-4, atol=2e-5)
    assert read.tokenizer.decode(read.tokenizer.encode("a b")) == "a b"


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(0, 40_000), flip=st.integers(0, 2_000))
def test_a_damaged_gguf_never_crashes(cut, flip, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gguf")
    model = small_llama()
    (folder / "hf").mkdir()
    path = folder / "m.gguf"
    written_gguf(path, model, imports.read(str(folder_of(folder / "hf", model))))
    data = bytearray(path.read_bytes())
    data[flip] ^= 0xFF
    path.write_bytes(data[: len(data) - cut])
    with contextlib.suppress(UserError):
        imports.read(str(path)).network()


@settings(max_examples=30, deadline=None)
@given(heads=st.integers(1, 4), pairs=st.integers(1, 4), width=st.integers(1, 5))
def test_pairs_and_halves_are_each_others_way_back(heads, pairs, width):
    weight = torch.arange(heads * pairs * 2 * width).float().view(-1, width)
    turned = reader.in_halves(weight, heads)
    assert torch.equal(reader.in_pairs(turned, heads), weight)
    first = turned.view(heads, 2, pairs, width)
    assert torch.equal(first[:, 0], weight.view(heads, pairs, 2, width)[:, :, 0])


def test_stories15m_tells_a_story_and_reads_as_sentencepiece_does():
    foreign = imports.read("stories15m")
    model, tokenizer = foreign.network(), foreign.tokenizer
    assert sum(p.numel() for p in model.parameters()) == 15_191_712
    assert tokenizer.encode("Once upon a time") == [1, 9038, 2501, 263, 931]  # Llama 2's ids of these words
    ids = torch.tensor([tokenizer.encode("Once upon a time, there was a little")])
    with torch.inference_mode():
        assert tokenizer.decode([int(model(ids)[0, -1].argmax())]) in ("girl", "boy")


def test_a_cut_llama2c_is_refused(tmp_path):
    folder = sources.fetch(sources.find("stories15m"))
    for name in ("model.bin", "tokenizer.bin"):
        shutil.copy(folder / name, tmp_path)
    (tmp_path / "model.bin").write_bytes((folder / "model.bin").read_bytes()[:1_000_000])
    with pytest.raises(UserError, match="numbers"):
        imports.read(str(tmp_path)).network()
    (tmp_path / "model.bin").write_bytes(struct.pack("<7i", 288, 768, 6, 0, 0, 32000, 256))
    with pytest.raises(UserError, match="header"):
        imports.read(str(tmp_path))
    shutil.copy(folder / "model.bin", tmp_path)
    (tmp_path / "tokenizer.bin").write_bytes((folder / "tokenizer.bin").read_bytes()[:1000])
    with pytest.raises(UserError, match="ends in piece"):
        imports.read(str(tmp_path))


@functools.cache
def smollm2():
    folder = sources.fetch(sources.find("smollm2-135m-instruct"))
    path = next(folder.glob("*.gguf"))
    return imports.read("smollm2-135m-instruct").tokenizer, transformers.AutoTokenizer.from_pretrained(
        folder, gguf_file=path.name
    )


@settings(max_examples=100, deadline=None)
@given(text=st.text(max_size=80))
def test_smollm2_reads_every_text_as_transformers_does(text):
    ours, theirs = smollm2()
    ids = ours.encode(text)
    assert ids == theirs(text, add_special_tokens=False)["input_ids"]
    assert ours.decode(ids, special=True) == theirs.decode(ids)  # not every byte is in the vocabulary


def test_an_unknown_pattern_is_refused():
    with pytest.raises(UserError, match="deepseek"):
        vocabulary.byte_level({"a": 0}, [], {}, "deepseek")


def test_weights_are_never_unpickled(tmp_path):
    folder_of(tmp_path, small_llama())
    state = {"x": torch.zeros(2)}
    save_file(state, tmp_path / "other.safetensors")
    (tmp_path / "model.safetensors").unlink()
    torch.save(state, tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match="never opened"):
        imports.read(str(tmp_path)).network()
