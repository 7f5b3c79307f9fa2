"""What is asked about: an artifact, an ONNX file, a language model, a Python function, as the work that it does.

    model.open("runs/20261120-train-3fa9c1d2")        # Workload
    model.open("net.onnx")                            # Workload
    model.open("package.module:build")                # Workload, traced in a process of its own
    model.open("llama-3.1-8b")                        # LLM

This file knows no device. Only the Python function is run, and only when it is asked for by name.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from netwright.core import artifact, workload
from netwright.core.error import UserError
from netwright.core.workload import Workload
from netwright.predict import llm
from netwright.predict.llm import LLM

FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")

TRACE_SECONDS = 600

ALLOWED = "an artifact's folder, FILE.onnx, a language model's name, config.json, or package.module:function"


def open(text: str, sequence: int | None = None) -> Workload | LLM:
    """What `text` names; `sequence` fills lengths that an ONNX file leaves open. Raises UserError when it is none."""
    path = Path(text)
    if text.endswith(".onnx") or (text and path.is_dir() and not (path / "config.json").is_file()):
        return at(path, sequence)
    return _traced(text) if FUNCTION.fullmatch(text) else language_model(text, llm.find)


def at(path: Path, sequence: int | None = None) -> Workload:
    """The work of an artifact's folder or of an ONNX file. Raises UserError."""
    if path.suffix == ".onnx":
        from netwright.predict import onnx

        return onnx.read(path, sequence=sequence)
    found = artifact.open(path)
    return workload.read(found.path(workload.FILE).parent)


def language_model(text: str, find: Callable[[str], LLM] = llm.named) -> LLM:
    """A language model by its name or description; no file is looked at unless `find` does."""
    try:
        return find(text)
    except UserError as refusal:
        if refusal.setting != "model" or refusal.value != text or "llowed: " not in refusal.allowed:
            raise
        near = refusal.allowed.partition("? ")[0] + "? Or " if "did you mean" in refusal.allowed else ""
        raise UserError("model", text, near + ALLOWED, "netwright predict --help") from None


def _traced(place: str) -> Workload:
    """Trace in a process of its own: this one never imports torch."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / workload.FILE
        command = [sys.executable, "-m", "netwright.models.traced", place, str(out)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TRACE_SECONDS)
        except subprocess.TimeoutExpired:
            allowed = f"not traced within {TRACE_SECONDS} s"
            raise UserError("model", place, allowed, "a function that only builds the model") from None
        if done.returncode == 0 and out.exists():
            return workload.read(out.parent)
        refused: Any = artifact.read_json(out, 100_000) if out.exists() else {}
        if "refused" in refused:
            raise UserError(*refused["refused"])
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise UserError("model", place, f"the function failed: {last}", f"python -c 'import {place.partition(':')[0]}'")
