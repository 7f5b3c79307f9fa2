"""What cannot be done stops before any work: exit code 2, one message that leads on, nothing left behind."""

import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys

import pytest

from netwright import cli

IMAGES = """
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
TEXTS = IMAGES.replace('"synthetic"', '"synthetic-text"').replace('"cnn"', '"transformer"')


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """The current folder, with recipes good and bad; runs go to runs/, which is not there yet."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images.toml").write_text(IMAGES)
    (tmp_path / "texts.toml").write_text(TEXTS)
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "binary.toml").write_bytes(bytes(range(256)) * 10)
    (tmp_path / "huge.toml").write_bytes(b"# " + b"x" * 2_000_000)
    (tmp_path / "deep.toml").write_text("a = " + "[" * 5000)
    (tmp_path / "empty.toml").write_text("")
    (tmp_path / "loop.toml").symlink_to("loop.toml")
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "file").write_text("in the way")
    return tmp_path


def listing(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def check_message(code, out, err):
    assert (code, out) == (2, ""), err
    assert "Traceback" not in err
    said = [line for line in err.splitlines() if line.startswith("netwright: ")]
    assert said == err.splitlines(), "one message, and nothing else"
    assert len(said) == 1
    setting, equals, rest = said[0].removeprefix("netwright: ").partition(" = ")
    assert setting
    assert equals
    value, colon, allowed = rest.partition(": ")
    assert value
    assert colon
    assert allowed.partition(" Next: ")[2]
    return said[0]


def refused(capsys, folder, *words):
    before = listing(folder)
    capsys.readouterr()
    code = cli.main([str(word) for word in words])
    seen = capsys.readouterr()
    assert listing(folder) == before
    return check_message(code, seen.out, seen.err)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("trian images.toml", 'did you mean "train"'),
        ("train", "required: recipe"),
        ("train images.toml --fresch", 'did you mean "--fresh"'),
        ("train nowhere.toml", "there is no such file"),
        ("train folder.toml", "not a plain file"),
        ("train pipe.toml", "not a plain file"),
        ("train loop.toml", "not a readable file"),
        ("train binary.toml", "not TOML"),
        ("train deep.toml", "not TOML"),
        ("train huge.toml", "at most 1,000,000 bytes"),
        ("train empty.toml", "add [task] with a name"),
        ("train nul\0.toml", "null byte"),
    ],
)
def test_a_line_or_a_recipe_that_is_none(words, said, capsys, place):
    assert said in refused(capsys, place, *words.split(" "))


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("trane.epochs=3", "trane = {'epochs': 3}: did you mean \"train\"?"),
        ("train.epocs=3", 'train.epocs = 3: did you mean "epochs"?'),
        ("study.devices=[]", "allowed: deliver, export, model, run, task, train"),
        ("train.epochs=2.5", "train.epochs = 2.5: expected a whole number 1 to 100000"),
        ('train.epochs="2"', "train.epochs = '2': expected a whole number"),
        ("train.epochs=true", "expected a whole number"),
        ("train.epochs=0", "1 to 100000"),
        ("train.epochs=99999999999999999999999999", "1 to 100000"),
        ("train.lr=nan", "train.lr = nan: expected a number 0 to 1000"),
        ("train.lr=-1", "0 to 1000"),
        ("train.momentum=1", "0 to 0.9999"),
        ("train.epochs", "override = 'train.epochs': section.key=value"),
        ("=3", "section.key=value"),
        ("train.=3", "section.key=value"),
        ("train=3", "section.key=value"),
        ("train.epochs.x=3", "train is no section"),
        ("task.name=syntetic", "task.name = 'syntetic': did you mean \"synthetic\""),
        ("model.name=cn", "model.name = 'cn': did you mean \"cnn\"?"),
        ("train.optimizer=adma", 'did you mean "adam"?'),
        ("train.precision=fp7", "train.precision = 'fp7': allowed: bf16, fp16, fp32"),
        ("train.device=cuda:99", "train.device = 'cuda:99': cuda needs NVIDIA's driver"),
        ("train.device=abacus", "train.device = 'abacus': this machine has"),
        ("train.threads=4096", "train.threads = 4096: at most"),
        ("train.batch=1001", "train.batch = 1001: at most the 1000 training examples"),
        ("train.parallel=ddp", "torchrun"),
        ('train.mirrors=["mflow"]', 'did you mean "mlflow"?'),
        ('train.alerts=["mail"]', "train.alerts = 'mail'"),
        ("model.name=transformer", "it takes token ids and a mask; this task has image"),
        ("runs=", "runs = '': a folder"),
        ("runs=file", "a part of its path is a file"),
        ("runs=file/runs", "a part of its path is a file"),
        ("runs=" + 300 * "x", "its name is too long"),
    ],
)
def test_a_setting_that_cannot_be(override, said, capsys, place):
    assert said in refused(capsys, place, "train", "images.toml", override)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["model.name=cnn"], "it takes an input named image of fixed shape; this task has ids, mask"),
        (["model.width=10", "model.heads=4"], "width 10 is not a multiple of heads 4"),
        (["model.positions=8"], "model.positions = 8: at least the 16 tokens"),
    ],
)
def test_a_network_that_does_not_fit_the_task(overrides, said, capsys, place):
    assert said in refused(capsys, place, "train", "texts.toml", *overrides)


