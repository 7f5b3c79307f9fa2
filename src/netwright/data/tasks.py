"""Task: what is learned, and how well it was learned. The contract that every task keeps.

A task holds its data in memory and hands out batches by index, so that the order of examples is the
training loop's business and a resumed run sees the same batches. It does not know any model.

Shape legend: B batch, K classes, N examples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from netwright.core import stats
from netwright.core.measurement import Measurement

Split = Literal["train", "validation", "test"]
IGNORED = -100
"""The label of a token that does not count: the one that torch's cross-entropy ignores."""
Arrays = Mapping[str, NDArray[Any]]
Predict = Callable[[Arrays], NDArray[np.float32]]
"""Named inputs -> logits_BK. A torch model and an exported file's Runner both look like this."""


@dataclass(frozen=True)
class Input:
    """One named input of a model: its shape without the batch (None: varies) and its dtype.

    `vocabulary` is the number of distinct ids of an input that holds ids, 0 for any other; `longest` the
    largest size of a dimension that varies, 0 where none does or nobody knows.
    """

    shape: tuple[int | None, ...]
    dtype: Literal["float32", "int64", "bool"]
    vocabulary: int = 0
    longest: int = 0


@dataclass(frozen=True)
class Batch:
    """Named inputs of a model, each with the batch first, and labels_B."""

    inputs: dict[str, Tensor]
    labels_B: Tensor


@dataclass(frozen=True)
class Evaluation:
    """What was seen on every example of a split, so that two models can be compared in pairs."""

    correct_N: NDArray[np.bool_]
    loss_N: NDArray[np.float32]
    text_N: NDArray[np.int64] | None = None
    """Of tokens: the number of the text each stands in. Those of one text are alike, so intervals are over texts."""

    def judged(self, **about: Any) -> list[Measurement]:
        """How well it answers, what says most first: the accuracy, and of a language model the perplexity."""
        return [self.accuracy(**about), *([] if self.text_N is None else [self.perplexity(**about)])]

    def figures(self) -> dict[str, float]:
        """What is logged of an epoch: the loss, and one figure that a person reads."""
        return {"loss": float(self.loss_N.mean()), "accuracy": float(self.correct_N.mean())}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All that it holds, as arrays for a file; `evaluation` takes them back."""
        kept: dict[str, NDArray[Any]] = {"correct": self.correct_N.astype(np.uint8), "loss": np.asarray(self.loss_N)}
        return kept | ({} if self.text_N is None else {"text": self.text_N})

    def accuracy(self, **about: Any) -> Measurement:
        """Share correct, with Wilson's interval; of tokens, an interval over texts."""
        if self.text_N is not None:
            share = stats.clustered(self.correct_N, self.text_N)
            low, high = max(0.0, share.low), min(1.0, share.high)
            if share.value in (0.0, 1.0):  # no spread was seen, which is not none: as if a text were one token
                few = stats.proportion(round(share.value * share.n), share.n)
                low, high = few.low, few.high
            return Measurement(quantity="accuracy", value=share.value, low=low, high=high, n=share.n, **about)
        share = stats.proportion(int(self.correct_N.sum()), len(self.correct_N))
        return Measurement(quantity="accuracy", value=share.value, low=share.low, high=share.high, n=share.n, **about)

    def loss(self, **about: Any) -> Measurement:
        """Mean cross-entropy in nats, with a bootstrap interval over examples."""
        mean = self._loss()
        return Measurement(quantity="loss", value=mean.value, low=mean.low, high=mean.high, n=mean.n, **about)

    def perplexity(self, **about: Any) -> Measurement:
        """e to the mean loss: among how many tokens the next one might as well have been drawn."""
        mean = self._loss()
        low, value, high = (math.exp(min(x, 700.0)) for x in (mean.low, mean.value, mean.high))
        return Measurement(quantity="perplexity", value=value, low=low, high=high, n=mean.n, **about)

    def perplexity_ratio(self, reference: Evaluation, **about: Any) -> Measurement:
        """Perplexity over that of a reference on the same tokens: 0.8 is a fifth less; compared in pairs."""
        if self.loss_N.shape != reference.loss_N.shape:
            raise ValueError(f"{len(self.loss_N)} tokens cannot be paired with {len(reference.loss_N)}")
        change_N = self.loss_N.astype(np.float64) - reference.loss_N
        mean = (
            stats.bootstrap(change_N, resamples=500) if self.text_N is None else stats.clustered(change_N, self.text_N)
        )
        low, value, high = (math.exp(max(-700.0, min(x, 700.0))) for x in (mean.low, mean.value, mean.high))
        return Measurement(quantity="perplexity_ratio", value=value, low=low, high=high, n=mean.n, **about)

    def _loss(self) -> stats.Interval:
        if self.text_N is None:
            return stats.bootstrap(self.loss_N, resamples=500)
        return stats.clustered(self.loss_N, self.text_N)


