"""Format "program": torch.export's ExportedProgram as a .pt2, with its batch dynamic.

A .pt2 is code: `torch.export.load` of torch 2.13 unpickles its sample inputs (first with weights_only, then
without), unpickles any weight that says so, and evaluates the text of symbolic shapes. So the file is
vouched for by whoever wrote it: beside it lies the HMAC-SHA256 of its bytes under a key of this user
(`vouch.key`, readable by nobody else), and a .pt2 whose bytes the key does not vouch for is never given
to torch. One that came from elsewhere is exported again from the torch artifact it was made from.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import io
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs
import torch

from netwright.core.artifact import Artifact, disk_error
from netwright.core.error import UserError
from netwright.export.eager import TorchRunner
from netwright.export.executed import bounded
from netwright.export.trace import quiet, trace
from netwright.models import quantized  # noqa: F401 - a program may hold the operators that this registers

if TYPE_CHECKING:
    from netwright.data.tasks import Task

FILE, VOUCHER = "model.pt2", "model.pt2.hmac"
SETTINGS: Mapping[str, Any] = {"format": "program"}
KEY_BYTES = 32


def write(artifact: Artifact, task: Task, draft: Path) -> None:
    """Trace a torch artifact and write the program with its voucher."""
    program, file = trace(artifact), io.BytesIO()
    with quiet():
        torch.export.save(program, file)
    (draft / FILE).write_bytes(file.getvalue())
    (draft / VOUCHER).write_text(voucher(file.getvalue()), encoding="ascii")


def open(artifact: Artifact, threads: int, precision: str | None) -> TorchRunner:
    """The program as a module. Raises UserError for a file that this user did not write."""
    content = vouched(artifact, FILE, VOUCHER)
    with quiet():
        module = torch.export.load(io.BytesIO(content)).module()
    return TorchRunner(module, artifact, threads, precision)


def vouched(artifact: Artifact, file: str, beside: str) -> bytes:
    """The bytes of a file that can run code, if this user wrote it. Raises UserError where another did."""
    content = bounded(artifact.path(file)).read_bytes()
    stated = artifact.path(beside).read_bytes() if beside in artifact.files else b""
    if not hmac.compare_digest(stated, voucher(content).encode()):
        kind = file.partition(".")[2]
        raise UserError(
            "artifact", str(artifact.folder), f"a .{kind} can run code, and this user on this machine did not write it",
            f"netwright export TORCH_ARTIFACT --format {artifact.format}",
        )  # fmt: skip
    return content


def voucher(content: bytes) -> str:
    """HMAC-SHA256 of a file's bytes under this user's key."""
    return hmac.new(_key(), content, hashlib.sha256).hexdigest()


def _key() -> bytes:
    path = platformdirs.user_data_path("netwright") / "vouch.key"
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
            with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as handle:
                handle.write(secrets.token_bytes(KEY_BYTES))
            with contextlib.suppress(FileExistsError):  # another process was first: its key is the key
                os.link(draft, path)
            draft.unlink()
        key = path.read_bytes()
    except OSError as fault:
        raise disk_error(fault, path) from fault
    if len(key) != KEY_BYTES:
        raise UserError("key", str(path), f"not {KEY_BYTES} bytes", f"remove {path}; programs are then exported again")
    return key
