"""What a step of a level costs: by tracing, the same on every machine.

    step(coarse, inputs, "adamw", "cpu") / step(fine, inputs, "adamw", "cpu")      # 0.41

FLOPs alone say that a network of half the width costs a quarter, which small networks and convolutions in smaller
images never reach: moving their tensors and starting their operators takes time too. So an operator counts as the
longer of arithmetic and traffic, and its start on top, at round figures for a core or an accelerator. A schedule needs
the ratio, not the seconds; measured ones would differ from run to run, and its results with them.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from netwright.core.workload import BYTES
from netwright.models import facts

NOMINAL = {"cpu": (1e11, 1.5e10, 1e-5)}
"""Device -> FLOP/s in fp32 (twice that in 16 bits), bytes/s and seconds an operator takes to start: a core with AVX-512
on tensors that caches hold in part."""
ACCELERATOR = (2e13, 1e12, 1e-5)
"""The same for any other device: eager PyTorch starts an operator in about 10 microseconds."""
FIXED = 1e-3
"""Seconds of a step that no level shortens: the loop and the loader. 256 shifted images of MNIST take 0.9 ms."""


def step(model: nn.Module, inputs: Mapping[str, Tensor], optimizer: str, device: str) -> float:
    """Nominal seconds of a training step of a network on its inputs."""
    rate, bandwidth, start = NOMINAL.get(device, ACCELERATOR)
    return FIXED + sum(
        max(each.flops / rate / (2 if BYTES[each.dtype] == 2 else 1), each.bytes / bandwidth) + start
        for each in facts.trace_training(model, dict(inputs), optimizer=optimizer).operators
    )


def batch_of(inputs: Mapping[str, Tensor], size: int) -> dict[str, Tensor]:
    """Inputs of `size` examples, of which only the shapes are right."""
    return {name: torch.zeros((size, *x.shape[1:]), dtype=x.dtype) for name, x in inputs.items()}