@pytest.mark.parametrize("override", ["task.validation=60000", "task.validation=0", "task.validation=1e9"])
def test_a_split_that_would_be_empty(override, capsys, place):
    text = refused(capsys, place, "train", "images.toml", "task.name=mnist", override)
    assert "task.validation = " in text
    assert "both splits need examples" in text


def test_more_held_in_a_batch_than_a_limit_leaves(capsys, place):
    assert "at most the 10 training" in refused(
        capsys, place, "train", "images.toml", "task.name=mnist", "task.limit=10"
    )


@pytest.mark.parametrize(
    "url", ["mysql://host/name", "postgresql://", "nonsense", "postgresql://user:secret@127.0.0.1:1/name", "://"]
)
def test_a_database_that_is_none(url, capsys, place, monkeypatch):
    monkeypatch.setenv("NETWRIGHT_DATABASE_URL", url)
    text = refused(capsys, place, "train", "images.toml")
    assert text.startswith("netwright: NETWRIGHT_DATABASE_URL = ")
    assert "secret" not in text


def rewrite(folder, **values):
    path = folder / "artifact.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def replace(folder, name, content):
    """Other bytes in a file, of which the manifest knows."""
    (folder / name).write_bytes(content)
    files = json.loads((folder / "artifact.json").read_text())["files"]
    files[name] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    rewrite(folder, files=files)


def tamper(folder):
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")


DAMAGES = {
    "another digest": (tamper, "another sha256"),
    "cut short": (lambda f: (f / "weights.safetensors").write_bytes(b"x"), "has 1 bytes, the manifest says"),
    "gone": (lambda f: (f / "weights.safetensors").unlink(), "is missing or no plain file"),
    "no manifest": (lambda f: (f / "artifact.json").unlink(), "no artifact: it has no artifact.json"),
    "no JSON": (lambda f: (f / "artifact.json").write_text("{"), "not JSON"),
    "of the future": (lambda f: rewrite(f, schema=99), "not of schema 1"),
    "format unknown": (lambda f: rewrite(f, format="onxx"), "onxx"),
    "format of another": (lambda f: rewrite(f, format="onnx"), "onnx"),
    "precision unknown": (lambda f: rewrite(f, precision="fp7"), "fp7"),
    "task unknown": (lambda f: rewrite(f, task={"name": "nope", "classes": ["a"]}), "task.name = 'nope'"),
    "other data": (lambda f: rewrite(f, task={"name": "synthetic", "digest": "0", "classes": 3 * ["a"]}), "no longer"),
    "model unknown": (lambda f: rewrite(f, model={"name": "nope"}), "model.name = 'nope'"),
    "another model": (lambda f: rewrite(f, model={"name": "mlp"}), "is missing"),
    "another width": (lambda f: rewrite(f, model={"name": "cnn", "width": 9}), "the network's is"),
    "impossible inputs": (lambda f: rewrite(f, inputs={"image": {"shape": [1, -8, 8], "dtype": "float32"}}), "shape"),
    "other inputs": (
        lambda f: rewrite(f, inputs={"image": {"shape": [1, 4, 4], "dtype": "float32"}}),
        "not those of the task",
    ),
    "weights that are none": (lambda f: replace(f, "weights.safetensors", b"\xff" * 99), "not safetensors"),
    "no operators": (lambda f: replace(f, "workload.json", b"[]"), "not a table of operators"),
}


