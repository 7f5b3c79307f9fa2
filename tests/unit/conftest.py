"""A small language model of each architecture, and the files that are exported of it."""

from pathlib import Path

import pytest
import torch

from netwright import export
from netwright.core import artifact as artifacts
from netwright.core import recipe
from netwright.data import language
from netwright.models import facts, gpt2, llama, load

FORMATS = ("openvino", "onnx")


def make(name: str, folder: Path) -> tuple[language.LanguageTask, artifacts.Artifact]:
    """A task of bytes and a network with random weights."""
    text = folder / "texts.txt"
    text.write_text("".join(f"{at} sheep jump over {at % 7} fences.\n" for at in range(200)))
    settings = language.Config(data=str(text), unit="line", tokenizer="bytes", max_tokens=32, validation=0.2)
    task = language.open(settings)
    shape = {"width": 32, "depth": 2, "heads": 4, "hidden": 64, "positions": 48}
    config = llama.Config(**shape, kv_heads=2) if name == "llama" else gpt2.Config(**shape)
    torch.manual_seed(0)
    model = (llama if name == "llama" else gpt2).build(config, task.inputs, 0).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(4.0 if weight.dim() > 1 else 1.0)  # answers that differ from one another
    made = artifacts.create(
        folder / "artifact",
        lambda draft: load.save(model, task, facts.trace(model, task.example(1)), draft),
        format="torch",
        precision="fp32",
        task={**recipe.plain(settings), "classes": [], "digest": task.digest},
        model=recipe.plain(config),
        inputs=recipe.plain(dict(task.inputs)),
        processor=dict(task.processor),
    )
    return task, made


@pytest.fixture(scope="session", params=["llama", "gpt2"])
def written(request, tmp_path_factory):
    """The task, and the artifact in every format."""
    folder = tmp_path_factory.mktemp(request.param)
    task, source = make(request.param, folder)
    files = {name: export.write(source, name, task, folder / name, n=20) for name in FORMATS}
    return task, {"torch": source, **files}
