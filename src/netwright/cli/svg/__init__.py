"""netwright svg: raster images to SVG by the settings that a wish needs; what each parameter buys; a page; the data
that the predictor learns from."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import Any

from netwright.cli import Answer
from netwright.core.error import UserError, did_you_mean

HELP = "turn images into SVG: the best settings for a wish, predicted, traced and measured"
EXAMPLE = """netwright svg trace logo.png --max-bytes 20000
  netwright svg trace icons photo.jpg --mode curves --out traced --csv traced.csv --report traced.html
  netwright svg trace logo.png --min-ssim 0.95 --max-paths 200
  netwright svg explain logo.png --report why.html
  netwright svg serve --open
  netwright svg data --images 200 --out svg-data"""

ACTIONS = ("trace", "explain", "serve", "data", "learn")
"""Each is a file of this folder with `arguments`, `main`, ABOUT, and HEEDS: the options it takes."""

OUT = "trace: a folder or FILE.svg (default: beside the image); data, learn: a folder"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("action", metavar="ACTION", help="; ".join(_file(name).ABOUT for name in ACTIONS))
    parser.add_argument("words", nargs="*", metavar="IMAGE", help="files and folders, as the action takes them")
    for name in ACTIONS:
        _file(name).arguments(parser)
    shared = parser.add_argument_group("shared")
    shared.add_argument("--out", type=Path, metavar="PLACE", help=OUT)
    shared.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes that trace (default: as many as cores) or learn (default: 1)",
    )


def main(args: argparse.Namespace) -> Answer:
    """Do the action."""
    if args.action not in ACTIONS:
        raise UserError("action", args.action, did_you_mean(args.action, ACTIONS), "netwright svg --help")
    heeds = {option: [name for name in ACTIONS if option in _file(name).HEEDS]
             for name in ACTIONS for option in _file(name).HEEDS}  # fmt: skip
    for option, names in heeds.items():
        value = getattr(args, option)
        if value not in (None, False, []) and args.action not in names:
            allowed = f"an option of {', '.join(names)}, not of {args.action}"
            raise UserError(f"--{option.replace('_', '-')}", value, allowed, "netwright svg --help")
    answer: Answer = _file(args.action).main(args)
    return answer


def _file(action: str) -> Any:
    return importlib.import_module(f"netwright.cli.svg.{action}")
