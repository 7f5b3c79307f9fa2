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
    from netwright.predict.learning.learn import SAMPLE

    if len(words) > 1 or (action == "promote" and not words):
        what = "a fitted predictor's file" if action == "promote" else "one folder of measured rows, or none"
        raise UserError(action, " ".join(words), what, f"netwright predict {action} PATH")
    path = Path(words[0]) if words else SAMPLE
    if args.dry_run:
        return Answer({"action": action, "path": str(path)}, f"would {action} {path}")
    return {"fit": _fit, "validate": _validate, "backtest": _backtest, "promote": _promote}[action](path, args)


def _fit(folder: Path, args: argparse.Namespace) -> Answer:
    from netwright.predict.learning import learn

    _ready(args)
    made = learn.fit(folder, args.runs, suites=args.suite, quick=args.quick, fresh=args.fresh)
    _register(made.file, args)
    data = {"file": str(made.file), "version": made.version, "scores": _plain(made.frame), "refused": made.refused}
    lines = [f"Predictor {made.version}: {made.file}", f"Next: netwright predict promote {made.file}"]
    return Answer(data, _view(_scores(made.frame), made.refused, lines))


def _validate(folder: Path, args: argparse.Namespace) -> Answer:
    from netwright.predict.learning import validate

    report = validate.validate(folder, specs=args.specs, suites=args.suite, predictor=args.predictor)
    read = ", ".join(f"{name} {count:,}" for name, count in report.read.items() if count)
    lines = [
        f"Predictor {report.version}; rows read: {read}.",
        "error: median and 90th percentile of |predicted / measured - 1|; held: share of rows inside their 90 %"
        " interval, after so many measured rows of the device. *: the predictor learned from this device;"
        " !: most of its rows are out of range.",
    ]
    return Answer(report.plain(), _view(_scores(report.frame), report.refused, lines))


def _backtest(folder: Path, args: argparse.Namespace) -> Answer:
    from netwright.predict.learning import learn

    frame = learn.judge(folder, suites=args.suite, by=args.by, quick=args.quick)
    lines = ["Every device was left out of what it was predicted from; baselines had the same rows."]
    return Answer({"scores": _plain(frame)}, _view(_scores(frame), {}, lines))


def _promote(path: Path, args: argparse.Namespace) -> Answer:
    from netwright.predict.learning import learn

    _ready(args)
    decision = learn.promote(path, args.runs, force=args.force)
    if decision.promoted:
        _register(path, args, promoted=True)
    data = {"promoted": decision.promoted, "why": decision.why, "scores": _plain(decision.frame)}
    text = f"{'Promoted' if decision.promoted else 'Not promoted'}: {decision.why}."
    return Answer(data, text, code=0 if decision.promoted else 1)


def _ready(args: argparse.Namespace) -> None:
    """Refuse before any work what would fail after it."""
    if args.mlflow:
        from netwright.core.table import need

        need("mlflow", "--mlflow")


def _register(file: Path, args: argparse.Namespace, promoted: bool = False) -> None:
    if args.mlflow:
        from netwright.predict.learning import registry

        registry.register(args.runs, file, promoted=promoted)


def _scores(frame: Any) -> list[Any]:
    """A table a suite and split: a row a device, a column a number of calibration rows; baselines as means."""
    from rich.table import Table

    from netwright.predict.learning import backtest

    shown: list[Any] = []
    whole = frame[frame["stratum"] == "all"] if len(frame) else frame
    for (suite, split), part in whole.groupby(["suite", "split"], sort=False) if len(whole) else ():
        title = suite if split == "validate" else f"{suite}, {split} left out"
        table = Table(title=title, title_justify="left", box=None, pad_edge=False)
        table.add_column("median/90 %, held", overflow="fold")
        shots = sorted(part["k"].unique())
        for k in shots:
            table.add_column(f"{k} rows" if k else "none", justify="right", no_wrap=True)
        table.add_column("n", justify="right", no_wrap=True)
        for method, rows in part.groupby("method", sort=False):
            if method == backtest.OURS:
                for device, told in rows.groupby("device", sort=False):
                    count = f"{told['n'].max():,}"
                    table.add_row(f"{device}{_marks(told)}", *_cells(told, shots), count)
            if method != backtest.OURS or rows["device"].nunique() > 1:
                name = "mean of devices" if method == backtest.OURS else f"mean: {method}"
                table.add_row(name, *_cells(rows, shots), "")
        shown += [table, ""]
    return shown


def _marks(told: Any) -> str:
    """Whether the predictor has seen the device, and whether most of its rows are out of range."""
    seen = " *" if "seen" in told and told["seen"].any() else ""
    return seen + (" !" if told["flagged"].iloc[0] > 0.5 else "")


def _cells(rows: Any, shots: Sequence[int]) -> list[str]:
    by = rows.groupby("k")[["error", "error_90", "coverage"]].mean().to_dict("index")
    return [_pair(by[k]) if k in by else "" for k in shots]


def _pair(row: Mapping[str, Any]) -> str:
    """`12/31 .91`: median and 90th percentile in percent, share held."""
    held = row["coverage"]
    inside = f"{held:.2f}".lstrip("0") if math.isfinite(held) else "  -"
    return f"{100 * row['error']:.1f}/{100 * row['error_90']:.0f} {inside}"


def _view(tables: Sequence[Any], refused: Mapping[str, Mapping[str, int]], lines: Sequence[str]) -> Any:
    from rich.console import Group
    from rich.text import Text

    told = [
        f"{suite}: {rows:,} rows refused, {why}" for suite, listed in refused.items() for why, rows in listed.items()
    ]
    return Group(*tables, *(Text(line) for line in [*told, *lines]))


def _plain(frame: Any) -> list[dict[str, Any]]:
    """Rows without NaN, for JSON."""
    return [
        {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
        for row in frame.to_dict("records")
    ]
