"""netwright import: a network that others have trained, as an artifact."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from netwright.cli import Answer, add_words
from netwright.core.error import UserError

HELP = "fetch a network that others have trained, as an artifact to compress, export and measure"
EXAMPLE = "netwright import smollm2-135m-instruct"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument(
        "name", help="resnet50-imagenet, smollm2-135m-instruct, stories15m, a folder, a .gguf file, org/name on the hub"
    )
    add_words(parser)
    parser.add_argument("--adapter", type=Path, metavar="FOLDER", help="a LoRA in PEFT's format to merge into it")
    parser.add_argument("--fresh", action="store_true", help="write it again even if nothing has changed")


def main(args: argparse.Namespace) -> Answer:
    """Import, or say what would be."""
    from netwright.core import recipe
    from netwright.data import language
    from netwright.data.catalog import SOURCES
    from netwright.models import pretrained

    asked = recipe.plain(recipe.from_words(args.overrides, {"task": language.Config})["task"])
    task = {key: value for key, value in asked.items() if value != recipe.plain(language.Config())[key]}
    key = pretrained.about(args.name)
    if args.dry_run:
        source = SOURCES.get(args.name)
        told = f"would fetch {source.title}, {source.licence}" if source else f"would read {args.name}"
        return Answer({**key, "size": source.size if source else None}, told)
    made = _made(args, key, task)
    licence = made.made_by.get("licence", "none stated")
    data = {"artifact": str(made.folder), "digest": made.digest, "licence": licence}
    next = f"netwright compress {made.folder} --method int8"
    if "positions" in made.inputs:
        next = f'netwright generate {made.folder} --explain --prompt "Hello"'
    return Answer(data, f"{made.name}, {licence}\nNext: {next}")


def _made(args: argparse.Namespace, key: Any, task: Any) -> Any:
    from netwright.core.run import Run
    from netwright.data import language
    from netwright.models import imports, pretrained
    from netwright.train import lora, training

    change = None
    if args.adapter:
        if args.name in pretrained.CLASSIFIERS:
            raise UserError("adapter", str(args.adapter), "merged into language models", "leave --adapter out")
        change = lora.merging(lora.read(args.adapter, imports.read(args.name).outline()))
        key = {**key, "adapter": language.seal(str(args.adapter))}
    with Run.start(args.runs, "import", {**key, **({"task": task} if task else {})}, args.fresh) as run:
        if not training.kept(run):
            run.finish({"artifact": pretrained.make(args.name, run.folder / "artifact", task, change).digest})
        return training.opened(run)
