"""Language models of a few thousand numbers, for tests: bytes for tokens, or a template of conversations."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from netwright.core import artifact
from netwright.core.recipe import plain
from netwright.data import language
from netwright.data.template import DEFAULT
from netwright.models import facts, llama, load

WORDS = "the cat sat on the mat and the dog ran to the red barn while it rained all day long\n"


def text_file(folder: Path, lines: int = 60) -> Path:
    """Lines of words, none like the other."""
    words = WORDS.split()
    told = [" ".join(words[(at * 7 + n * (at % 5 + 1)) % len(words)] for n in range(14)) for at in range(lines)]
    path = folder / "words.txt"
    path.write_text("\n".join(told) + "\n")
    return path


def small_llama(
    folder: Path, data: Path, steps: int = 0, seed: int = 0, template: bool = False, made_by: Any = None
) -> artifact.Artifact:
    """A tiny Llama of bytes as an artifact, trained for some steps."""
    task = language.open(language.Config(data=str(data), max_tokens=32, unit="line"))
    if template:
        task.tokenizer = replace(task.tokenizer, template=DEFAULT)
        task.processor = task.tokenizer.description()
    config = llama.Config(width=16, depth=1, heads=2, hidden=32, positions=256)
    torch.manual_seed(seed)
    model = llama.build(config, task.inputs, 0)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for step in range(steps):
        optimizer.zero_grad()
        rows = torch.arange(step * 8, step * 8 + 8) % task.size("train")
        task.loss(model, task.batch("train", rows)).backward()
        optimizer.step()
    return artifact.create(
        folder,
        lambda draft: load.save(model.eval(), task, facts.trace(model, task.example(1)), draft),
        format="torch",
        precision="fp32",
        task={**plain(task.config), "classes": [], "digest": task.digest},
        model=plain(config),
        inputs={**plain(task.inputs), "ids": {**plain(task.inputs["ids"])}},
        processor=dict(task.processor),
        made_by=made_by or {"verb": "train" if steps else "import", "source": "small"},
    )