@pytest.mark.parametrize("verb", ["export", "compress", "bench"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_an_artifact_that_is_not_what_it_says(damage, verb, tiny, capsys, place):
    change, said = DAMAGES[damage]
    shutil.copytree(tiny["image"].artifact.folder, place / "copy")
    change(place / "copy")
    text = refused(capsys, place, verb, "copy", *(["--format", "torch"] if verb == "export" else []))
    assert said in text or (verb == "compress" and "quantize takes an fp32 artifact" in text) or (
        verb == "export" and 'only an artifact of format "torch"' in text
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("export nowhere", "no artifact"),
        ("export ARTIFACT --format onyx", 'did you mean "onnx"?'),
        ("export ARTIFACT --format onnx --folder file", "is a file"),
        ("export ARTIFACT train.epochs=3", "allowed: export"),
        ("compress ARTIFACT --method int7", 'did you mean "int8"?'),
        ("compress ARTIFACT compress.samples=-1", "0 to 100000"),
        ("bench ARTIFACT --batch 0", "bench.batch = [0]"),
        ("bench ARTIFACT --batch many", "--batch = 'many': a whole number"),
        ("bench ARTIFACT bench.threads=100000", "0 to 4096"),
        ("bench ARTIFACT bench.threads=4096", "at most"),
        ("bench ARTIFACT bench.batch=[]", "one batch size or more"),
        ("predict ARTIFACT", "a device of"),
        ("predict ARTIFACT --device h1000", "device = 'h1000': did you mean h100"),
        ("predict ARTIFACT --device h100 --precision fp7", "precision = 'fp7'"),
        ("predict ARTIFACT --device h100 --batch -1", ">= 1"),
        ("study images.toml study.devices=[\"h1000\"]", "study.devices = 'h1000'"),
        ("study images.toml study.formats=[\"onyx\"]", "study.formats[0] = 'onyx'"),
        ("study images.toml bench.rounds=5", "6 to 10000"),
        ("study images.toml train.batch=5000", "at most the 1000"),
        ("study images.toml runs=file", "a part of its path is a file"),
        ("data show minst", 'did you mean "mnist"?'),
        ("data", "required: ACTION"),
        ("hardware show h1000", "device = 'h1000'"),
        ("hardware probe --seconds nan", "1 to 60 seconds"),
        ("runs show nothing", "RUN = 'nothing'"),
        ("runs list runs=file", "runs = 'file': a folder"),
        ("runs list --only trian", None),
        ("doctor --offline", "option = '--offline'"),
    ],
)  # fmt: skip
def test_a_request_of_another_verb_that_cannot_be(words, said, tiny, capsys, place):
    artifact = str(tiny["image"].artifact.folder)
    if said is None:  # there is no run at all, of which one could be listed
        assert cli.main(words.split()) == 0
    else:
        assert said in refused(capsys, place, *[artifact if word == "ARTIFACT" else word for word in words.split()])


def ended(folder, words, **about):
    """A fresh process: exit code, standard output, standard error."""
    command = [sys.executable, "-m", "netwright", *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **about.pop("env", {})}
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False, **about)
    return done.returncode, done.stdout, done.stderr


BLOCKER = """
import importlib.machinery, os
finder = importlib.machinery.PathFinder
find, absent = finder.find_spec, os.environ["ABSENT"]
def hidden(name, path=None, target=None):
    return None if name.split(".")[0] == absent else find(name, path, target)
finder.find_spec = hidden
"""


@pytest.mark.parametrize(
    ("package", "extra", "words"),
    [
        ("onnxruntime", "onnx", "export ARTIFACT --format onnx"),
        ("openvino", "openvino", "export ARTIFACT --format openvino"),
        ("nncf", "openvino", "compress ARTIFACT"),
        ("matplotlib", "plot", "study images.toml"),
        ("tensorboard", "tensorboard", 'train images.toml train.mirrors=["tensorboard"]'),
        ("psycopg", "postgres", "train images.toml"),
    ],
)
def test_a_missing_extra(package, extra, words, tiny, place):
    blocker = place / "blocker"
    blocker.mkdir()
    (blocker / "sitecustomize.py").write_text(BLOCKER)
    env = {"ABSENT": package, "PYTHONPATH": str(blocker), "PYTHONDONTWRITEBYTECODE": "1"}
    if package == "psycopg":
        env["NETWRIGHT_DATABASE_URL"] = "postgresql://127.0.0.1/test"
    before = listing(place)
    artifact = str(tiny["image"].artifact.folder)
    text = check_message(*ended(place, [artifact if w == "ARTIFACT" else w for w in words.split()], env=env))
    assert f"extra = '{extra}'" in text
    assert f"Next: pip install 'netwright[{extra}]'" in text
    assert listing(place) == before


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (200, "train images.toml"),
        (2000, "train images.toml"),
        (2000, "export ARTIFACT --format onnx export.examples=20"),
        (7000, "export ARTIFACT --format openvino export.examples=20"),
    ],
)
def test_a_disk_that_is_full(limit, words, tiny, place):
    """A limit on the size of a file stands for the disk; what was whole before may stay, nothing half-written."""
    artifact = str(tiny["image"].artifact.folder)
    code, out, err = ended(
        place,
        [artifact if w == "ARTIFACT" else w for w in words.split()],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    last = err.splitlines()[-1]
    check_message(code, out, last + "\n")
    assert last.startswith("netwright: disk = ")
    assert "Traceback" not in err
    assert not list(place.rglob("*.draft"))
    assert not list(place.rglob("artifact.json"))
    if limit == 200 or words.startswith("export"):
        assert not (place / "runs").exists()


def test_a_full_disk_does_not_end_a_training_that_has_begun(place):
    """With room again, the same command goes on."""
    full = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))}
    assert ended(place, ["train", "images.toml"], **full)[0] == 2
    (run,) = (place / "runs").iterdir()
    code, out, err = ended(place, ["train", "images.toml", "--json"])
    assert code == 0, err
    assert json.loads(out)["run"] == f"runs/{run.name}"
