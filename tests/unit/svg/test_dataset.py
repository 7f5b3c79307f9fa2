"""The data set: what is in it, that a kill loses nothing, that no group stands in two splits."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import svg_sources
from hypothesis import given
from hypothesis import strategies as st

from netwright.core import artifact
from netwright.core.error import UserError
from netwright.svg import dataset
from netwright.svg.collection import families
from netwright.svg.dataset import Config, build, by_row, drawn, load, read, split_of, splits, without_family
from netwright.svg.measured import Subject
from netwright.svg.setting import DEFAULT, MENU, Setting
from netwright.svg.tracer import Tracer

CONFIG = Config(images=14, settings=3, families=svg_sources.FAMILIES)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    svg_sources.make(folder)
    kept = dataset.fetch, dataset.PART
    svg_sources.use(folder)
    yield folder
    dataset.fetch, dataset.PART = kept


@pytest.fixture(scope="module")
def built(sources, tmp_path_factory):
    return build(CONFIG, tmp_path_factory.mktemp("built") / "data", workers=2)


def plain(frame):
    return frame.drop(columns=[name for name in ("trace_s", "compare_s") if name in frame])


def test_every_image_has_a_row_a_setting_and_the_columns_promised(built):
    data = load(built)
    assert list(data.images) == [
        "image", "family", "group", "name", "source", "licence", "kind", "width", "height", "change", "transparent",
        "split", "file",
    ]  # fmt: skip
    assert list(data.rows) == [
        "image", "mode", "color_precision", "layer_difference", "corner_threshold", "length_threshold",
        "max_iterations", "splice_threshold", "path_precision", "filter_speckle", "ssim", "ssim_active", "bytes",
        "tracer_bytes", "paths", "nodes", "curved", "kinks", "corners", "trace_s", "compare_s", "failed",
    ]  # fmt: skip
    assert len(data.images) >= 8
    assert (data.rows.groupby("image").size() == 3).all()
    assert set(data.rows["image"]) == set(data.images["image"])
    assert data.rows[["ssim", "bytes", "paths"]].notna().all(axis=None)
    assert data.rows["ssim"].between(-1, 1).all()


def test_what_cannot_be_had_or_made_is_left_out_and_written_down(built):
    about = artifact.read_json(built / "provenance.json")
    assert list(about["lost_sources"]) == ["ph"]
    assert any("mate-nature" in name for name in about["failed_images"])
    data = load(built)
    assert not set(about["failed_images"]) & set(data.images["image"])
    assert about["images"] == len(data.images)
    assert about["rows"] == len(data.rows)
    assert {one["family"]: one["images"] for one in about["sources"]} == data.images["family"].value_counts().to_dict()
    assert all(one["licence"] and len(one["sha256"]) == 64 for one in about["sources"])


def test_the_first_settings_are_fixed_and_the_others_an_images_own(built):
    rows = load(built).rows
    parameters = list(dataset.PARAMETERS)
    for _, one in rows.groupby("image"):
        found = [Setting(**line) for line in one[parameters].to_dict("records")]
        assert found[:2] == [DEFAULT, MENU["polygon"]]
    others = rows.groupby("image").nth(2)[parameters]
    assert not others.duplicated().any()


def test_a_row_is_what_measuring_the_stored_image_gives(built):
    data = load(built)
    row = data.rows.iloc[5]
    setting = Setting(**data.rows.iloc[[5]][list(dataset.PARAMETERS)].to_dict("records")[0])
    with Tracer() as tracer:
        again = Subject(read(data, row["image"])).measure(tracer, setting)
    assert [row[name] for name in dataset.MEASURES[:7]] == [getattr(again, name) for name in dataset.MEASURES[:7]]


def test_stored_pictures_are_as_they_are_listed(built):
    data = load(built)
    for one in data.images.itertuples():
        image = read(data, one.image)
        assert image.size == (one.width, one.height)
        assert image.transparent == one.transparent
    with pytest.raises(UserError, match="not in this data set"):
        read(data, "none")


def test_no_group_stands_in_two_splits(built):
    data = load(built)
    apart = data.images[data.images["family"] != "openmoji"]
    assert (apart.groupby("group")["split"].nunique() == 1).all()
    assert set(data.images.loc[data.images["family"] == "openmoji", "split"]) == {"test"}
    found = splits(data)
    assert sorted(image for images in found.values() for image in images) == sorted(data.images["image"])


@given(names=st.lists(st.text(min_size=1), min_size=1, unique=True))
def test_a_groups_split_is_the_same_for_every_family(names):
    for name in names:
        assert split_of(name) == split_of(name, families()["noto"])
        assert split_of(name, families()["openmoji"]) == "test"


def test_splits_have_their_shares():
    counts = pd.Series([split_of(f"icon {at}") for at in range(4000)]).value_counts(normalize=True)
    for name, share in dataset.SHARES.items():
        assert counts[name] == pytest.approx(share, abs=0.03)


def test_a_family_held_out_shares_nothing_with_what_is_fitted(built):
    data = load(built)
    fit, judged = without_family(data, "mdi")
    images = data.images.set_index("image")
    of_fit = images.loc[data.rows.iloc[fit]["image"].unique()]
    of_judged = images.loc[data.rows.iloc[judged]["image"].unique()]
    assert set(of_judged["family"]) == {"mdi"}
    assert set(of_fit["family"]) == {"mate-nature"}  # openmoji is for tests alone, and shares its groups
    assert not set(of_fit["group"]) & set(of_judged["group"])
    assert len(judged) == 3 * (images["family"] == "mdi").sum()
    with pytest.raises(UserError, match="family"):
        without_family(data, "none")


def test_the_leaky_control_splits_rows_and_not_images(built):
    data = load(built)
    fit, judged = by_row(data, 0.3)
    assert sorted([*fit, *judged]) == list(range(len(data.rows)))
    assert len(judged) == round(0.3 * len(data.rows))
    assert set(data.rows.iloc[fit]["image"]) & set(data.rows.iloc[judged]["image"])


def test_it_is_built_once_and_a_folder_keeps_to_its_config(built, monkeypatch):
    monkeypatch.setattr(dataset, "_trace", lambda *_: pytest.fail("traced again"))
    assert build(CONFIG, built) == built
    with pytest.raises(UserError, match="another data set"):
        build(Config(images=15, settings=3, families=svg_sources.FAMILIES), built)


def test_a_folder_of_other_tables_is_left_alone(tmp_path):
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "mine.parquet")
    with pytest.raises(UserError, match="new or empty"):
        build(CONFIG, tmp_path)


def test_the_cache_is_named_by_all_that_determines_it(tmp_path, monkeypatch):
    first = dataset.digest(CONFIG)
    others = [Config(images=14, settings=4, families=CONFIG.families), Config(images=14, settings=3, seed=1)]
    assert len({first, *map(dataset.digest, others)}) == 3
    monkeypatch.setattr(dataset, "version", lambda: "vtracer 9.9")
    assert dataset.digest(CONFIG) != first


@pytest.mark.parametrize("wrong", [{"images": 0}, {"settings": 1}, {"seed": -1}])
def test_a_config_out_of_range_is_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        Config(**wrong)


def test_no_source_at_all_is_refused(sources, tmp_path):
    with pytest.raises(UserError, match="no source could be fetched"):
        build(Config(images=2, families=("ph",)), tmp_path / "none")
    with pytest.raises(UserError, match="holds no data set"):
        load(tmp_path)
    with pytest.raises(UserError, match="1 to 256"):
        build(CONFIG, tmp_path / "none", workers=0)


def test_a_build_that_was_killed_goes_on_and_ends_the_same(built, sources, tmp_path):
    here = str(Path(__file__).parent)
    script = tmp_path / "build.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {here!r})\n"
        "from pathlib import Path\nimport svg_sources\nfrom netwright.svg import dataset\n"
        "if __name__ == '__main__':\n"
        f"    svg_sources.use(Path({str(sources)!r}))\n"
        f"    config = dataset.Config(images=14, settings=3, families={CONFIG.families!r})\n"
        f"    dataset.build(config, Path({str(tmp_path / 'data')!r}))\n"
    )
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        for _ in range(1800):
            if list((tmp_path / "data").glob("parts/images-*.parquet")) or process.poll() is not None:
                break
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    assert not (tmp_path / "data" / "provenance.json").exists()
    early = load(tmp_path / "data")
    assert set(early.rows["image"]) == set(early.images["image"])
    data = load(build(CONFIG, tmp_path / "data"))
    pd.testing.assert_frame_equal(plain(data.rows), plain(load(built).rows))
    pd.testing.assert_frame_equal(data.images, load(built).images)
    moments = early.rows.merge(data.rows, on=["image", *dataset.PARAMETERS, "trace_s"])
    assert len(moments) == len(early.rows)  # what was traced before the kill was not traced again


def test_an_image_whose_tracing_fails_keeps_its_other_rows(tmp_path, sources):
    jobs = dataset.planned(Config(images=6, settings=4, families=("mdi",)), {"mdi": sources / "mdi"})
    job = next(one for one in jobs if one.original.name != "empty")
    (tmp_path / "images").mkdir()

    class Failing:
        calls = 0

        def trace(self, pixels, setting):
            self.calls += 1
            if self.calls == 3:
                raise dataset.TraceError("the tracer's process died (exit -11)")
            return '<svg width="9" height="9"><path d="M0 0 L9 0 L9 9 L0 0 Z " fill="#000"/></svg>'

    about, rows = dataset._do(tmp_path, Failing(), job)
    assert about["failed"] == ""
    assert [row["failed"] for row in rows] == ["", "", "the tracer's process died (exit -11)", ""]
    frame = dataset._row_frame(rows)
    assert np.isnan(frame["ssim"][2])
    assert frame["paths"].tolist()[:2] == [1, 1]


def test_settings_follow_the_shares_of_the_modes():
    modes = pd.Series([one.mode for seed in range(25) for one in drawn(14, seed)[2:]]).value_counts(normalize=True)
    assert modes["spline"] == pytest.approx(0.55, abs=0.05)
    assert modes["polygon"] == pytest.approx(0.35, abs=0.05)
    assert modes["none"] == pytest.approx(0.10, abs=0.04)
    assert drawn(2, 0) == [DEFAULT, MENU["polygon"]]
