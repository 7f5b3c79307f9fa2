"""How well a predictor of tracings predicts: for images it never saw, within an image, and beside its controls.

    judged = judge(table, rows_N, mean_NT)
    judged.pearson, judged.within, judged.size_error

A figure of a predictor means nothing without how the data was split: rows of one image on both sides of a split leak
the image. `controls` learns what a model without images, one without settings, and one with leaking rows reach.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from netwright.svg.amounts import TARGETS, scaled, unscaled
from netwright.svg.learn import Config, Learned, Lesson, Table, predict, taught


@dataclass(frozen=True)
class Judged:
    """How well amounts of images that were not learned from were predicted."""

    pearson: float
    within: float
    """Mean over images of Spearman's rank correlation over the settings of one image."""
    mae: float
    pearson_active: float
    within_active: float
    pearson_log_bytes: float
    size_error: float
    """Median of |predicted / measured - 1| of the bytes."""
    pearson_log_paths: float
    pearson_log_tracer_bytes: float
    tracer_size_error: float
    """The same of the SVG as VTracer writes it."""
    pearson_log_corners: float
    n: int


def judge(table: Table, rows_N: NDArray[np.int64], mean_NT: NDArray[np.float64]) -> Judged:
    """Compare predictions, scaled, with what was measured at these rows."""
    truth_NT, guess_NT = table.targets_RT[rows_N], unscaled(mean_NT)
    image_N = table.image_R[rows_N]
    bytes_NT = np.log10(np.maximum(truth_NT[:, 2:], 1))
    return Judged(
        _pearson(truth_NT[:, 0], guess_NT[:, 0]), within(image_N, truth_NT[:, 0], guess_NT[:, 0]),
        float(np.abs(truth_NT[:, 0] - guess_NT[:, 0]).mean()), _pearson(truth_NT[:, 1], guess_NT[:, 1]),
        within(image_N, truth_NT[:, 1], guess_NT[:, 1]), _pearson(bytes_NT[:, 0], mean_NT[:, 2]),
        float(np.median(np.abs(guess_NT[:, 2] / truth_NT[:, 2] - 1))), _pearson(bytes_NT[:, 1], mean_NT[:, 3]),
        _pearson(bytes_NT[:, 2], mean_NT[:, 4]), float(np.median(np.abs(guess_NT[:, 4] / truth_NT[:, 4] - 1))),
        _pearson(bytes_NT[:, 3], mean_NT[:, 5]), len(rows_N),
    )  # fmt: skip


def within(image_N: NDArray[np.int64], truth_N: NDArray[Any], guess_N: NDArray[Any]) -> float:
    """Mean over images of the rank correlation of their settings; an image alike at all settings is left out."""
    frame = pd.DataFrame({"image": image_N, "truth": truth_N, "guess": guess_N})
    ranks = frame.groupby("image")[["truth", "guess"]].rank()
    ranks["image"] = frame["image"]
    centred = ranks[["truth", "guess"]] - ranks.groupby("image")[["truth", "guess"]].transform("mean")
    sums = pd.DataFrame({
        "image": image_N, "tg": centred.truth * centred.guess, "tt": centred.truth**2, "gg": centred.guess**2
    }).groupby("image").sum()  # fmt: skip
    many = (frame.groupby("image").size() >= 5) & (sums.tt > 0)
    return float((sums.tg / (sums.tt * sums.gg).pow(0.5).replace(0, np.inf))[many].mean())


def _pearson(first_N: NDArray[Any], second_N: NDArray[Any]) -> float:
    return float(np.corrcoef(first_N, second_N)[0, 1])


