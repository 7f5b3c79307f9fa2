"""netwright predict fit, validate, backtest, promote: the predictor learned, checked and put in place."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from netwright.cli import Answer
from netwright.core.error import UserError


def main(action: str, words: Sequence[str], args: argparse.Namespace) -> Answer:
    if len(words) != 1:
        what = "a fitted predictor's file" if action == "promote" else "one folder of measured rows"
        raise UserError(action, " ".join(words), what, f"netwright predict {action} PATH")
    path = Path(words[0])
    if args.dry_run:
        return Answer({"action": action, "path": str(path)}, f"would {action} {path}")
    return {"fit": _fit, "validate": _validate, "backtest": _backtest, "promote": _promote}[action](path, args)


def _fit(folder: Path, args: argparse.Namespace) -> Answer:
    from netwright.predict import learn

    made = learn.fit(folder, args.runs, suites=args.suite, quick=args.quick, fresh=args.fresh)
    data = {"file": str(made.file), "version": made.version, "scores": _plain(made.frame), "refused": made.refused}
    lines = [f"Predictor {made.version}: {made.file}", f"Next: netwright predict promote {made.file}"]
    return Answer(data, _view(_scores(made.frame), made.refused, lines))


def _validate(folder: Path, args: argparse.Namespace) -> Answer:
    from netwright.predict import validate

    report = validate.validate(folder, specs=args.specs, suites=args.suite, predictor=args.predictor)
    read = ", ".join(f"{name} {count:,}" for name, count in report.read.items() if count)
    lines = [
        f"Predictor {report.version}; rows read: {read}.",
        "error: median and 90th percentile of |predicted / measured - 1|; held: share of rows inside their 90 %"
        " interval; rows: measured rows of the device that calibrate it first.",
    ]
    return Answer(report.plain(), _view(_scores(report.frame), report.refused, lines))


def _backtest(folder: Path, args: argparse.Namespace) -> Answer:
    from netwright.predict import learn

    frame = learn.judge(folder, suites=args.suite, by=args.by, quick=args.quick)
    lines = ["Every device was left out of what it was predicted from; baselines had the same rows."]
    return Answer({"scores": _plain(frame)}, _view(_scores(frame), {}, lines))


def _promote(path: Path, args: argparse.Namespace) -> Answer:
    from netwright.predict import learn

    decision = learn.promote(path, args.runs, force=args.force)
    data = {"promoted": decision.promoted, "why": decision.why, "scores": _plain(decision.frame)}
    text = f"{'Promoted' if decision.promoted else 'Not promoted'}: {decision.why}."
    return Answer(data, text, code=0 if decision.promoted else 1)


def _scores(frame: Any) -> Any:
    """A row a suite, split, device and method; a column a number of calibration rows."""
    from rich.table import Table

    shots = sorted(frame["k"].unique()) if len(frame) else []
    table = Table("suite", "device", box=None, pad_edge=False)
    for k in shots:
        table.add_column(f"{k} rows\nerror  held" if k else "no rows\nerror  held", justify="right", no_wrap=True)
    table.add_column("n", justify="right")
    keys = [name for name in ("suite", "split", "method", "device") if name in frame]
    for key, rows in frame.groupby(keys, sort=False):
        named = dict(zip(keys, key, strict=True))
        by = {row["k"]: row for row in rows.to_dict("records")}
        cells = [_pair(by[k]) if k in by else "" for k in shots]
        suite = named["suite"] if named.get("method", "hybrid") == "hybrid" else f"  {named['method']}"
        if named.get("split", "validate") != "validate":
            suite += f" ({named['split']})"
        table.add_row(suite, named["device"], *cells, f"{max(row['n'] for row in by.values()):,}")
    return table


def _pair(row: Mapping[str, Any]) -> str:
    """`12.3/31 .91`: median and 90th percentile in percent, share held."""
    held = row.get("coverage")
    inside = f"{held:.2f}" if isinstance(held, float) and math.isfinite(held) else "  - "
    return f"{100 * row['error']:.1f}/{100 * row['error_90']:.0f} {inside}"


def _view(table: Any, refused: Mapping[str, Mapping[str, int]], lines: Sequence[str]) -> Any:
    from rich.console import Group
    from rich.text import Text

    told = [
        f"{suite}: {rows:,} rows refused, {why}" for suite, listed in refused.items() for why, rows in listed.items()
    ]
    return Group(table, "", *(Text(line) for line in [*told, *lines]))


def _plain(frame: Any) -> list[dict[str, Any]]:
    """Rows without NaN, for JSON."""
    return [
        {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
        for row in frame.to_dict("records")
    ]
