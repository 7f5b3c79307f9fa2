"""Every verb, from a shell: --json prints JSON and nothing else, --dry-run writes nothing anywhere."""

import json
import os
import subprocess

import pytest

from netwright import cli

RECIPE = """
[task]
name = "synthetic"
[model]
name = "cnn"
width = 4
[train]
epochs = 1
batch = 50
threads = 1
"""
STUDY = """
[bench]
batch = [1]
threads = 1
seconds = 0.02
rounds = 6
[study]
formats = ["onnx"]
devices = ["h100"]
"""


def shell(folder, *words):
    """Exit code, standard output, standard error of a fresh process whose caches are in the folder too."""
    home = {name: str(folder / "home") for name in ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "NETWRIGHT_CACHE")}
    command = ["netwright", *map(str, words)]
    environment = {**os.environ, **home, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module", autouse=True)
def warm_netwright(commands):
    """The `netwright` that is found is one that has imported its libraries."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", os.pathsep.join([str(commands), os.environ["PATH"]]))
        yield


def parsed(folder, *words):
    code, out, err = shell(folder, *words, "--json")
    assert code == 0, err
    return json.loads(out)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a recipe, and a trained and an exported artifact in runs/."""
    folder = tmp_path_factory.mktemp("verbs")
    (folder / "home").mkdir()
    (folder / "tiny.toml").write_text(RECIPE)
    (folder / "study.toml").write_text(RECIPE + STUDY)
    trained = parsed(folder, "train", "tiny.toml")
    exported = parsed(folder, "export", trained["run"], "--format", "onnx", "export.examples=20")
    return folder, trained, exported


def test_train_and_export(place):
    folder, trained, exported = place
    assert (folder / trained["artifact"] / "artifact.json").is_file()
    assert {one["quantity"] for one in trained["measurements"]} >= {"accuracy", "loss", "parameters"}
    assert exported["artifacts"][0]["passed"] is True
    again = parsed(folder, "train", "tiny.toml")
    assert again["digest"] == trained["digest"]


def test_the_searches(place):
    folder, _, _ = place
    assert parsed(folder, "train", "tiny.toml", "--find-lr", "runs=elsewhere")["suggestion"].startswith("train.lr=")


def test_compress(place):
    folder, _, exported = place
    made = parsed(
        folder, "compress", exported["artifacts"][0]["artifact"], "compress.samples=9", "compress.examples=20"
    )
    assert made["artifacts"][0]["precision"] == "int8"


def test_bench(place):
    folder, _, exported = place
    settings = ("bench.seconds=0.02", "bench.rounds=6", "bench.threads=1", "--batch", "1")
    made = parsed(folder, "bench", exported["artifacts"][0]["artifact"], *settings)
    assert {one["quantity"] for one in made["measurements"]} >= {"latency", "size", "peak_memory"}


def test_study(place):
    folder, trained, _ = place
    made = parsed(folder, "study", "study.toml")
    assert made["candidates"][0]["artifact"] == trained["digest"]
    assert (folder / made["report"]).is_file()


@pytest.mark.parametrize(
    ("words", "key"),
    [
        ("predict ARTIFACT --device h100", "predictions"),
        ("multilevel inspect ARTIFACT", "levels"),
        ("multilevel inspect tiny.toml", "spaces"),
        ("data list", "data"),
        ("data show synthetic", "report"),
        ("hardware list", None),
        ("hardware show h100", "device"),
        ("hardware probe --seconds 1", None),
        ("runs list", "runs"),
        ("runs show train", "measurements"),
        ("runs compare train train", "measurements"),
        ("runs path train", "path"),
        ("history list", "conversations"),
        ("history search x", "found"),
        ("doctor", None),
    ],
)
def test_what_only_looks(words, key, place):
    folder, trained, _ = place
    told = parsed(folder, *[trained["artifact"] if word == "ARTIFACT" else word for word in words.split()])
    assert told
    assert key is None or key in told


def listing(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


DRY = [
    "train tiny.toml",
    "train tiny.toml --find-lr",
    "train tiny.toml --find-batch",
    "train tiny.toml --fresh",
    "export ARTIFACT --format onnx --folder copy",
    "compress ARTIFACT",
    "bench ARTIFACT",
    "predict ARTIFACT --all",
    "study study.toml",
    "multilevel inspect tiny.toml",
    "data list",
    "data show synthetic",
    "data fetch mnist",
    "hardware list",
    "hardware show h100",
    "hardware probe",
    "runs list",
    "history list",
    "history export --output chats.html",
    "history delete x",
    "svg trace x.png --out copy",
    "svg explain x.png",
    "doctor",
]


@pytest.mark.parametrize("words", DRY)
def test_a_dry_run_writes_nothing(words, tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "NETWRIGHT_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    (tmp_path / "tiny.toml").write_text(RECIPE)
    (tmp_path / "study.toml").write_text(RECIPE + STUDY)
    before = listing(tmp_path)
    artifact = str(tiny["image"].artifact.folder)
    source = listing(tiny["image"].artifact.folder)
    wanted = [artifact if word == "ARTIFACT" else word for word in words.split()]
    assert cli.main([*wanted, "--dry-run"]) == 0
    assert capsys.readouterr().out.strip()
    assert cli.main([*wanted, "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)
    assert listing(tmp_path) == before
    assert listing(tiny["image"].artifact.folder) == source
