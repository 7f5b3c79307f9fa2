"""Learning the predictor of tracings from a data set.

    table = read(folder)                                     # rows, features of their images, settings, targets
    model = fit(table, table.rows_of("train"), Config())
    mean_NT, spread_NT = predict(model, table, table.rows_of("test"))
    learned(table, Config(), folder)                         # the file that `Predictor` opens

What is said of a predictor here is said of images it never saw: all rows of an image, and all images of a group, are
on one side of a split.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from netwright.core import artifact
from netwright.core.error import UserError
from netwright.core.map import map as each
from netwright.core.run import progress
from netwright.svg import setting, statistics, tracer
from netwright.svg.amounts import FLOOR, TARGETS, scaled
from netwright.svg.network import Distance, Ensemble, Member
from netwright.svg.predictor import LEVEL
from netwright.svg.raster import open_raster
from netwright.svg.setting import Setting
from netwright.svg.views import views

BLOCK = 512
"""Images between two writings of the kept features."""
LANDMARKS, DIRECTIONS = 256, 12
OBSERVED = 16_384
"""Rows from which quantiles are taken, about."""
ALIKE = 0.05
"""Spread of the logarithm of an image's distances below which its settings are hardly told apart."""
ABOUT = 0.03
"""Error of the logarithm of an amount, 7 %, below which it counts by its square."""
FAMILIAR = 0.99
"""Share of images like those learned that are called familiar."""


@dataclass(frozen=True)
class Config:
    """How the predictor is learned. Members differ in their seeds."""

    members: int = 6
    epochs: int = 60
    batch: int = 512
    lr: float = 3e-3
    weight_decay: float = 5e-2
    hidden: int = 384
    dropout: float = 0.15
    raw: float = 1.0
    """Weight of the error of the similarity itself beside that of its logarithm."""
    amounts: float = 1.0
    """Weight of the absolute error of the logarithms of bytes, paths and corners: it aims at the median."""
    within: float = 1.5
    """Weight of the error of what sets an image's settings apart, in units of how far they lie apart."""
    seed: int = 0


@dataclass(frozen=True)
class Table:
    """A data set ready to learn from: R rows, I images, F features, P columns of a setting, T targets."""

    images: pd.DataFrame
    rows: pd.DataFrame
    image_R: NDArray[np.int64]
    """Of each row the place of its image in `images` and in features_IF."""
    features_IF: NDArray[np.float32]
    settings_RP: NDArray[np.float32]
    targets_RT: NDArray[np.float64]

    def rows_of(self, split: str) -> NDArray[np.int64]:
        """Places of the rows whose images are of a split."""
        return self.where(self.images["split"].to_numpy() == split)

    def where(self, wanted_I: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Places of the rows whose images are wanted."""
        return np.flatnonzero(wanted_I[self.image_R])


def table(images: pd.DataFrame, rows: pd.DataFrame, features_IF: NDArray[np.float32]) -> Table:
    """A table of a data set's two frames and the features of its images, in their order. Failed rows are left out."""
    rows = rows[(rows["failed"].fillna("") == "") & rows["image"].isin(images["image"])].reset_index(drop=True)
    place = {name: k for k, name in enumerate(images["image"])}
    names = ["mode", *setting.RANGES]
    settings = [Setting(**dict(zip(names, values, strict=True))) for values in rows[names].itertuples(index=False)]
    return Table(
        images, rows, rows["image"].map(place).to_numpy(np.int64, copy=True), features_IF, setting.vectors(settings),
        rows[list(TARGETS)].to_numpy(np.float64),
    )  # fmt: skip


def features(paths: Sequence[Path]) -> NDArray[np.float32]:
    """Statistics of image files, (I, F)."""
    model = statistics.Statistics().eval()
    found = []
    with progress("reading images", len(paths)) as advance, torch.inference_mode():
        for path in paths:
            whole, piece, facts = views(open_raster(path))
            found.append(model(*(torch.from_numpy(x)[None] for x in (whole, piece, facts)))[0].numpy())
            advance()
    return np.stack(found)


@dataclass(frozen=True)
class Lesson:
    """An ensemble to be learned from some rows, and rows to predict then."""

    title: str
    table: Table
    learned_N: NDArray[np.int64]
    config: Config
    judged_N: NDArray[np.int64]


def fit(table: Table, rows_N: NDArray[np.int64], config: Config, title: str = "learning", workers: int = 1) -> Ensemble:
    """An ensemble trained on these rows, its members by so many processes."""
    if workers > 1:
        configs = [replace(config, seed=config.seed + k) for k in range(config.members)]
        lessons = [Lesson(title, table, rows_N, one, rows_N) for one in configs]
        return Ensemble(each(partial(_one, workers), lessons, workers=workers, title=title)).eval()
    with progress(title, config.members * config.epochs) as advance:
        return Ensemble(
            [_member(table, rows_N, config, config.seed + k, advance) for k in range(config.members)]
        ).eval()


def taught(lessons: Sequence[Lesson], title: str, workers: int = 1) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """What each lesson's ensemble predicts of its rows, scaled: mean and spread."""
    if workers > 1:
        return each(partial(_told, workers), lessons, workers=workers, title=title)
    return [_told(1, lesson) for lesson in lessons]


def _told(workers: int, lesson: Lesson) -> tuple[NDArray[Any], NDArray[Any]]:
    _share_cores(workers)
    model = fit(lesson.table, lesson.learned_N, lesson.config, lesson.title)
    return predict(model, lesson.table, lesson.judged_N)


def _one(workers: int, lesson: Lesson) -> Member:
    """The first member alone."""
    _share_cores(workers)
    return _member(lesson.table, lesson.learned_N, lesson.config, lesson.config.seed, lambda: None)


def _share_cores(workers: int) -> None:
    if workers > 1:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))


