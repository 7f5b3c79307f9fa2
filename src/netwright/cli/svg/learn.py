"""netwright svg learn: the predictor, learned from a data set and judged on images that it did not see."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from netwright.cli import Answer
from netwright.core.error import UserError

ABOUT = "learn DATA: the predictor, learned anew and judged"
HEEDS = ("out", "members", "epochs", "workers")
COLUMNS = {
    "pearson": "SSIM r", "within": "rank", "mae": "error", "pearson_log_bytes": "bytes r", "size_error": "off",
    "pearson_log_paths": "paths r", "n": "rows",
}  # fmt: skip


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the action."""
    group = parser.add_argument_group("learn")
    group.add_argument("--members", type=int, metavar="N", help="networks of the ensemble (default: 6)")
    group.add_argument("--epochs", type=int, metavar="N", help="passes over the data (default: 60)")


def main(args: argparse.Namespace) -> Answer:
    """Learn, write, judge."""
    from netwright.core import artifact
    from netwright.svg import judge, learn

    if len(args.overrides) != 1:
        raise UserError("data", " ".join(args.overrides), "one folder of netwright svg data", "netwright svg data")
    given = {name: value for name in ("members", "epochs") if (value := getattr(args, name)) is not None}
    config, folder = learn.Config(**given), Path(args.overrides[0])
    out = args.out or folder / "predictor"
    if args.dry_run:
        return Answer({**asdict(config), "out": str(out)}, f"Would learn from {folder} into {out}.")
    workers = 1 if args.workers is None else args.workers
    if not 1 <= workers <= 64:
        raise UserError("workers", workers, "1 to 64", "netwright svg learn DATA --workers 2")
    table = learn.read(folder)
    learned = learn.learned(table, config, out, learn.provenance(folder, table), workers)
    told = judge.report(table, learned, config, workers)
    artifact.write_json(out / "judged.json", told)
    return Answer({"predictor": str(learned.path), **told}, _view(learned.path, told))


def _view(path: Path, told: dict[str, Any]) -> Any:
    from rich.console import Group
    from rich.table import Table

    shown = Table(title="On images that were held out", title_justify="left", box=None, padding=(0, 1, 0, 0))
    for name in ("", *COLUMNS.values()):
        shown.add_column(name, justify="right" if name else "left", no_wrap=True)
    for name, judged in told["judged"].items():
        shown.add_row(name, *(f"{judged[key]:.3f}" if key != "n" else f"{judged[key]:,}" for key in COLUMNS))
    covered = ", ".join(f"{name} {share:.1%}" for name, share in told["covered"].items())
    return Group(
        shown, "r: Pearson's correlation, of bytes and paths by their logarithms.",
        "rank: Spearman's within an image. off: bytes, in the median.",
        f"90 % intervals hold: {covered}",
        f"Families left out: mean r {told['families_mean']:.3f} of {told['families']} without photographs.",
        f"The predictor is {path} ({path.stat().st_size / 1e6:.1f} MB).",
    )  # fmt: skip
