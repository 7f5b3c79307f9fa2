"""Adapters learn beside frozen weights, in PEFT's format, and merge into what they were."""

import json
from dataclasses import replace

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from netwright.core import recipe
from netwright.core.error import UserError
from netwright.data import language
from netwright.data.tasks import Input
from netwright.models import gpt2, imports, llama
from netwright.models.load import open_model, open_task
from netwright.train import lora, training

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # in PEFT itself
INPUTS = {"ids": Input((None,), "int64", 257), "positions": Input((None,), "int64")}


def built(kind="llama"):
    torch.manual_seed(0)
    if kind == "gpt2":
        return gpt2.build(gpt2.Config(width=32, depth=2, heads=4, positions=64), INPUTS, 0).eval()
    shape = {"width": 32, "depth": 2, "heads": 4, "kv_heads": 2, "hidden": 48, "positions": 64}
    return llama.build(llama.Config(**shape), INPUTS, 0).eval()


def theirs(kind="llama"):
    if kind == "gpt2":
        model = transformers.GPT2LMHeadModel(
            transformers.GPT2Config(vocab_size=257, n_embd=32, n_layer=2, n_head=4, n_positions=64)
        )
    else:
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(
            vocab_size=257, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=True, rms_norm_eps=1e-5,
        ))  # fmt: skip
    turned = ("c_attn.weight", "c_proj.weight", "c_fc.weight")
    state = {name: x.T if name.endswith(turned) else x for name, x in built(kind).state_dict().items()}
    assert model.load_state_dict(state, strict=False).unexpected_keys == []
    return model.eval()


def stirred(model):
    """As if it had learned: B is no longer zero."""
    torch.manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return model


IDS = torch.arange(40).view(2, 20)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_peft_opens_what_is_written_and_answers_the_same(kind, tmp_path):
    config = lora.Config(rank=3, alpha=5.0)
    model = stirred(lora.adapt(built(kind), config)).eval()
    lora.write(lora.of(model, config), config, tmp_path, "base", transposed=kind == "gpt2")
    opened = peft.PeftModel.from_pretrained(theirs(kind), tmp_path).eval()
    with torch.inference_mode():
        ours, want = model(IDS), opened(IDS).logits
        torch.testing.assert_close(ours, want, rtol=1e-4, atol=2e-5)
        merged = lora.merge(built(kind), lora.read(tmp_path, built(kind)))
        torch.testing.assert_close(merged(IDS), want, rtol=1e-4, atol=2e-5)
        assert not torch.allclose(built(kind)(IDS), want, atol=1e-3)


@pytest.mark.parametrize("scaled", [False, True])
def test_what_peft_writes_is_read(scaled, tmp_path):
    config = peft.LoraConfig(r=4, lora_alpha=6, target_modules=["q_proj", "down_proj"], use_rslora=scaled)
    model = stirred(peft.get_peft_model(theirs(), config)).eval()
    model.save_pretrained(tmp_path)
    merged = lora.merge(built(), lora.read(tmp_path, built()))
    with torch.inference_mode():
        torch.testing.assert_close(merged(IDS), model(IDS).logits, rtol=1e-4, atol=2e-5)


def test_only_adapters_learn_and_are_kept():
    model = lora.adapt(built(), lora.Config(rank=2))
    assert {name.rsplit(".", 2)[1] for name, _ in model.named_parameters()} == {"lora_A", "lora_B"}
    assert set(model.state_dict()) == {name for name, _ in model.named_parameters()}
    assert len(model.state_dict()) == 2 * 2 * 7
    with torch.inference_mode():
        torch.testing.assert_close(model(IDS), built()(IDS))  # B is zero in the beginning


