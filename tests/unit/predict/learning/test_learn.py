import json

import pandas as pd
import pytest
import toy
from toy import DEVICES, columns

from netwright.core.error import UserError
from netwright.hardware import catalog
from netwright.predict import suites
from netwright.predict.learning import hybrid, learn, store, validate


@pytest.fixture(autouse=True, scope="module")
def only_toy(tmp_path_factory):
    """The toy suite alone, its devices in the catalogue, predictors in a folder of the test's own."""
    monkeypatch = pytest.MonkeyPatch()
    for module in (suites, store, learn, validate):
        monkeypatch.setattr(module, "SUITES", {"toy": "toy"})

    def find(name):
        if name in DEVICES:
            return DEVICES[name]
        raise UserError("device", name, "known: a1", "netwright hardware list")

    monkeypatch.setattr(catalog, "find", find)
    monkeypatch.setattr(learn, "code", lambda: "as it is")
    monkeypatch.setenv("NETWRIGHT_CACHE", str(tmp_path_factory.mktemp("cache")))
    store.current.cache_clear()
    yield
    monkeypatch.undo()
    store.current.cache_clear()


@pytest.fixture
def measured(tmp_path):
    folder = tmp_path / "rows"
    folder.mkdir()
    write(folder, columns(600))
    return folder


def write(folder, made):
    pd.DataFrame(made).to_csv(folder / "toy.csv", index=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory, only_toy):
    folder = tmp_path_factory.mktemp("fit")
    write(folder, columns(600))
    return learn.fit(folder, folder / "runs", quick=True)


def test_a_fit_is_judged_on_its_frozen_splits_and_found_again(made, measured, tmp_path, monkeypatch):
    assert set(made.frame["split"]) == {"architecture"}
    fitted, about = store.load(made.file)
    assert about["version"] == made.version
    assert about["scores"][0]["suite"] == "toy"
    assert fitted["toy"].rows == 600
    monkeypatch.setattr(hybrid, "fit", lambda *a, **k: pytest.fail("fitted again"))
    assert learn.fit(measured, made.file.parents[1], quick=True).version == made.version


def test_other_rows_make_another_run(made, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    write(other, columns(600, seed=1))
    again = learn.fit(other, made.file.parents[1], quick=True)
    assert again.file.parent != made.file.parent


def test_only_what_is_better_on_the_same_rows_is_promoted(made, monkeypatch, tmp_path):
    place = tmp_path / "shipped"
    place.mkdir()
    monkeypatch.setattr(store, "SHIPPED", place)
    fitted, _ = store.load(made.file)

    def scored(error, rows="same"):
        told = {"scores": [{"suite": "toy", "k": 0, "error": error, "coverage": 0.9}], "rows": {"toy": rows}}
        path = tmp_path / f"{error}-{rows}.npz"
        store.save(fitted, path, told)
        return path

    def promote(path, **about):
        return learn.promote(path, tmp_path / "runs", **about)

    (place / "predictor.npz").write_bytes(scored(0.10).read_bytes())
    assert not promote(scored(0.11)).promoted
    assert not promote(scored(0.10)).promoted
    assert "other rows" in promote(scored(0.05, rows="new")).why
    assert store.in_place() == place / "predictor.npz"
    assert promote(scored(0.09)).promoted
    assert store.in_place() == store.folder() / "promoted.npz"
    assert not promote(scored(0.095)).promoted
    assert promote(scored(0.2, rows="new"), force=True).promoted


def test_validating_counts_every_row(made, measured, tmp_path):
    rows = pd.read_csv(measured / "toy.csv")
    rows.loc[:2, "value"] = -1
    rows.loc[3:5, "flops"] = 0.0
    rows.loc[6:9, "device"] = "unheard of"
    rows.to_csv(measured / "toy.csv", index=False)
    report = validate.validate(measured, predictor=made.file)
    assert report.read == {"toy": 600}
    assert report.refused["toy"] == {
        "value is no positive number": 3,
        "no work": 3,
        "device unheard of is not in the catalogue (give --specs FILE.yaml)": 4,
    }
    assert report.frame["seen"].all()
    json.dumps(report.plain(), allow_nan=False)


def test_a_folder_without_rows_is_refused(made, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="kernels"):
        validate.validate(tmp_path / "empty", predictor=made.file)
    with pytest.raises(UserError, match="no measured row"):
        learn.fit(tmp_path / "empty", tmp_path / "runs")
    with pytest.raises(UserError):
        validate.validate(tmp_path / "none", predictor=made.file)


def test_a_killed_fit_goes_on_with_what_is_missing(measured, tmp_path, monkeypatch):
    calls = []
    frozen = learn._frozen
    monkeypatch.setattr(learn, "_frozen", lambda *a: calls.append(1) or pytest.fail("killed"))
    with pytest.raises(pytest.fail.Exception):
        learn.fit(measured, tmp_path / "runs", quick=True)
    monkeypatch.setattr(learn, "_frozen", frozen)
    made = learn.fit(measured, tmp_path / "runs", quick=True)
    assert made.file.is_file()
    assert len(list((tmp_path / "runs").glob("*-fit-*"))) == 1
    assert calls == [1]


def test_the_module_is_a_suite():
    assert toy.suite is toy
