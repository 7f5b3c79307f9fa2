"""Views: what a level sees of the data, smaller images, shorter texts or several tokens as one. No weights change.

    view = View(resolution=0.5, length=1.0, merge=1, inputs=task.inputs)
    batch = view.of(batch)
    with view.within(model): ...

Shape legend: B batch, C channels, H height, W width, T tokens.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from netwright.core.error import UserError
from netwright.data.tasks import Arrays, Batch, Input, Task
from netwright.train.multilevel.schedules import Config


@dataclass(frozen=True)
class View:
    """Images at a share of their height and width, texts at a share of the longest one's tokens, tokens of the network
    that are `merge` of the text's."""

    resolution: float
    length: float
    merge: int
    inputs: Mapping[str, Input]

    def __post_init__(self) -> None:
        for name, value, found in (
            ("resolution", self.resolution, any(map(_is_image, self.inputs.values()))),
            ("length", self.length, any(map(_is_text, self.inputs.values()))),
        ):
            if value != 1 and not found:
                what = "images" if name == "resolution" else "texts"
                raise UserError(
                    f"train.multilevel.{name}", value, f"this task has no {what}", f"train.multilevel.{name}=[1]"
                )

    @contextlib.contextmanager
    def within(self, model: nn.Module) -> Iterator[None]:
        """Within: the network takes so many tokens as one. Raises UserError for one that takes each by itself."""
        own = getattr(model, "merge", None)
        if not isinstance(own, int) and self.merge != 1:
            allowed = f"{type(model).__name__} has no `merge`, it takes each token by itself"
            raise UserError("train.multilevel.merge", self.merge, allowed, "train.multilevel.merge=[1]")
        if own in (None, self.merge):
            yield
            return
        model.merge = self.merge  # type: ignore[assignment]
        try:
            yield
        finally:
            model.merge = own

    def of(self, batch: Batch) -> Batch:
        """A batch as this level sees it."""
        return Batch(self.inputs_of(batch.inputs), batch.labels_B)

    def inputs_of(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Named inputs as this level sees them."""
        seen = dict(inputs)
        if self.resolution != 1:
            seen |= {name: self._smaller(x) for name, x in inputs.items() if _is_image(self.inputs[name])}
        if self.length != 1:
            texts = {name: x for name, x in inputs.items() if _is_text(self.inputs[name])}
            seen |= self._shorter(texts)
        return seen

    def of_arrays(self, arrays: Arrays) -> Arrays:
        """The same for arrays."""
        if self.resolution == self.length == 1:
            return arrays
        tensors = {name: torch.from_numpy(x) for name, x in arrays.items()}
        return {name: x.numpy() for name, x in self.inputs_of(tensors).items()}

    def usual(self, longest: Mapping[str, Tensor], lengths_N: Tensor | None) -> dict[str, Tensor]:
        """The longest examples as this level sees them, texts cut to the mean of what it keeps of texts so long."""
        seen = self.inputs_of(longest)
        if lengths_N is None:
            return seen
        texts = {name for name in seen if _is_text(self.inputs[name])}
        return {
            name: x[:, : _mean(lengths_N.clamp(max=x.shape[1]))] if name in texts else x for name, x in seen.items()
        }

    def _smaller(self, image_BCHW: Tensor) -> Tensor:
        size = [max(1, round(side * self.resolution)) for side in image_BCHW.shape[2:]]
        return nn.functional.interpolate(image_BCHW, size=size, mode="area")

    def _shorter(self, texts: dict[str, Tensor]) -> dict[str, Tensor]:
        """The beginning and the end of each text, as `data.reviews` shortens them: a quarter and three quarters."""
        keep = max(max(1, math.ceil(self.inputs[name].longest * self.length)) for name in texts)
        tokens = max(x.shape[1] for x in texts.values())
        if tokens <= keep:
            return texts
        mask_BT = texts.get("mask")
        first = keep // 4
        at_T = torch.arange(keep, device=next(iter(texts.values())).device)
        if mask_BT is None:
            where_BT = torch.where(at_T < first, at_T, at_T + tokens - keep).expand(len(next(iter(texts.values()))), -1)
        else:
            skipped_B1 = (mask_BT.sum(1, keepdim=True) - keep).clamp(min=0)
            where_BT = torch.where(at_T < first, at_T, at_T + skipped_B1)
        return {name: x.gather(1, where_BT) for name, x in texts.items()}


def view(config: Config, level: int, task: Task, finest: nn.Module) -> View:
    """The view of a level, which is given relative to the finest one's."""
    resolution, length, merge = config.view(level)
    return View(resolution, length, merge * getattr(finest, "merge", 1), task.inputs)


def longest(task: Task) -> dict[str, Tensor]:
    """Two examples of the task, repeated to the longest size that a varying dimension may have."""
    found = task.example(2)
    for name, given in task.inputs.items():
        for dim, size in enumerate(given.shape, 1):
            if size is None and given.longest > found[name].shape[dim]:
                times = -(-given.longest // found[name].shape[dim])
                repeats = [times if at == dim else 1 for at in range(found[name].dim())]
                found[name] = found[name].repeat(repeats).narrow(dim, 0, given.longest).contiguous()
    return found


def _mean(lengths_N: Tensor) -> int:
    return math.ceil(float(lengths_N.double().mean()))


def _is_image(given: Input) -> bool:
    return given.dtype == "float32" and len(given.shape) == 3


def _is_text(given: Input) -> bool:
    return len(given.shape) == 1 and given.shape[0] is None
