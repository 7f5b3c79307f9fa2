"""How long the predictor of tracings takes: features of an image once, then 1,000 settings of it; processor time.

    python benchmarks/svg_speed.py [--model FILE] [--rounds 30]

One core, one thread. Images of noise and of flat discs in four sizes; medians over rounds after three that do not
count, with the least and the greatest.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np

from netwright.svg.predictor import Predictor
from netwright.svg.raster import Raster, from_pixels
from netwright.svg.setting import draw


def picture(side: int, seed: int) -> Raster:
    """Discs on white, half of the picture with noise on it."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    pixels = np.full((side, side, 3), 255, np.uint8)
    for _ in range(12):
        place, colour = random.random(2), random.integers(0, 256, 3)
        pixels[np.hypot(y - place[0], x - place[1]) < random.uniform(0.03, 0.2)] = colour
    noise = random.integers(-20, 20, (side, side // 2, 3))
    pixels[:, : side // 2] = (pixels[:, : side // 2] + noise).clip(0, 255)
    return from_pixels(pixels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--rounds", type=int, default=30)
    args = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    predictor, settings = Predictor.load(args.model), draw(1000)
    for side in (128, 256, 512, 1024):
        rasters = [picture(side, seed) for seed in range(args.rounds + 3)]
        times = np.empty((len(rasters), 2))
        for row, raster in zip(times, rasters, strict=True):
            start = time.process_time()
            about = predictor.features(raster)
            read = time.process_time()
            predictor.predict(about, settings)
            row[:] = read - start, time.process_time() - read
        for name, column in zip(("features", "1,000 settings"), 1e3 * times[3:].T, strict=True):
            print(f"{side:5} px  {name:15} {np.median(column):6.1f} ms [{column.min():.1f}, {column.max():.1f}]")


if __name__ == "__main__":
    main()