@pytest.mark.parametrize(("base", "within"), [("fp32", 1e-6), ("bf16", 0.02), ("nf4", 0.25)])
def test_a_smaller_base_answers_nearly_the_same(base, within):
    model = lora.adapt(built(), lora.Config(rank=2, base=base)).eval()
    with torch.inference_mode():
        far = (model(IDS) - built()(IDS)).norm() / built()(IDS).norm()
    assert float(far) <= within
    sizes = {"fp32": 4.0, "bf16": 2.0, "nf4": 0.5}
    weights = [m.weight for m in model.modules() if isinstance(m, lora.Adapted)]
    whole = sum(m.in_features * m.out_features for m in model.modules() if isinstance(m, lora.Adapted))
    assert sum(w.numel() * w.element_size() for w in weights) == sizes[base] * whole


@pytest.mark.parametrize("base", ["fp32", "bf16", "nf4"])
def test_gradients_are_those_of_the_base_in_use(base):
    """Against a plain network of the same (rounded) weights, whose product carries the same adapter."""
    model = stirred(lora.adapt(built(), lora.Config(rank=2, base=base, targets=("v_proj",)))).eval()
    layer = next(m for m in model.modules() if isinstance(m, lora.Adapted))
    x = torch.randn(5, 32, requires_grad=True)
    weight = layer.weight if layer.quantized is None else lora._unpacked(layer.weight, layer.quantized, torch.float32)
    plain = x @ (weight.float() + layer.scale * layer.lora_B.weight @ layer.lora_A.weight).T
    torch.testing.assert_close(layer(x), plain, rtol=1e-3, atol=1e-4)
    slopes = [torch.autograd.grad((y**2).sum(), (x, layer.lora_A.weight, layer.lora_B.weight), retain_graph=True)
              for y in (layer(x), plain)]  # fmt: skip
    for ours, want in zip(*slopes, strict=True):
        torch.testing.assert_close(ours, want, rtol=1e-3, atol=1e-4)


def test_a_layer_that_is_not_there_is_named():
    with pytest.raises(UserError, match="did you mean") as refusal:
        lora.adapt(built(), lora.Config(rank=2, targets=("q_prj",)))
    assert "q_proj" in str(refusal.value)


def written(tmp_path):
    config = lora.Config(rank=2)
    lora.write(lora.of(stirred(lora.adapt(built(), config)), config), config, tmp_path, "org/base")
    return tmp_path


