"""netwright chat: a conversation with a language model in the terminal."""

from __future__ import annotations

import argparse
import contextlib
import sys

from netwright.cli import Answer, add_words, engines
from netwright.cli.generate import DEFAULT

HELP = "talk with a language model in the terminal"
EXAMPLE = 'netwright chat --system "Answer in one sentence." sampling.temperature=0.7'


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument(
        "model", nargs="?", default=DEFAULT, help=f"a run, an artifact, or a name to import ({DEFAULT})"
    )
    parser.add_argument("--system", metavar="TEXT", default="", help="what the model is told beforehand")
    engines.options(parser)
    add_words(parser)


def main(args: argparse.Namespace) -> Answer:
    """Talk until the person ends it, or say what would."""
    from rich.console import Console

    from netwright.chat import opening, sampling
    from netwright.chat.summary import Summarising
    from netwright.chat.terminal import Terminal
    from netwright.core import recipe
    from netwright.core.error import UserError
    from netwright.hardware import detect

    if "=" in args.model:  # a setting, and no model
        args.model, args.overrides = DEFAULT, [args.model, *args.overrides]
    told = recipe.from_words(args.overrides, {"sampling": sampling.Sampling})["sampling"]
    detect.check_threads("--threads", args.threads)
    threads = args.threads or detect.usable_threads()
    if args.dry_run:
        return Answer({"model": args.model, "threads": threads, "sampling": told}, f"would talk with {args.model}")
    if args.json:
        raise UserError("--json", True, "a chat is for people", "netwright generate --json")
    artifact = opening.artifact_of(args.model, args.runs)
    generator = engines.chosen(args, artifact, threads)
    if not generator.tokenizer.template:
        next = f'netwright generate {args.model} --raw --prompt "Once upon a time"'
        raise UserError("model", args.model, "it has no chat template: it goes on with texts, and answers nobody", next)
    with contextlib.suppress(ImportError):  # arrows and earlier lines, where Python has it
        import readline  # noqa: F401
    console = Console(highlight=False)
    console.print(f"{artifact.name} in {generator.precision}", style="dim", markup=False)
    return Answer(None, "", Terminal(Summarising(generator), console, ask, told, args.system).run())


def ask(prompt: str) -> str:
    """A line from the person, or from a pipe, which is shown no prompt."""
    if sys.stdin.isatty():
        return input(prompt)
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.rstrip("\n")