def controls(table: Table, config: Config, workers: int = 1) -> dict[str, Judged]:
    """What predictors reach that are not given everything, or too much, on the test split; one member each.

    "parameters only" sees no image, "image only" no setting. "leaky rows" sees everything and is judged on rows that
    were drawn at random, whose images it has met at other settings: the figure to distrust.
    """
    config = replace(config, members=1, epochs=max(1, config.epochs // 2))
    train_N, test_N = table.rows_of("train"), table.rows_of("test")
    blind = replace(table, features_IF=np.zeros_like(table.features_IF))
    fixed = replace(table, settings_RP=np.broadcast_to(table.settings_RP.mean(0), table.settings_RP.shape).copy())
    order = np.random.default_rng(config.seed).permutation(len(table.targets_RT))
    cut = round(len(order) * len(test_N) / (len(train_N) + len(test_N)))
    lessons = [
        Lesson("parameters only", blind, train_N, config, test_N),
        Lesson("image only", fixed, train_N, config, test_N),
        Lesson("leaky rows", table, order[cut : cut + len(train_N)], config, order[:cut]),
    ]
    told = taught(lessons, "controls", workers)
    return {one.title: judge(one.table, one.judged_N, mean) for one, (mean, _) in zip(lessons, told, strict=True)}


def covered(table: Table, rows_N: NDArray[np.int64], mean_NT: NDArray[Any], reach_NT: NDArray[Any]) -> dict[str, float]:
    """Share of rows whose measured amounts lie within reach of the predicted ones, all images counting alike."""
    inside_NT = np.abs(scaled(table.targets_RT[rows_N]) - mean_NT) <= reach_NT
    image_N = table.image_R[rows_N]
    weight_N = 1 / np.bincount(image_N)[image_N]
    return {
        name: float((inside_N * weight_N).sum() / weight_N.sum())
        for name, inside_N in zip(TARGETS, inside_NT.T, strict=True)
    }


def by_family(table: Table, mean_RT: NDArray[np.float64]) -> pd.DataFrame:
    """Of predictions of families that were left out: Pearson's correlation of the similarity in each family."""
    frame = pd.DataFrame({
        "family": table.images["family"].to_numpy()[table.image_R],
        "kind": table.images["kind"].to_numpy()[table.image_R],
        "truth": table.targets_RT[:, 0], "guess": unscaled(mean_RT)[:, 0],
    })  # fmt: skip
    rows = [
        {"family": family, "kind": part["kind"].iloc[0],
         "pearson": _pearson(part.truth.to_numpy(), part.guess.to_numpy()),
         "mae": float((part.truth - part.guess).abs().mean()), "n": len(part)}
        for family, part in frame.groupby("family")
    ]  # fmt: skip
    return pd.DataFrame(rows).sort_values("pearson", ignore_index=True)


def report(table: Table, learned: Learned, config: Config, workers: int = 1) -> dict[str, Any]:
    """All that is said of a learned predictor, as plain values: on the test split, in parts of it, beside controls."""
    rows_N = table.rows_of("test")
    mean_NT, spread_NT = predict(learned.model, table, rows_N)
    kind_N = table.images["kind"].to_numpy()[table.image_R[rows_N]]
    judged = {"test images": judge(table, rows_N, mean_NT)}
    for kind in sorted(set(kind_N)):
        judged[f"- {kind}s"] = judge(table, rows_N[kind_N == kind], mean_NT[kind_N == kind])
    photo_R = (table.images["kind"] == "photo").to_numpy()[table.image_R]
    judged["families left out"] = judge(table, np.flatnonzero(~photo_R), learned.unseen_mean_RT[~photo_R])
    if photo_R.any():
        judged["photo sources left out"] = judge(table, np.flatnonzero(photo_R), learned.unseen_mean_RT[photo_R])
    judged |= controls(table, config, workers)
    far_N = learned.distance_I[table.image_R[rows_N]] > learned.about["limit"]
    reach = learned.about["reach"]
    reach_NT = spread_NT * np.where(far_N[:, None], reach["unfamiliar"], reach["familiar"])
    families = by_family(table, learned.unseen_mean_RT)
    apart = families[families["kind"] != "photo"]
    return {
        "judged": {name: asdict(one) for name, one in judged.items()},
        "covered": covered(table, rows_N, mean_NT, reach_NT), "unfamiliar": float(far_N.mean()),
        "families": len(apart), "families_mean": float(apart["pearson"].mean()),
        "by_family": families.to_dict("records"), "about": learned.about,
    }  # fmt: skip
