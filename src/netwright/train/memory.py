"""Memory of a training: gradient checkpointing, peaks, and the batch-size finder.

Does not know the loop; the finder is given a function that trains one step of a batch size.
"""

from __future__ import annotations

import contextlib
import copy
import ctypes
import gc
import resource
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.distributed.tensor import DTensor
from torch.utils.checkpoint import checkpoint

from netwright.core.error import UserError


@contextlib.contextmanager
def recompute(model: nn.Module, enabled: bool) -> Iterator[None]:
    """Within: blocks keep only their inputs and compute their activations again in the backward pass.

    A block is an entry of a ModuleList or, without any, a child with parameters (Chen et al. 2016,
    arXiv:1604.06174). Dropout repeats its mask, and batch normalization counts a batch once.
    """
    if not enabled:
        yield
        return
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    blocks = [block for part in lists for block in part] or [
        child for child in model.children() if any(True for _ in child.parameters())
    ]
    kept = [vars(block).get("forward") for block in blocks]
    for block in blocks:
        block.forward = _checkpointed(block, block.forward)
    try:
        yield
    finally:
        for block, own in zip(blocks, kept, strict=True):
            if own is None:
                del block.forward
            else:
                block.forward = own


def _checkpointed(block: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*args, **kwargs)
        contexts = lambda: (contextlib.nullcontext(), _frozen_statistics(block))  # noqa: E731
        return checkpoint(forward, *args, use_reentrant=False, context_fn=contexts, **kwargs)

    return run


@contextlib.contextmanager
def _frozen_statistics(block: nn.Module) -> Iterator[None]:
    # statistics are updated in copies: autograd saves them, so their absence would be another graph
    norms = [m for m in block.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats]
    kept = [dict(norm.named_buffers()) for norm in norms]
    for norm in norms:
        for name, value in norm.named_buffers():
            setattr(norm, name, value.clone())
    try:
        yield
    finally:
        for norm, buffers in zip(norms, kept, strict=True):
            for name, value in buffers.items():
                setattr(norm, name, value)


def trial_copy(model: nn.Module) -> nn.Module:
    """A copy of a network for trying steps on; frozen weights, which no step changes, are shared and not copied."""
    kept = {id(x) for x in model.state_dict(keep_vars=True).values()}
    shared = {id(x): x for x in model.buffers() if id(x) not in kept}
    return copy.deepcopy(model, shared)


def peak_bytes(device: torch.device) -> int:
    """Peak memory of this process (its resident set on a CPU) since `reset_peak`, or since its start."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def own_bytes(tensor: torch.Tensor) -> int:
    """Memory of a tensor, or of this process's part of a DTensor; on the meta device it takes none."""
    local: torch.Tensor = tensor.to_local() if isinstance(tensor, DTensor) else tensor
    return 0 if local.is_meta else local.numel() * local.element_size()


def reset_peak(device: torch.device) -> None:
    """Give back what nobody uses any more, and forget the peak so far, where the system can (CUDA, Linux)."""
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):  # glibc keeps freed tensors of up to 32 MB for itself
        ctypes.CDLL(None).malloc_trim(0)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


@dataclass(frozen=True)
class BatchFound:
    """The largest batch that fits, and the peak bytes measured for each one tried."""

    batch: int
    peaks: dict[int, int]
    budget: int


def find_batch(
    one_step: Callable[[int], None], budget: int, largest: int, device: torch.device, start: int = 8
) -> BatchFound:
    """Double the batch until the next one would leave the budget, then fill what is left.

    A batch is only tried when the line through the last two peaks says that it fits, so the machine is
    not driven into swapping. Raises UserError when not even `start` fits.
    """
    peaks: dict[int, int] = {}
    batch = min(start, largest)
    while batch not in peaks:
        reset_peak(device)
        for _ in range(2):  # the optimizer's state appears in the first step
            one_step(batch)
        peaks[batch] = peak_bytes(device)
        fitting = [size for size in peaks if peaks[size] <= budget]
        if not fitting:
            raise UserError(
                "train.memory_gb", f"{budget / 1e9:.2f}", f"a batch of {batch} takes {peaks[batch] / 1e9:.2f} GB",
                "train.checkpointing=true, or a smaller model",
            )  # fmt: skip
        batch = _next_batch(peaks, budget, largest)
    return BatchFound(max(size for size in peaks if peaks[size] <= budget), peaks, budget)


def _next_batch(peaks: dict[int, int], budget: int, largest: int) -> int:
    sizes = sorted(peaks)
    top = sizes[-1]
    if peaks[top] > budget:
        return top
    if len(sizes) < 2:
        return min(2 * top, largest)
    slope = max(1.0, (peaks[top] - peaks[sizes[-2]]) / (top - sizes[-2]))
    room = int(top + 0.9 * (budget - peaks[top]) / slope)
    step = max(8, top // 8)
    return min(2 * top, largest, max(top, room // step * step))
