"""The program that `predict` runs in a process of its own to trace a person's torch module.

    python -m netwright.models.traced package.module:function OUT.json

`function()` gives a module and its inputs: a mapping by name, a tensor, or a tuple of tensors in the order of
`forward`, with the batch first. It is a process of its own because `predict` never imports torch. This file
knows no device.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from netwright.core import artifact, workload
from netwright.core.error import UserError
from netwright.models import facts

EXAMPLE = "def build(): return torch.nn.Linear(8, 2), torch.empty(1, 8)"


def main(place: str, out: Path) -> None:
    """Write the workload of what the function at `place` gives. Raises UserError."""
    module, _, name = place.partition(":")
    sys.path.insert(0, os.getcwd())
    try:
        build = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, SyntaxError) as fault:
        raise UserError("model", place, f"cannot be imported: {fault}", f"package.module:function, {EXAMPLE}") from None
    try:
        model, inputs = build()
        named = by_name(model, inputs)
    except (TypeError, ValueError) as fault:
        allowed = f"a function without arguments that gives a torch module and its inputs: {fault}"
        raise UserError("model", place, allowed, EXAMPLE) from None
    try:
        work = facts.trace(model, named, name=type(model).__name__)
    except UserError:
        raise
    except Exception as fault:  # whatever a person's model raises for inputs that do not fit it
        allowed = f"does not run on these inputs: {type(fault).__name__}: {str(fault).splitlines()[0][:200]}"
        raise UserError("model", place, allowed, "inputs that the model takes") from None
    workload.write(work, out.parent)


def by_name(model: nn.Module, inputs: Any) -> dict[str, Tensor]:
    """The inputs under the names of `forward`. Raises TypeError or ValueError when they are none."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"the first is a {type(model).__name__}, not a torch.nn.Module")
    if isinstance(inputs, Mapping):
        named = dict(inputs)
    else:
        given = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
        named = dict(zip(inspect.signature(model.forward).parameters, given, strict=False))
    if not named or not all(isinstance(tensor, Tensor) and tensor.ndim > 0 for tensor in named.values()):
        raise TypeError("the inputs are no tensors with a batch first")
    return named


if __name__ == "__main__":
    try:
        main(sys.argv[1], Path(sys.argv[2]))
    except UserError as refusal:
        artifact.write_json(
            Path(sys.argv[2]),
            {"refused": [refusal.setting, str(refusal.value), refusal.allowed, refusal.next]},
        )
        sys.exit(refusal.exit_code)
