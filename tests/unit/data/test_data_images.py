"""Image tasks on a few made-up images, through the folder place, and files that are not as they should be."""

import gzip
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from netwright.core import recipe
from netwright.core.error import UserError
from netwright.data import catalog, images
from netwright.data.images import Config, read_idx
from netwright.data.sources import Source, seal


def idx(array: np.ndarray) -> bytes:
    return struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def small(tmp_path, monkeypatch) -> Path:
    """`mnist` and `fashion-mnist` (gzipped) of 200 + 40 random images, in the person's own folder."""
    draw = np.random.default_rng(0)
    for name, end, pack in (("mnist", "", bytes), ("fashion-mnist", ".gz", gzip.compress)):
        folder = tmp_path / "own" / name
        folder.mkdir(parents=True)
        for stem, count in (("train", 200), ("t10k", 40)):
            pixels = draw.integers(0, 256, (count, 28, 28)).astype(np.uint8)
            (folder / f"{stem}-images-idx3-ubyte{end}").write_bytes(pack(idx(pixels)))
            labels = draw.integers(0, 10, count).astype(np.uint8)
            (folder / f"{stem}-labels-idx1-ubyte{end}").write_bytes(pack(idx(labels)))
        size = sum(p.stat().st_size for p in folder.iterdir())
        takes = catalog.SOURCES[name].takes
        source = Source(name=name, title="", licence="", takes=takes, sha256=seal(folder), size=size, places=())
        monkeypatch.setitem(catalog.SOURCES, name, source)
    monkeypatch.setenv("NETWRIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NETWRIGHT_DATA", str(tmp_path / "own"))
    return tmp_path / "own"


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_a_batch_is_the_files_bytes_standardized(small, name):
    task = images.open(Config(name=name, validation=50))
    assert [task.size(split) for split in ("train", "validation", "test")] == [150, 50, 40]
    (file,) = (small / name).glob("t10k-images*")
    pixels = read_idx(file)[[7, 3]] / 255
    batch = task.batch("test", torch.tensor([7, 3]))
    expected = (pixels - task.processor["mean"][0]) / task.processor["std"][0]
    assert torch.allclose(batch.inputs["image"][:, 0].double(), torch.from_numpy(expected), atol=1e-5)
    assert batch.inputs["image"].is_contiguous()
    (labels,) = (small / name).glob("t10k-labels*")
    assert batch.labels_B.tolist() == read_idx(labels)[[7, 3]].tolist()


def test_moments_are_those_of_the_training_split(small):
    task = images.open(Config(name="mnist", validation=50))
    x = task.batch("train", torch.arange(150)).inputs["image"].double()
    assert abs(x.mean()) < 1e-5
    assert abs(x.std(correction=0) - 1) < 1e-5


def test_settings_and_nothing_else_change_the_digest(small):
    digest = images.open(Config(name="mnist", validation=50)).digest
    assert images.open(Config(name="mnist", validation=50)).digest == digest
    assert images.open(Config(name="mnist", validation=50, crop=2)).digest == digest  # the default, spelled out
    for change in ({"validation": 51}, {"seed": 1}, {"limit": 20}, {"augment": False}, {"rotation": 5.0}):
        assert images.open(Config(**{"name": "mnist", "validation": 50, **change})).digest != digest, change


def test_limit_cuts_training_only(small):
    task = images.open(Config(name="mnist", validation=0.25, limit=20))
    assert [task.size(split) for split in ("train", "validation", "test")] == [20, 50, 40]


@pytest.mark.parametrize("validation", [0, 200, 1e9, 10.5])
def test_empty_splits_are_refused(small, validation):
    with pytest.raises(UserError, match=r"task\.validation"):
        images.open(Config(name="mnist", validation=validation))


def test_a_wrong_file_is_refused(small):
    file = small / "mnist" / "train-labels-idx1-ubyte"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(UserError, match="its files are others"):
        images.open(Config(name="mnist"))


def test_augmentation_off_and_on(small):
    plain = images.open(Config(name="mnist", validation=50, augment=False))
    rows = torch.arange(10)
    same = plain.batch("train", rows, torch.Generator().manual_seed(0)).inputs["image"]
    assert torch.equal(same, plain.batch("train", rows).inputs["image"])
    moved = images.open(Config(name="mnist", validation=50)).batch("train", rows, torch.Generator().manual_seed(0))
    assert not torch.equal(moved.inputs["image"], same)


def test_defaults_suit_the_data():
    assert not Config(name="mnist").augmentation().flip
    assert Config(name="cifar10").augmentation() == images.Augmentation(flip=True, crop=4)
    assert Config(name="cifar10", flip=False, rotation=10.0).augmentation() == images.Augmentation(
        crop=4, rotation=10.0
    )


@pytest.mark.parametrize(
    ("key", "value"), [("crop", 15), ("rotation", 181.0), ("limit", -1), ("cutout", -1), ("validation", -1.0)]
)
def test_ranges(key, value):
    with pytest.raises(UserError, match=f"task.{key}"):
        recipe.build(Config, {"name": "mnist", key: value}, "task")


def test_a_config_survives_its_recipe():
    given = {"name": "cifar10", "flip": False, "rotation": 12.5, "validation": 0.1}
    config = recipe.build(Config, given, "task")
    assert (config.flip, config.rotation, config.crop) == (False, 12.5, None)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\x08",
        b"\0\0\x08\1\0\0\0\5abcd",
        b"\0\0\x08\1\0\0\0\3abcd",
        b"\0\0\x0d\1\0\0\0\4abcd",
        b"\0\0\x08\0abcd",
        b"\0\0\x08\4" + b"\xff" * 16,
    ],
)
def test_what_is_no_idx_file(tmp_path, data):
    (tmp_path / "x").write_bytes(data)
    (tmp_path / "x.gz").write_bytes(gzip.compress(data))
    for name in ("x", "x.gz"):
        with pytest.raises(UserError, match="idx"):
            read_idx(tmp_path / name)
    with pytest.raises(UserError, match="cannot be read"):
        read_idx(tmp_path / "missing")


def test_idx_files_are_bounded(tmp_path):
    (tmp_path / "x.gz").write_bytes(gzip.compress(bytes(1_000_000)))
    with pytest.raises(UserError):
        read_idx(tmp_path / "x.gz", limit=1000)


def test_cifars_rows_are_images(tmp_path):
    pixels = np.zeros((10_000, 1024, 3), np.uint8)
    pixels[4, 33] = (1, 2, 3)  # image 4, second row, second column
    Image.fromarray(pixels).save(tmp_path / "p.png")
    x = images._cifar_part(tmp_path / "p.png")
    assert x.shape == (10_000, 3, 32, 32)
    assert x[4, :, 1, 1].tolist() == [1, 2, 3]
    assert int(x.sum()) == 6
    Image.fromarray(pixels[:5]).save(tmp_path / "short.png")
    with pytest.raises(UserError, match="1024 x 10000"):
        images._cifar_part(tmp_path / "short.png")


def test_processor_is_plain_data(small):
    processor = images.open(Config(name="mnist", validation=50)).processor
    assert json.loads(json.dumps(recipe.plain(processor))) == recipe.plain(processor)
    assert processor["shape"] == [1, 28, 28]
