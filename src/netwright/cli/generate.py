"""netwright generate: a language model's reply, streamed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from netwright.cli import Answer, add_words, engines

HELP = "answer a prompt with a language model, streamed; what it took goes to standard error"
EXAMPLE = 'netwright generate --prompt "Why is the sky blue?" sampling.temperature=0.7'
DEFAULT = "smollm2-135m-instruct"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument(
        "model", nargs="?", default=DEFAULT, help=f"a run, an artifact, or a name to import ({DEFAULT})"
    )
    parser.add_argument("--prompt", metavar="TEXT", help="what to answer; without it, standard input is read")
    parser.add_argument("--system", metavar="TEXT", help="a system message before it")
    parser.add_argument("--raw", action="store_true", help="go on with the text itself, without the chat template")
    engines.options(parser)
    add_words(parser)


def main(args: argparse.Namespace) -> Answer:
    """Answer, or say what would."""
    from netwright.chat import opening, sampling
    from netwright.core import recipe
    from netwright.core.error import UserError
    from netwright.hardware import detect

    if "=" in args.model:  # a setting, and no model
        args.model, args.overrides = DEFAULT, [args.model, *args.overrides]
    told = recipe.from_words(args.overrides, {"sampling": sampling.Sampling})["sampling"]
    detect.check_threads("--threads", args.threads)
    threads = args.threads or detect.usable_threads()
    if args.dry_run:
        return Answer({"model": args.model, "threads": threads, "sampling": told}, f"would answer with {args.model}")
    text = sys.stdin.read() if args.prompt is None else args.prompt
    if not text.strip():
        raise UserError("--prompt", text, "a text", 'netwright generate --prompt "Hello"')
    artifact = opening.artifact_of(args.model, args.runs)
    engine = engines.chosen(args, artifact, threads)
    given = opening.prompt_of(engine.tokenizer, text, args.system, args.raw)
    return _answered(engine, given, told, args, artifact)


def _answered(engine: Any, given: Any, told: Any, args: argparse.Namespace, artifact: Any) -> Answer:
    from netwright.chat.interrupt import noted
    from netwright.chat.turn import Piece

    parts: list[str] = []
    last = Piece("")
    with noted() as interrupted:
        for last in engine.stream(given, told, lambda: bool(interrupted)):
            parts.append(last.text)
            if not args.json:
                print(last.text, end="", flush=True)
    found = last.statistics
    assert found is not None
    if not args.json:
        print(flush=True)
    speed = f"{found.tokens} tokens, {found.per_second:.1f} a second; first after {found.first_token:.2f} s"
    read = f"prompt {found.prompt} tokens; {artifact.name} in {engine.precision}; ended by {last.finish}"
    print(f"{speed}; {read}", file=sys.stderr)
    data = {"text": "".join(parts), "finish": last.finish, "statistics": found, "artifact": artifact.digest}
    data |= {"sampling": told, "precision": engine.precision, "folder": str(Path(artifact.folder))}
    return Answer(data, Silent(), 130 if interrupted else 0)


class Silent:
    """Nothing to print: the reply was streamed."""

    def __rich_console__(self, console: Any, options: Any) -> Any:
        return iter(())