def _member(table: Table, rows_N: NDArray[np.int64], config: Config, seed: int, advance: Callable[[], None]) -> Member:
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        member = Member(table.features_IF.shape[1], hidden=config.hidden, dropout=config.dropout)
        features_IF, image_R = torch.from_numpy(table.features_IF), torch.from_numpy(table.image_R)
        settings_RP, goal_RT = torch.from_numpy(table.settings_RP), torch.from_numpy(scaled(table.targets_RT))
        ssim_R2 = torch.from_numpy(table.targets_RT[:, :2].astype(np.float32))
        optimizer = torch.optim.AdamW(member.parameters(), lr=config.lr, weight_decay=config.weight_decay)
        steps = config.epochs * math.ceil(len(rows_N) / config.batch)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.lr, total_steps=steps, pct_start=0.1)
        images_N, few_N = np.unique(table.image_R[rows_N]), rows_N[:: max(1, len(rows_N) // OBSERVED)]
        member.observe(features_IF[images_N], features_IF[image_R[few_N]], settings_RP[few_N])
        order_N, own_N = torch.from_numpy(rows_N), torch.from_numpy(table.image_R[rows_N])
        member.train()
        for _ in range(config.epochs):
            places_I = torch.randperm(len(table.images), generator=generator)  # an image's rows stay together
            for rows_B in order_N[places_I[own_N].argsort()].split(config.batch):
                image_B = image_R[rows_B]
                output = member(features_IF[image_B], settings_RP[rows_B])
                loss = _loss(output, goal_RT[rows_B], ssim_R2[rows_B], image_B, config)
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(member.parameters(), 1.0)
                optimizer.step()
                schedule.step()
            advance()
    return member.eval()


def _loss(output: tuple[Tensor, Tensor], goal_BT: Tensor, ssim_B2: Tensor, image_B: Tensor, config: Config) -> Tensor:
    """Likelihood under a normal error of the spread told (weighted by it, Seitzer et al. 2022), the raw error, that of
    the amounts, and the error of what sets an image's settings apart."""
    mean_BT, log_spread_BT = output
    spread_BT = log_spread_BT.exp()
    likelihood = 0.5 * ((goal_BT - mean_BT) / spread_BT) ** 2 + log_spread_BT
    raw = nn.functional.smooth_l1_loss(1 + FLOOR - 10 ** mean_BT[:, :2].clamp(max=0.2), ssim_B2, beta=0.05)
    amounts = nn.functional.smooth_l1_loss(mean_BT[:, 2:], goal_BT[:, 2:], beta=ABOUT)
    loss = (likelihood * spread_BT.detach()).mean() + config.raw * raw + config.amounts * amounts
    if not config.within:
        return loss
    _, place_B, count_G = image_B.unique(return_inverse=True, return_counts=True)
    error_B2, apart_B2 = (_apart(x, place_B, count_G) for x in (mean_BT[:, :2] - goal_BT[:, :2], goal_BT[:, :2]))
    variance_G2 = apart_B2.new_zeros(len(count_G), 2).index_add_(0, place_B, apart_B2**2) / count_G[:, None]
    within = nn.functional.huber_loss(error_B2 / (variance_G2[place_B] + ALIKE**2).sqrt(), torch.zeros_like(error_B2))
    return loss + config.within * within


def _apart(values_BC: Tensor, place_B: Tensor, count_G: Tensor) -> Tensor:
    """Values less the mean of their group."""
    mean_GC = values_BC.new_zeros(len(count_G), values_BC.shape[1]).index_add_(0, place_B, values_BC)
    return values_BC - (mean_GC / count_G[:, None])[place_B]


def predict(model: Ensemble, table: Table, rows_N: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Mean and spread of the scaled targets at rows, (N, T) each."""
    means, spreads = [], []
    with torch.inference_mode():
        for rows_B in np.array_split(rows_N, max(1, len(rows_N) // 4096)):
            mean, spread = model(
                torch.from_numpy(table.features_IF[table.image_R[rows_B]]), torch.from_numpy(table.settings_RP[rows_B])
            )
            means.append(mean.double().numpy())
            spreads.append(spread.double().numpy())
    return np.concatenate(means), np.concatenate(spreads)


def read(folder: Path) -> Table:
    """A data set as a table; the features of its images are computed once and kept beside it.

    Raises UserError where there is none.
    """
    if not (folder / "rows.parquet").is_file():
        raise UserError("data", str(folder), "a data set of traces", "netwright svg data")
    images, rows = (pd.read_parquet(folder / f"{name}.parquet") for name in ("images", "rows"))
    kept = folder / f"features-{statistics.digest()}.npz"
    found: dict[str, NDArray[np.float32]] = {}
    if kept.is_file():
        with np.load(kept, allow_pickle=False) as archive:
            found = dict(zip(archive["images"].tolist(), archive["features"], strict=True))
    left = [k for k, name in enumerate(images["image"]) if name not in found]
    for start in range(0, len(left), BLOCK):
        part = images.iloc[left[start : start + BLOCK]]
        found |= dict(zip(part["image"], features([folder / file for file in part["file"]]), strict=True))
        _keep(kept, found)
    return table(images, rows, np.stack([found[name] for name in images["image"]]))


def provenance(folder: Path, table: Table) -> dict[str, Any]:
    """What a predictor's file says of the data that it learned from."""
    told = artifact.read_json(folder / "provenance.json")
    families = sorted(table.images["family"].unique())
    return {"data": told["digest"], "images": len(table.images), "rows": len(table.rows), "families": families}


def _keep(path: Path, found: Mapping[str, NDArray[np.float32]]) -> None:
    def write(draft: Path) -> None:
        with draft.open("wb") as file:
            np.savez(file, images=np.array(list(found)), features=np.stack(list(found.values())))

    artifact.replace_file(path, write)


def folds(table: Table, count: int = 8, seed: int = 0) -> NDArray[np.int64]:
    """Of each image the fold it is left out in, when whole families are left out together, (I,)."""
    families = sorted(table.images["family"].unique())
    order = np.random.default_rng(seed).permutation(len(families))
    fold = {family: int(place) % count for family, place in zip(families, order, strict=True)}
    return table.images["family"].map(fold).to_numpy(np.int64)


def unseen(
    table: Table, config: Config, count: int = 8, workers: int = 1
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Predictions of every row by a model that saw no image of its family, scaled: mean and spread, (R, T) each."""
    fold_I = folds(table, count)
    lessons = [
        Lesson(f"families left out, {fold + 1} of {count}", table, table.where(fold_I != fold), config,
               table.where(fold_I == fold))
        for fold in range(count)
    ]  # fmt: skip
    mean_RT, spread_RT = np.empty((2, *table.targets_RT.shape))
    for lesson, told in zip(lessons, taught(lessons, "families left out", workers), strict=True):
        mean_RT[lesson.judged_N], spread_RT[lesson.judged_N] = told
    return mean_RT, spread_RT


def distance(table: Table, images_N: NDArray[np.int64], seed: int = 0) -> Distance:
    """What is familiar: LANDMARKS centres of these images, over their DIRECTIONS principal directions."""
    from scipy.cluster.vq import kmeans2

    features_NF = table.features_IF[images_N].astype(np.float64)
    mean_F, spread_F = features_NF.mean(0), features_NF.std(0) + 1e-2
    clean_NF = (features_NF - mean_F) / spread_F
    _, sizes, directions = np.linalg.svd(clean_NF, full_matrices=False)
    count = min(DIRECTIONS, len(sizes))
    scale_D = sizes[:count] / math.sqrt(len(clean_NF)) + 1e-6
    to_FD = directions[:count].T / spread_F[:, None] / scale_D
    at_ND = (features_NF - mean_F) @ to_FD
    landmarks_LD, _ = kmeans2(at_ND, min(LANDMARKS, len(at_ND)), seed=seed, minit="points", missing="warn")
    tensors = (torch.from_numpy(x.astype(np.float32)) for x in (mean_F, to_FD, landmarks_LD))
    return Distance(*tensors)


def distances(measure: Distance, table: Table) -> NDArray[np.float32]:
    """How far each image of a table is, (I,)."""
    with torch.inference_mode():
        return np.asarray(measure(torch.from_numpy(table.features_IF)).numpy())


def reach(table: Table, rows_N: NDArray[np.int64], mean_NT: NDArray[Any], spread_NT: NDArray[Any]) -> list[float]:
    """Of each target how many expected spreads hold LEVEL of the errors: a conformal quantile, every image alike."""
    error_NT = np.abs(scaled(table.targets_RT[rows_N]) - mean_NT) / spread_NT
    weight_N = 1 / np.bincount(table.image_R[rows_N], minlength=len(table.images))[table.image_R[rows_N]]
    found = []
    for error_N in error_NT.T:
        order = error_N.argsort()
        share = weight_N[order].cumsum() / weight_N.sum()
        found.append(float(error_N[order][min(np.searchsorted(share, LEVEL), len(order) - 1)]))
    return found


@dataclass(frozen=True, eq=False)
class Learned:
    """A predictor as it was learned, and what it takes to judge it."""

    path: Path
    model: Ensemble
    about: dict[str, Any]
    unseen_mean_RT: NDArray[np.float64]
    unseen_spread_RT: NDArray[np.float64]
    distance_I: NDArray[np.float32]


def learned(table: Table, config: Config, out: Path, about: Mapping[str, Any], workers: int = 1) -> Learned:
    """Learn from the train split, measure the errors on the validation split, write the file of `Predictor`.

    Errors on unfamiliar images are those of models that saw no image of the family; `about` says what the data was.
    """
    from netwright.svg import export

    model = fit(table, table.rows_of("train"), config, workers=workers)
    kept_N = table.rows_of("validation")
    measure = distance(table, np.flatnonzero(table.images["split"].to_numpy() == "train"))
    far_I = distances(measure, table)
    limit = float(np.quantile(far_I[table.images["split"].to_numpy() == "validation"], FAMILIAR))
    mean_RT, spread_RT = unseen(table, replace(config, members=1, epochs=max(1, config.epochs // 2)), workers=workers)
    strange_N = table.where((far_I > limit) & (table.images["split"].to_numpy() != "test"))
    near = reach(table, kept_N, *predict(model, table, kept_N))
    far = reach(table, strange_N, mean_RT[strange_N], spread_RT[strange_N]) if len(strange_N) else near
    whole = {
        **about, "tracer": tracer.version(), "targets": list(TARGETS), "level": LEVEL, "limit": limit,
        "reach": {"familiar": near, "unfamiliar": [max(a, b) for a, b in zip(near, far, strict=True)]},
        "config": asdict(config), "features": statistics.digest(),
    }  # fmt: skip
    path = export.write(export.Whole(model, measure), whole, out)
    return Learned(path, model, whole, mean_RT, spread_RT, far_I)