class Task(Protocol):
    """Data with train, validation and test splits, a loss and an evaluation."""

    name: str
    classes: tuple[str, ...]
    """What the columns of an answer mean; of one alone it is a number and no class; of tokens there are none."""
    inputs: Mapping[str, Input]
    processor: Mapping[str, Any]
    """Plain data that a deployment needs to turn a raw example into inputs: mean, std, vocabulary file."""
    digest: str
    """sha256 of everything that determines the batches: source hashes and settings."""

    def size(self, split: Split) -> int: ...

    def batch(self, split: Split, indices_B: Tensor, generator: torch.Generator | None = None) -> Batch:
        """The examples at these places; augmented when a generator is given, and then only by it."""
        ...

    def loss(self, model: nn.Module, batch: Batch, smoothing: float = 0.0) -> Tensor:
        """Mean loss of a batch, a scalar; `smoothing` is that of the labels."""
        ...

    def evaluate(self, predict: Predict, split: Split, batch: int = 500) -> Evaluation: ...

    def example(self, batch: int = 1) -> dict[str, Tensor]:
        """Real inputs from the validation split, for tracing and timing."""
        ...

    def write_processor(self, folder: Any) -> None:
        """Write files that `processor` names (a vocabulary) into an artifact's folder."""
        ...


def open_task(config: Any) -> Task:
    """The task of a parsed `[task]` section: fetches what is missing, checks hashes."""
    from netwright.core import table
    from netwright.data import TASKS

    task: Task = table.resolve(TASKS, config.name, "task.name", "netwright.tasks").open(config)
    return task


def lengths(task: Task, split: Split) -> Tensor | None:
    """Sizes of the dimension that varies, lengths_N, where a task has one and tells (`task.lengths(split)`)."""
    tell = getattr(task, "lengths", None)
    return tell(split) if tell else None


def in_order(task: Task, split: Split, batch: int) -> Iterator[Batch]:
    """All batches of a split, unaugmented, in order."""
    for indices_B in torch.split(torch.arange(task.size(split)), batch):
        yield task.batch(split, indices_B)


@runtime_checkable
class LanguageModel(Protocol):
    """A network that predicts next tokens: what its last layer reads, and the matrix of that layer, weight_VD."""

    head: Tensor

    def features(self, ids_BT: Tensor, positions_BT: Tensor | None = None) -> tuple[Tensor, Any]: ...


class Classification:
    """What all tasks share whose models answer logits_BK: cross-entropy, and accuracy on every example.

    A task adds `size`, `batch` and what describes its data.
    """

    size: Callable[[Split], int]
    batch: Callable[..., Batch]

    def loss(self, model: nn.Module, batch: Batch, smoothing: float = 0.0) -> Tensor:
        """Mean cross-entropy of `model(**inputs)`."""
        logits_BK = model(**batch.inputs)
        return nn.functional.cross_entropy(logits_BK.float(), batch.labels_B, label_smoothing=smoothing)

    def evaluate(self, predict: Predict, split: Split, batch: int = 500) -> Evaluation:
        """Run `predict` over a split, texts of like length together, and keep correctness and loss of every example."""
        lengths_N = lengths(cast(Task, self), split)
        order_N = torch.arange(self.size(split)) if lengths_N is None else lengths_N.argsort(stable=True)
        correct_N, loss_N = np.empty(len(order_N), np.bool_), np.empty(len(order_N), np.float32)
        for indices_B in order_N.split(batch):
            part = self.batch(split, indices_B)
            logits_BK = torch.from_numpy(predict({name: x.numpy() for name, x in part.inputs.items()})).float()
            correct_N[indices_B] = (logits_BK.argmax(1) == part.labels_B).numpy()
            loss_N[indices_B] = nn.functional.cross_entropy(logits_BK, part.labels_B, reduction="none").numpy()
        return Evaluation(correct_N, loss_N)

    def example(self, batch: int = 1) -> dict[str, Tensor]:
        """The first validation examples, repeated where there are fewer."""
        return self.batch("validation", torch.arange(batch) % self.size("validation")).inputs
