"""Format "torchscript": the network as torch.jit traces it, for C++ and for programs that know no other format.

torch calls TorchScript deprecated; `program` is what it goes on with. A .pt is code as a .pt2 is: only files that this
user wrote are given to torch (`export.program` says how that is told).
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from netwright.core.artifact import Artifact
from netwright.export import program
from netwright.export.eager import TorchRunner
from netwright.export.trace import blank, quiet
from netwright.models import load

if TYPE_CHECKING:
    from netwright.data.tasks import Task

FILE, VOUCHER = "model.pt", "model.pt.hmac"
SETTINGS: Mapping[str, Any] = {"format": "torchscript"}


def write(artifact: Artifact, task: Task, draft: Path) -> None:
    """Trace a torch artifact, its open dimensions as they come."""
    model, file = load.open_model(artifact).requires_grad_(False), io.BytesIO()
    example = {name: torch.from_numpy(x) for name, x in blank(load.inputs_of(artifact), 2).items()}
    with quiet(), torch.inference_mode():
        traced = torch.jit.trace(model, example_kwarg_inputs=example, check_trace=False)
        torch.jit.save(traced, file)
    (draft / FILE).write_bytes(file.getvalue())
    (draft / VOUCHER).write_text(program.voucher(file.getvalue()), encoding="ascii")


def open(artifact: Artifact, threads: int, precision: str | None) -> TorchRunner:
    """The traced module. Raises UserError for a file that this user did not write."""
    content = program.vouched(artifact, FILE, VOUCHER)
    with quiet():
        module = torch.jit.load(io.BytesIO(content))
    return TorchRunner(module, artifact, threads, precision)
