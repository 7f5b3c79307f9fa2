"""A language model by name or folder, opened to answer: imported first where it is only a name.

artifact = artifact_of("smollm2-135m-instruct", Path("runs"))
engine = opened(artifact, threads=2)
"""

from __future__ import annotations

from pathlib import Path

from netwright.chat.batch import STREAMS, Batch, InTurn, Together
from netwright.chat.engine import Engine, Generator, Prompt
from netwright.core.artifact import Artifact
from netwright.core.error import UserError
from netwright.core.run import Run
from netwright.data import prompt
from netwright.data.prompt import Long
from netwright.data.text import Message
from netwright.data.tokenizer import Tokenizer
from netwright.export import decoding
from netwright.export.decoding.paged import PagedSession
from netwright.export.gguf import FILE

LONGEST = 4096
"""Tokens of context that llama.cpp takes memory for."""


def artifact_of(name: str, runs: Path) -> Artifact:
    """The artifact of a run or folder, or of a name that is imported into `runs` once.

    Raises UserError for anything else, and for an artifact of no language model.
    """
    from netwright.models import pretrained
    from netwright.train import training

    found = pretrained.opened(name)
    if found is None:
        with Run.start(runs, "import", pretrained.about(name)) as run:
            if not training.kept(run):
                run.finish({"artifact": pretrained.make(name, run.folder / "artifact").digest})
            found = training.opened(run)
    if found.processor.get("kind") != "tokens":
        raise UserError("model", name, "it is no language model", "netwright generate smollm2-135m-instruct")
    return found


def opened(
    artifact: Artifact, threads: int, precision: str | None = None, long: Long = "slide", device: str = "CPU"
) -> Generator:
    """A language model that answers: a GGUF by llama.cpp, any other format by its decoder."""
    tokenizer = Tokenizer.read(artifact.folder, artifact.processor)
    if artifact.format == "gguf" and device.upper() == "CPU":
        from netwright.chat.llamacpp import LlamaCpp

        longest = min(LONGEST, int(artifact.model["positions"]))
        return LlamaCpp(artifact.path(FILE), tokenizer, threads, longest, long, artifact.precision)
    return Engine(decoding.open(artifact, threads, precision, device), tokenizer, long)


def opened_together(
    artifact: Artifact, threads: int, precision: str | None = None, long: Long = "slide", streams: int = STREAMS
) -> Batch:
    """A language model that answers several at once: together where its runtime can, else one after another."""
    if artifact.format == "openvino":
        session = PagedSession(artifact, threads, precision or "fp32")
        return Together(session, Tokenizer.read(artifact.folder, artifact.processor), long, streams)
    return InTurn([opened(artifact, threads, precision, long)])


def prompt_of(tokenizer: Tokenizer, text: str, system: str | None = None, raw: bool = False) -> Prompt:
    """What one text asks: a conversation for a model that has a template, else a text to go on with."""
    if raw or not tokenizer.template:
        if system:
            raise UserError("--system", system, "a model with a chat template, not --raw", "leave --system out")
        return prompt.plain(tokenizer, text)
    return [*([Message("system", system)] if system else []), Message("user", text)]