def changed(path, **said):
    path.write_text(json.dumps({**json.loads(path.read_text()), **said}))


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda f: (f / lora.WEIGHTS).unlink(), "no adapter"),
        (lambda f: (f / lora.CONFIG).write_text("{"), "not JSON"),
        (lambda f: changed(f / lora.CONFIG, peft_type="IA3"), "IA3"),
        (lambda f: changed(f / lora.CONFIG, r=0), "rank 0"),
        (lambda f: changed(f / lora.CONFIG, r=5), "another base"),
        (lambda f: changed(f / lora.CONFIG, use_dora=True), "not a plain LoRA"),
        (lambda f: (f / lora.WEIGHTS).write_bytes(b"0" * 99), "not safetensors"),
        (lambda f: save_file({}, f / lora.WEIGHTS), "empty"),
        (lambda f: save_file({"base_model.model.x.lora_A.weight": torch.zeros(2, 3)}, f / lora.WEIGHTS), "no layer"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused(harm, told, tmp_path):
    harm(written(tmp_path))
    with pytest.raises(UserError, match=told):
        lora.read(tmp_path, built())


def test_an_adapter_of_another_base_is_refused(tmp_path):
    with pytest.raises(UserError, match="another base.*org/base"):
        lora.read(written(tmp_path), built("gpt2"))


@pytest.fixture
def source(tmp_path):
    """A folder as transformers writes it, with the tokenizer of bytes."""
    folder = tmp_path / "base"
    theirs().save_pretrained(folder)
    (folder / "tokenizer.json").write_text(language.byte_tokenizer().json)
    (folder / "tokenizer_config.json").write_text('{"eos_token": "<|endoftext|>"}')
    (tmp_path / "chats.jsonl").write_text(
        "\n".join(json.dumps({"question": f"What is {n}?", "answer": f"#### {n * 7 % 13}"}) for n in range(60))
    )
    return folder


def asked(source, **train):
    sections = {
        "task": {"name": "language", "data": str(source.parent / "chats.jsonl"), "max_tokens": 64, "validation": 5},
        "model": {"name": "pretrained", "source": str(source)},
        "train": {"epochs": 2, "batch": 4, "lr": 1e-2, "threads": 1, "lora": {"rank": 2}, **train},
    }
    return recipe.parse(sections, training.SECTIONS)


@pytest.mark.parametrize("base", ["fp32", "nf4"])
def test_a_training_with_adapters_gives_a_merged_artifact(source, base, tmp_path):
    sections = asked(source, lora={"rank": 2, "base": base}, checkpointing=True, epochs=4)
    trained = training.train(sections, tmp_path / "runs")
    made = trained.artifact
    adapter = made.folder / "adapter"
    opened = peft.PeftModel.from_pretrained(theirs(), adapter).eval()
    with torch.inference_mode():
        torch.testing.assert_close(open_model(made)(IDS), opened(IDS).logits, rtol=1e-4, atol=1e-4)
    assert made.model["name"] == "llama"
    assert made.made_by["source"] == str(source)
    last = load_file(next(trained.folder.glob("checkpoints/last.safetensors")))
    assert {name.split(".")[0] for name in last} == {"model", "optimizer"}
    assert all("lora_" in name for name in last if name.startswith("model."))
    rows = [json.loads(line) for line in (trained.folder / "metrics.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in rows if "loss" in row]
    assert sum(losses[-5:]) < sum(losses[:5])
    assert open_task(made).size("test") > 0
    assert training.train(sections, tmp_path / "runs").reused


def test_training_goes_on_from_an_adapter_and_from_an_artifact(source, tmp_path):
    first = training.train(asked(source), tmp_path / "runs").artifact
    settings = {"rank": 2, "adapter": str(first.folder / "adapter")}
    second = training.train(asked(source, lora=settings, lr=1e-12), tmp_path / "runs").artifact
    with torch.inference_mode():
        torch.testing.assert_close(open_model(second)(IDS), open_model(first)(IDS), rtol=1e-3, atol=1e-4)
    sections = asked(source)
    on = replace(
        sections, sections={**sections.sections, "model": replace(sections["model"], source=str(first.folder))}
    )
    third = training.train(on, tmp_path / "runs").artifact
    assert third.parents == (first.digest,)


def test_a_tokenizer_that_is_not_the_models_is_refused(source):
    sections = asked(source)
    other = replace(sections["task"], tokenizer="stories15m")
    with pytest.raises(UserError, match="tokenizer"):
        training.prepare(replace(sections, sections={**sections.sections, "task": other}))


def test_a_text_longer_than_the_model_reads_is_refused(source):
    sections = asked(source)
    longer = replace(sections["task"], max_tokens=65)
    with pytest.raises(UserError, match="64"):
        training.prepare(replace(sections, sections={**sections.sections, "task": longer}))


def test_imports_read_what_the_fixture_writes(source):
    assert imports.read(str(source)).config.depth == 2


def test_an_adapter_is_merged_while_a_model_is_imported(source, tmp_path, monkeypatch, capsys):
    from netwright import cli

    first = training.train(asked(source), tmp_path / "runs").artifact
    runs = [f"runs={tmp_path / 'runs'}", "--json"]
    assert cli.main(["import", str(source), "--adapter", str(first.folder / "adapter"), *runs]) == 0
    made = json.loads(capsys.readouterr().out)["artifact"]
    from netwright.core import artifact

    with torch.inference_mode():
        torch.testing.assert_close(open_model(artifact.open(made))(IDS), open_model(first)(IDS), rtol=1e-5, atol=1e-6)
    lora.write(
        lora.of(lora.adapt(built("gpt2"), lora.Config(rank=2)), lora.Config(rank=2)),
        lora.Config(rank=2),
        tmp_path / "x",
        "b",
    )
    assert cli.main(["import", str(source), "--adapter", str(tmp_path / "x"), *runs]) != 0
    assert "another base" in capsys.readouterr().err
