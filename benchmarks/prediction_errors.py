"""How far predictions are off, device by device: the tables of docs/explanation/prediction_errors.md.

    python benchmarks/prediction_errors.py DATA --out scores       # a CSV a suite and split; goes on
    python benchmarks/prediction_errors.py --table scores > docs/explanation/prediction_errors.md

DATA is laid out as `netwright predict validate` reads it. Each device, architecture or family is left out of everything
that is fitted, the constants of the physics included. An hour on one core; `--suite` and `--by` do a part of it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from netwright.predict.learning import backtest, learn, store
from netwright.predict.suites import SUITES

SPLITS = ("architecture", "device", "time", "family")
TITLES = {
    "architecture": "one architecture left out",
    "device": "one device left out",
    "time": "devices newer than the median left out",
    "family": "families of work left out",
}
MEANING = {
    "gemm": "matrix products",
    "context_attention": "attention over a prompt",
    "generation_attention": "attention of one new token",
    "moe": "mixtures of experts",
    "collective": "collectives between devices",
    "timm": "vision networks, throughput",
    "mlperf": "MLPerf Inference, offline throughput of an accelerator",
    "mlperf_server": "MLPerf Inference, server",
    "tpot": "time per output token of served language models",
    "ttft": "time to first token of served language models",
    "power": "power of a GPU that serves models",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--suite", action="append", default=[])
    parser.add_argument("--by", action="append", default=[])
    args = parser.parse_args()
    if args.table:
        print(page(pd.concat([pd.read_csv(path) for path in sorted(args.table.glob("*.csv"))], ignore_index=True)))
        print(_peaks(args.table))
        return
    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.suite or SUITES:
        suite = store.suite(name)
        peaks = args.out / f"{name}.peaks"
        if not peaks.is_file():
            columns, devices, _ = learn._read(name, args.data)
            backtest.faster_than_peak(suite, columns, devices).to_csv(peaks, index=False)
        for by in args.by or (*SPLITS, *getattr(suite, "SPLITS", {})):
            path = args.out / f"{name}-{by.replace(' ', '_')}.csv"
            if not path.is_file():
                frame = learn.judge(args.data, suites=[name], by=[by])
                frame.to_csv(path, index=False)
                ours = backtest.summary(frame)
                print(ours[ours["method"] == backtest.OURS].to_string(), flush=True)


def page(frame: pd.DataFrame) -> str:
    """Markdown: for each suite what stands against what, then device by device."""
    parts = [HEAD]
    for suite in [name for name in MEANING if name in set(frame["suite"])]:
        parts.append(f"\n## {suite}: {MEANING[suite]}\n")
        for split in dict.fromkeys(frame[frame["suite"] == suite]["split"]):
            of = frame[(frame["suite"] == suite) & (frame["split"] == split)]
            if of["error"].isna().all():
                parts.append(f"\n### {TITLES.get(split, split)}\n\nAll {of['n'].max():,} rows of a device are refused.")
                continue
            of = of[of["error"].notna()]
            parts.append(f"\n### {TITLES.get(split, split)}\n\n{_methods(of)}\n\n{_devices(of)}")
            strata = of[(of["stratum"] != "all")]
            if len(strata) and split == "architecture":
                parts.append(f"\nBy what was measured, without measurements on the device:\n\n{_strata(strata)}")
            if split == "architecture":
                parts.append(
                    f"\nMedian of log(predicted / measured), without and with the pooled bias terms:\n\n{_bias(of)}"
                )
    return "\n".join(parts)


HEAD = """# How far predictions are off

