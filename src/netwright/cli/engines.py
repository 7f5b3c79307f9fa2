"""The engine of the verbs that answer: options, and what they choose."""

from __future__ import annotations

import argparse
import sys
from typing import Any


def options(parser: argparse.ArgumentParser) -> None:
    """How an engine is opened."""
    parser.add_argument("--threads", type=int, default=0, help="0: as many as this process may use")
    parser.add_argument("--precision", metavar="NAME", help="what to compute in; by default what is stored")
    parser.add_argument(
        "--device", metavar="NAME",
        help="of an OpenVINO export: CPU, GPU, NPU, AUTO, or HETERO:GPU,CPU (default: CPU)",
    )  # fmt: skip
    parser.add_argument(
        "--explain", action="store_true",
        help="measure every engine and precision that runs here (minutes, once), and print which was chosen, and why",
    )  # fmt: skip


def chosen(args: argparse.Namespace, artifact: Any, threads: int) -> Any:
    """What was asked for, or the best that was measured; what is stored where nothing was."""
    from rich.console import Console

    from netwright.chat import choice, opening

    device = args.device or "CPU"
    if args.precision or args.threads or artifact.format != "torch" or device.upper() != "CPU":
        return opening.opened(artifact, threads, args.precision, device=device)
    found = choice.choose(artifact, args.runs) if args.explain else choice.known(artifact, args.runs)
    if found is None:
        if not getattr(args, "json", False):
            hint = "Answering in PyTorch. --explain measures every engine here (minutes, once), and keeps the fastest."
            print(hint, file=sys.stderr)
        return opening.opened(artifact, threads)
    if args.explain:
        console = Console(stderr=True, highlight=False)
        console.print(choice.table(found))
        console.print(found.why, markup=False)
    return found.open()
