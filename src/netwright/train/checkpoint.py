"""Checkpoints: the whole state of training in one safetensors file, written in one step.

Tensors are flat (`model.`, `average.`, `optimizer.<parameter>.<state>`); counters and settings stand as JSON in
the header. Random state is none of it: every step seeds itself from its own number (`train.loop`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from netwright.core import artifact
from netwright.core.error import UserError

Tensors = dict[str, Tensor]


def write(path: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Write aside, fsync, rename: a kill leaves the checkpoint before or this one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    flat = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
    header = {"netwright": json.dumps(meta, sort_keys=True)}
    artifact.replace_file(path, lambda draft: save_file(flat, str(draft), metadata=header))


def read(path: Path) -> tuple[Tensors, dict[str, Any]]:
    """Tensors and meta of a checkpoint. Raises UserError when it is none of ours."""
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            return {name: file.get_tensor(name) for name in file.keys()}, json.loads(header["netwright"])  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError, OSError) as fault:
        raise UserError(
            "checkpoint", str(path), f"not a whole checkpoint ({fault})", "delete it to begin this run again"
        ) from None


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> Tensors:
    """State of an optimizer as flat tensors, keyed by the number of the parameter."""
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer.{at}.{key}": value if isinstance(value, Tensor) else torch.tensor(value)
        for at, values in state.items()
        for key, value in values.items()
        if value is not None
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put flat tensors back, each laid out in memory as its parameter is.

    A momentum of another memory layout takes another code path, which need not round alike.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for name, tensor in tensors.items():
        _, at, key = name.split(".", 2)
        parameter = parameters[int(at)]
        if parameter.is_meta:  # of another stage of a pipeline
            continue
        same = tensor.shape == parameter.shape
        optimizer.state[parameter][key] = torch.empty_like(parameter).copy_(tensor) if same else tensor


def restore_model(model: nn.Module, tensors: Mapping[str, Tensor], prefix: str) -> None:
    """Copy the tensors under `prefix` into a model, in place and strictly."""
    own = model.state_dict()
    given = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    if own.keys() != given.keys():
        raise UserError(
            "checkpoint", prefix, f"holds other tensors: {sorted(own.keys() ^ given.keys())[:4]}",
            "delete the run's folder to begin again",
        )  # fmt: skip
    with torch.no_grad():
        for name, tensor in given.items():
            own[name].copy_(tensor)
