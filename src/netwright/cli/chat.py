"""netwright chat: a conversation with a language model in the terminal, kept as it goes."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netwright.cli import Answer, add_words, engines, split_words
from netwright.cli.generate import DEFAULT

if TYPE_CHECKING:
    from netwright.chat.history import About, History

HELP = "talk with a language model in the terminal"
EXAMPLE = 'netwright chat --system "Answer in one sentence." sampling.temperature=0.7'


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument(
        "model", nargs="?", help=f"a run, an artifact, or a name to import (default: that of the chat, or {DEFAULT})"
    )
    parser.add_argument("--system", metavar="TEXT", default="", help="what the model is told beforehand")
    parser.add_argument(
        "--resume", metavar="ID", nargs="?", const="", help="go on with a chat that was kept, or with the last one"
    )
    parser.add_argument("--no-history", action="store_true", help="keep nothing")
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="a TOML file with the sections [chat], [sampling], [safety]",
    )
    parser.add_argument(
        "--safety", action="store_true", help="filter what is asked and answered; [safety] in the file says how"
    )
    engines.options(parser)
    add_words(parser)


def main(args: argparse.Namespace) -> Answer:
    """Talk until the person ends it, or say what would."""
    from rich.console import Console
    from rich.text import Text

    from netwright.chat import settings
    from netwright.chat.history import History
    from netwright.chat.kept import Kept
    from netwright.chat.terminal import Terminal
    from netwright.core.error import UserError
    from netwright.hardware import detect

    given: str | None = args.model
    if given is not None and "=" in given:  # a setting, and no model
        runs, more = split_words([given])
        given, args.overrides = None, [*more, *args.overrides]
        args.runs = args.runs if more else runs
    found = settings.gathered(args.config, args.overrides, os.environ)
    told, config = found["sampling"], found["chat"]
    given = given or config.model or None
    args.model = given or DEFAULT
    args.system, args.precision = args.system or config.system, args.precision or config.precision or None
    args.threads = args.threads or config.threads
    args.device = args.device or config.device
    args.no_history = args.no_history or not config.history
    detect.check_threads("--threads", args.threads)
    threads = args.threads or detect.usable_threads()
    if args.dry_run:
        return Answer({"model": args.model, "threads": threads, "sampling": told}, f"would talk with {args.model}")
    if args.json:
        raise UserError("--json", True, "a chat is for people", "netwright generate --json")
    if args.resume is not None and args.no_history:
        raise UserError("--resume", args.resume, "a history", "leave --no-history out")
    with contextlib.ExitStack() as opened:
        chat = None
        if args.resume is not None:
            history = opened.enter_context(History.open(args.runs))
            chat = _resumed(history, args.resume)
            args.model = given or history.conversation(chat).model or DEFAULT

        def opens(name: str) -> tuple[Any, About]:
            return _opened(name, args, threads)

        generator, about = opens(args.model)
        if args.resume is None:  # a model that cannot be had leaves no file behind
            history = opened.enter_context(History.open(None if args.no_history else args.runs))
        with contextlib.suppress(ImportError):  # arrows and earlier lines, where Python has it
            import readline  # noqa: F401
        console = Console(highlight=False)
        console.print(f"{args.model} in {generator.precision}", style="dim", markup=False)
        kept = Kept(history, about, chat, args.system)
        if chat is not None:
            console.print(Text(kept.shown()))
        return Answer(None, "", Terminal(generator, console, ask, told, kept=kept, opens=opens).run())


def _resumed(history: History, named: str) -> str:
    """The chat to go on with: by the beginning of its id, or the one that was changed last."""
    from netwright.core.error import UserError

    found = history.find(named) if named else history.last()
    if found is None:
        raise UserError("--resume", "", "a chat that was kept; there is none", "netwright chat")
    return found


def _opened(name: str, args: argparse.Namespace, threads: int) -> tuple[Any, About]:
    """A model that answers, and what is kept of it with each reply."""
    import hashlib

    from netwright.chat import opening
    from netwright.chat.history import About
    from netwright.chat.safety import guard
    from netwright.chat.safety.guard import Guarded
    from netwright.chat.summary import Summarising
    from netwright.core.error import UserError

    artifact = opening.artifact_of(name, args.runs)
    generator = engines.chosen(args, artifact, threads)
    template = generator.tokenizer.template
    if not template:
        next = f'netwright generate {name} --raw --prompt "Once upon a time"'
        raise UserError("model", name, "it has no chat template: it goes on with texts, and answers nobody", next)
    about = About(
        model=name,
        artifact=artifact.digest,
        template=hashlib.sha256(template.encode()).hexdigest(),
        precision=str(generator.precision),
        engine=type(getattr(generator, "decoder", generator)).__module__.rpartition(".")[2],
        threads=threads,
    )
    guarding = guard.opened(args.config, args.safety)
    answering = Summarising(generator)
    return Guarded(answering, guarding) if guarding else answering, about


def ask(prompt: str) -> str:
    """A line from the person, or from a pipe, which is shown no prompt."""
    if sys.stdin.isatty():
        return input(prompt)
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.rstrip("\n")
