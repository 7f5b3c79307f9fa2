"""Which layer hurts: each alone is put on a grid, and the network's answers are compared with those of before.

    rows = measured(model, task, (4, 8))      # bits of weights and of inputs
    rows[0].layer, rows[0].error        # the worst

Used for mixed precision: the layers that hurt most stay in floating point, or get 8 bits. Errors of single layers add
up well enough to rank them; what all of them do together is measured where the whole is. Knows no engine.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from netwright.compress import calibration
from netwright.compress.calibration import Examples
from netwright.core.run import progress
from netwright.core.stats import bootstrap

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netwright.data.tasks import Task

CALIBRATE = 64
"""Training examples for ranges of inputs."""


@dataclass(frozen=True)
class Row:
    """A layer, its share of the network's weights, and what putting it alone on a grid does.

    `error` is the relative change of the answers; `loss` the change of the mean loss in nats, with its interval.
    """

    layer: str
    weights: float
    error: float
    loss: float
    loss_low: float
    loss_high: float


def measured(
    model: nn.Module, task: Task, bits: tuple[int, int], group: int = 64, n: int = 256, seed: int = 0
) -> list[Row]:
    """A row a layer, the one that hurts most first; on `n` validation examples. The model is left as it is."""
    import torch

    from netwright.compress.quantize import grids
    from netwright.models import quantized

    model = copy.deepcopy(model).eval()
    stated = grids(model, *bits, group)
    on_grid = copy.deepcopy(model)
    quantized.quantize(on_grid, stated)
    indices = Examples(task, seed, CALIBRATE).indices().split(32)
    quantized.calibrate(on_grid, (task.batch("train", at).inputs for at in indices))
    order_N = torch.randperm(task.size("validation"), generator=torch.Generator().manual_seed(seed))[:n]
    batches = [task.batch("validation", at) for at in order_N.split(64)]
    want, before_N = _answers(model, batches)
    sizes = {name: layer.weight.numel() for name, layer in quantized.layers(model).items()}  # type: ignore[operator]
    rows = []
    with progress("measuring layers", len(stated)) as advance:
        for name in stated:
            own = model.get_submodule(name)
            _put(model, name, on_grid.get_submodule(name))
            got, after_N = _answers(model, batches)
            _put(model, name, own)
            change = bootstrap(after_N - before_N, resamples=500)
            rows.append(
                Row(name, sizes[name] / sum(sizes.values()), calibration.distance(got, want),
                    change.value, change.low, change.high)
            )  # fmt: skip
            advance(1, name)
    return sorted(rows, key=lambda row: row.error, reverse=True)


def _answers(model: nn.Module, batches: list[Any]) -> tuple[Any, Any]:
    """Logits of all examples, and the loss of each."""
    import torch
    from torch.nn import functional

    with torch.inference_mode():
        logits_NK: Tensor = torch.cat([model(**batch.inputs).float() for batch in batches])
        labels_N = torch.cat([batch.labels_B for batch in batches])
        if logits_NK.shape[1] == 1:  # a number
            loss_N = (logits_NK[:, 0] - labels_N).square()
        else:
            loss_N = functional.cross_entropy(logits_NK, labels_N, reduction="none")
    return logits_NK.numpy(), np.asarray(loss_N)


def _put(model: nn.Module, name: str, layer: nn.Module) -> None:
    owner, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(owner), leaf, layer)
