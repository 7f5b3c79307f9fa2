"""The verb `runs`, from folders alone."""

import json
import re

import pytest

from netwright import cli
from netwright.core import artifact
from netwright.core.measurement import Measurement
from netwright.core.run import Run

ABOUT = {"format": "torch", "task": {"name": "mnist"}, "model": {"name": "cnn"}, "inputs": {}}


def accuracy(value, of=None):
    return Measurement(quantity="accuracy", value=value, low=value - 0.002, high=value + 0.002, n=10000, artifact=of)


def make(runs, verb, key, value=0.99, *, parents=(), precision="fp32", fill=b"1"):
    with Run.start(runs, verb, key) as run:
        made = artifact.create(
            run.folder / "artifact",
            lambda draft: (draft / "w").write_bytes(fill),
            parents=parents,
            precision=precision,
            **ABOUT,
        )
        latency = Measurement(quantity="latency", value=1e-3, low=1e-3, high=2e-3, n=30, device="cpu")
        run.finish({"measurements": [accuracy(value, made.digest), latency]})
        return run.folder, made


@pytest.fixture
def two(tmp_path):
    """A training run and the compression of what it made."""
    runs = tmp_path / "runs"
    trained, net = make(runs, "train", {"train": {"epochs": 3, "rate": 0.1}})
    small, _ = make(
        runs,
        "compress",
        {"train": {"epochs": 4, "rate": 0.1}},
        0.98,
        parents=(net.digest,),
        precision="int8",
        fill=b"2",
    )
    return runs, trained, small


def run(capsys, *words):
    code = cli.main(["runs", *map(str, words)])
    out, err = capsys.readouterr()
    return code, out, err


def as_json(capsys, *words):
    code, out, err = run(capsys, *words, "--json")
    assert code == 0, err
    return json.loads(out)


def test_list_names_status_and_figures(two, capsys):
    runs, trained, small = two
    Run.start(runs, "train", {"seed": 9}).__exit__(None)  # ended without finish, as by a kill
    data = as_json(capsys, "list", f"runs={runs}")["runs"]
    status = {row["run"]: row["status"] for row in data}
    assert status[trained.name] == status[small.name] == "done"
    assert sorted(status.values()) == ["done", "done", "unfinished"]
    with Run.start(runs, "train", {"seed": 9}):
        assert "running" in [row["status"] for row in as_json(capsys, "list", f"runs={runs}")["runs"]]
    figures = next(row["figures"] for row in data if row["run"] == trained.name)
    assert [(m["quantity"], m["value"]) for m in figures] == [("accuracy", 0.99), ("latency", 0.001)]
    _, out, _ = run(capsys, "list", f"runs={runs}")
    assert "accuracy 99.00 % [98.80–99.20 %]" in " ".join(out.split())


def test_list_filters_by_verb(two, capsys):
    runs, trained, _ = two
    assert [row["run"] for row in as_json(capsys, "list", f"runs={runs}", "--only", "train")["runs"]] == [trained.name]
    code, _, err = run(capsys, "list", f"runs={runs}", "--only", "trian")
    assert code == 2
    assert 'did you mean "train"' in err


def test_list_of_nothing_says_how_to_begin(tmp_path, capsys):
    code, out, _ = run(capsys, "list", f"runs={tmp_path / 'none'}")
    assert code == 0
    assert "netwright study" in out
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("text", ["{", "[]", '{"verb": "train"}', '{"verb": 1, "key": "", "status": "done"}'])
def test_a_broken_run_is_listed_as_such(two, capsys, text):
    runs, _, _ = two
    (runs / "20200101-train-x").mkdir()
    (runs / "20200101-train-x" / "run.json").write_text(text)
    data = as_json(capsys, "list", f"runs={runs}")
    assert len(data["runs"]) == 2
    assert [one["run"] for one in data["unreadable"]] == ["20200101-train-x"]
    assert run(capsys, "show", "train-x", f"runs={runs}")[0] == 2


def test_show_tells_measurements_with_intervals_and_lineage(two, capsys):
    runs, trained, small = two
    data = as_json(capsys, "show", "compress", f"runs={runs}")
    assert data["run"] == small.name
    assert [m["low"] for m in data["measurements"]] == [0.978, 0.001]
    (made,) = data["artifacts"]
    assert [(one["artifact"], one["run"]) for one in made["ancestors"]] == [
        (artifact.open(trained).digest, trained.name)
    ]
    _, out, _ = run(capsys, "show", "compress", f"runs={runs}")
    assert "97.80–" in re.sub(r"\s+", " ", out)
    assert trained.name[:12] in out


