"""What a person sees of data: a source's files, a task's counts, a picture or sample texts, and its checks.

    shown = show("mnist")            # a Shown: plain data, and the path of the picture

This file does not print; `cli.data` does.

Shape legend: B batch, C channels, H rows, W columns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netwright.core import artifact, table
from netwright.core.error import UserError, did_you_mean
from netwright.data import TASKS, sources
from netwright.data.catalog import SOURCES
from netwright.data.inspect import Report, inspect
from netwright.data.tasks import Task, in_order, open_task

GROUP = "netwright.tasks"
COLUMNS = 10
ALL_TOKENS = 4000
"""Longer than any review, so that the checks see all of each."""


@dataclass(frozen=True)
class TextSample:
    """One example of a text task, as words and as the ids a model gets."""

    label: str
    words: tuple[str, ...]
    ids: tuple[int, ...]


@dataclass(frozen=True)
class Shown:
    """Of a task: its report and a picture or texts. Of a source that is no task: its files."""

    name: str
    files: tuple[tuple[str, int, str], ...] = ()
    report: Report | None = None
    picture: Path | None = None
    texts: tuple[TextSample, ...] = ()


def show(name: str) -> Shown:
    """Fetch what is missing, look at it, check it. Raises UserError for an unknown name."""
    if name not in table.names(TASKS, GROUP):
        if name not in SOURCES:
            allowed = did_you_mean(name, {*SOURCES, *table.names(TASKS, GROUP)})
            raise UserError("data", name, allowed, "netwright data list")
        return Shown(name, files=tuple(sources.describe(sources.fetch(name))))
    config = table.resolve(TASKS, name, "data", GROUP).Config(name=name)
    task = open_task(config)
    whole = open_task(replace(config, max_tokens=ALL_TOKENS)) if hasattr(config, "max_tokens") else task
    if "image" in task.inputs:
        path = sources.cache_folder() / "pictures" / f"{name}-{task.digest[:8]}.png"
        _write_png(_tiled(pictures(task, COLUMNS)), path)
        return Shown(name, report=inspect(whole), picture=path)
    return Shown(name, report=inspect(whole), texts=_texts(task))


def pictures(task: Task, columns: int) -> NDArray[np.uint8]:
    """The first `columns` training images of each class, undone to bytes: (classes, columns, H, W, 3)."""
    rows = _first_of_each(task, columns)
    C, H, W = (int(side or 1) for side in task.inputs["image"].shape)
    grid = np.full((len(rows), columns, H, W, 3), 255, np.uint8)
    for row, chosen in enumerate(rows):
        if not len(chosen):
            continue
        x_BCHW = task.batch("train", chosen).inputs["image"]
        mean, std = (torch.tensor(task.processor.get(key, default)).view(-1, 1, 1) for key, default in _UNSCALED)
        x_BHWC = ((x_BCHW * std + mean).clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1)
        grid[row, : len(chosen)] = x_BHWC.expand(-1, -1, -1, 3).numpy() if C == 1 else x_BHWC[..., :3].numpy()
    return grid


_UNSCALED = (("mean", [0.0]), ("std", [1.0]))


def _tiled(grid: NDArray[np.uint8], gap: int = 2) -> NDArray[np.uint8]:
    """The grid as one picture with white gaps: (rows * (H + gap), columns * (W + gap), 3)."""
    padded = np.pad(grid, ((0, 0), (0, 0), (0, gap), (0, gap), (0, 0)), constant_values=255)
    rows, columns, H, W, _ = padded.shape
    return padded.transpose(0, 2, 1, 3, 4).reshape(rows * H, columns * W, 3)


def _write_png(pixels: NDArray[np.uint8], path: Path) -> None:
    from PIL import Image

    picture = Image.fromarray(pixels)
    picture = picture.resize((2 * picture.width, 2 * picture.height), Image.Resampling.NEAREST)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        artifact.replace_file(path, lambda draft: picture.save(draft, format="PNG"))
    except (OSError, UserError) as fault:
        raise sources.cache_error(fault, path) from fault


def _texts(task: Task) -> tuple[TextSample, ...]:
    """The first training example of each class."""
    encoder: Any = getattr(task, "encoder", None)
    samples = []
    for name, chosen in zip(task.classes, _first_of_each(task, 1), strict=True):
        for n in chosen.tolist():
            part = task.batch("train", torch.tensor([n])).inputs
            ids = tuple(part["ids"][0][part["mask"][0]].tolist())
            words = tuple(encoder.text(ids)) if encoder is not None else tuple(map(str, ids))
            samples.append(TextSample(name, words, ids))
    return tuple(samples)


def _first_of_each(task: Task, count: int) -> list[Tensor]:
    """Indices of the first `count` training examples of each class."""
    labels_N = torch.cat([part.labels_B for part in in_order(task, "train", 500)])
    return [torch.nonzero(labels_N == k).flatten()[:count] for k in range(len(task.classes))]
