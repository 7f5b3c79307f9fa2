"""Regression: tasks whose answer is a number, and how well it is estimated.

    seen = task.evaluate(predict, "test")       # Estimates
    seen.correlation()                          # Pearson, with an interval over groups of like examples

The loss is the squared error. Examples come in groups of like ones (the settings tried on one image): intervals are
over groups, and the rank correlation is one within them. Such a task has one class, the name of its number. Knows
neither the data nor the model.

Shape legend: B batch, N examples, 1 the one column of an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from netwright.core import stats
from netwright.core.error import UserError
from netwright.core.measurement import Measurement
from netwright.data.tasks import Batch, Evaluation, Predict, Split

NONE = np.zeros(0, np.bool_)


def is_number(classes: Any) -> bool:
    """Whether a task with these classes answers a number: there is one, the name of the number."""
    return len(classes) == 1


@dataclass(frozen=True)
class Estimates(Evaluation):
    """What was estimated of every example of a split, beside what was measured."""

    predicted_N: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    measured_N: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    group_N: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """Which group of like examples each is of."""

    @classmethod
    def of(cls, predicted_N: NDArray[Any], measured_N: NDArray[Any], group_N: NDArray[Any]) -> Estimates:
        """Estimates beside what was measured. Raises ValueError where their numbers differ."""
        if not len(predicted_N) == len(measured_N) == len(group_N):
            raise ValueError(f"{len(predicted_N)} estimates, {len(measured_N)} measured, {len(group_N)} groups")
        predicted_N, measured_N = predicted_N.astype(np.float32), measured_N.astype(np.float32)
        return cls(NONE, (predicted_N - measured_N) ** 2, None, predicted_N, measured_N, group_N.astype(np.int64))

    def judged(self, **about: Any) -> list[Measurement]:
        """Correlation, rank correlation within groups (where there are groups of three), mean absolute error."""
        return [self.correlation(**about), *self.rank_correlation(**about), self.absolute_error(**about)]

    def figures(self) -> dict[str, float]:
        """What is logged of an epoch: the mean squared error and the correlation."""
        return {"loss": float(self.loss_N.mean()), "correlation": self._correlation().value}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All that it holds, as arrays for a file."""
        return {"predicted": self.predicted_N, "measured": self.measured_N, "group": self.group_N}

    def correlation(self, **about: Any) -> Measurement:
        """Pearson's correlation, its interval by drawing groups again."""
        return _measured("correlation", self._correlation(), about)

    def correlation_change(self, reference: Estimates, **about: Any) -> Measurement:
        """Correlation less that of a reference on the same examples, in pairs."""
        if not np.array_equal(self.measured_N, reference.measured_N):
            raise ValueError("estimates of other examples cannot be compared in pairs")
        found = stats.correlation_change(self.predicted_N, reference.predicted_N, self.measured_N, self.group_N)
        return _measured("correlation_change", found, about)

    def rank_correlation(self, **about: Any) -> list[Measurement]:
        """Mean over groups of Spearman's correlation within each, its interval over groups; [] where none can rank."""
        found_G = stats.rank_correlations(self.predicted_N, self.measured_N, self.group_N)
        return [_measured("rank_correlation", stats.bootstrap(found_G), about)] if len(found_G) else []

    def absolute_error(self, **about: Any) -> Measurement:
        """Mean absolute error, its interval over groups."""
        errors_N = np.abs(self.predicted_N.astype(np.float64) - self.measured_N)
        return _measured("absolute_error", stats.clustered(errors_N, self.group_N), about)

    def loss(self, **about: Any) -> Measurement:
        """Mean squared error, its interval over groups."""
        return _measured("squared_error", stats.clustered(self.loss_N, self.group_N), about)

    def accuracy(self, **about: Any) -> Measurement:
        """There is none. Raises UserError."""
        _refuse("accuracy")

    def perplexity(self, **about: Any) -> Measurement:
        """There is none. Raises UserError."""
        _refuse("perplexity")

    def perplexity_ratio(self, reference: Evaluation, **about: Any) -> Measurement:
        """There is none. Raises UserError."""
        _refuse("perplexity")

    def _correlation(self) -> stats.Interval:
        if not np.isfinite(self.predicted_N).all():  # a training that diverged: the loss says so
            return stats.Interval(0.0, 0.0, 0.0, len(self.predicted_N))
        return stats.correlation(self.predicted_N, self.measured_N, self.group_N)


class Regression:
    """What all tasks share whose models answer one number: squared error, and an estimate of every example.

    A task adds `size`, `batch`, `groups` and what describes its data.
    """

    size: Callable[[Split], int]
    batch: Callable[..., Batch]
    groups: Callable[[Split], NDArray[np.int64]]
    """Which group of like examples each of a split is of."""

    def loss(self, model: nn.Module, batch: Batch, smoothing: float = 0.0) -> Tensor:
        """Mean squared error of `model(**inputs)`. Raises UserError for smoothing, which labels of classes have."""
        if smoothing:
            raise UserError("train.smoothing", smoothing, "0: this task answers a number", "train.smoothing=0")
        answer_B1: Tensor = model(**batch.inputs)
        return nn.functional.mse_loss(answer_B1.float().squeeze(1), batch.labels_B)

    def evaluate(self, predict: Predict, split: Split, batch: int = 500) -> Evaluation:
        """Run `predict` over a split and keep the estimate of every example."""
        predicted, measured = [], []
        for indices_B in torch.arange(self.size(split)).split(batch):
            part = self.batch(split, indices_B)
            predicted.append(predict({name: x.numpy() for name, x in part.inputs.items()})[:, 0])
            measured.append(part.labels_B.numpy())
        return Estimates.of(np.concatenate(predicted), np.concatenate(measured), self.groups(split))

    def example(self, batch: int = 1) -> dict[str, Tensor]:
        """The first validation examples, repeated where there are fewer."""
        return self.batch("validation", torch.arange(batch) % self.size("validation")).inputs


def evaluation(arrays: Mapping[str, NDArray[Any]]) -> Evaluation:
    """What `Evaluation.arrays` gave. Raises KeyError where something is missing."""
    if "predicted" in arrays:
        return Estimates.of(arrays["predicted"], arrays["measured"], arrays["group"])
    return Evaluation(arrays["correct"].astype(bool), arrays["loss"], arrays.get("text"))


def _measured(quantity: str, found: stats.Interval, about: Mapping[str, Any]) -> Measurement:
    return Measurement(quantity=quantity, value=found.value, low=found.low, high=found.high, n=found.n, **about)


def _refuse(what: str) -> NoReturn:
    raise UserError(what, None, "this task answers a number, which has a correlation and errors", "netwright runs show")
