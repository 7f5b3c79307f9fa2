"""The verb `evaluate`, and `runs trend` over what it measured."""

import json
import shutil

import pytest

from netwright import cli
from small_languages import small_llama, text_file


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verb")
    data = text_file(folder)
    (folder / "exam.jsonl").write_text('{"prompt": "the cat", "choices": ["sat", "qqq"], "answer": "A"}\n' * 3)
    (folder / "prompts.txt").write_text("the cat\n")
    base, tuned = small_llama(folder / "a", data), small_llama(folder / "b", data, 30)
    return folder, str(base.folder), str(tuned.folder)


def run(capsys, *words):
    code = cli.main(["evaluate", *map(str, words), "evaluate.threads=1", "evaluate.max_tokens=4"])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_table_with_intervals_and_verdicts(place, tmp_path, capsys):
    folder, base, tuned = place
    words = [base, tuned, "--tasks", folder / "exam.jsonl", "--text", folder / "words.txt", f"runs={tmp_path}"]
    code, out, _ = run(capsys, *words)
    assert code == 0
    assert "perplexity" in out
    assert "words.txt: tuned better than base by" in " ".join(out.split())
    code, out, _ = run(capsys, *words, "--json")
    told = json.loads(out)
    assert [model["name"] for model in told["models"]] == ["base", "tuned"]
    assert [one["quantity"] for one in told["changes"]] == ["accuracy_change"] * 2 + ["perplexity_ratio"]
    assert cli.main(["runs", "trend", "perplexity", f"runs={tmp_path}", "--json"]) == 0
    series = json.loads(capsys.readouterr().out)["trend"]["perplexity, words.txt"]
    assert len(series) == 2
    picture = tmp_path / "trend.svg"
    assert cli.main(["runs", "trend", "perplexity", f"runs={tmp_path}", "--output", str(picture)]) == 0
    assert "perplexity, words.txt" in picture.read_text()
    assert cli.main(["runs", "trend", f"runs={tmp_path}", "--output", str(picture)]) == 2
    assert "one of accuracy" in capsys.readouterr().err
    assert cli.main(["runs", "trend", "nonsense", f"runs={tmp_path}"]) == 2
    assert "perplexity, words.txt" in capsys.readouterr().err
    assert cli.main(["runs", "list", f"runs={tmp_path}", "--only", "evaluate"]) == 0


def test_one_alone_on_its_test_split(place, tmp_path, capsys):
    code, out, _ = run(capsys, place[2], f"runs={tmp_path}")
    assert code == 0
    assert "test split" in " ".join(out.split())


def test_a_page(place, tmp_path, capsys):
    folder, base, tuned = place
    words = [base, tuned, "--sidebyside", folder / "prompts.txt", "--blind", f"runs={tmp_path}", "--json"]
    code, out, _ = run(capsys, *words)
    assert code == 0
    page = json.loads(out)["page"]
    assert page.endswith("sidebyside.html")
    code, out, _ = run(capsys, *words[:-1])
    assert page in out.replace("\n", "")


def test_a_run_is_named_by_a_part_of_its_name(place, tmp_path, capsys):
    runs = tmp_path / "runs"
    run(capsys, place[1], f"runs={runs}")
    for name in ("20260101-train-aaaa", "20260102-train-bbbb"):
        shutil.copytree(place[2], runs / name / "artifact")
        (runs / name / "run.json").write_text("{}")
    assert run(capsys, "bbbb", f"runs={runs}")[0] == 0
    code, _, err = run(capsys, "train", f"runs={runs}")
    assert code == 2
    assert "one of 20260101-train-aaaa, 20260102-train-bbbb" in err


def test_a_dry_run_writes_nothing(place, tmp_path, capsys):
    folder, base, _ = place
    runs = tmp_path / "runs"
    code, out, _ = run(capsys, base, "--tasks", folder / "exam.jsonl", f"runs={runs}", "--dry-run")
    assert code == 0
    assert "exam.jsonl" in out
    assert not runs.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["BASE", "--blind"], "--sidebyside prompts.txt"),
        (["absent"], "no artifact"),
        (["BASE", "evaluate.widow=3"], "did you mean"),
        (["BASE", "evaluate.temperature=-1"], "temperature"),
        (["BASE", "--tasks", "absent.jsonl"], "no such file"),
        (["runs=x"], "one language model or more"),
        (["[*]"], "no artifact"),
    ],
)
def test_what_is_asked_wrongly(place, tmp_path, capsys, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, *[place[1] if word == "BASE" else word for word in words])
    assert code == 2
    assert said in err
    assert list(tmp_path.iterdir()) == []