def test_lineage_to_elsewhere_and_in_circles_ends(tmp_path, capsys):
    folder, _ = make(tmp_path, "train", {}, parents=("a" * 64,))
    (made,) = as_json(capsys, "show", folder.name, f"runs={tmp_path}")["artifacts"]
    assert made["ancestors"][0]["run"] is None


def test_compare_tells_settings_and_figures_apart(two, capsys):
    runs, trained, small = two
    data = as_json(capsys, "compare", "train", "compress", f"runs={runs}")
    assert (data["first"], data["second"]) == (trained.name, small.name)
    assert data["settings"] == {"train.epochs": [3, 4]}
    verdicts = {row["what"]: row["second_is"] for row in data["measurements"]}
    assert verdicts == {"accuracy": "worse", "latency, cpu": "the same"}


@pytest.mark.parametrize(
    ("second", "verdict"), [(0.99, "the same"), (0.991, "not told apart"), (0.98, "worse"), (0.999, "better")]
)
def test_compare_ranks_only_what_intervals_tell_apart(tmp_path, capsys, second, verdict):
    first, _ = make(tmp_path, "train", {"seed": 1})
    other, _ = make(tmp_path, "train", {"seed": 2}, second)
    rows = as_json(capsys, "compare", first.name, other.name, f"runs={tmp_path}")["measurements"]
    assert {row["what"]: row["second_is"] for row in rows}["accuracy"] == verdict


def test_path_is_the_folder(two, capsys):
    runs, trained, _ = two
    assert run(capsys, "path", "train", f"runs={runs}")[:2] == (0, f"{trained}\n")
    assert run(capsys, "path", trained)[:2] == (0, f"{trained}\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lsit"], 'did you mean "list"'),
        (["show"], "1 run for show"),
        (["compare", "a"], "2 runs for compare"),
        (["list", "a"], "0 runs for list"),
        (["show", "2"], "one of "),
        (["path", "nowhere"], "allowed: "),
    ],
)
def test_what_cannot_be_done_is_refused(two, capsys, words, said):
    code, out, err = run(capsys, *words, f"runs={two[0]}")
    assert (code, out) == (2, "")
    assert said in err


def logged(runs, schedule, levels):
    with Run.start(runs, "train", {"train": {"multilevel": {"schedule": schedule}}}) as run:
        for step in range(1, 21):
            level = {"level": levels[step * len(levels) // 21], "work": step / 2} if len(levels) > 1 else {}
            run.log(step, loss=3 / step, **level)
        run.finish({"measurements": []})
        return run.folder


def test_curves_draw_several_trainings_into_one_picture(tmp_path, capsys):
    runs, picture = tmp_path / "runs", tmp_path / "pictures" / "work.svg"
    cascade, alone = logged(runs, "cascade", [1, 0]), logged(runs, "single", [0])
    words = ["runs", "curves", cascade.name, alone.name, f"runs={runs}", "--output", str(picture)]
    assert cli.main([*words, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["runs"] == {"cascade": cascade.name, "single": alone.name}
    drawn = picture.read_text()
    assert "cascade" in drawn
    assert "single" in drawn
    before = picture.stat().st_mtime_ns
    assert cli.main([*words, "--dry-run"]) == 0
    assert picture.stat().st_mtime_ns == before


def test_curves_of_what_is_no_training_are_refused(two, capsys):
    runs, trained, small = two
    assert cli.main(["runs", "curves", small.name, f"runs={runs}"]) == 2
    assert "a training" in capsys.readouterr().err
    assert cli.main(["runs", "curves", trained.name, f"runs={runs}"]) == 2
    assert "no metrics yet" in capsys.readouterr().err
    assert cli.main(["runs", "curves", trained.name, f"runs={runs}", "--output", "x.png"]) == 2
    assert "NAME.svg" in capsys.readouterr().err


def test_dry_run_reads_nothing(two, capsys):
    code, out, _ = run(capsys, "show", "train", f"runs={two[0]}", "--dry-run")
    assert code == 0
    assert "changes nothing" in out
