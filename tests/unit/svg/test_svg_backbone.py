"""Features of images: prepared as ResNet-50 wants them, each computed once and kept."""

import numpy as np
import pytest
import torch
from PIL import Image

from netwright.core.error import UserError
from netwright.data.tasks import Input
from netwright.models import resnet50
from netwright.svg import backbone, raster


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A ResNet-50 with random weights for the real one, and a cache of its own; counts the images it is given."""
    monkeypatch.setenv("NETWRIGHT_CACHE", str(tmp_path / "cache"))
    torch.manual_seed(0)
    network = resnet50.build(resnet50.Config(), {"image": Input((3, 224, 224), "float32")}, 1).eval()
    monkeypatch.setattr(backbone, "backbone", lambda: network)
    monkeypatch.setattr(backbone, "fused", lambda network: network)
    given = []
    computed = backbone.computed
    monkeypatch.setattr(backbone, "computed", lambda *args: (given.append(len(args[1])), computed(*args))[1])
    return given


def picture(path, seed, size=(30, 20)):
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(values).save(path)
    return path


def test_each_image_is_computed_once_wherever_it_lies(small, tmp_path):
    paths = [picture(tmp_path / f"{at}.png", at) for at in range(3)]
    first = backbone.features(paths, batch=2, device="cpu")
    assert first.shape == (3, 2048)
    assert small == [2, 1]
    (tmp_path / "copy.png").write_bytes(paths[1].read_bytes())
    again = backbone.features([tmp_path / "copy.png", *paths], device="cpu")
    assert small == [2, 1]
    assert np.array_equal(again, first[[1, 0, 1, 2]])


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", None])
def test_a_file_of_the_cache_that_is_damaged_is_made_again(damage, small, tmp_path):
    path = picture(tmp_path / "a.png", 0)
    first = backbone.features([path], device="cpu")
    (kept,) = (tmp_path / "cache").rglob("*.npy")
    if damage is None:
        np.save(kept, np.full(2048, np.nan, np.float32))
    else:
        kept.write_bytes(damage)
    assert np.array_equal(backbone.features([path], device="cpu"), first)
    assert small == [1, 1]
    assert not list((tmp_path / "cache").rglob("*.draft"))


def test_a_kill_costs_one_batch(small, tmp_path, monkeypatch):
    paths = [picture(tmp_path / f"{at}.png", at) for at in range(3)]
    opened = backbone.open_raster
    monkeypatch.setattr(backbone, "open_raster", lambda path: (_ for _ in ()).throw(KeyboardInterrupt())
                        if path == paths[2] else opened(path))  # fmt: skip
    with pytest.raises(KeyboardInterrupt):
        backbone.features(paths, batch=1, device="cpu")
    monkeypatch.setattr(backbone, "open_raster", opened)
    backbone.features(paths, batch=1, device="cpu")
    assert small == [1, 1, 1]


def test_pixels_are_bgr_less_the_mean_and_white_lies_around():
    red = np.zeros((10, 20, 3), np.uint8)
    red[:, :, 0] = 200
    x = backbone.pixels(raster.from_pixels(red)) + torch.tensor(backbone.MEAN)[:, None, None]
    torch.testing.assert_close(x[:, 112, 112], torch.tensor([0.0, 0.0, 200.0]))
    torch.testing.assert_close(x[:, 5, 5], torch.tensor([255.0, 255.0, 255.0]))
    assert x.shape == (3, 224, 224)


def test_folding_the_normalization_changes_nothing():
    torch.manual_seed(0)
    network = resnet50.build(resnet50.Config(width=4), {"image": Input((3, 64, 64), "float32")}, 1)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    network.eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        before = network.features(x)
    norms = [module for module in backbone.fused(network).modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert norms == []
    with torch.inference_mode():
        torch.testing.assert_close(network.features(x), before, rtol=1e-4, atol=1e-4)


def test_what_is_no_image_is_refused_by_name(small, tmp_path):
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(UserError, match=r"text\.png"):
        backbone.features([tmp_path / "text.png"], device="cpu")
    with pytest.raises(UserError, match=r"absent\.png"):
        backbone.features([tmp_path / "absent.png"], device="cpu")
