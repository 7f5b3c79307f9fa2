"""Features of images: what ResNet-50, trained on ImageNet, sees in them; each image once, kept in the cache.

    features_NF = features([Path("logo.png")])        # (1, 2048) float32

An image is laid on white, fitted into 224 x 224 pixels with white around it, and given as Keras' first networks want
it: blue, green, red, less ImageNet's mean of each. The features are the means over places of the last stage. A file in
the cache is named by the sha256 of the image's bytes, so that a kill costs one batch and a second data set only what
is new in it. Knows nothing of tracing.

Shape legend: B batch, C channels, H height, W width, N images, F features.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from netwright.core import recipe
from netwright.core.error import UserError
from netwright.core.run import progress
from netwright.data import sources
from netwright.data.photographs import MEAN, SIDE
from netwright.data.sources import cache_error, cache_folder
from netwright.models.regressor import BACKBONE, FEATURES, backbone
from netwright.models.resnet50 import Bottleneck, ResNet50
from netwright.svg.raster import Raster, open_raster
from netwright.train.step import choose_device

VERSION = 1
"""Of the preparation: another one makes other features."""
KEY = recipe.digest({"backbone": sources.find(BACKBONE).sha256, "side": SIDE, "version": VERSION})
"""What determines the features of an image."""


def features(paths: Sequence[Path], batch: int = 16, device: str = "auto") -> NDArray[np.float32]:
    """The features of image files, in order: (N, 2048). Raises UserError for a file that is no image."""
    folder = cache_folder() / "svg-features" / KEY[:16]
    places = [_place(folder, path) for path in paths]
    found = {place: _kept(place) for place in dict.fromkeys(places)}
    missing = {place: path for place, path in zip(places, paths, strict=True) if found[place] is None}
    if missing:
        on = choose_device(device)
        network = fused(backbone()).to(on, memory_format=torch.channels_last)  # type: ignore[call-overload]
        waiting = list(missing)
        with progress("image features", len(waiting), unit="images") as advance:
            for at in range(0, len(waiting), batch):
                part = waiting[at : at + batch]
                image_BCHW = torch.stack([pixels(open_raster(missing[place])) for place in part])
                for place, row_F in zip(part, computed(network, image_BCHW, on), strict=True):
                    found[place] = row_F
                    _keep(place, row_F)
                advance(len(part))
    return np.stack([row_F for place in places if (row_F := found[place]) is not None])


def computed(network: ResNet50, image_BCHW: Tensor, device: torch.device) -> NDArray[np.float32]:
    """Features of prepared images: (B, 2048)."""
    if device.type == "cuda":
        image_BCHW = image_BCHW.pin_memory()
    with torch.inference_mode():
        on_device = image_BCHW.to(device, non_blocking=True, memory_format=torch.channels_last)
        rows_BF: NDArray[np.float32] = network.features(on_device).float().cpu().numpy()
    return rows_BF


def pixels(raster: Raster) -> Tensor:
    """An image as the network wants it: (3, 224, 224) float32, BGR less the mean of each, white around it."""
    width, height = raster.size
    scale = SIDE / max(width, height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    fitted = Image.fromarray(raster.on_white_HWC).resize(size, Image.Resampling.BILINEAR)
    page = Image.new("RGB", (SIDE, SIDE), "white")
    page.paste(fitted, ((SIDE - size[0]) // 2, (SIDE - size[1]) // 2))
    bgr_CHW = torch.from_numpy(np.array(page)).permute(2, 0, 1).float().flip(0)
    return bgr_CHW.sub_(torch.tensor(MEAN)[:, None, None]).contiguous()


def fused(network: ResNet50) -> ResNet50:
    """The same network with each normalization folded into the convolution before it: a third less time on a CPU."""
    fold = torch.nn.utils.fusion.fuse_conv_bn_eval
    network.stem, network.stem_norm = fold(network.stem, network.stem_norm), nn.Identity()  # type: ignore[assignment]
    for block in network.modules():
        if isinstance(block, Bottleneck):
            for name in ("reduce", "mix", "expand"):
                setattr(block, name, fold(getattr(block, name), getattr(block, f"{name}_norm")))
                setattr(block, f"{name}_norm", nn.Identity())
            if block.shortcut is not None:
                block.shortcut = nn.Sequential(fold(block.shortcut[0], block.shortcut[1]))  # type: ignore[arg-type, type-var]
    return network.eval()


def _place(folder: Path, image: Path) -> Path:
    try:
        digest = hashlib.sha256(image.read_bytes()).hexdigest()
    except OSError as fault:
        raise UserError("image", str(image), f"cannot be read ({fault.strerror})", "netwright svg data") from None
    return folder / digest[:2] / f"{digest[2:]}.npy"


def _kept(place: Path) -> NDArray[np.float32] | None:
    """What the cache has; None where it is not there, or cut short or changed."""
    try:
        row_F: NDArray[np.float32] = np.load(place, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    fits = row_F.shape == (FEATURES,) and row_F.dtype == np.float32 and np.isfinite(row_F).all()
    return row_F if fits else None


def _keep(place: Path, row_F: NDArray[np.float32]) -> None:
    draft = place.with_name(f".{place.name}.{os.getpid()}.draft")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as handle:
            np.save(handle, row_F)
        os.replace(draft, place)
    except OSError as fault:
        raise cache_error(fault, place.parent) from fault
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
