"""A small data set of traced images as svg.dataset writes them, with features already in the cache.

What a setting does to an image is made up by a formula, and the features are random, so that nothing is traced and no
ResNet-50 is run; the images are real files.
"""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from netwright.svg import setting

FAMILIES = ("flags", "logos", "photo")


def write(folder: Path, cache: Path, images: int = 40, settings: int = 6, seed: int = 0) -> Path:
    """Write images.parquet, rows.parquet and the images to `folder`, and their features below `cache`."""
    from netwright.models.regressor import FEATURES
    from netwright.svg import backbone

    random = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    about, rows = [], []
    for at in range(images):
        name = f"image-{at:03}"
        pixels = random.integers(0, 256, (4, 5, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((40, 32), Image.Resampling.NEAREST).save(folder / "images" / f"{name}.png")
        split = ("test", "validation", "train", "train", "train")[at % 5]
        about.append({
            "image": name, "family": FAMILIES[at % 3], "group": name, "source": "made up", "licence": "CC0",
            "kind": "photo" if at % 3 == 2 else "icon", "width": 40, "height": 32, "change": "", "transparent": False,
            "split": split, "file": f"images/{name}.png",
        })  # fmt: skip
        features = random.exponential(0.3, FEATURES).astype(np.float32)
        digest = hashlib.sha256((folder / "images" / f"{name}.png").read_bytes()).hexdigest()
        place = cache / "svg-features" / backbone.KEY[:16] / digest[:2] / f"{digest[2:]}.npy"
        place.parent.mkdir(parents=True, exist_ok=True)
        np.save(place, features)
        ease = float(features[:50].mean() - 0.3) * 3
        for one in setting.draw(settings, seed=at):
            ssim = 0.6 + ease + 0.04 * one.color_precision - 0.05 * (one.mode == "polygon") + random.normal(0, 0.01)
            rows.append({
                "image": name, **one.plain(), "ssim": ssim, "ssim_active": ssim - 0.1, "bytes": 1000,
                "tracer_bytes": 3000, "paths": 10, "corners": 5.0,
                "nodes": 50, "curved": 0.5, "kinks": 0.1, "trace_s": 0.01, "compare_s": 0.01, "failed": "",
            })  # fmt: skip
    rows[3]["failed"], rows[3]["ssim"] = "the tracer stopped", float("nan")
    pd.DataFrame(about).to_parquet(folder / "images.parquet")
    pd.DataFrame(rows).to_parquet(folder / "rows.parquet")
    return folder
