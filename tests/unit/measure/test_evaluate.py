"""Language artifacts evaluated together: parts that are found again, changes in pairs, sentences."""

import dataclasses
import json

import pytest

from netwright.core.error import UserError
from netwright.measure import answers, evaluate, likelihood, perplexity
from netwright.measure.evaluate import Config, Sources
from small_languages import small_llama, text_file

CONFIG = Config(max_tokens=6, window=32, threads=1)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with texts, items, prompts, a drawn and a trained model."""
    folder = tmp_path_factory.mktemp("evaluate")
    data = text_file(folder)
    rows = [{"prompt": "the cat sat on the", "choices": [" mat and", " qzxv qzx"], "answer": 0} for _ in range(6)]
    rows += [{"question": f"{n} + 1?", "answer": f"#### {n + 1}"} for n in range(4)]
    (folder / "exam.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "prompts.txt").write_text("the cat\nthe dog\n")
    return folder, small_llama(folder / "a", data), small_llama(folder / "b", data, 60)


def test_everything_at_once(place, tmp_path):
    folder, base, tuned = place
    sources = Sources(
        tasks=str(folder / "exam.jsonl"), text=str(folder / "words.txt"), prompts=str(folder / "prompts.txt")
    )
    found = evaluate.evaluate([base, tuned], tmp_path / "runs", sources, CONFIG)
    assert found.names == ("base", "tuned")
    assert [part.on for part in found.parts[0]] == ["exam.jsonl", "words.txt", "prompts.txt"]
    quantities = [[one.quantity for one in part.measurements] for part in found.parts[1]]
    assert quantities == [["accuracy", "accuracy", "accuracy", "in_form"], ["perplexity", "bits_per_byte"], []]
    assert [one.quantity for one in found.changes] == ["accuracy_change"] * 4 + ["perplexity_ratio"]
    assert len(found.verdicts) == 5
    assert found.verdicts[-1].startswith("words.txt: tuned better than base by ")
    assert "no difference shown between tuned and base" in found.verdicts[2]
    assert found.page.read_text().count("data-prompt") >= 2
    assert {one.artifact for part in found.parts[1] for one in part.measurements} == {tuned.digest}


def test_what_has_not_changed_is_not_done_again(place, tmp_path, monkeypatch):
    folder, base, tuned = place
    sources = Sources(tasks=str(folder / "exam.jsonl"), text=str(folder / "words.txt"))
    first = evaluate.evaluate([base, tuned], tmp_path, sources, CONFIG)
    monkeypatch.setattr(likelihood, "open", lambda *_: pytest.fail("done before"))
    again = evaluate.evaluate([base, tuned], tmp_path, sources, CONFIG)
    assert again.verdicts == first.verdicts
    assert again.folder == first.folder
    alone = evaluate.evaluate([tuned], tmp_path, sources, CONFIG)  # beside another, or alone
    assert [part.folder for part in alone.parts[0]] == [part.folder for part in first.parts[1]]
    assert alone.folder is None
    reading = dataclasses.replace(CONFIG, window=16)  # how texts are read is nothing to items
    evaluate.evaluate([tuned], tmp_path, Sources(tasks=str(folder / "exam.jsonl")), reading)


def test_a_kill_between_items_loses_none(place, tmp_path, monkeypatch):
    folder, _, tuned = place
    sources, real, seen = Sources(tasks=str(folder / "exam.jsonl")), answers._row, []

    def killed(reader, tokenizer, one, *rest):
        seen.append(one)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return real(reader, tokenizer, one, *rest)

    monkeypatch.setattr(answers, "_row", killed)
    with pytest.raises(KeyboardInterrupt):
        evaluate.evaluate([tuned], tmp_path, sources, CONFIG)
    found = evaluate.evaluate([tuned], tmp_path, sources, CONFIG)
    assert len(seen) == 4 + 7  # the fourth once more, and what is left
    assert len(found.parts[0][0].rows) == 10


def test_with_nothing_named_it_is_the_test_split(place, tmp_path):
    _, base, tuned = place
    found = evaluate.evaluate([base, tuned], tmp_path, config=CONFIG)
    assert [one.quantity for one in found.parts[0][0].measurements] == ["accuracy", "perplexity"]
    assert found.verdicts[0].startswith("test split of language: tuned better than base by ")
    assert evaluate.evaluate([base, tuned], tmp_path, config=CONFIG).verdicts == found.verdicts


def test_a_damaged_reading_is_read_again(place, tmp_path):
    folder, base, _ = place
    sources = Sources(text=str(folder / "words.txt"))
    first = evaluate.evaluate([base], tmp_path, sources, CONFIG).parts[0][0]
    (first.folder / evaluate.READING).write_bytes(b"no tensors")
    assert evaluate.evaluate([base], tmp_path, sources, CONFIG).parts[0][0].measurements[0].value == pytest.approx(
        first.measurements[0].value
    )


def test_two_that_read_other_tokens_are_not_paired(place, tmp_path, monkeypatch):
    folder, base, tuned = place
    real = perplexity.read

    def other(artifact, texts, config):
        seen = real(artifact, texts, config)
        return dataclasses.replace(seen, tokens=artifact.digest)

    monkeypatch.setattr(perplexity, "read", other)
    found = evaluate.evaluate([base, tuned], tmp_path, Sources(text=str(folder / "words.txt")), CONFIG)
    assert found.changes == ()
    assert "compare bits per byte" in found.verdicts[0]


def test_names_are_told_apart(place):
    _, base, tuned = place
    other = dataclasses.replace(base, made_by={"verb": "import", "source": "stories"})
    assert evaluate.called([base, tuned]) == ("base", "tuned")
    assert evaluate.called([base, other]) == ("small", "stories")
    assert evaluate.called([tuned, tuned])[1].endswith("(2)")
    small = dataclasses.replace(base, made_by={"verb": "compress"}, precision="int8", format="openvino")
    assert evaluate.called([base, small]) == ("base", "int8 openvino")


@pytest.mark.parametrize(
    ("sources", "match"),
    [
        (Sources(tasks="absent.jsonl"), "no such file"),
        (Sources(text="absent.txt"), "no such file or folder"),
        (Sources(prompts="absent.txt"), "no such file"),
    ],
)
def test_what_is_not_there_is_said_before_any_run(place, tmp_path, sources, match):
    with pytest.raises(UserError, match=match):
        evaluate.evaluate([place[1]], tmp_path / "runs", sources, CONFIG)
    assert not (tmp_path / "runs").exists()


def test_a_window_that_is_not_read_is_said_before_any_run(place, tmp_path):
    folder, base, _ = place
    sources = Sources(tasks=str(folder / "exam.jsonl"), text=str(folder / "words.txt"))
    with pytest.raises(UserError, match="reads 256 tokens at most"):
        evaluate.evaluate([base], tmp_path / "runs", sources, Config(window=512))
    assert not (tmp_path / "runs").exists()


def test_what_is_no_language_model_is_refused(tiny, tmp_path):
    with pytest.raises(UserError, match="no language model"):
        evaluate.evaluate([tiny["image"].artifact], tmp_path)
    with pytest.raises(UserError, match=r"evaluate\.threads"):
        evaluate.evaluate([tiny["image"].artifact], tmp_path, config=Config(threads=4000))
