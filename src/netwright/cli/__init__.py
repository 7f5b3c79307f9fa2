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
import keyword
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from netwright import __version__
from netwright.core.error import UserError, did_you_mean

VERBS = (
    "train", "import", "multilevel", "compress", "export", "evaluate", "bench", "profile", "predict", "study",
    "generate", "chat", "serve", "history", "safety", "svg", "data", "hardware", "runs", "doctor",
)  # fmt: skip

STDIN = "-"
"""The word by which a verb that takes a file reads standard input."""


@dataclass(frozen=True)
class Answer:
    """What a verb found: `data` for --json, `view` (text or a rich renderable) for a person."""

    data: Any
    view: Any
    code: int = 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(words)
    except UserError as refusal:
        return _refuse(refusal)
    except KeyboardInterrupt:
        print("\nInterrupted. The same command goes on where this one stopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read the output has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except FloatingPointError as fault:  # nothing was asked wrongly, and nothing is broken
        print(f"netwright: training stopped: {fault}", file=sys.stderr)
        return 1
    except OSError as fault:
        from netwright.core.artifact import disk_error

        if "No usable temporary directory" in str(fault):  # what Python says on a full disk
            return _refuse(UserError("TMPDIR", os.environ.get("TMPDIR", ""), f"{fault.strerror}", "free space"))
        told = disk_error(fault, Path(fault.filename or "."))
        if isinstance(told, UserError):
            return _refuse(told)
        raise


def module(verb: str) -> Any:
    """A verb's module; one that is called like a word of Python has a bar after its name."""
    return importlib.import_module(f"netwright.cli.{verb}{'_' * keyword.iskeyword(verb)}")


def _run(words: list[str]) -> int:
    if words and not words[0].startswith("-") and words[0] not in VERBS:
        raise UserError("verb", words[0], did_you_mean(words[0], VERBS), "netwright --help")
    parser = build_parser(words[0] if words else None)
    args = parser.parse_args(words)
    if args.verb is None:
        parser.print_help()
        return 0
    if hasattr(args, "words"):
        args.runs, args.overrides = split_words(args.words)
    answer: Answer = module(args.verb).main(args)
    if args.json:
        from netwright.core.recipe import plain

        print(json.dumps(plain(answer.data), indent=1, default=str, allow_nan=False))
    else:
        from rich.console import Console

        console = Console(highlight=False, soft_wrap=isinstance(answer.view, str))
        with console.capture() as text:  # rich ends the process by itself when a reader has gone
            console.print(answer.view, markup=False)
        print(text.get(), end="")
    sys.stdout.flush()  # here, where a reader that has gone is no traceback
    return answer.code


class _Parser(argparse.ArgumentParser):
    """An argparse parser that refuses as the rest of netwright does, and takes options at any place."""

    def __init__(self, **about: Any) -> None:
        super().__init__(**about, allow_abbrev=False)
        self.given: list[str] = []

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Options first: argparse would end an open list of words at the first option."""
        self.given = [] if args is None else list(args)
        return super().parse_known_args(self._options_first(), namespace)

    def _options_first(self) -> list[str]:
        if self._subparsers is not None:  # the parser above the verbs
            self._check(self.given[0] if self.given else "")
            return self.given
        options: list[str] = []
        others: list[str] = []
        words = list(self.given)
        while words:
            word = words.pop(0)
            if word == "--":
                others += words
                break
            self._check(word)
            (options if word.startswith("-") and word != STDIN else others).append(word)
            known = self._option_string_actions.get(word)
            follows = bool(words) and words[0] not in self._option_string_actions
            if known is not None and follows and (known.nargs is None or (known.nargs == "?" and "=" not in words[0])):
                options.append(words.pop(0))
        if all(action.dest != "words" for action in self._actions):  # a verb that keeps no runs bears the word
            others = [word for word in others if not word.startswith("runs=")]
        return [*options, "--", *others] if others else options

    def _check(self, word: str) -> None:
        name = word.partition("=")[0]
        if name.startswith("-") and word != STDIN and name not in self._option_string_actions:
            known = [option for option in self._option_string_actions if option.startswith("--")]
            raise UserError("option", name, did_you_mean(name, known), f"{self.prog} --help")

    def error(self, message: str) -> NoReturn:
        """What argparse refuses, in the form of a UserError."""
        about = f"{self.prog} --help"
        option = re.fullmatch(r"argument (--\S+): (?:invalid (\w+) value: '(.*)'|(.*))", message)
        if option:
            kinds = {"int": "a whole number", "float": "a number"}
            allowed = kinds.get(option[2], option[2]) if option[2] else option[4]
            raise UserError(option[1], option[3] or "", allowed.replace("argument", "value"), about)
        wrong = message.removeprefix("unrecognized arguments: ")
        if wrong != message:  # said by the parser above that of the verb
            raise UserError("command line", wrong.removeprefix("-- "), "more words than the verb takes", about)
        raise UserError("command line", " ".join([self.prog, *self.given]), message, about)


def build_parser(verb: str | None) -> argparse.ArgumentParser:
    """The parser; only the chosen verb's file is imported, or all of them for the list of verbs."""
    parser = _Parser(
        prog="netwright",
        description="From data to a measured, certified deployment, and what it will do on other hardware.",
        epilog="Start with: netwright study recipes/quickstart.toml",
    )
    parser.add_argument("--version", action="version", version=f"netwright {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")
    for name in VERBS:
        if verb in VERBS and name != verb:
            continue
        about = module(name)
        sub = verbs.add_parser(
            name,
            help=about.HELP,
            description=about.HELP,
            epilog=f"Example:\n  {about.EXAMPLE}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        about.arguments(sub)
        sub.add_argument("--json", action="store_true", help="print the result as JSON on standard output")
        sub.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    return parser


def add_words(parser: argparse.ArgumentParser) -> None:
    """`section.key=value` overrides and `runs=FOLDER`, last on the line."""
    parser.add_argument(
        "words",
        nargs="*",
        default=[],
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
