"""Answers as they come: greedy and sampled, kept line by line, scored with intervals."""

import json

import numpy as np
import pytest
import torch

from netwright.core.error import UserError
from netwright.data.template import DEFAULT
from netwright.data.tokenizer import Tokenizer
from netwright.export import decoding
from netwright.measure import answers, likelihood
from netwright.measure.answers import Config
from netwright.measure.items import Item, item
from netwright.models.load import open_model
from small_languages import small_llama, text_file


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("answers")
    return small_llama(folder / "a", text_file(folder), 30)


@pytest.fixture(scope="module")
def chatting(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chatting")
    return small_llama(folder / "a", text_file(folder), template=True)


ITEMS = [
    item({"prompt": "the cat", "answer": "sat"}),
    item({"question": "How many?", "answer": "#### 4"}),
    item({"prompt": "the dog", "choices": ["ran", "zzzz"], "answer": 0}),
    item({"prompt": "and the"}),
]


def greedy(artifact, ids, most):
    """The likeliest tokens, each read from the beginning by the network itself."""
    network, written = open_model(artifact), []
    while len(written) < most:
        with torch.inference_mode():
            at = int(network(torch.tensor([[*ids, *written]]))[0, -1].argmax())
        if at == 256:
            break
        written.append(at)
    return written


def test_greedy_is_the_argmax_of_the_network(model, tmp_path):
    rows = answers.answer(model, ITEMS[:1], Config(max_tokens=12), tmp_path / "a.jsonl")
    tokenizer = Tokenizer.read(model.folder, model.processor)
    wanted = greedy(model, tokenizer.encode("the cat"), 12)
    assert rows[0]["text"] == tokenizer.decode(wanted)
    assert rows[0]["tokens"] == len(wanted) <= 12
    assert rows[0]["ended"] == (len(wanted) < 12)


def test_sampling_is_drawn_by_seed_and_item(model, tmp_path):
    def texts(name, **settings):
        rows = answers.answer(model, [ITEMS[3], ITEMS[3]], Config(max_tokens=16, **settings), tmp_path / name)
        return [row["text"] for row in rows]

    first = texts("a", temperature=1.5, seed=1)
    assert first == texts("b", temperature=1.5, seed=1)
    assert first != texts("c", temperature=1.5, seed=2)
    assert first[0] != first[1]  # the same prompt twice is drawn twice
    assert texts("d", temperature=1e-9) == texts("e")


def test_draws_are_as_likely_as_the_softmax_says():
    logits, generator = np.log(np.array([0.2, 0.5, 0.3], np.float32)), np.random.default_rng(0)
    counts = np.bincount([answers._pick(logits, 1.0, generator) for _ in range(4000)], minlength=3) / 4000
    np.testing.assert_allclose(counts, [0.2, 0.5, 0.3], atol=0.03)
    certain = np.array([0, 1e4, -1e4], np.float32)
    assert {answers._pick(certain, 5.0, generator) for _ in range(50)} == {1}


def test_a_stop_token_ends_an_answer(model):
    class Fixed:
        """A decoder that says a, b, end."""

        precision, layers, vocabulary, longest = "fp32", {}, 257, 99

        def __init__(self):
            self.read = 0

        def keep(self, count):
            self.read = count

        def feed(self, ids, all=False):
            self.read += len(ids)
            return np.eye(257, dtype=np.float32)[[97, 98, 256][min(2, self.read - 3)]]

    tokenizer = Tokenizer.read(model.folder, model.processor)
    generator = np.random.default_rng(0)
    found = answers.generate(Fixed(), tokenizer, [1, 2, 3], Config(max_tokens=9), generator)
    letters = tokenizer.decode([97, 98])
    assert (found.text, found.tokens, found.ended) == (letters, 2, True)
    cut = answers.generate(Fixed(), tokenizer, [1, 2, 3], Config(max_tokens=1), generator)
    assert (cut.tokens, cut.ended) == (1, False)


def test_what_a_kill_left_is_gone_on_with(model, tmp_path, monkeypatch):
    path = tmp_path / "a.jsonl"
    whole = answers.answer(model, ITEMS, Config(max_tokens=5), path)
    lines = path.read_text().splitlines(keepends=True)
    assert len(lines) == len(ITEMS)
    path.write_text("".join(lines[:2]) + lines[2][:9])  # killed while it wrote the third
    again = answers.answer(model, ITEMS, Config(max_tokens=5), path)
    assert [row.get("text") for row in again] == [row.get("text") for row in whole]
    assert path.read_text().splitlines(keepends=True)[:2] == lines[:2]
    monkeypatch.setattr(likelihood, "open", lambda *_: pytest.fail("there is nothing left to do"))
    assert len(answers.answer(model, ITEMS, Config(max_tokens=5), path)) == len(ITEMS)


@pytest.mark.parametrize(
    "line",
    ["null\n", "[]\n", '{"item": 1, "text": "x"}\n', '{"item": 0}\n', '{"item": 0, "scores": [NaN]}\n', "\xff\n"],
)
def test_lines_that_are_no_answers_are_written_again(model, tmp_path, line):
    path = tmp_path / "a.jsonl"
    path.write_text(line)
    rows = answers.answer(model, ITEMS[:1], Config(max_tokens=3), path)
    assert json.loads(path.read_text())["item"] == 0
    assert len(rows) == 1


def test_choices_are_scored_by_their_likelihood(model):
    reader = likelihood.open(model)
    tokenizer = Tokenizer.read(model.folder, model.processor)
    asked = answers.prompted(ITEMS[2], tokenizer)
    scores = answers._choices(reader, tokenizer, ITEMS[2], *asked)
    for choice, score in zip(ITEMS[2].choices, scores, strict=True):
        whole = torch.tensor([tokenizer.encode(f"the dog {choice}")])
        with torch.inference_mode():
            logs = open_model(model)(whole)[0].log_softmax(-1)
        first = len(tokenizer.encode("the dog"))
        wanted = sum(float(logs[at - 1, whole[0, at]]) for at in range(first, whole.shape[1]))
        assert score == pytest.approx(wanted, rel=1e-4)


def test_choices_by_bytes():
    asked = item({"prompt": "?", "choices": ["yes", "certainly so"], "answer": 1})
    found = answers.evaluations([asked], [{"scores": [-3.0, -6.0]}])
    assert not found["choice"].correct_N[0]
    assert found["choice_by_bytes"].correct_N[0]


def test_shares_have_wilsons_interval():
    rows = [{"text": "#### 4"}] * 9 + [{"text": "it is 4"}]
    found = answers.evaluations([ITEMS[1]] * 10, rows)
    made = {one.quantity: one for one in answers.measurements(found, artifact="x", conditions={"on": "exam"})}
    assert made["accuracy"].value == 1
    assert made["in_form"].value == pytest.approx(0.9)
    assert (made["in_form"].low, made["in_form"].high) == pytest.approx((0.596, 0.982), abs=1e-3)
    assert made["in_form"].conditions == {"on": "exam", "score": "ends in #### number"}
    assert made["accuracy"].conditions["score"] == "right number"


def test_an_answer_that_was_cut_off_did_not_end_in_the_form():
    cut = {"text": "#### 4", "ended": False}
    assert not answers.evaluations([ITEMS[1]], [cut])["form"].correct_N[0]
    assert answers.evaluations([ITEMS[1]], [{**cut, "ended": True}])["form"].correct_N[0]


def test_prompts_go_through_the_template_up_to_the_reply(chatting, model):
    tokenizer = Tokenizer.read(chatting.folder, chatting.processor)
    assert tokenizer.template == DEFAULT
    ids, templated = answers.prompted(ITEMS[0], tokenizer)
    assert templated
    assert tokenizer.decode(ids, special=True) == "<|im_start|>user\nthe cat<|im_end|>\n<|im_start|>assistant\n"
    assert not answers.prompted(ITEMS[0], tokenizer, template=False)[1]
    plain = Tokenizer.read(model.folder, model.processor)
    assert plain.decode(answers.prompted(ITEMS[0], plain)[0]) == "the cat"


def test_a_prompt_that_is_too_long_is_refused_before_any_work(model, tmp_path):
    long = Item("exact", "exam.jsonl:7", "x" * 300, answer=("y",))
    with pytest.raises(UserError, match=r"300 tokens; this model reads 256") as told:
        answers.answer(model, [ITEMS[0], long], Config(max_tokens=3), tmp_path / "a.jsonl")
    assert "exam.jsonl:7" in str(told.value)
    assert not (tmp_path / "a.jsonl").exists()


def test_an_answer_ends_where_the_model_cannot_read_on(model, tmp_path):
    nearly = Item("free", "p:1", "x" * 250)
    rows = answers.answer(model, [nearly], Config(max_tokens=500), tmp_path / "a.jsonl")
    assert rows[0]["tokens"] <= 6


def test_reading_after_writing_begins_anew(model, tmp_path):
    rows = answers.answer(model, [ITEMS[2], ITEMS[0], ITEMS[2]], Config(max_tokens=5), tmp_path / "a.jsonl")
    assert rows[0]["scores"] == pytest.approx(rows[2]["scores"], rel=1e-5)
    assert len(decoding.open(model)) == 0
