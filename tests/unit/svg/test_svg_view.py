"""Tables and CSV: predicted beside measured, nothing that a spreadsheet would run."""

import csv
import io

import pytest
from rich.console import Console

from netwright.svg import view
from netwright.svg.batch import row_of
from netwright.svg.choose import choose
from netwright.svg.raster import from_pixels
from netwright.svg.wish import Wish
from scripted_tracer import ScriptedPredictor, ScriptedTracer, picture


@pytest.fixture(scope="module")
def rows():
    about = {"image": "=cmd()", "svg": "a.svg", "width": 64, "height": 64, "sha256": "0", "notes": ["was animated"]}
    raster, tracer = from_pixels(picture()), ScriptedTracer()
    found = []
    for predictor, how in ((ScriptedPredictor(), "predict"), (None, "measure")):
        choice = choose(raster, Wish(), tracer, predictor, 2, quick=True, how=how)
        found.append({**about, **row_of(choice, Wish())})
    return found


def drawn(*parts):
    console = Console(file=io.StringIO(), width=200)
    for part in parts:
        console.print(part, markup=False)
    return console.file.getvalue()


def test_one_image(rows):
    text = drawn(*view.one(rows[0]))
    assert f"{rows[0]['bytes']:,}" in text
    assert "predicted" in text.splitlines()[1]
    assert "Was animated" in text
    assert "the default has" in text
    bare = drawn(*view.one(rows[1]))
    assert "predicted" not in bare.splitlines()[1]


def test_many(rows):
    text = drawn(view.many(rows), view.total(rows))
    assert text.count("=cmd()") == 2
    assert "geometric mean" in text
    assert "short of the wish" in view.total([{**rows[0], "granted": False}])


def test_csv_runs_nothing(rows, tmp_path):
    view.write_csv(tmp_path / "new" / "a.csv", rows)
    found = list(csv.DictReader((tmp_path / "new" / "a.csv").read_text().splitlines()))
    assert [row["image"] for row in found] == ["'=cmd()"] * 2
    assert int(found[0]["bytes"]) == rows[0]["bytes"] <= int(found[0]["traced_bytes"])
    assert float(found[0]["predicted_bytes"]) > 0
    assert found[1]["predicted_bytes"] == ""
    assert found[0]["color_precision"]


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0"), (812.4, "812"), (999.9, "1k"), (4123, "4.12k"), (2.35e6, "2.35M")]
)
def test_short_counts(count, text):
    assert view.short(count) == text
