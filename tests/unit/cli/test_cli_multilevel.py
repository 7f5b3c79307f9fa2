"""netwright multilevel inspect: any network by its name, a recipe or a run; refusals that lead on."""

import json
import re
import sys

import pytest

from netwright import cli

FACTORIES = """
import torch
from torch import nn

def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 4))

def both():
    return net(), torch.randn(2, 3, 8, 8)

class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.up, self.head = nn.Embedding(50, 16), nn.Linear(16, 32), nn.Linear(32, 3)

    def forward(self, ids, mask):
        return self.head(torch.relu(self.up(self.table(ids))) * mask.unsqueeze(2)).mean(1)

def recurrent():
    return nn.LSTM(4, 8)

def broken():
    raise ValueError("no weights here")

def number():
    return 7

constant = 3
"""
RECIPE = """
[task]
name = "synthetic"
[model]
name = "cnn"
width = 4
[train.multilevel]
schedule = "cascade"
width = [1, 2, 4]
"""


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "own_networks.py").write_text(FACTORIES)
    (tmp_path / "failing_import.py").write_text("import a_module_that_is_not_here")
    (tmp_path / "tiny.toml").write_text(RECIPE)
    yield tmp_path
    sys.modules.pop("own_networks", None)


def said(capsys, *words):
    code = cli.main(["multilevel", "inspect", *words])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_factory_is_shown_with_its_levels_and_a_picture(capsys, place):
    code, out, err = said(capsys, "own_networks:net", "--example", "2x3x8x8", "--levels", "3")
    assert code == 0, err
    assert re.search(r"8 → 4 → 2", out)
    assert "an output of the network" in out
    assert max(map(len, out.splitlines())) <= 80
    (path,) = re.findall(r"Picture: (\S+)", out)
    assert (place / path).read_text().startswith("<svg")
    assert path == "multilevel/own_networks-net/hierarchy.svg"


def test_json_has_every_space_and_error(capsys, place):
    code, out, _ = said(capsys, "own_networks:both", "--output", "here", "--json")
    told = json.loads(out)
    assert code == 0
    assert told["levels"][0]["flops"] == 1
    assert max(told["errors"]) < 1e-6
    sizes = {row["name"]: row["sizes"] for row in told["spaces"]}
    assert [8, 4] in sizes.values()
    assert sorted(told["pictures"]) == ["here/feature_maps.svg", "here/hierarchy.svg"]


def test_named_inputs_and_a_class(capsys):
    shapes = ("--example", "ids=2x6:int64", "--example", "mask=2x6")
    code, out, err = said(capsys, "own_networks:Named", *shapes, "--json", "--only", "unit")
    assert code == 0, err
    merged = [row for row in json.loads(out)["spaces"] if row["sizes"][0] != row["sizes"][1]]
    assert {row["kind"] for row in merged} == {"unit"}


def test_a_recipe_brings_its_own_levels(capsys):
    code, out, err = said(capsys, "tiny.toml", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert len(told["levels"]) == 3
    assert "multilevel/tiny/feature_maps.svg" in told["pictures"]


def test_an_artifact_is_looked_at(capsys, tiny, place):
    code, out, err = said(capsys, str(tiny["text"].artifact.folder), "--output", "look", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert {"head", "stream"} & {row["kind"] for row in told["spaces"]}
    assert "look/attention.svg" in told["pictures"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("own_networks:nett", 'did you mean "net"?'),
        ("own_network:net", "no module own_network here or installed"),
        ("failing_import:net", "importing it raised ModuleNotFoundError"),
        ("own_networks:broken", "ValueError: no weights here"),
        ("own_networks:number", "it gave int, not a torch.nn.Module"),
        ("own_networks:constant", "a function or class without arguments"),
        ("own_networks:net", "--example 2x3x32x32"),
        ("own_networks:net --example 2x4x8x8", "the module raised RuntimeError"),
        ("own_networks:net --example 2y3", "--example = '2y3'"),
        ("own_networks:net --example 2x3:int63", 'did you mean "int64"?'),
        ("own_networks:net --example 0x3", "sizes from 1 up"),
        ("own_networks:Named --example a=2x6 --example 2x6", "every input with a name of its own"),
        ("own_networks:recurrent --example 3x2x4", "aten.lstm"),
        ("own_networks:both --only chanel", 'did you mean "channel"?'),
        ("own_networks:both --levels 1", "from 2 to 12"),
        ("own_networks:both --matching best", "heavy_edge"),
        ("own_networks:both --output tiny.toml", "a folder"),
        ("tiny.toml --example 2x3", "a recipe knows its inputs"),
        ("nothing", "package.module:factory, a recipe"),
        ("absent.toml", "absent.toml"),
        (". ", "artifact"),
        (":net", "package.module:factory"),
    ],
)
def test_what_cannot_be_looked_at_is_refused_in_one_message(words, message, capsys, place):
    before = sorted(place.iterdir())
    code, out, err = said(capsys, *words.split())
    assert (code, out) == (2, ""), err
    refusal = err.splitlines()[-1]
    assert refusal.startswith("netwright: ")
    assert message in refusal
    assert "Next: " in refusal
    assert [path for path in sorted(place.iterdir()) if path.name != "__pycache__"] == before


def test_an_unknown_action_is_refused(capsys):
    assert cli.main(["multilevel", "inspekt", "x:y"]) == 2
    assert 'did you mean "inspect"?' in capsys.readouterr().err


def test_a_dry_run_writes_nothing(capsys, place):
    code, out, _ = said(capsys, "own_networks:both", "--dry-run")
    assert code == 0
    assert "multilevel/own_networks-both" in out
    assert not (place / "multilevel").exists()


def test_a_training_on_levels_says_what_they_did_and_leaves_its_pictures(capsys, place):
    settings = ("train.epochs=1", "train.batch=100", "train.threads=1", "train.multilevel.width=[1,2]")
    assert cli.main(["train", "tiny.toml", *settings]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert re.search(r"Levels: cascade, 2 changes of level; share of work: level 0 \d+ %, level 1 \d+ %", out)
    plots = {path.name for path in (place / "runs").glob("*/plots/*")}
    assert plots == {"training.html", "training.svg", "work.svg", "hierarchy.svg", "feature_maps.svg"}


def test_a_training_on_one_level_says_nothing_of_levels(capsys, place):
    settings = ("train.epochs=1", "train.batch=100", "train.threads=1", 'train.multilevel.schedule="single"')
    assert cli.main(["train", "tiny.toml", *settings]) == 0
    assert "Levels:" not in capsys.readouterr().out
    assert {path.name for path in (place / "runs").glob("*/plots/*")} == {"training.html", "training.svg"}
