"""The command line: `netwright VERB ...`, one short file a verb.

A verb's module has `HELP`, `EXAMPLE`, `arguments(parser)` and `main(args) -> Answer`; it imports what is
heavy inside `main`, so that help answers at once. Results go to standard output, everything else to
standard error. Exit codes: 0 done, 1 a fault of ours or a check that failed, 2 a request that cannot
be done as asked, 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netwright import __version__
from netwright.core.error import UserError, did_you_mean

VERBS = ("train", "compress", "export", "bench", "predict", "study", "data", "hardware", "runs", "doctor")


@dataclass(frozen=True)
class Answer:
    """What a verb found: `data` for --json, `view` (text or a rich renderable) for a person."""

    data: Any
    view: Any
    code: int = 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    parser = build_parser(words[0] if words else None)
    if words and not words[0].startswith("-") and words[0] not in VERBS:
        return _refuse(UserError("verb", words[0], did_you_mean(words[0], VERBS), "netwright --help"))
    args = parser.parse_args(words)
    if args.verb is None:
        parser.print_help()
        return 0
    try:
        if hasattr(args, "words"):
            args.runs, args.overrides = split_words(args.words)
        answer: Answer = importlib.import_module(f"netwright.cli.{args.verb}").main(args)
    except UserError as refusal:
        return _refuse(refusal)
    except KeyboardInterrupt:
        print("\nInterrupted. The same command goes on where this one stopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    if args.json:
        from netwright.core.recipe import plain

        print(json.dumps(plain(answer.data), indent=1, default=str, allow_nan=False))
    else:
        from rich.console import Console

        Console(highlight=False, soft_wrap=isinstance(answer.view, str)).print(answer.view, markup=False)
    return answer.code


def build_parser(verb: str | None) -> argparse.ArgumentParser:
    """The parser; only the chosen verb's file is imported, or all of them for the list of verbs."""
    parser = argparse.ArgumentParser(
        prog="netwright",
        description="From data to a measured, certified deployment, and what it will do on other hardware.",
        epilog="Start with: netwright study recipes/quickstart.toml",
    )
    parser.add_argument("--version", action="version", version=f"netwright {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")
    for name in VERBS:
        if verb in VERBS and name != verb:
            continue
        module = importlib.import_module(f"netwright.cli.{name}")
        sub = verbs.add_parser(
            name,
            help=module.HELP,
            description=module.HELP,
            epilog=f"Example:\n  {module.EXAMPLE}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.arguments(sub)
        sub.add_argument("--json", action="store_true", help="print the result as JSON on standard output")
        sub.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    return parser


def add_words(parser: argparse.ArgumentParser) -> None:
    """`section.key=value` overrides and `runs=FOLDER`, last on the line."""
    parser.add_argument(
        "words",
        nargs="*",
        metavar="section.key=value",
        help="settings that replace those of the recipe; runs=FOLDER puts run folders there (default: runs)",
    )


def split_words(words: Sequence[str]) -> tuple[Path, list[str]]:
    """Take `runs=FOLDER` out of the overrides."""
    folders = [word.removeprefix("runs=") for word in words if word.startswith("runs=")]
    if "" in folders:
        raise UserError("runs", "", "a folder", "runs=FOLDER")
    return Path(folders[-1] if folders else "runs"), [word for word in words if not word.startswith("runs=")]


def _refuse(refusal: UserError) -> int:
    print(f"netwright: {refusal}", file=sys.stderr)
    return refusal.exit_code
