"""netwright svg trace and explain: from the command line, with the true tracer."""

import csv
import json

import pytest
from PIL import Image

from netwright import cli
from scripted_tracer import picture


@pytest.fixture
def said(tmp_path, monkeypatch, capsys):
    """Runs a command in a folder of two small images; gives the exit code, and what was printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    (tmp_path / "icons").mkdir()
    for name, step in (("one", 64), ("two", 128)):
        Image.fromarray(picture(40) // step * step).save(tmp_path / "icons" / f"{name}.png")

    def run(*words):
        code = cli.main(["svg", *map(str, words)])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


QUICK = ("--quick", "--traces", 2, "--how", "measure")


def test_one_image(said, tmp_path):
    code, out, _ = said("trace", "icons/one.png", *QUICK)
    assert code == 0
    svg = (tmp_path / "icons" / "one.svg").read_text()
    assert svg.startswith("<svg ")
    assert f"{len(svg.encode()):,} bytes" in out
    assert sorted(one.name for one in (tmp_path / "icons").iterdir()) == ["one.png", "one.svg", "two.png"]
    code, _, err = said("trace", "icons/one.png", *QUICK)
    assert code == 2
    assert "--overwrite" in err
    code, out, _ = said("trace", "icons/one.png", "--preset", "polygon", "--overwrite", "--json")
    assert code == 0
    assert json.loads(out)["images"][0]["setting"]["mode"] == "polygon"


def test_a_folder_with_a_bad_file_and_again(said, tmp_path):
    (tmp_path / "icons" / "bad.png").write_bytes(b"no image")
    words = ("trace", "icons", "--out", "out", "--csv", "out.csv", "--report", "out.html", "--workers", 2, *QUICK)
    code, out, err = said(*words)
    assert code == 1
    assert "icons/bad.png: is no image that can be read" in err
    assert "Failed: 1" in out
    assert {one.name for one in (tmp_path / "out").iterdir()} == {"one.svg", "two.svg", "netwright-svg.jsonl"}
    assert [row["image"] for row in csv.DictReader((tmp_path / "out.csv").read_text().splitlines())] == [
        "icons/one.png",
        "icons/two.png",
    ]
    assert "2 images as SVG" in (tmp_path / "out.html").read_text()
    (tmp_path / "icons" / "bad.png").unlink()
    code, out, _ = said(*words)
    assert code == 0
    assert "2 of them were there already" in out


def test_an_impossible_wish_says_what_it_would_take(said):
    code, out, _ = said("trace", "icons/one.png", "--max-bytes", 20, *QUICK)
    assert code == 0
    assert "the wish was not reached" in out
    assert "The smallest that was traced has" in " ".join(out.split())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("trase", "a.png"), "trace"), (("trace",), "one image or folder"), (("trace", "gone.png"), "gone.png"),
        (("trace", "icons/one.png", "--min-ssim", "2"), "--min-ssim"),
        (("trace", "icons/one.png", "--max-bytes", "many"), "--max-bytes"),
        (("trace", "icons/one.png", "--mode", "curvs"), 'did you mean "curves"'),
        (("trace", "icons/one.png", "--preset", "foto"), 'did you mean "photo"'),
        (("trace", "icons/one.png", "--traces", "0"), "--traces"), (("trace", "icons/one.png", "--how", "x"), "--how"),
        (("trace", "icons/one.png", "--report", "r.pdf"), ".html"),
        (("trace", "icons/one.png", "--csv", "icons"), ".csv"),
        (("trace", "icons", "--out", "one.svg"), "2 images cannot become one file"),
        (("explain", "icons/one.png", "--out", "x"), "an option of trace"), (("explain",), "one image"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused_before_any_work(said, tmp_path, words, told):
    code, _, err = said(*words)
    assert code == 2
    assert told in err
    assert sorted(one.name for one in tmp_path.iterdir()) == ["icons"]


def test_a_dry_run_writes_nothing(said, tmp_path):
    code, out, _ = said("trace", "icons", "--out", "out", "--dry-run")
    assert code == 0
    assert "would trace icons/one.png to out/one.svg" in out
    assert "would explain" in said("explain", "icons/one.png", "--dry-run")[1]
    assert not (tmp_path / "out").exists()


def test_explain(said, tmp_path):
    code, out, _ = said("explain", "icons/two.png", "--preset", "small polygon", "--report", "why.html")
    assert code == 0
    assert "color_precision" in out
    assert "What each parameter buys" in (tmp_path / "why.html").read_text()
    steps = json.loads(said("explain", "icons/two.png", "--preset", "small polygon", "--json")[1])["steps"]
    assert steps[0]["measured"]
    assert len(steps) > 15
