"""The task svg-quality: rows of images and settings, split by image, and what is refused of a folder."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

import small_svg
from netwright.core import recipe
from netwright.core.error import UserError
from netwright.svg import backbone, task
from netwright.svg.setting import RANGES
from netwright.train.step import Config as Train
from netwright.train.step import fits


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_svg.write(tmp_path_factory.mktemp("data") / "traced", tmp_path_factory.mktemp("cache") / "c")


@pytest.fixture
def cached(folder, monkeypatch):
    """Features that stand for the real ones."""

    def features(paths, device="auto"):
        return np.stack([np.full(2048, len(path.name) + int(path.stem[-3:]), np.float32) for path in paths])

    monkeypatch.setattr(backbone, "features", features)
    return folder


def opened(folder, **settings):
    return task.open(recipe.build(task.Config, {"name": "svg-quality", "folder": str(folder), **settings}, "task"))


def test_an_input_is_the_features_of_its_image_and_eight_parameters(cached):
    one = opened(cached)
    batch = one.batch("train", torch.arange(one.size("train")))
    rows = one.table.iloc[one.rows["train"].numpy()]
    assert batch.inputs["features"].shape == (len(rows), 2056)
    assert (batch.inputs["features"][:, 0].numpy() == [13 + int(name[-3:]) for name in rows["name"]]).all()
    eight = batch.inputs["features"][:, 2048:]
    assert ((eight >= 0) & (eight <= 1)).all()
    low, high = RANGES["corner_threshold"]
    np.testing.assert_allclose(eight[:, 2], (rows["corner_threshold"] - low) / (high - low), rtol=1e-6)
    assert {tuple(pair) for pair in zip(rows["mode"], eight[:, 7].tolist(), strict=True)} <= set(task.MODES.items())
    np.testing.assert_allclose(batch.labels_B, rows["ssim"].clip(0, 1), rtol=1e-6)
    assert "filter_speckle" not in task.PARAMETERS


def test_what_failed_is_no_example(cached):
    one = opened(cached)
    assert sum(map(one.size, ("train", "validation", "test"))) == 40 * 6 - 1
    assert torch.isfinite(one.labels_N).all()


def test_splits_are_of_images_and_of_rows_only_where_asked(cached):
    by_image, by_row = opened(cached), opened(cached, split="row")

    def shared(one):
        return set(one.groups("train")) & set(one.groups("test"))

    assert shared(by_image) == set()
    assert len(shared(by_row)) > 10
    assert by_row.size("train") + by_row.size("validation") + by_row.size("test") == 239
    assert by_row.size("train") > 2 * by_row.size("test")


def test_a_family_left_out_is_only_tested_on(cached):
    one = opened(cached, leave_out="photo")
    assert set(one.table["family"].iloc[one.rows["test"].numpy()]) == {"photo"}
    for split in ("train", "validation"):
        assert "photo" not in set(one.table["family"].iloc[one.rows[split].numpy()])
    places = [one.paths[at].stem for at in one.image_N.tolist()]
    assert places == one.table["name"].tolist()
    with pytest.raises(UserError, match="fotos"):
        opened(cached, leave_out="fotos")


def test_a_group_shared_with_a_family_left_out_is_learned_by_nobody(cached, tmp_path):
    for name in ("images", "rows"):
        table = pd.read_parquet(cached / f"{name}.parquet")
        if name == "images":
            photo = table.loc[table["family"] == "photo", "group"].iloc[0]
            twin = table.index[(table["family"] == "flags") & (table["split"] == "train")][0]
            table.loc[twin, "group"] = photo
            lost = table.loc[twin, "image"]
        table.to_parquet(tmp_path / f"{name}.parquet")
    (tmp_path / "images").symlink_to(cached / "images")
    one = opened(tmp_path, leave_out="photo")
    assert lost not in set(one.table["name"])
    assert lost in set(opened(tmp_path).table["name"])


@pytest.mark.parametrize(("use", "there"), [("image", (True, False)), ("parameters", (False, True))])
def test_a_control_does_not_see_the_other_half(use, there, cached):
    x = opened(cached, use=use).batch("test", torch.arange(9)).inputs["features"]
    assert (bool(x[:, :2048].any()), bool(x[:, 2048:].any())) == there


def test_pixels_are_the_image_as_the_network_wants_it(cached):
    one = opened(cached, see="pixels")
    batch = one.batch("test", torch.tensor([0, 1, 0]))
    assert batch.inputs["image"].shape == (3, 3, 224, 224)
    assert torch.equal(batch.inputs["image"][0], batch.inputs["image"][2])
    assert batch.inputs["parameters"].shape == (3, 8)
    assert torch.equal(batch.labels_B, opened(cached).batch("test", torch.tensor([0, 1, 0])).labels_B)


def test_the_digest_is_of_what_makes_the_batches(cached):
    plain = opened(cached).digest
    assert opened(cached, device="cpu").digest == plain
    others = [opened(cached, **{name: value}).digest for name, value in (
        ("split", "row"), ("use", "image"), ("see", "pixels"), ("leave_out", "photo"), ("target", "ssim_active")
    )]  # fmt: skip
    assert len({plain, *others}) == 6


def test_what_only_classes_have_is_refused(cached):
    one = opened(cached)
    for settings in ({"monitor": "accuracy"}, {"smoothing": 0.1}):
        with pytest.raises(UserError, match="answers a number"):
            fits(Train(batch=16, **settings), one)


def test_parts_of_a_data_set_that_is_being_built_are_read(cached, tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "images").symlink_to(cached / "images")
    images, rows = (pd.read_parquet(cached / f"{name}.parquet") for name in ("images", "rows"))
    for number in range(2):
        half = images.iloc[number::2].assign(failed="")
        half.loc[half.index[1], "failed"] = "broken"
        half.to_parquet(tmp_path / "parts" / f"images-{number:05}.parquet")
        rows[rows["image"].isin(half["image"])].to_parquet(tmp_path / "parts" / f"rows-{number:05}.parquet")
    assert len(set(opened(tmp_path).table["name"])) == 38


@pytest.mark.parametrize("broken", ["absent", "empty", "cut", "column", "split"])
def test_a_folder_that_is_none_is_refused_with_the_way_out(broken, folder, tmp_path):
    for name in ("images", "rows"):
        (tmp_path / f"{name}.parquet").write_bytes((folder / f"{name}.parquet").read_bytes())
    path = tmp_path / "rows.parquet"
    if broken == "absent":
        path.unlink()
    elif broken == "column":
        pd.read_parquet(path).drop(columns="ssim").to_parquet(path)
    elif broken == "split":
        images = pd.read_parquet(tmp_path / "images.parquet")
        images.assign(split="train").to_parquet(tmp_path / "images.parquet")
    else:
        path.write_bytes(b"" if broken == "empty" else path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"task\.folder"):
        opened(tmp_path)


def test_settings_that_cannot_be_are_refused():
    for wrong in ({"see": "nothing"}, {"images": 3}, {"split": "family"}):
        with pytest.raises(UserError):
            recipe.build(task.Config, wrong, "task")
    assert {field.name for field in dataclasses.fields(task.Config)} >= {"folder", "images", "settings"}
