"""Rounding in which later weights make up for the rounding of earlier ones (GPTQ).

    settle(model, batch)        # layers that are on grids, in place

To the nearest level every weight is rounded for itself, and the errors of a channel add up in its answers. Here one
weight of all channels is rounded after another, and what is left of the channel is moved so that its answers on real
inputs change least (Frantar et al. 2023, arXiv:2210.17323, algorithm 1), those first that are used most. One forward
pass does all layers: each sees what the layers before it answer on their grids. Does not know the network.

Shape legend: O output channels, I weights of one of them, G groups, N inputs as a layer's weights meet them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from netwright.core.run import progress

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netwright.data.tasks import Task
    from netwright.models.quantized import Quantized

MOST, BYTES = 256, 48_000_000
"""Examples that are looked at, together: more of them change little; and of what size, at most."""
ROWS = 20_000
"""Inputs of a layer that are looked at, at most: positions of a convolution are drawn from all."""
DAMP = 0.01
"""Share of the mean diagonal that is added to it, so that few inputs do not rule alone."""
BLOCK = 128
"""Weights after which the rest of a channel is moved: one product of matrices instead of many of vectors."""


def settle(model: nn.Module, batch: Mapping[str, Tensor], seed: int = 0) -> None:
    """Round the weights of layers on grids; their master weights lie on the grid afterwards.

    `batch` are real inputs; ranges of inputs are set already (`quantized.calibrate`). Convolutions in groups and
    embeddings are rounded to the nearest.
    """
    import torch
    from torch import nn

    from netwright.models import quantized

    some = {
        name: layer
        for name, layer in quantized.on_grid(model).items()
        if not isinstance(layer, nn.Embedding) and getattr(layer, "groups", 1) == 1
    }
    generator = torch.Generator().manual_seed(seed)
    done: set[str] = set()
    with progress("rounding weights", len(some), unit="layers") as advance, torch.no_grad():

        def hook(name: str) -> Callable[[Any, tuple[Tensor, ...]], None]:
            def given(layer: Any, inputs: tuple[Tensor, ...]) -> None:
                if name not in done:  # of a layer that is called twice the first inputs decide
                    done.add(name)
                    rounded(layer, columns(layer, layer.rounded_input(inputs[0]), generator))
                    advance(1, name)

            return given

        handles = [layer.register_forward_pre_hook(hook(name)) for name, layer in some.items()]
        try:
            model(**batch)
        finally:
            for handle in handles:
                handle.remove()


def examples(task: Task) -> int:
    """How many examples to look at: what a network makes of them is in memory at once."""
    size = sum(x.nbytes for x in task.example(1).values())
    return max(1, min(MOST, BYTES // max(1, size)))


def columns(layer: Any, x: Tensor, generator: Any) -> Tensor:
    """(N, I): what the weights of a channel are multiplied by, `ROWS` of them at most."""
    import torch
    from torch import nn

    if isinstance(layer, nn.Linear):
        return _some(x.flatten(0, -2), generator)
    return torch.cat([_some(_unfolded(layer, one[None]), generator, ROWS // len(x) + 1) for one in x])


def _unfolded(layer: Any, x: Tensor) -> Tensor:
    """Patches of a convolution of any dimension as rows, weights in the order of the layer's."""
    from torch import nn

    kernel, stride, dilation = layer.kernel_size, layer.stride, layer.dilation
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    padded = nn.functional.pad(x, layer._reversed_padding_repeated_twice, mode=mode)
    for at, (size, step, apart) in enumerate(zip(kernel, stride, dilation, strict=True)):
        padded = padded.unfold(2 + at, (size - 1) * apart + 1, step)[..., ::apart]
    places = len(kernel)
    order = (0, *range(2, 2 + places), 1, *range(2 + places, 2 + 2 * places))
    return padded.permute(*order).flatten(0, places).flatten(1)


def _some(rows_NI: Tensor, generator: Any, most: int = ROWS) -> Tensor:
    import torch

    if len(rows_NI) <= most:
        return rows_NI
    return rows_NI[torch.randperm(len(rows_NI), generator=generator)[:most]]


def rounded(layer: Quantized, rows_NI: Tensor) -> None:
    """Lay a layer's weights on its grid so that its answers to these inputs change least."""
    import torch

    weight = layer.weight.data
    left_OI = weight.flatten(1).double()
    step_OI = (
        layer.weight_step.data[:, :, 0].double().repeat_interleave(left_OI.shape[1] // layer.weight_step.shape[1], 1)
    )
    used_II = (rows_NI.T @ rows_NI).double() / len(rows_NI)
    scale = used_II.diagonal().mean().clamp(min=1e-30)
    order_I = used_II.diagonal().argsort(descending=True, stable=True)
    used_II = used_II[order_I][:, order_I] + DAMP * scale * torch.eye(len(order_I), dtype=torch.float64)
    upper_II = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(used_II)), upper=True)
    left_OI, step_OI, most = left_OI[:, order_I], step_OI[:, order_I], layer.grid.largest
    for start in range(0, left_OI.shape[1], BLOCK):
        end = min(start + BLOCK, left_OI.shape[1])
        errors_OB = torch.zeros(len(left_OI), end - start, dtype=torch.float64)
        for at in range(start, end):
            step_O = step_OI[:, at]
            level_O = (left_OI[:, at] / step_O).round().clamp(-most, most) * step_O
            error_O = (left_OI[:, at] - level_O) / upper_II[at, at]
            left_OI[:, at] = level_O
            left_OI[:, at + 1 : end] -= error_O[:, None] * upper_II[at, at + 1 : end]
            errors_OB[:, at - start] = error_O
        left_OI[:, end:] -= errors_OB @ upper_II[start:end, end:]
    weight.copy_(left_OI[:, order_I.argsort()].view_as(weight))
