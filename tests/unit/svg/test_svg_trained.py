"""The report of svg-quality: a whole tiny training with its controls, and the bars."""

import json

import numpy as np
import pytest

import small_svg
from netwright.core import recipe
from netwright.core.error import UserError
from netwright.data.regression import Estimates
from netwright.study import delivery
from netwright.svg import trained as report
from netwright.train import training

RECIPE = {
    "task": {"name": "svg-quality"}, "model": {"name": "regressor", "widths": [8], "dropout": 0.0},
    "train": {"epochs": 2, "batch": 32, "lr": 0.01, "threads": 1}, "export": {"examples": 30},
}  # fmt: skip


def parsed(**sections):
    return recipe.parse({**RECIPE, **sections}, delivery.SECTIONS)


@pytest.fixture(scope="module")
def delivered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NETWRIGHT_CACHE", str(folder / "cache"))
        data = small_svg.write(folder / "data", folder / "cache")
        told = parsed(
            task={"name": "svg-quality", "folder": str(data)}, run={"copy_to": str(folder / "away")},
            deliver={"formats": ["torchscript", "onnx"], "package": True, "report": True},
        )  # fmt: skip
        delivery.check(told)
        trained = training.train(told, folder / "runs")
        first = delivery.deliver(told, trained, folder / "runs")
        again = delivery.deliver(told, trained, folder / "runs")
    return folder, trained, first, again


def test_a_recipe_delivers_files_a_package_and_a_report_once(delivered):
    folder, trained, made, again = delivered
    assert again == made
    assert [one.format for one in made.exported] == ["torchscript", "onnx"]
    assert [path.name for path in made.packages] == ["svg-quality-regressor-onnx.zip"]
    assert {m.quantity for m in trained.measurements} > {"correlation", "absolute_error", "squared_error"}
    copied = folder / "away" / made.folder.name
    assert (copied / "report.html").read_bytes() == made.report.read_bytes()
    assert (folder / "away" / trained.folder.name / "artifact" / "artifact.json").is_file()


def test_the_page_says_what_the_estimates_have_to_beat(delivered):
    folder, _, made, _ = delivered
    page, said = made.report.read_text(), json.loads((made.folder / "report.json").read_text())
    for words in ("leaks", "image alone", "parameters alone", "Estimated against measured", "flags", "logos"):
        assert words in page
    assert [one["name"] for one in said["tables"]["controls"]] == list(report.CONTROLS)
    assert len(list(folder.glob("runs/*-train-*"))) == 1 + len(report.CONTROLS)
    assert len(list(folder.glob("away/*-train-*"))) == 1  # controls are not what a person wants to keep
    assert {one["what"] for one in said["bars"]} == {"correlation", "epochs"}
    families = said["tables"]["families"]
    assert all(one["images"] >= report.FEW for one in families)  # of fewer a correlation says nothing
    assert 0 < sum(one["rows"] for one in families) <= said["tables"]["all"][0]["rows"]


def seen(correlation):
    random = np.random.default_rng(0)
    measured = random.normal(size=200)
    predicted = correlation * measured + np.sqrt(1 - correlation**2) * random.normal(size=200)
    return report.row("all", Estimates.of(predicted, measured, np.arange(200)), np.ones(200, bool))


@pytest.mark.parametrize(("correlation", "epochs", "cleared"), [(0.97, 3, [True, True]), (0.5, 12, [False, False]),
                                                                (0.97, 0, [True, False])])  # fmt: skip
def test_a_bar_is_cleared_by_what_came(correlation, epochs, cleared):
    assert [one["cleared"] for one in report.bars(seen(correlation), epochs, {})] == cleared


def test_a_training_has_converged_when_its_loss_is_near_its_least():
    assert report.epochs([{"validation_loss": x} for x in (1.0, 0.5, 0.201, 0.2, 0.3)]) == 3
    assert report.epochs([{"loss": 1.0}]) == 0


def test_what_cannot_be_delivered_is_refused_before_any_work():
    for deliver, what in (
        ({"formats": ["program"], "package": True}, "package"),
        ({"report": True, "whole": "prune keep=0.5"}, "whole"),
        ({"report": True, "whole": "int7"}, "whole"),
    ):
        with pytest.raises(UserError, match=f"deliver.{what}"):
            delivery.check(parsed(deliver=deliver))
    with pytest.raises(UserError, match=r"task\.see"):
        delivery.check(parsed(task={"name": "svg-quality", "see": "pixels"}, deliver={"report": True}))
    with pytest.raises(UserError, match=r"run\.copy_to"):
        delivery.check(parsed(run={"copy_to": "nothing://x"}))
    with pytest.raises(UserError, match="there are reports of svg-quality"):
        delivery.check(parsed(task={"name": "synthetic"}, deliver={"report": True}))


def test_a_recipe_that_asks_for_nothing_gets_nothing():
    assert delivery.deliver(parsed(), None, None) is None
