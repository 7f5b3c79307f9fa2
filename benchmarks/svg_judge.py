"""How well a predictor of tracings predicts images of a data set it had no part in: likeness, bytes, paths, intervals.

    netwright svg data --families reserve --images 400 --out reserve
    python benchmarks/svg_judge.py reserve [--model FILE] [--split test]

Without --split all images count; families in reserve are in no data set that a predictor learns from. Intervals of the
figures are bootstraps over images, 95 %.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from netwright.core.run import progress
from netwright.svg import judge, learn
from netwright.svg.amounts import TARGETS, scaled
from netwright.svg.predictor import Predictor
from netwright.svg.raster import open_raster
from netwright.svg.setting import RANGES, Setting

SHOWN = ("pearson", "within", "mae", "pearson_log_bytes", "size_error", "tracer_size_error", "pearson_log_paths")
DRAWS = 400


def read(folder: Path, split: str | None) -> learn.Table:
    """A data set, or the images of one split; its features are left out: the predictor reads the images itself."""
    images, rows = (pd.read_parquet(folder / f"{name}.parquet") for name in ("images", "rows"))
    images = images[images["split"] == split].reset_index(drop=True) if split else images
    return learn.table(images, rows, np.zeros((len(images), 1), np.float32))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--split", choices=("train", "validation", "test"))
    args = parser.parse_args()
    predictor, table = Predictor.load(args.model), read(args.data, args.split)
    middle_RT, low_RT, high_RT = np.empty((3, *table.targets_RT.shape))
    unfamiliar = 0
    with progress("reading images", len(table.images)) as advance:
        for at in range(len(table.images)):
            rows_N = np.flatnonzero(table.image_R == at)
            settings = [Setting(**one) for one in table.rows.iloc[rows_N][["mode", *RANGES]].to_dict("records")]
            about = predictor.features(open_raster(args.data / table.images["file"][at]))
            guess = predictor.predict(about, settings)
            unfamiliar += about.unfamiliar
            for column, name in enumerate(TARGETS):
                middle_RT[rows_N, column] = getattr(guess, name)
                low_RT[rows_N, column], high_RT[rows_N, column] = (
                    getattr(guess, f"{name}_{end}") for end in ("low", "high")
                )
            advance()
    mean_RT, all_N = scaled(middle_RT).astype(np.float64), np.arange(len(table.targets_RT))
    kind_R = table.images["kind"].to_numpy()[table.image_R]
    print(f"{len(table.images)} images, {len(all_N)} traces, {len(set(table.images['family']))} families")
    for name, rows_N in (("all", all_N), *((kind, all_N[kind_R == kind]) for kind in sorted(set(kind_R)))):
        drawn = draws(table, rows_N, mean_RT)
        told = []
        for figure in SHOWN:
            value = getattr(judge.judge(table, rows_N, mean_RT[rows_N]), figure)
            low, high = np.quantile([getattr(one, figure) for one in drawn], (0.025, 0.975))
            told.append(f"{figure} {value:.3f} [{low:.3f}, {high:.3f}]")
        print(f"{name}: {'; '.join(told)}")
    inside_RT = (low_RT <= table.targets_RT) & (table.targets_RT <= high_RT)
    weight_R = 1 / np.bincount(table.image_R)[table.image_R]
    shares = [(inside_R * weight_R).sum() / weight_R.sum() for inside_R in inside_RT.T]
    print("90 % intervals hold:", ", ".join(f"{name} {share:.1%}" for name, share in zip(TARGETS, shares, strict=True)))
    print(f"called unfamiliar: {unfamiliar / len(table.images):.1%} of images")


def draws(
    table: learn.Table, rows_N: NDArray[np.int64], mean_RT: NDArray[np.float64], seed: int = 0
) -> list[judge.Judged]:
    """The same judged on images drawn with replacement; an image drawn twice counts as two."""
    random, images = np.random.default_rng(seed), np.unique(table.image_R[rows_N])
    of = {at: rows_N[table.image_R[rows_N] == at] for at in images}
    found = []
    for _ in range(DRAWS):
        parts = [of[at] for at in random.choice(images, len(images))]
        rows, image = np.concatenate(parts), np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        drawn = replace(table, image_R=image, targets_RT=table.targets_RT[rows])
        found.append(judge.judge(drawn, np.arange(len(rows)), mean_RT[rows]))
    return found


if __name__ == "__main__":
    main()
