"""Networks that others have trained, as artifacts: fetched by name, rebuilt, and written as any other.

    artifact = make("resnet50-imagenet", Path("runs/x/artifact"))

Knows which network and which task belong to a source of weights; what the bytes are is the network's own file's to say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from netwright.core import artifact as artifacts
from netwright.core.artifact import Artifact
from netwright.core.error import UserError, did_you_mean
from netwright.core.recipe import plain
from netwright.data import photographs, sources
from netwright.models import facts, resnet50
from netwright.models.load import save


@dataclass(frozen=True)
class Pretrained:
    """A module with `Config`, `build` and `imported(model, folder)`, and the task its inputs are those of."""

    network: Any
    config: Any
    task: Callable[[], Any]
    settings: Any


PRETRAINED: Mapping[str, Pretrained] = {
    "resnet50-imagenet": Pretrained(
        resnet50, resnet50.Config(), lambda: photographs.open(photographs.Config()), photographs.Config()
    ),
}
"""Name of a source of weights (`netwright data list`) -> what they are the weights of."""


def find(name: str) -> Pretrained:
    """By name. Raises UserError for one that is no source of weights."""
    if name not in PRETRAINED:
        raise UserError("name", name, did_you_mean(name, PRETRAINED), "netwright import resnet50-imagenet")
    return PRETRAINED[name]


def make(name: str, folder: Path) -> Artifact:
    """Fetch weights and write them as an artifact of format "torch"."""
    about, source = find(name), sources.find(name)
    task = about.task()
    model: nn.Module = about.network.build(about.config, task.inputs, len(task.classes)).eval()
    about.network.imported(model, sources.fetch(source))

    return artifacts.create(
        folder,
        lambda draft: save(model, task, facts.trace(model, task.example(1)), draft),
        format="torch",
        precision="fp32",
        task={**plain(about.settings), "classes": list(task.classes), "digest": task.digest},
        model=plain(about.config),
        inputs=plain(dict(task.inputs)),
        processor=dict(task.processor),
        made_by={"verb": "import", "source": name, "sha256": source.sha256, "licence": source.licence},
    )
