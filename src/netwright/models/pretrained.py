"""Networks that others have trained: as artifacts, and as the first weights of a training.

    artifact = make("smollm2-135m-instruct", Path("runs/x/artifact"))      # `netwright import`
    model = build(Config(source="smollm2-135m-instruct"), task.inputs, 0)  # [model] name = "pretrained"

A source is a name of `netwright data list`, an artifact, a folder as Hugging Face writes it, a .gguf file, or org/name
on the hub. Knows which network and which task belong to a source; what the bytes are is for its reader to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from netwright.core import artifact as artifacts
from netwright.core import recipe, workload
from netwright.core.artifact import Artifact
from netwright.core.error import UserError
from netwright.core.recipe import plain
from netwright.data import catalog, language, photographs, sources
from netwright.data.tasks import Input, Task
from netwright.models import facts, gpt2, imports, load, resnet50, streamed

Change = Callable[[Iterator[tuple[str, Tensor]]], Iterator[tuple[str, Tensor]]]
"""What is done to a model's tensors while they pass: an adapter merged into them."""
SAMPLE = {True: "gsm8k-sample", False: "tinyshakespeare"}
"""What an imported language model is tried on, by whether it has a template for conversations."""
CLASSIFIERS = {"resnet50-imagenet": resnet50}
"""Sources of networks that classify."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """The [model] section of a training that begins with trained weights."""

    name: Literal["pretrained"] = "pretrained"
    source: str = "smollm2-135m-instruct"
    """A name of `netwright data list`, an artifact or its run, a folder with config.json, a .gguf file, or org/name on
    the hub."""


def opened(source: str) -> Artifact | None:
    """The artifact that a source names, or None where it names something else."""
    folder = Path(source)
    found = folder.is_dir() and any((one / artifacts.MANIFEST).is_file() for one in (folder, folder / "artifact"))
    return artifacts.open(folder) if found else None


def build(config: Config, inputs: Mapping[str, Input], classes: int) -> nn.Module:
    """A network with its weights. Raises UserError where it does not fit the task."""
    found = opened(config.source)
    if found is not None:
        model = load.open_model(found)
        own = load.inputs_of(found)
    else:
        foreign = imports.read(config.source)
        model, own = foreign.network(), foreign.inputs
    if {name: x.dtype for name, x in own.items()} != {name: x.dtype for name, x in inputs.items()}:
        raise UserError(
            "model.source", config.source, f"it takes {', '.join(own)}; this task has {', '.join(inputs)}",
            "set task.name to a task of its kind",
        )  # fmt: skip
    for name, x in inputs.items():
        if x.longest > own[name].longest > 0:
            most = own[name].longest
            raise UserError("task.max_tokens", x.longest, f"this model reads {most} at most", f"task.max_tokens={most}")
        if own[name].vocabulary and x.vocabulary != own[name].vocabulary:
            known = f"this model knows {own[name].vocabulary:,} ids"
            raise UserError("task.tokenizer", f"{x.vocabulary:,} ids", known, "leave task.tokenizer out")
    return model


def section(config: Any, model: nn.Module) -> dict[str, Any]:
    """What rebuilds a network without its source: its own settings."""
    if not isinstance(config, Config):
        settings: dict[str, Any] = plain(config)
        return settings
    found = opened(config.source)
    return dict(found.model) if found is not None else plain(model.config)


def parents(config: Any) -> tuple[str, ...]:
    """Digests of the artifacts that a network's first weights come from."""
    found = opened(config.source) if isinstance(config, Config) else None
    return () if found is None else (found.digest,)


def key(config: Any) -> dict[str, Any]:
    """What determines a network's first weights: its settings, or what its source holds."""
    if not isinstance(config, Config):
        settings: dict[str, Any] = plain(config)
        return settings
    found = opened(config.source)
    return {"name": "pretrained", **({"artifact": found.digest} if found is not None else about(config.source))}


def transposed(model: nn.Module) -> bool:
    """Whether Hugging Face's twin of a network holds its matrices as (in, out)."""
    return isinstance(model, gpt2.GPT2)


def make(name: str, folder: Path, task: Mapping[str, Any] | None = None, change: Change | None = None) -> Artifact:
    """Read a source and write it as an artifact of format "torch"; `task` are settings of what it is tried on.

    A language model's tensors pass one by one, through `change`: no more than the largest is held.
    """
    if name in CLASSIFIERS:
        module, source = CLASSIFIERS[name], sources.find(name)
        config = module.Config()
        settings: Any = photographs.Config()
        tried: Task = photographs.open(settings)
        model: nn.Module = module.build(config, tried.inputs, len(tried.classes)).eval()
        module.imported(model, sources.fetch(source))
        told = {"source": name, "sha256": source.sha256, "licence": source.licence}
        write = lambda draft: load.save(model, tried, facts.trace(model, tried.example(1)), draft)  # noqa: E731
    else:
        foreign = imports.read(name)
        config, told = foreign.config, dict(foreign.about)
        first = {"name": "language", "data": SAMPLE[bool(foreign.tokenizer.template)]}
        first |= {"tokenizer": name, "max_tokens": min(256, config.positions)}
        settings = recipe.build(language.Config, {**first, **(task or {})}, "task")
        tried = language.open(settings)
        settings = replace(settings, tokenizer="")  # the artifact's own
        write = lambda draft: _stream(foreign, change, tried, draft)  # noqa: E731
    return artifacts.create(
        folder,
        write,
        format="torch",
        precision="fp32",
        task={**plain(settings), "classes": list(tried.classes), "digest": tried.digest},
        model=plain(config),
        inputs=plain(dict(tried.inputs)),
        processor=dict(tried.processor),
        made_by={"verb": "import", **told},
    )


def _stream(foreign: imports.Foreign, change: Change | None, task: Task, draft: Path) -> None:
    outline = foreign.outline()
    tensors = foreign.checked() if change is None else change(foreign.checked())
    states = {key: (tuple(x.shape), x.dtype) for key, x in outline.state_dict().items()}
    streamed.write(draft / load.WEIGHTS, states, tensors)
    example = {key: x.to("meta") for key, x in task.example(1).items()}
    workload.write(facts.trace(outline, example), draft)
    task.write_processor(draft)


def about(name: str) -> dict[str, Any]:
    """What determines an import: a source's sha256, or those of a folder's files. Raises UserError for no source."""
    if name in catalog.SOURCES:
        if name not in CLASSIFIERS and not imports.readable(name):
            known = sorted([*CLASSIFIERS, *(one for one in catalog.SOURCES if imports.readable(one))])
            raise UserError("name", name, f"no network; networks are {', '.join(known)}", f"netwright data show {name}")
        source = catalog.SOURCES[name]
        return {"name": name, "sha256": source.sha256}
    path = Path(name)
    return {"name": path.name if path.exists() else name, "sha256": language.seal(name)}
