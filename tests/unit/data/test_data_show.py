"""Pictures and samples of tasks."""

import numpy as np
import pytest
from PIL import Image

from netwright.core.error import UserError
from netwright.data import show, synthetic


def test_a_picture_has_a_row_a_class():
    task = synthetic.open(synthetic.Config(classes=3, side=8, examples=50))
    grid = show.pictures(task, 4)
    assert grid.shape == (3, 4, 8, 8, 3)
    assert grid.dtype == np.uint8
    assert show._tiled(grid, gap=1).shape == (27, 36, 3)
    assert np.array_equal(show._tiled(grid, gap=0)[8:16, 16:24], grid[1, 2])


def test_classes_without_examples_stay_white():
    task = synthetic.open(synthetic.Config(classes=3, side=8, examples=10))
    task._data["train"].labels_B[:] = 1
    grid = show.pictures(task, 2)
    assert (grid[0] == 255).all()
    assert not (grid[1] == 255).all()


@pytest.mark.parametrize("name", ["synthetic", "synthetic-text"])
def test_shows_a_task(tmp_path, monkeypatch, name):
    monkeypatch.setenv("NETWRIGHT_CACHE", str(tmp_path))
    shown = show.show(name)
    assert shown.report is not None
    assert shown.report.counts == {"train": 1000, "validation": 200, "test": 200}
    if name == "synthetic":
        with Image.open(shown.picture) as picture:
            assert picture.size == (2 * 10 * 10, 2 * 4 * 10)
        assert shown.texts == ()
    else:
        assert shown.picture is None
        assert len(shown.texts) == 4
        assert all(sample.ids for sample in shown.texts)


def test_unknown_names():
    with pytest.raises(UserError, match='did you mean "cifar10"'):
        show.show("cifar")
