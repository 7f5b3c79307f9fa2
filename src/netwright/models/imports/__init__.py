"""Language models that others have trained: folders as Hugging Face writes them, GGUF files, llama2.c's.

    foreign = read("smollm2-135m-instruct")           # or a folder, a .gguf file, "org/name" on the hub
    model = foreign.network()

Nothing is unpickled, no code of a model is run, and what is allocated is no larger than its files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from netwright.core import table
from netwright.core.error import UserError
from netwright.data.tasks import Input
from netwright.data.tokenizer import Tokenizer
from netwright.models import MODELS
from netwright.models.load import fill_buffers

Tensors = Callable[[], Iterator[tuple[str, Tensor]]]


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """What a model's files hold: the network's Config, tensors by the network's own names, and the tokenizer."""

    config: Any
    tensors: Tensors
    tokenizer: Tokenizer
    about: Mapping[str, Any]
    """Where it comes from, its licence, what its weights were stored in."""

    @property
    def inputs(self) -> dict[str, Input]:
        """Inputs of the network: ids, and positions where rows hold several texts."""
        longest = self.config.positions
        ids = Input((None,), "int64", min(len(self.tokenizer), self.config.vocabulary), longest)
        return {"ids": ids, "positions": Input((None,), "int64", longest=longest)}

    def outline(self) -> nn.Module:
        """The network without memory: what its parameters are called and how large they are."""
        module = table.resolve(MODELS, self.config.name, "model.name", "netwright.models")
        with torch.device("meta"):
            model: nn.Module = module.build(self.config, self.inputs, 0)
        return model.eval()

    def checked(self) -> Iterator[tuple[str, Tensor]]:
        """Every tensor of the network in fp32, one at a time. Raises UserError where one is missing or misfits."""
        wanted = self.outline().state_dict()
        left = set(wanted)
        for name, tensor in self.tensors():
            if name not in wanted:
                raise self._misfit(f"{name} is not in the network")
            if tensor.shape != wanted[name].shape:
                raise self._misfit(f"{name} is {list(tensor.shape)}, the network's is {list(wanted[name].shape)}")
            left.discard(name)
            yield name, tensor.float()
        if left:
            more = f", and {len(left) - 3} more" if len(left) > 3 else ""
            raise self._misfit(", ".join(sorted(left)[:3]) + more + " missing")

    def _misfit(self, what: str) -> UserError:
        return UserError("model", str(self.about.get("source")), what, "fetch the files again, or whole ones")

    def network(self) -> nn.Module:
        """The network with its weights, in evaluation mode. Raises what `checked` does."""
        model = self.outline()
        model.load_state_dict(dict(self.checked()), strict=True, assign=True)
        fill_buffers(model, self.config.name)
        return model


def readable(name: str) -> bool:
    """Whether a source known by name holds a language model."""
    from netwright.data.catalog import SOURCES

    taken = [take.file or take.path for take in SOURCES[name].takes] if name in SOURCES else []
    return any(path.endswith((".gguf", "model.bin")) for path in taken)


def tokenizer(source: str) -> Tokenizer:
    """The tokenizer of a model, or a vocabulary known by name (gpt2-bpe). Raises UserError for anything else."""
    from netwright.data import sources
    from netwright.data.catalog import SOURCES
    from netwright.models.imports import huggingface

    if source in SOURCES and not readable(source):
        folder = sources.fetch(sources.find(source))
        if not (folder / "vocab.json").is_file() and not (folder / "encoder.json").is_file():
            raise UserError("task.tokenizer", source, "has no vocabulary", "task.tokenizer=gpt2-bpe")
        return huggingface.tokenizer_of(folder, {})
    return read(source).tokenizer


def read(source: str) -> Foreign:
    """A model by name (`netwright data list`), folder, .gguf file or hub name. Raises UserError for anything else."""
    from netwright.data import sources
    from netwright.data.catalog import SOURCES
    from netwright.models.imports import gguf, huggingface, llama2c

    if source in SOURCES:
        about = {"source": source, "licence": SOURCES[source].licence, "sha256": SOURCES[source].sha256}
        folder = sources.fetch(sources.find(source))
    else:
        about, folder = {"source": source}, Path(source)
        if not folder.exists() and source.count("/") == 1 and not source.startswith((".", "/")):
            folder = huggingface.fetched(source)
    if folder.is_file() and folder.suffix == ".gguf":
        return gguf.read(folder, about)
    if not folder.is_dir():
        allowed = "a name of `netwright data list`, a folder, a .gguf file, or org/name on the hub"
        raise UserError("model", source, allowed, "netwright import smollm2-135m-instruct")
    files = sorted(folder.glob("*.gguf"))
    if files:
        return gguf.read(files[0], about)
    if (folder / llama2c.FILES[0]).is_file():
        return llama2c.read(folder, about)
    return huggingface.read(folder, about)
