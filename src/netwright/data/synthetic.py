"""Tasks made from a seed: images and texts that a small network learns in seconds, without any download.

They serve tests, first trials and timing of pipelines; accuracy on them says nothing about real data.
Images are noisy copies of one random picture a class; texts have tokens that are more frequent in
their class. Shape legend: B batch, C channels, H height, W width, T tokens, N examples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from netwright.core import recipe
from netwright.core.recipe import Range
from netwright.data.tasks import Batch, Classification, Input, Split


@dataclass(frozen=True, kw_only=True)
class Config:
    """How many examples of how many classes, how large and how noisy."""

    name: Literal["synthetic", "synthetic-text"] = "synthetic"
    examples: Annotated[int, Range(10, 1_000_000)] = 1000
    """Training examples; validation and test have a fifth as many each."""
    classes: Annotated[int, Range(2, 1000)] = 4
    side: Annotated[int, Range(4, 512)] = 8
    """Height and width of an image."""
    tokens: Annotated[int, Range(4, 4096)] = 16
    """Longest text; each has between half and all of these."""
    vocabulary: Annotated[int, Range(8, 100_000)] = 64
    noise: Annotated[float, Range(0, 100)] = 0.5
    seed: Annotated[int, Range(0, 2**31)] = 0


class SyntheticTask(Classification):
    """A `Task` in memory. Augmentation is a little noise, so that resuming exactly is put to the test."""

    def __init__(self, config: Config) -> None:
        self.name: str = config.name
        self.config = config
        self.classes = tuple(f"class {k}" for k in range(config.classes))
        self.processor: Mapping[str, Any] = {"kind": "none"}
        self.digest = recipe.digest(config)
        self.text = config.name == "synthetic-text"
        self.inputs: Mapping[str, Input] = (
            {
                "ids": Input((None,), "int64", config.vocabulary, longest=config.tokens),
                "mask": Input((None,), "bool", longest=config.tokens),
            }
            if self.text
            else {"image": Input((1, config.side, config.side), "float32")}
        )
        sizes: dict[Split, int] = {"train": config.examples}
        sizes["validation"] = sizes["test"] = max(2, config.examples // 5)
        generator = torch.Generator().manual_seed(config.seed)
        draw = self._texts if self.text else self._images
        self._prototypes_KHW = torch.rand(config.classes, config.side, config.side, generator=generator)
        self._data = {split: draw(size, generator) for split, size in sizes.items()}

    def size(self, split: Split) -> int:
        return len(self._data[split].labels_B)

    def lengths(self, split: Split) -> Tensor | None:
        """Tokens of each text; images have no dimension that varies."""
        return self._data[split].inputs["mask"].sum(1) if self.text else None

    def batch(self, split: Split, indices_B: Tensor, generator: torch.Generator | None = None) -> Batch:
        data = self._data[split]
        inputs = {name: x[indices_B] for name, x in data.inputs.items()}
        if generator is not None and not self.text:
            noise_BCHW = torch.randn(inputs["image"].shape, generator=generator)
            inputs["image"] = inputs["image"] + 0.1 * self.config.noise * noise_BCHW
        return Batch(inputs, data.labels_B[indices_B])

    def write_processor(self, folder: Path) -> None:
        """Nothing to write: the inputs are what they are."""

    def _images(self, n: int, generator: torch.Generator) -> Batch:
        labels_N = torch.randint(0, self.config.classes, (n,), generator=generator)
        clean_NCHW = self._prototypes_KHW[labels_N].unsqueeze(1)
        noise_NCHW = torch.randn(clean_NCHW.shape, generator=generator)
        return Batch({"image": clean_NCHW + self.config.noise * noise_NCHW}, labels_N)

    def _texts(self, n: int, generator: torch.Generator) -> Batch:
        c = self.config
        labels_N = torch.randint(0, c.classes, (n,), generator=generator)
        ids_NT = torch.randint(1, c.vocabulary, (n, c.tokens), generator=generator)
        marked_NT = torch.rand(n, c.tokens, generator=generator) < 1 / (2 + c.noise)
        ids_NT = torch.where(marked_NT, 1 + labels_N.unsqueeze(1) % (c.vocabulary - 1), ids_NT)
        lengths_N = torch.randint(c.tokens // 2, c.tokens + 1, (n,), generator=generator)
        mask_NT = torch.arange(c.tokens) < lengths_N.unsqueeze(1)
        return Batch({"ids": ids_NT * mask_NT, "mask": mask_NT}, labels_N)


def open(config: Config) -> SyntheticTask:
    """Draw the task; the same config gives the same data."""
    return SyntheticTask(config)