Written by `benchmarks/prediction_errors.py`. The error is |predicted / measured - 1|: its median and 90th percentile
over the rows of a device, then the mean over devices. "Held" is the share of rows inside the 90 % interval. What is
left out is left out of everything that was fitted, but not of the choice of the physics, made by people who saw it.
After k rows means that k random rows of the device were measured first, the mean of ten draws. MLPerf's rules for
citing are kept in [predictions](prediction.md); ours are predictions, not MLPerf results.
"""


def _peaks(folder: Path) -> str:
    """Vendors' specifications against measurements: rows that no device could have been so fast in."""
    lines = ["\n## Faster than the peak\n"]
    lines.append(
        "Rows that were measured faster than the stated peaks of arithmetic and bandwidth allow. Operands that a cache"
    )
    lines.append("holds are read faster than memory gives them; else the specification or the measurement is wrong.\n")
    lines += ["| suite | device | rows | faster % | most, times |", "|---|---|---|---|---|"]
    for path in sorted(folder.glob("*.peaks")):
        for row in pd.read_csv(path).to_dict("records") if path.stat().st_size > 2 else []:
            if row["faster"] > 0:
                share = f"{100 * row['faster']:.2f}"
                lines.append(f"| {path.stem} | {row['device']} | {row['rows']:,} | {share} | {row['most']:.2f} |")
    return "\n".join(lines)


def _methods(of: pd.DataFrame) -> str:
    rows = []
    for (method, k), part in of[of["stratum"] == "all"].groupby(["method", "k"], sort=False):
        name = method if not k else f"{method}, after {k} rows"
        held = f"{part['coverage'].mean():.2f} / {part['coverage'].min():.2f}" if part["coverage"].notna().any() else ""
        width = f"{part['width'].mean():.2f}" if part["width"].notna().any() else ""
        counts = f"{part['device'].nunique()} | {part['n'].sum():,} | {part['refused'].sum():,}"
        error = (
            f"{100 * part['error'].mean():.1f} | {100 * part['error_90'].mean():.0f} | {100 * part['error'].max():.1f}"
        )
        rows.append(f"| {name} | {error} | {held} | {width} | {counts} |")
    head = "| method | median error % | 90 % of rows below | worst device | held: mean / least | high / low | devices |"
    head += " rows | refused |"
    return "\n".join([head, "|---|---|---|---|---|---|---|---|---|", *rows])


def _devices(of: pd.DataFrame) -> str:
    ours = of[(of["method"] == backtest.OURS) & (of["stratum"] == "all")]
    shots = sorted(ours["k"].unique())
    lines = ["| device | rows | " + " | ".join(f"k = {k}" for k in shots) + " |", "|---|---|" + "---|" * len(shots)]
    for device, part in ours.groupby("device"):
        cells = []
        for k in shots:
            row = part[part["k"] == k]
            told = row.iloc[0] if len(row) else None
            cells.append(
                ""
                if told is None
                else f"{100 * told['error']:.1f} / {100 * told['error_90']:.0f}, {told['coverage']:.2f}"
            )
        lines.append(f"| {device} | {part['n'].max():,} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _strata(strata: pd.DataFrame) -> str:
    lines = ["| value | rows | median error % | held |", "|---|---|---|---|"]
    order = sorted(strata["stratum"].unique(), key=lambda text: float(text.split()[0]))
    for stratum in order:
        part = strata[strata["stratum"] == stratum]
        weight = part["n"] / part["n"].sum()
        lines.append(
            f"| {stratum} | {part['n'].sum():,} | {100 * (part['error'] * weight).sum():.1f} |"
            f" {(part['coverage'] * weight).sum():.2f} |"
        )
    return "\n".join(lines)


def _bias(of: pd.DataFrame) -> str:
    own = of[(of["stratum"] == "all") & of["method"].isin([backtest.OURS, backtest.WITHOUT])]
    lines = ["| | devices | without | with | after 10 rows |", "|---|---|---|---|---|"]
    for level in ("manufacturer", "architecture", "year"):
        for name, part in own.groupby(level):
            told = [
                part[(part["method"] == method) & (part["k"] == k)]["signed"].mean()
                for method, k in ((backtest.WITHOUT, 0), (backtest.OURS, 0), (backtest.OURS, 10))
            ]
            cells = " | ".join("" if not np.isfinite(one) else f"{one:+.2f}" for one in told)
            lines.append(f"| {level} {name} | {part['device'].nunique()} | {cells} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
